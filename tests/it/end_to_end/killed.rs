//! kill -9 at any moment of a run: while it asks, while it seals, while it sends, while it notes what was acknowledged.

use std::process::{Child, Stdio};
use std::time::Instant;

use meterpost::outbox::State;
use meterpost::site::Site;

use super::*;
use crate::cli::meterpost;
use crate::site::{Dice, paths};

/// Lets a run go on until `reached`, and a seeded little longer, then ends it as a power cut would.
fn kill_after(line: &Line, dice: &Dice, reached: impl Fn(&Line) -> bool) {
    let run = meterpost(line.home.path()).args(["run", "--once"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut run: Child = run.unwrap();
    while !reached(line) && run.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    // not a wait for anything: it only moves the blow to another instruction
    let (struck, later) = (Instant::now(), u128::from(dice.below(25_000)));
    while struck.elapsed().as_micros() < later && run.try_wait().unwrap().is_none() {
        std::hint::spin_loop();
    }
    run.kill().unwrap();
    run.wait().unwrap();
}

#[test]
fn a_run_that_is_killed_at_any_moment_delivers_each_queued_batch_once() {
    let line = Line::new(6);
    // all of them answer, so that a run has no pauses
    let addresses: Vec<String> = line.truths.iter().map(|(address, _)| format!("\"{address}\"")).collect();
    let path = line.home.path().join("etc/meterpost.toml");
    let config = fs::read_to_string(&path).unwrap().replace("\"127.94.6.0/28\"", &addresses.join(", "));
    fs::write(&path, config).unwrap();
    for _ in 0..2 {
        assert_eq!(line.said(&["run", "--once"]).code, 0);
    }
    line.fleet.reset();
    assert_eq!(line.said(&["run", "--once"]).code, 0);
    let requests = line.fleet.tally().total().requests;
    let dice = Dice::new(2026);
    for round in 0..40 {
        line.fleet.reset();
        let way = if round % 8 == 7 { Way::AnswersLost } else { Way::To };
        line.relay.lead(way(line.central.address()));
        let heard = line.relay.heard().len();
        match round % 3 {
            0 => {
                let some = 1 + dice.below(requests);
                kill_after(&line, &dice, |line| line.fleet.tally().total().requests >= some);
            }
            1 => kill_after(&line, &dice, |line| line.fleet.tally().total().requests >= requests),
            _ => kill_after(&line, &dice, |line| line.relay.heard().len() > heard),
        }
        // what was acknowledged at the site is at the central
        let stored = stored(&line);
        for (sha256, state) in queued(&line) {
            assert!(state != State::Delivered || stored.contains(&sha256), "round {round}: {sha256}");
        }
    }
    line.relay.lead(Way::To(line.central.address()));
    let last = line.said(&["run", "--once"]);
    assert_eq!((last.err.as_str(), last.code), ("", 0), "{}", last.out);

    let items = queued(&line);
    assert!(items.iter().all(|(_, state)| *state == State::Delivered), "{items:?}");
    let mut sent: Vec<String> = items.into_iter().map(|(sha256, _)| sha256).collect();
    sent.sort_unstable();
    assert_eq!(stored(&line), sent, "each once, and none that was never queued");
    let site = line.central.site();
    let batches = sent.len() as u64;
    assert_eq!((site.highest, site.acknowledged_through), (batches, batches));
    assert!(site.missing.is_empty() && site.forks.is_empty(), "{:?} {:?}", site.missing, site.forks);
    assert_eq!((site.quarantined, site.set_aside, site.devices), (0, 0, PRINTERS.len() as u64));
    assert!((10..44).contains(&batches), "{batches}: some runs came through and some did not");
    assert_eq!(line.said(&["outbox", "check"]).code, 0);
}

/// Hash and state of everything in the outbox.
fn queued(line: &Line) -> Vec<(String, State)> {
    let site = Site::open(&paths(line.home.path())).unwrap();
    site.items().unwrap().into_iter().map(|item| (item.sha256, item.state)).collect()
}

/// The hashes that the central has, sorted; one that it had twice would be here twice.
fn stored(line: &Line) -> Vec<String> {
    let database = rusqlite::Connection::open(line.central.folder.join("data/central.db")).unwrap();
    let mut statement = database.prepare("SELECT lower(hex(sha256)) FROM batch ORDER BY 1").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}
