//! What a pass asks, section by section of the configuration, and when the next batch is promised.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::world;
use crate::cli::Failure;
use crate::config::{Config, Sweep as Section, Window};
use crate::snmp::probe;
use crate::sweep::{Options, Rate};
use crate::targets::{Addresses, Group, Targets};

/// How much later than the next reading a batch may come before its absence is worth an alarm: a sweep and a delivery of
/// ordinary length.
const PROMISE_SLACK: Duration = Duration::from_secs(60 * 60);

/// Firings of `[schedule].read` among which one with an open section is looked for: two days of every minute.
const FIRINGS_LOOKED_AT: usize = 2 * 24 * 60;

/// One sweep: whom it asks, how, and when.
pub struct Plan {
    /// Whom.
    pub targets: Targets,
    /// How.
    pub options: Options,
    /// When; absent = at any time.
    pub window: Option<Window>,
    /// Sections of the configuration that it is made of.
    pub sections: usize,
}

/// The `[[sweep]]` sections of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    /// Asked.
    pub asked: usize,
    /// Not asked, because it was not their time.
    pub outside: usize,
    /// Names among their targets and exclusions that have no address.
    pub unresolved: usize,
}

impl Sections {
    /// Whether there was something to ask, and none of it now.
    pub fn none_open(self) -> bool {
        self.asked == 0 && self.outside > 0
    }
}

/// All that a pass is to do.
pub struct Plans {
    /// One after the other.
    pub plans: Vec<Plan>,
    /// Names that have no address.
    pub unresolved: usize,
}

/// The sections, those that are asked in the same way and at the same hours together. Of those with the same hours no
/// two ask one address: the first keeps it, with the credentials of both.
pub fn plans(config: &Config, dir: &Path) -> Result<Plans, Failure> {
    let attached = probe::attached();
    let (mut plans, mut unresolved) = (Vec::<Plan>::new(), 0);
    for section in &config.sweeps {
        let window = section.window;
        let rate: Rate = section.rate.map(Into::into).unwrap_or_default();
        let options = Options { rate, retries: section.retries, timeout: None, attached: attached.clone() };
        let Some((mut group, exclude)) = group(section, dir, &mut unresolved)? else { continue };
        for plan in plans.iter_mut().filter(|plan| plan.window == window && plan.options != options) {
            plan.targets.claim(&mut group, &exclude).map_err(Failure::usage)?;
        }
        match plans.iter_mut().find(|plan| plan.options == options && plan.window == window) {
            Some(plan) => {
                plan.targets.add(group, &exclude).map_err(Failure::usage)?;
                plan.sections += 1;
            }
            None => {
                let mut targets = Targets::default();
                targets.add(group, &exclude).map_err(Failure::usage)?;
                plans.push(Plan { targets, options, window, sections: 1 });
            }
        }
    }
    for one in 0..plans.len() {
        for other in (0..plans.len()).filter(|&other| other != one) {
            if let Ok([one, other]) = plans.get_disjoint_mut([one, other])
                && one.window == other.window
            {
                one.targets.leave_to(&other.targets);
            }
        }
    }
    Ok(Plans { plans, unresolved })
}

/// Whom a section asks, and whom not. Names that do not resolve are told and cost nobody else; `None` when one of them is
/// excluded, because then it is not known who must not be asked.
fn group(section: &Section, dir: &Path, unresolved: &mut usize) -> Result<Option<(Group, Addresses)>, Failure> {
    let targets = world::look_up(&section.targets, dir).map_err(Failure::usage)?;
    let exclude = world::look_up(&section.exclude, dir).map_err(Failure::usage)?;
    *unresolved += targets.unresolved.len() + exclude.unresolved.len();
    for error in &targets.unresolved {
        tracing::warn!("{error}; not asked now");
    }
    if let Some(error) = exclude.unresolved.first() {
        tracing::warn!("`exclude`: {error}; the targets of its `[[sweep]]` are not asked now");
        return Ok(None);
    }
    let group = Group { addresses: targets.addresses, port: section.port, credentials: section.credentials.clone() };
    Ok(Some((group, exclude.addresses)))
}

