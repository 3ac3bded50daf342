//! The progress of a gathering, on stderr, where that is a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Progress;

/// A bar that shows addresses, answers, printers and the time left; nothing when `quiet` or stderr is no terminal.
/// It is wiped away when dropped.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// An empty bar.
    pub fn new(quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{bar:20} {msg}") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// Shows how far it is.
    pub fn show(&self, progress: &Progress) {
        let Some(bar) = self.0.as_ref().filter(|_| progress.sweep.addresses > 0) else { return };
        let (sent, to_come) = progress.sweep.packets;
        bar.set_length((sent + to_come + progress.done + progress.to_come).max(1));
        bar.set_position(sent + progress.done);
        bar.set_message(message(progress));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn message(progress: &Progress) -> String {
    let sweep = &progress.sweep;
    let printers = format!("{} printer{}", progress.printers, if progress.printers == 1 { "" } else { "s" });
    // how long a reading takes nobody knows before it is over
    let left = match (sweep.left, progress.to_come) {
        (Duration::ZERO, 0) => String::new(),
        (Duration::ZERO, to_come) => format!(", reading {to_come}"),
        (left, _) => format!(", {}:{:02} left", left.as_secs() / 60, left.as_secs() % 60),
    };
    format!("{} of {} addresses, {} answered, {printers}{left}", sweep.asked, sweep.addresses, sweep.answered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep;

    #[test]
    fn the_message_names_addresses_answers_printers_and_the_time_left() {
        let sweep = sweep::Progress {
            addresses: 254,
            asked: 120,
            answered: 3,
            left: Duration::from_secs(67),
            ..Default::default()
        };
        let mut progress = Progress { sweep, done: 1, printers: 1, to_come: 2 };
        assert_eq!(message(&progress), "120 of 254 addresses, 3 answered, 1 printer, 1:07 left");
        progress.sweep.left = Duration::ZERO;
        assert_eq!(message(&progress), "120 of 254 addresses, 3 answered, 1 printer, reading 2");
    }
}
