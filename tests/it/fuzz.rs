//! Mutated inputs, the same in every run: whatever stands in a file or comes in a datagram, it is told or passed over, and
//! nothing panics. What has the central's bytes in it is in the contract's own `fuzz` (`central/wire/tests/it`).

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use meterpost::config::Config;
use meterpost::pmd::Library;
use meterpost::snmp::recording::Recording;
use meterpost::targets::{Addresses, World};

use crate::cli::said;
use crate::simulator::manner::Manner;
use crate::simulator::recording::View;
use crate::simulator::{self, Fleet, Printer, made};
use crate::site::Dice;

/// Pieces that break readers of files more often than chance does.
const PIECES: [&str; 20] = [
    "\"",
    "'''",
    "[",
    "]]",
    "{",
    "}",
    "=",
    "\n",
    "\r",
    "\0",
    "|",
    ".",
    "..",
    "-",
    "/33",
    "99999999999999999999",
    "\u{FEFF}",
    "#",
    "é",
    "1e999",
];

/// One to eight changes.
fn mutated(seed: &[u8], dice: &Dice) -> Vec<u8> {
    let mut input = seed.to_vec();
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len() as u64 + 1) as usize;
        let end = (at + dice.below(40) as usize).min(input.len());
        match dice.below(6) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, PIECES[dice.below(20) as usize].bytes())),
            3 => drop(input.splice(at..at, input[at..end].to_vec())),
            4 if dice.below(4) == 0 => input.truncate(at),
            _ if at < input.len() => input[at] = dice.below(256) as u8,
            _ => {}
        }
    }
    input
}

#[track_caller]
fn fuzz(seed: &[u8], rounds: u32, mut check: impl FnMut(&str)) {
    let dice = Dice::new(11);
    for _ in 0..rounds {
        check(&String::from_utf8_lossy(&mutated(seed, &dice)));
    }
}

fn fuzz_recording(text: &str) {
    match Recording::parse(text) {
        Ok(recording) => assert!(recording.objects("").count() <= text.lines().count()),
        Err(lines) => assert!(lines.iter().all(|line| !line.to_string().is_empty())),
    }
}

/// A faulty file is left out with its faults named, and costs no other.
fn fuzz_mapping(words: &str, good: &str, text: &str) {
    let files = [("acme/x".to_owned(), text.to_owned()), ("acme/good".to_owned(), good.to_owned())];
    let library = Library::of(words, BTreeMap::from(files));
    assert!(library.get("acme/good").is_some());
    assert!(library.get("acme/x").is_some() || !library.faults.is_empty(), "{text}");
}

fn fuzz_config(text: &str) {
    if let Err(faults) = Config::parse(text, Path::new("."), &|_| None) {
        assert!(!faults.is_empty(), "{text}");
    }
}

fn fuzz_targets(text: &str) {
    let mut no_name = |_: &str| Err("there is none".to_owned());
    let mut no_file = |_: &str| Err("there is none".to_owned());
    let mut world = World { resolve: &mut no_name, read_file: &mut no_file };
    if let Ok(addresses) = Addresses::parse(&[text], &mut world) {
        assert_eq!(addresses.iter().take(3).count() as u64, addresses.len().min(3), "{text}");
    }
}

#[test]
fn mutated_recordings_are_read_or_refused_by_line() {
    let seed =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/walks/brother-mfc-l8905cdw.snmprec")).unwrap();
    fuzz(&seed[..seed.len().min(4_000)], 2_000, fuzz_recording);
}

#[test]
fn mutated_mappings_load_or_are_left_out_with_their_faults() {
    let pmd = Path::new(env!("CARGO_MANIFEST_DIR")).join("pmd");
    let words = fs::read_to_string(pmd.join("words.toml")).unwrap();
    let good = "format = 1\nextends = \"generic/printer-mib\"\n";
    let seed = fs::read(pmd.join("kyocera/ecosys.toml")).unwrap();
    fuzz(&seed, 150, |text| fuzz_mapping(&words, good, text));
}

#[test]
fn mutated_configurations_load_or_are_refused_with_their_faults() {
    let seed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/meterpost.toml")).unwrap();
    // with the examples in force
    let seed: String = seed
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .fold(String::new(), |text, line| text + line + "\n");
    fuzz(seed.as_bytes(), 2_000, fuzz_config);
}

#[test]
fn mutated_targets_are_addresses_or_refused() {
    for seed in ["192.168.1.0/24", "10.0.0.1-10.0.0.99", "10.0.0.1-99", "2001:db8::1", "printer-7.example", "@list"] {
        fuzz(seed.as_bytes(), 2_000, fuzz_targets);
    }
}

/// Between the program and a printer somebody changes every third answer. What the numbers are then is nobody's to say;
/// the program ends well, in its time, with one device or none.
#[test]
fn mutated_answers_of_a_printer_end_no_scan() {
    let address = Ipv4Addr::new(127, 93, 40, 7);
    let printer = Printer {
        address,
        views: vec![(String::new(), View::of(&made::a4_printer().into()))],
        manner: Manner::default(),
    };
    let fleet = simulator::start(Fleet { port: 0, printers: vec![printer], seed: 1 }).unwrap();
    let between = UdpSocket::bind("127.93.41.7:0").unwrap();
    let (port, behind) = (between.local_addr().unwrap().port(), SocketAddr::from((address, fleet.port())));
    std::thread::spawn(move || {
        let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
        upstream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let (dice, mut bytes) = (Dice::new(5), [0; 65_535]);
        while let Ok((length, asker)) = between.recv_from(&mut bytes) {
            upstream.send_to(&bytes[..length], behind).unwrap();
            let Ok(length) = upstream.recv(&mut bytes) else { continue };
            let answer = if dice.below(3) == 0 { mutated(&bytes[..length], &dice) } else { bytes[..length].to_vec() };
            let _ = between.send_to(&answer, asker);
        }
    });
    let home = tempfile::tempdir().unwrap();
    let port = port.to_string();
    for _ in 0..6 {
        let scan = said(home.path(), &["scan", "127.93.41.7", "--port", &port, "--format", "json"]);
        assert_eq!(scan.code, 0, "{}", scan.err);
        let told: serde_json::Value = serde_json::from_str(&scan.out).unwrap();
        assert!(told["devices"].as_array().unwrap().len() <= 1);
        assert!(!scan.err.contains("panicked"), "{}", scan.err);
    }
}
