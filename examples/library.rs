//! What the mapping files cost: how long the library takes to load, what it weighs, how long it takes to pick a mapping for a
//! device, what is left of it when it is let go. `benches/run library` compares it with the limits.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use meterpost::identify::Identity;
use meterpost::pmd::Library;

/// sysObjectID behind 1.3.6.1.4.1., sysDescr, hrDeviceDescr: families that are picked by one, by two and by all of them, one
/// that no file names, and a device that does not say its sysObjectID.
const DEVICES: [(&str, &str, &str); 5] = [
    ("1347.41", "KYOCERA Document Solutions Printing System", "ECOSYS M2540dn"),
    ("11.2.3.9.1", "HP ETHERNET MULTI-ENVIRONMENT,ROM none,JETDIRECT,JD153", "HP LaserJet MFP M428fdn"),
    ("2435.2.3.9.1", "Brother NC-8900h, Firmware Ver.1.14", "Brother MFC-L5750DW series"),
    ("99999.1", "Nobody's printer", "Model X"),
    ("", "RICOH MP C3004 1.19 / RICOH Network Printer C model", "RICOH MP C3004"),
];
const ROUNDS: usize = 1_000;

/// The program's own: what it gives back to the system is what a waiting daemon gives back.
#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> io::Result<()> {
    let before = resident_bytes();
    let started = Instant::now();
    let library = Library::builtin();
    let load = started.elapsed();
    let identities = DEVICES.map(identity);
    // patterns are compiled when they are first needed: a run meets that once
    let started = Instant::now();
    identities.iter().for_each(|identity| drop(library.choose(identity)));
    let first = started.elapsed();
    let bytes = resident_bytes().saturating_sub(before);
    let slowest = identities.iter().map(|identity| median(&library, identity)).max().unwrap_or_default();
    drop(library);
    let left = resident_bytes().saturating_sub(before);
    writeln!(
        io::stdout(),
        "{{\"load_ms\": {:.3}, \"first_ms\": {:.3}, \"bytes\": {bytes}, \"match_us\": {:.3}, \"left_bytes\": {left}}}",
        load.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e6,
    )
}

fn identity((oid, description, model): (&str, &str, &str)) -> Identity {
    Identity {
        sys_object_id: format!("1.3.6.1.4.1.{oid}").parse().ok(),
        description: Some(description.to_owned()),
        device_description: Some(model.to_owned()),
        device: 1,
        ..Identity::default()
    }
}

fn median(library: &Library, identity: &Identity) -> Duration {
    let mut taken: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            std::hint::black_box(library.choose(identity));
            started.elapsed()
        })
        .collect();
    taken.sort();
    taken[ROUNDS / 2]
}

/// What the process holds of its own, without the pages of its file, where the system tells (Linux); else 0.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}