/// The instant by which the next batch is promised: the next reading that finds a section open, then the next sending,
/// and an hour. None when that never happens: a promise that cannot be kept would be a false alarm.
pub fn promise(config: &Config, site: &str, now: Timestamp) -> Option<Timestamp> {
    let schedule = config.read.clone()?.spread(site);
    let is_open = |at: &Timestamp| {
        let zoned = at.to_zoned(config.timezone.clone());
        config.sweeps.iter().any(|section| section.window.is_none_or(|window| window.closes(&zoned).is_some()))
    };
    let firings = std::iter::successors(schedule.next_after(now), |last| schedule.next_after(*last));
    let read = firings.take(FIRINGS_LOOKED_AT).find(is_open)?;
    let sent = match config.send.clone() {
        Some(send) => send.spread(site).next_after(read)?,
        None => read,
    };
    sent.checked_add(PROMISE_SLACK).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is promised at 08:00 by a configuration with these sections.
    #[track_caller]
    fn check(read: &str, windows: &[&str], promised: Option<&str>) {
        let sections: String = windows
            .iter()
            .map(|window| {
                let window = if window.is_empty() { String::new() } else { format!("window = \"{window}\"\n") };
                format!("[[sweep]]\ntargets = [\"127.0.0.9\"]\ncredentials = [\"c\"]\n{window}")
            })
            .collect();
        let text =
            format!("{sections}[[credentials]]\nname = \"c\"\ncommunity = \"c\"\n[schedule]\nread = \"{read}\"\n");
        let config = Config::parse(&text, Path::new(""), &|_| None).unwrap();
        // the sum of its bytes gives this site no spread
        let found = promise(&config, "", "2026-11-21T08:00:00Z".parse().unwrap());
        assert_eq!(found.map(|at| at.to_string()).as_deref(), promised, "{read} {windows:?}");
    }

    #[test]
    fn the_next_batch_is_promised_for_the_next_reading_that_finds_a_section_open() {
        check("0 9,13,17 * * *", &[""], Some("2026-11-21T10:00:00Z"));
        check("0 9,13,17 * * *", &["12:00-18:00"], Some("2026-11-21T14:00:00Z"));
        check("0 9,13,17 * * *", &["20:00-06:00", "16:00-18:00"], Some("2026-11-21T18:00:00Z"));
        check("0 9,13,17 * * *", &["20:00-06:00", ""], Some("2026-11-21T10:00:00Z"));
        check("0 9,13,17 * * *", &["20:00-06:00"], None);
        check("", &[""], None);
    }

    #[test]
    fn sections_with_other_hours_are_other_sweeps() {
        let text = "[[credentials]]\nname = \"c\"\ncommunity = \"c\"\n\
                    [[sweep]]\ntargets = [\"127.0.0.1\"]\ncredentials = [\"c\"]\n\
                    [[sweep]]\ntargets = [\"127.0.0.2\"]\ncredentials = [\"c\"]\nwindow = \"06:00-20:00\"\n\
                    [[sweep]]\ntargets = [\"127.0.0.3\"]\ncredentials = [\"c\"]\n";
        let config = Config::parse(text, Path::new(""), &|_| None).unwrap();
        let plans = plans(&config, Path::new("")).unwrap().plans;
        let found: Vec<_> =
            plans.iter().map(|plan| (plan.sections, plan.window.is_some(), plan.targets.len())).collect();
        assert_eq!(found, [(2, false, 2), (1, true, 1)]);
    }

    #[test]
    fn sections_with_other_rates_share_no_address_and_count_none_twice() {
        let text = "[[credentials]]\nname = \"c\"\ncommunity = \"c\"\n\
                    [[credentials]]\nname = \"d\"\ncommunity = \"d\"\n\
                    [[sweep]]\ntargets = [\"127.0.0.1-9\"]\nexclude = [\"127.0.0.2-3\"]\ncredentials = [\"c\"]\n\
                    [[sweep]]\ntargets = [\"127.0.0.3-12\"]\nexclude = [\"127.0.0.8\"]\ncredentials = [\"d\"]\nrate = 50\n";
        let config = Config::parse(text, Path::new(""), &|_| None).unwrap();
        let plans = plans(&config, Path::new("")).unwrap().plans;
        let shown = |plan: &Plan| {
            let group = |group: &Group| format!("{} {}", group.addresses, group.credentials.join("+"));
            let groups: Vec<String> = plan.targets.groups().iter().map(group).collect();
            format!("{}; not {}", groups.join("; "), plan.targets.excluded())
        };
        let found: Vec<String> = plans.iter().map(shown).collect();
        assert_eq!(
            found,
            [
                "127.0.0.1, 127.0.0.8 c; 127.0.0.4-127.0.0.7, 127.0.0.9 c+d; not 127.0.0.2",
                "127.0.0.3, 127.0.0.10-127.0.0.12 d; not "
            ]
        );
    }
}
