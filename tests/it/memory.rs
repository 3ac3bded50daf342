//! What is remembered of devices, over months.

use meterpost::memory::{FORGOTTEN_DAYS, UNASKED_DAYS};
use meterpost::site::{Gathered, Site};
use meterpost_wire::reading::Outcome;

use crate::site::{at, end, enrolled, inside, printer, seal_one, terms};

const DAY: i64 = 86_400;

/// A sweep so many days later that meets nobody: it reports these known printers as unreachable.
fn sweep(site: &Site, day: i64, silent: &[u32], whole: bool) -> Option<u64> {
    let now = at(day * DAY);
    let mut sealer = site.sealer(terms(now)).unwrap();
    for n in silent {
        let mut reading = printer(*n, now);
        (reading.outcome, reading.identity, reading.network, reading.counters) =
            (Outcome::Unreachable, None, None, None);
        sealer.push(Gathered { reading, reached: None }, now).unwrap();
    }
    let sealed = if whole { sealer.finish(&end(now, 0), now) } else { sealer.break_off(now) };
    sealed.unwrap().sequences.last().copied()
}

fn known(site: &Site, day: i64) -> usize {
    site.not_seen_since(at(day * DAY)).unwrap().len()
}

#[test]
fn a_device_unseen_for_90_days_is_reported_a_last_time_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let site = enrolled(home.path());
    seal_one(&site, 1, at(0));
    seal_one(&site, 2, at(0));
    sweep(&site, FORGOTTEN_DAYS - 1, &[1, 2], true);
    assert_eq!(known(&site, FORGOTTEN_DAYS), 2);

    // a sweep that was cut off has not told everything, and a device that nobody asked is in no report
    sweep(&site, FORGOTTEN_DAYS, &[1], false);
    assert_eq!(known(&site, FORGOTTEN_DAYS), 2);
    let last = sweep(&site, FORGOTTEN_DAYS + 1, &[1], true).unwrap();
    assert_eq!(inside(&site, last).batch.devices[0].outcome, Outcome::Unreachable);
    let left = site.not_seen_since(at((FORGOTTEN_DAYS + 1) * DAY)).unwrap();
    assert_eq!(left.iter().map(|known| known.key.as_str()).collect::<Vec<_>>(), ["sn:acme:SERIAL00002"]);

    sweep(&site, UNASKED_DAYS - 1, &[], true);
    assert_eq!(known(&site, UNASKED_DAYS), 1);
    sweep(&site, UNASKED_DAYS, &[], true);
    assert_eq!(known(&site, UNASKED_DAYS), 0);
}
