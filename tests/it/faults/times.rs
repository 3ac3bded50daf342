//! Long absences, wrong clocks, and a site that is there twice.

use std::fs;

use jiff::Timestamp;
use meterpost::site::Site;
use meterpost_wire::soap::{Request, parse_request};

use super::bed::{Bed, Row, said_by_clock};
use crate::relay::Way;
use crate::site::{copy, paths, seal_one};

const DAY: i64 = 86_400;

fn from_now(seconds: i64) -> Timestamp {
    Timestamp::from_second(meterpost::clock::now().as_second() + seconds).unwrap()
}

/// The sequences in which batches were submitted.
fn submitted(bed: &Bed) -> Vec<u64> {
    let sequence = |request: Vec<u8>| {
        let body = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        match parse_request(&request[body..]) {
            Ok(Request::SubmitBatch(batch)) => Some(batch.sequence),
            _ => None,
        }
    };
    bed.relay.heard().into_iter().filter_map(sequence).collect()
}

/// Four batches a day for thirty days, each tried once when it was sealed; then everything goes, the newest first, then an old
/// and a new one in turn, one after the other.
pub fn outage() -> Vec<Row> {
    let bed = Bed::new();
    bed.relay.lead(Way::busy());
    let site = Site::open(&paths(bed.home.path())).unwrap();
    for nth in 0..120 {
        seal_one(&site, nth % 7, from_now(-30 * DAY + i64::from(nth) * DAY / 4));
    }
    drop(site);
    for _ in 0..4 {
        let sent = bed.said(&["outbox", "send"]);
        assert_eq!(sent.code, 1, "{sent:?}");
    }
    assert_eq!(submitted(&bed).len(), 4, "a long queue asks a central that is busy once, not a hundred times");
    bed.relay.lead(Way::To(bed.address()));
    bed.settle();
    let order: Vec<u64> = submitted(&bed).split_off(4);
    let expected: Vec<u64> = (0..60).flat_map(|nth| [120 - nth, 1 + nth]).collect();
    assert_eq!(order, expected, "the newest first, then an old and a new one in turn; each once");
    let row = bed.row("30 days without the central, then 120 batches", 1);
    assert_eq!(row.queued, row.arrived);
    vec![row]
}

/// The site's clock is right, a year behind, a year ahead, and so on; numbers rise all the same.
pub fn clock_a_year_off() -> Vec<Row> {
    let bed = Bed::new();
    let mut runs = 0;
    for nth in 0..9_u32 {
        let off = [0, -365 * DAY, 365 * DAY][nth as usize % 3];
        let mut site = Site::open(&paths(bed.home.path())).unwrap();
        assert_eq!(seal_one(&site, nth, from_now(off + i64::from(nth))), u64::from(nth) + 1);
        // and what keeps items for so many days lets none go that nobody has acknowledged
        site.expire(from_now(off)).unwrap();
        drop(site);
        bed.note();
        if nth % 2 == 1 {
            bed.settle();
        }
        runs += 1;
    }
    bed.settle();
    let row = bed.row("clock a year off, back and forth", runs);
    assert_eq!(row.queued, row.arrived);
    vec![row]
}

/// The program itself by such clocks: it reads, seals, sends and hears what the central answers.
pub fn program_a_year_off() -> Vec<Row> {
    let (_fleet, bed) = Bed::with_printers();
    // no two of one time: readings of a device that share a second count once
    let clocks = ["+0d", "-365d", "+365d", "-364d", "+1d"];
    for off in clocks {
        let Some(read) = said_by_clock(off, bed.home.path(), &["run", "--once", "--read-only"]) else {
            return Vec::new();
        };
        assert_eq!(read.code, 0, "{off}: {read:?}");
        bed.note();
        let sent = said_by_clock(off, bed.home.path(), &["outbox", "send"]).unwrap();
        assert_eq!(sent.code, 0, "{off}: {sent:?}");
        bed.note();
    }
    bed.settle();
    let row = bed.row("the program by a clock a year off", clocks.len());
    // both printers tell one serial number and one MAC: they are one device
    assert_eq!((row.queued, row.arrived), (clocks.len(), clocks.len()));
    vec![row]
}

/// A machine was copied, and both send.
pub fn two_collectors() -> Vec<Row> {
    let bed = Bed::new();
    bed.seal(2);
    bed.settle();
    let clone = tempfile::tempdir().unwrap();
    copy(bed.home.path(), clone.path());
    for _ in 0..3 {
        bed.seal(2);
        bed.seal_in(clone.path(), 2);
        bed.settle();
        bed.settle_in(clone.path());
    }
    let row = bed.row("two collectors with one key", 3);
    assert_eq!(row.queued, row.arrived);
    assert!(row.gaps.iter().any(|gap| gap.starts_with("forked")), "{:?}", row.gaps);
    vec![row]
}

/// The data directory of yesterday is put back over that of today.
pub fn restored_backup() -> Vec<Row> {
    let bed = Bed::new();
    bed.seal(3);
    bed.settle();
    let backup = tempfile::tempdir().unwrap();
    let data = bed.home.path().join("data");
    copy(&data, backup.path());
    bed.seal(4);
    bed.settle();
    fs::remove_dir_all(&data).unwrap();
    copy(backup.path(), &data);
    let site = Site::open(&paths(bed.home.path())).unwrap();
    assert_eq!(site.next_sequence().unwrap(), 4);
    drop(site);
    bed.seal(2);
    bed.settle();
    // past the collision from here on
    bed.seal(2);
    bed.settle();
    let next = Site::open(&paths(bed.home.path())).unwrap().next_sequence().unwrap();
    assert_eq!(next, 7 + 1_000 + 2);
    let row = bed.row("a backup put back", 1);
    assert_eq!(row.queued, row.arrived);
    assert!(row.gaps.iter().any(|gap| gap.starts_with("forked")), "{:?}", row.gaps);
    vec![row]
}
