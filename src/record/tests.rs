use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::*;
use crate::snmp::recording::Recording;
use crate::snmp::{Traffic, VarBind};

/// A device that is broken where a test wants it, and remembers what it was asked.
struct Broken {
    walk: Recording,
    /// Behind these it says that it ends.
    ends: BTreeSet<Oid>,
    /// Behind these it does not answer.
    silent: BTreeSet<Oid>,
    /// After so many requests it is gone.
    gone_after: usize,
    asked: Vec<Oid>,
}

impl Agent for Broken {
    fn limit(&mut self, limits: Limits) {
        assert_eq!((limits.varbinds_max, limits.bulk), (1, false), "politely");
    }

    async fn get(&mut self, _: &str, _: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        Err(Unanswered::Silent)
    }

    async fn get_next(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        let [oid] = oids else { panic!("one object at a time") };
        if self.asked.len() >= self.gone_after {
            return Err(Unanswered::Silent);
        }
        self.asked.push(oid.clone());
        let absent = match () {
            () if self.ends.contains(oid) => Absent::EndOfMibView,
            () if self.silent.contains(oid) => Absent::NoAnswer,
            () => return self.walk.get_next(context, oids).await,
        };
        Ok(vec![VarBind { oid: oid.clone(), answer: Err(absent) }])
    }

    async fn get_bulk(&mut self, _: &str, _: &[Oid], _: usize, _: u16) -> Result<Vec<VarBind>, Unanswered> {
        Err(Unanswered::Silent)
    }

    fn gone(&self) -> Option<Unanswered> {
        None
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

fn broken(walk: &str) -> Broken {
    let walk = Recording::parse(walk).unwrap();
    Broken { walk, ends: BTreeSet::new(), silent: BTreeSet::new(), gone_after: usize::MAX, asked: Vec::new() }
}

fn recorded(device: &mut Broken) -> Recorded {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(record(device, |_, _| ControlFlow::Continue(())))
}

fn oids(recorded: &Recorded) -> Vec<String> {
    recorded.objects.iter().map(|(oid, _)| oid.to_string()).collect()
}

#[test]
fn what_may_not_be_asked_is_neither_asked_nor_kept() {
    let mut device = broken(
        "1.3.6.1.2.1.1.1.0|4|x\n1.3.6.1.2.1.4.20.1.1.10.0.0.1|64|10.0.0.1\n1.3.6.1.4.1.1347.43.1.0|2|1\n\
         1.3.6.1.4.1.1347.47.1.0|4|Ann\n1.3.6.1.4.1.1347.47.2.0|4|Bob\n1.3.6.1.4.1.1347.48.0|2|2\n1.3.6.1.6.3.1.0|4|secret",
    );
    let recorded = recorded(&mut device);
    assert_eq!(oids(&recorded), ["1.3.6.1.2.1.1.1.0", "1.3.6.1.4.1.1347.43.1.0", "1.3.6.1.4.1.1347.48.0"]);
    let left_out: Vec<String> = recorded.left_out.iter().map(|(tree, _)| tree.to_string()).collect();
    assert_eq!(left_out, ["1.3.6.1.4.1.1347.47"]);
    let forbidden: Vec<&Oid> = device.asked.iter().filter(|asked| guard::denied(asked).is_some()).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    assert!((recorded.cut_short, recorded.spots.len()) == (None, 0), "{recorded:?}");
}

#[test]
fn a_broken_spot_is_passed_behind_the_object_then_behind_its_column() {
    let walk = "1.3.6.1.4.1.9.1.1.1|2|1\n1.3.6.1.4.1.9.1.1.2|2|2\n1.3.6.1.4.1.9.1.1.3|2|3\n1.3.6.1.4.1.9.1.2.1|2|4\n\
                1.3.6.1.4.1.9.1.2.2|2|5\n1.3.6.1.4.1.9.2.0|2|6";
    let mut device = broken(walk);
    device.ends = BTreeSet::from([oid("1.3.6.1.4.1.9.1.1.1")]);
    device.silent = BTreeSet::from([oid("1.3.6.1.4.1.9.1.2.1"), oid("1.3.6.1.4.1.9.1.2.1.2147483647")]);
    let recorded = recorded(&mut device);
    let lost = "1.3.6.1.4.1.9.1.2.2";
    let expected: Vec<&str> =
        walk.lines().filter_map(|line| line.split('|').next()).filter(|oid| *oid != lost).collect();
    assert_eq!(oids(&recorded), expected);
    let spots: Vec<(String, &str)> = recorded.spots.iter().map(|spot| (spot.behind.to_string(), spot.what)).collect();
    assert_eq!(
        spots,
        [
            ("1.3.6.1.4.1.9.1.1.1".to_owned(), "it ends, or goes backwards"),
            ("1.3.6.1.4.1.9.1.2.1".to_owned(), "it does not answer"),
        ]
    );
}

#[test]
fn a_device_that_falls_silent_leaves_what_it_told() {
    let mut device = broken("1.3.6.1.2.1.1.1.0|4|x\n1.3.6.1.2.1.1.2.0|6|1.3.6\n1.3.6.1.2.1.1.3.0|67|1");
    device.gone_after = 2;
    let recorded = recorded(&mut device);
    assert_eq!(oids(&recorded), ["1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.2.0"]);
    assert_eq!(recorded.cut_short, Some(CutShort::Silent(Unanswered::Silent)));
}

#[test]
fn a_person_stops_it_at_any_object() {
    let mut device = broken("1.3.6.1.2.1.1.1.0|4|x\n1.3.6.1.2.1.1.2.0|6|1.3.6");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let recorded = runtime.block_on(record(&mut device, |_, _| ControlFlow::Break(())));
    assert_eq!((oids(&recorded).len(), recorded.cut_short), (1, Some(CutShort::Stopped)));
}
