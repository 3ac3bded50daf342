//! `kill -9` at every step, on both sides.

use std::fs;

use super::bed::{Bed, Row, Sniper, struck, victim};
use super::mails::over_relay;
use crate::central::program;
use crate::deliver::mail;

/// The calls that change something outside of a program, or by which it hears of it.
const OF_THE_DISK: [&str; 6] = ["pwrite64", "fsync", "fdatasync", "ftruncate", "unlink", "rename"];
const OF_THE_NETWORK: [&str; 3] = ["sendto", "recvfrom", "connect"];

/// A step that a program repeats oftener than this is struck this often and no more.
const STRIKES_MAX: usize = 24;

/// Strikes at each of these calls, the first of a run, the second and so on, until a run comes through; how often that was.
fn strikes(calls: impl IntoIterator<Item = &'static str>, mut strike: impl FnMut(&str, usize) -> bool) -> usize {
    calls.into_iter().map(|call| (1..=STRIKES_MAX).take_while(|nth| strike(call, *nth)).count()).sum()
}

/// Sealing: the printers are asked, the batch is made with its number and what is remembered of the devices, and queued.
pub fn of_the_collector_that_seals() -> Vec<Row> {
    let (_fleet, bed) = Bed::with_printers();
    let run = victim(bed.home.path(), &["run", "--once", "--read-only"]);
    let kills = strikes(OF_THE_DISK, |call, nth| {
        let killed = struck(&run, call, nth);
        bed.note();
        killed
    });
    bed.settle();
    vec![bed.row("kill -9 of the collector that reads and seals", kills)]
}

/// How many batches wait when the sending program, or the receiving one, is struck.
const WAITING: [u32; 3] = [1, 2, 4];

/// Sending, and writing down what the receipt says.
pub fn of_the_collector_that_sends() -> Vec<Row> {
    let bed = Bed::new();
    let send = victim(bed.home.path(), &["outbox", "send"]);
    let mut kills = 0;
    for waiting in WAITING {
        kills += strikes(OF_THE_DISK.into_iter().chain(OF_THE_NETWORK), |call, nth| {
            bed.seal(waiting);
            let killed = struck(&send, call, nth);
            bed.note();
            killed
        });
    }
    bed.settle();
    vec![bed.row("kill -9 of the collector that sends", kills)]
}

/// Receiving, storing, and answering with a receipt.
pub fn of_the_central() -> Vec<Row> {
    let mut bed = Bed::new();
    let mut kills = 0;
    for waiting in WAITING {
        kills += strikes(OF_THE_DISK.into_iter().chain(OF_THE_NETWORK).chain(["writev"]), |call, nth| {
            bed.seal(waiting);
            let sniper = Sniper::aims(bed.central.as_ref().unwrap().id(), call, nth);
            bed.said(&["outbox", "send"]);
            drop(sniper);
            bed.note();
            let killed = !bed.central.as_mut().unwrap().serves();
            if killed {
                bed.serve();
            }
            killed
        });
    }
    bed.settle();
    vec![bed.row("kill -9 of the central that receives", kills)]
}

/// Sending by mail, where nobody answers, and taking the mails in: a message that went twice counts once.
pub fn of_mail() -> Vec<Row> {
    let relay = mail::relay(|step, _| mail::usual(step));
    let bed = Bed::with(&format!("[delivery]\nchannels = [\"mail\"]\n{}", over_relay(relay.address.port())), "");
    let send = victim(bed.home.path(), &["outbox", "send"]);
    let mailed = strikes(OF_THE_DISK.into_iter().chain(OF_THE_NETWORK), |call, nth| {
        bed.seal(1);
        let killed = struck(&send, call, nth);
        bed.note();
        killed
    });
    bed.settle();
    // a mail server keeps no message that was cut off
    let mut messages =
        relay.heard.try_iter().filter(|said| said.contains("\r\n\r\n") && said.trim_end().ends_with("--"));
    let mailbox = bed.office.path().join("mailbox");
    fs::create_dir(&mailbox).unwrap();
    let mut arrived = 0;
    let mut arrives = |most: usize| {
        for message in messages.by_ref().take(most) {
            arrived += 1;
            fs::write(mailbox.join(format!("{arrived}.eml")), message).unwrap();
        }
    };
    let place = mailbox.display().to_string();
    let mut import = program(bed.office.path());
    import.args(["import", &place]);
    let taken_in = strikes(OF_THE_DISK, |call, nth| {
        arrives(2);
        struck(&import, call, nth)
    });
    arrives(usize::MAX);
    bed.central(&["import", &place]);
    let rows = [
        bed.row("kill -9 of the collector that mails", mailed),
        bed.row("kill -9 of the central that imports mails", taken_in),
    ];
    assert!(rows.iter().all(|row| row.queued == row.arrived && row.runs > 4));
    rows.into()
}
