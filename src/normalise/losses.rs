//! What of a sum was not answered makes all of it unanswered.

use std::collections::BTreeMap;

use crate::plan::Answers;
use crate::pmd::Library;
use crate::snmp::recording::Recording;

const WORDS: &str = include_str!("../../pmd/words.toml");
const EMPTY: &str = "format = 1\n";

/// A device of which these objects got no answer.
#[track_caller]
fn check_lossy(pmd: &str, walk: &str, lost: &[&str], expected: Option<u64>) {
    let head = "format = 1\nextends = \"generic/printer-mib\"\n";
    let files = BTreeMap::from([
        ("generic/printer-mib".to_owned(), EMPTY.to_owned()),
        ("test/it".to_owned(), format!("{head}[counters]\n{pmd}")),
    ]);
    let library = Library::of(WORDS, files);
    let mut answers = Answers::default();
    for (oid, value) in Recording::parse(walk).expect("a walk").objects("") {
        answers.insert("", oid.clone(), Ok(value.clone()));
    }
    for oid in lost {
        let oid: crate::snmp::Oid = oid.parse().expect("an OID");
        answers.overwrite({
            let mut silent = Answers::default();
            silent.insert("", oid, Err(crate::snmp::Absent::NoAnswer));
            silent
        });
    }
    let now = jiff::Timestamp::UNIX_EPOCH;
    let subject = super::Subject { address: "127.0.0.9", read_at: now, pack: 0, cut_short: false };
    let identity = crate::identify::identity(&answers, 1);
    let pmd = library.get("test/it").expect("it loads");
    let (reading, trace) = super::explain(pmd, &identity, &answers, &library.words, &subject);
    let value = reading.counters.iter().flat_map(BTreeMap::values).map(|count| count.value).next();
    assert_eq!(value, expected, "without {lost:?}: {trace:#?}");
    let silent = reading.gaps.iter().any(|gap| gap.reason == meterpost_wire::reading::GapReason::NoAnswer);
    assert_eq!(silent, expected.is_none(), "without {lost:?}: {:?}", reading.gaps);
}

#[test]
fn a_sum_that_lost_a_row_a_filter_or_a_term_is_not_answered() {
    let walk = "1.3.6.1.4.1.9999.1.1|2|30\n1.3.6.1.4.1.9999.1.2|2|70\n1.3.6.1.4.1.9999.2.1|2|1\n\
                1.3.6.1.4.1.9999.2.2|2|1\n1.3.6.1.4.1.9999.2.3|2|9\n1.3.6.1.4.1.9999.1.3|2|500";
    for take in ["sum", "count", "max"] {
        let rows = format!(
            "system.impressions = {{ column = \"1.3.6.1.4.1.9999.1\", take = \"{take}\", \
             where = {{ column = \"1.3.6.1.4.1.9999.2\", is = 1 }} }}"
        );
        let whole = match take {
            "sum" => 100,
            "count" => 2,
            _ => 70,
        };
        check_lossy(&rows, walk, &[], Some(whole));
        check_lossy(&rows, walk, &["1.3.6.1.4.1.9999.1.2"], None);
        check_lossy(&rows, walk, &["1.3.6.1.4.1.9999.2.2"], None);
        check_lossy(&rows, walk, &["1.3.6.1.4.1.9999.1.3"], Some(whole));
    }
    let terms = "system.impressions = { sum = [{ get = \"1.3.6.1.4.1.9999.1.1\" }, \
                 { get = \"1.3.6.1.4.1.9999.1.2\", optional = true }, { get = \"1.3.6.1.4.1.9999.7\", optional = true }] }";
    check_lossy(terms, walk, &[], Some(100));
    check_lossy(terms, walk, &["1.3.6.1.4.1.9999.1.2"], None);
}
