//! Faults that delivering survives, each with the real programs on loopback: a site, a central, and what lies between. After each
//! one, every reading that was queued is at the central and counts once, or the number of its batch is named: void, missing, or
//! set aside at the site for a person to see. The table of it is printed at the end, on standard error.
//!
//! Kills come at a call by which a program changes something outside of itself or hears of it (`strace`), one call after the
//! other until a run comes through: every step of seal, queue, send, receive, store and acknowledge. Everything else is thrown
//! from the seeds that the table names.

mod bed;
mod disks;
mod kills;
mod mails;
mod roads;
mod times;
mod ways;

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Mutex;

use bed::Row;

/// A fault, and what tells its rows.
type Fault = (&'static str, fn() -> Vec<Row>);

const FAULTS: [Fault; 23] = [
    ("kill -9 of the collector that reads and seals", kills::of_the_collector_that_seals),
    ("kill -9 of the collector that sends", kills::of_the_collector_that_sends),
    ("kill -9 of the central that receives", kills::of_the_central),
    ("kill -9 of either side of a way by mail", kills::of_mail),
    ("relay that takes and loses, greylists, limits, stalls", mails::strange_relays),
    ("torn and flipped bytes in the outbox", disks::damaged_outboxes),
    ("flipped bytes at the central", disks::damaged_central),
    ("full disk at the site", disks::full_at_the_site),
    ("full disk at the central", disks::full_at_the_central),
    ("connection cut in the request", roads::cut_going),
    ("connection cut in the answer", roads::cut_coming),
    ("answers of a captive portal", roads::portals),
    ("redirects", roads::redirects),
    ("10 MB, gzip bomb, slow drip", roads::too_much),
    ("old receipts, receipts of another batch", roads::wrong_receipts),
    ("TLS that proves nothing", roads::wrong_certificates),
    ("30 days without the central", times::outage),
    ("clock a year off", times::clock_a_year_off),
    ("the program by a clock a year off", times::program_a_year_off),
    ("two collectors with one key", times::two_collectors),
    ("a backup put back", times::restored_backup),
    ("way over Postfix to a mailbox", ways::by_mail),
    ("way over files", ways::by_files),
];

/// The limit of 200 kills is the issue's.
const KILLS_MIN: usize = 200;

#[test]
fn whatever_happens_every_queued_reading_arrives_and_counts_once_or_its_gap_is_named() {
    if !bed::can_strike() {
        return;
    }
    let left = Mutex::new(FAULTS.into_iter().enumerate().collect::<VecDeque<_>>());
    let (rows, broken) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // the lock is let go before the fault begins
                let next = || left.lock().unwrap().pop_front();
                while let Some((nth, (name, fault))) = next() {
                    match std::panic::catch_unwind(fault) {
                        Ok(told) => rows.lock().unwrap().extend(told.into_iter().map(|row| (nth, row))),
                        Err(_) => broken.lock().unwrap().push(name),
                    }
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|(nth, _)| *nth);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    // the harness catches `eprintln!`, and this is for whoever runs the tests
    let _ = std::io::stderr().write_all(table(&rows).as_bytes());
    assert_eq!(broken.into_inner().unwrap(), [""; 0], "they say above what was wrong");
    let kills: usize = rows.iter().filter(|row| row.fault.starts_with("kill -9")).map(|row| row.runs).sum();
    assert!(kills >= KILLS_MIN, "{kills} kills");
}

fn table(rows: &[Row]) -> String {
    let mut text =
        format!("\n{:<60} {:>5} {:>7} {:>8} {:>8}  GAPS NAMED\n", "FAULT", "RUNS", "QUEUED", "ARRIVED", "DOUBLED");
    for row in rows {
        let Row { fault, runs, queued, arrived, doubled, gaps } = row;
        let gaps = if gaps.is_empty() { "none".to_owned() } else { gaps.join(", ") };
        text += &format!("{fault:<60} {runs:>5} {queued:>7} {arrived:>8} {doubled:>8}  {gaps}\n");
    }
    text + "QUEUED and ARRIVED are readings; DOUBLED are those that count more than once.\n\n"
}
