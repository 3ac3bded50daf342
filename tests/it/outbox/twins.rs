//! Two devices with one serial, which are stored by their MACs.

use meterpost::site::Gathered;
use meterpost_wire::Reading;
use meterpost_wire::reading::{Outcome, Scope};

use crate::site::*;

#[test]
fn twins_that_were_read_are_not_reported_as_silent_when_many_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let site = enrolled(dir.path());
    let twin = |n: u32, second: i64| {
        let mut reading = printer(1, at(second));
        let network = reading.network.as_mut().unwrap();
        network.addresses = vec![address(n)];
        network.physical_addresses = vec![format!("02:00:00:00:00:0{n}")];
        gathered(reading)
    };
    let silent = |key: &str| Gathered {
        reading: Reading::empty(key.to_owned(), Scope::Full, at(3), Outcome::Unreachable),
        reached: None,
    };
    // whether their serial is known as shared from an earlier run or not
    for run in 0..2 {
        let mut sealer = site.sealer(terms(at(run))).unwrap();
        for n in [1, 2] {
            sealer.push(twin(n, run), at(run)).unwrap();
        }
        for n in 1_000..3_100 {
            sealer.push(silent(&format!("sn:acme:SERIAL{n:05}")), at(run)).unwrap();
        }
        // by then their batch is sealed, and whoever looked before found them not seen
        for key in ["mac:02:00:00:00:00:01", "mac:02:00:00:00:00:02"] {
            sealer.push(silent(key), at(run)).unwrap();
        }
        let sealed = sealer.finish(&end(at(run), 2), at(run)).unwrap().sequences;
        assert!(sealed.len() > 1, "the twins' batch was full before the end");
        let devices = sealed.iter().flat_map(|sequence| inside(&site, *sequence).batch.devices);
        let twins: Vec<_> = devices
            .filter(|device| device.key.starts_with("mac:"))
            .map(|device| (device.key, device.outcome))
            .collect();
        let read = |n| (format!("mac:02:00:00:00:00:0{n}"), Outcome::Complete);
        assert_eq!(twins, [read(1), read(2)]);
    }
}
