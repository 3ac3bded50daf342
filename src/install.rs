//! What a scheduler must be given so that meterpost runs by itself: shown, never done.
//!
//! The texts are the files of `examples/`, compiled in, so that what is printed and what is shipped cannot differ. The
//! lock, the time budget and the exit codes make it safe that a scheduler starts the program while it still runs.

/// What a scheduler is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Unit {
    /// A service that stays and keeps the schedule
    Systemd,
    /// A line for /etc/cron.d
    Cron,
    /// A task for the Windows Task Scheduler
    WindowsTask,
}

/// The text for a scheduler.
pub fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Systemd => include_str!("../examples/meterpost.service"),
        Unit::Cron => include_str!("../examples/meterpost.cron"),
        Unit::WindowsTask => include_str!("../examples/meterpost-task.xml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of a unit that are neither empty nor a comment.
    fn lines(text: &str) -> impl Iterator<Item = &str> {
        text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    #[test]
    fn what_a_scheduler_starts_is_a_command_that_the_program_takes() {
        let systemd = lines(unit(Unit::Systemd)).find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let cron = lines(unit(Unit::Cron)).next().unwrap().split_whitespace().skip(6).collect::<Vec<_>>().join(" ");
        let xml = roxmltree::Document::parse(unit(Unit::WindowsTask)).unwrap();
        let text = |name: &str| {
            xml.descendants()
                .find(|node| node.has_tag_name(("http://schemas.microsoft.com/windows/2004/02/mit/task", name)))
                .and_then(|node| node.text())
                .unwrap()
        };
        let task =
            format!("{} {}", text("Command").trim_matches('"').replace("%ProgramFiles%\\", ""), text("Arguments"));
        for command in [systemd, &cron, &task] {
            let parsed = crate::cli::parse(command.split_whitespace().map(Into::into));
            assert!(matches!(parsed.map(|parsed| parsed.command), Ok(crate::cli::Command::Run(_))), "{command}");
        }
    }

    #[test]
    fn the_cron_line_is_a_schedule_and_names_a_user() {
        let line = lines(unit(Unit::Cron)).next().unwrap();
        let fields: Vec<_> = line.split_whitespace().collect();
        crate::schedule::Schedule::parse(&fields[..5].join(" "), jiff::tz::TimeZone::UTC).unwrap();
        assert_eq!(fields[5], "meterpost");
    }
}
