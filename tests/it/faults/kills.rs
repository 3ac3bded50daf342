//! `kill -9` at every step, on both sides.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::bed::{Bed, Row, Sniper, struck, victim};
use crate::simulator::manner::Manner;
use crate::simulator::recording::View;
use crate::simulator::{self, Fleet, Printer, made};

/// The calls that change something outside of a program, or by which it hears of it.
const OF_THE_DISK: [&str; 5] = ["pwrite64", "fdatasync", "ftruncate", "unlink", "rename"];
const OF_THE_NETWORK: [&str; 3] = ["sendto", "recvfrom", "connect"];

/// A step that a program repeats oftener than this is struck this often and no more.
const STRIKES_MAX: usize = 24;

/// Sealing: the printers are asked, the batch is made with its number and what is remembered of the devices, and queued.
pub fn of_the_collector_that_seals() -> Vec<Row> {
    let printers = [3, 4].map(|last| Printer {
        address: Ipv4Addr::new(127, 96, 1, last),
        views: vec![(String::new(), View::of(&Arc::new(made::a4_printer())))],
        manner: Manner::default(),
    });
    let fleet = simulator::start(Fleet { port: 0, printers: printers.into(), seed: 1 }).unwrap();
    let bed = Bed::with(
        &format!(
            "[[credentials]]\nname = \"office\"\ncommunity = \"public\"\n\n[[sweep]]\n\
             targets = [\"127.96.1.3\", \"127.96.1.4\"]\ncredentials = [\"office\"]\nport = {}\nretries = 0\n",
            fleet.port()
        ),
        "",
    );
    let run = victim(bed.home.path(), &["run", "--once", "--read-only"]);
    let mut kills = 0;
    for call in OF_THE_DISK {
        for nth in 1..=STRIKES_MAX {
            let killed = struck(&run, call, nth);
            bed.note();
            if !killed {
                break;
            }
            kills += 1;
        }
    }
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
        for call in OF_THE_DISK.iter().chain(&OF_THE_NETWORK) {
            for nth in 1..=STRIKES_MAX {
                bed.seal(waiting);
                let killed = struck(&send, call, nth);
                bed.note();
                if !killed {
                    break;
                }
                kills += 1;
            }
        }
    }
    bed.settle();
    vec![bed.row("kill -9 of the collector that sends", kills)]
}

/// Receiving, storing, and answering with a receipt.
pub fn of_the_central() -> Vec<Row> {
    let mut bed = Bed::new();
    let mut kills = 0;
    for waiting in WAITING {
        for call in OF_THE_DISK.iter().chain(&OF_THE_NETWORK).chain(&["writev"]) {
            for nth in 1..=STRIKES_MAX {
                bed.seal(waiting);
                let sniper = Sniper::aims(bed.central.as_ref().unwrap().id(), call, nth);
                bed.said(&["outbox", "send"]);
                drop(sniper);
                bed.note();
                if bed.central.as_mut().unwrap().serves() {
                    // it never came to that call
                    break;
                }
                kills += 1;
                bed.serve();
            }
        }
    }
    bed.settle();
    vec![bed.row("kill -9 of the central that receives", kills)]
}
