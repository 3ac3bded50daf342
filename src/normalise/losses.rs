//! What of a sum was not answered makes all of it unanswered.

use std::collections::BTreeMap;

use meterpost_wire::reading::{GapReason, Reading};

use super::{Subject, Trace, explain};
use crate::plan::Answers;
use crate::pmd::Library;
use crate::snmp::Absent;
use crate::snmp::recording::Recording;

const WORDS: &str = include_str!("../../pmd/words.toml");
const EMPTY: &str = "format = 1\n";

/// Reads a device of which these objects got no answer.
fn lossy(pmd: &str, walk: &str, lost: &[&str]) -> (Reading, Trace) {
    let head = "format = 1\nextends = \"generic/printer-mib\"\n";
    let files = BTreeMap::from([
        ("generic/printer-mib".to_owned(), EMPTY.to_owned()),
        ("test/it".to_owned(), format!("{head}{pmd}")),
    ]);
    let library = Library::of(WORDS, files);
    let mut answers = Answers::default();
    for (oid, value) in Recording::parse(walk).expect("a walk").objects("") {
        answers.insert("", oid.clone(), Ok(value.clone()));
    }
    let mut silent = Answers::default();
    for oid in lost {
        silent.insert("", oid.parse().expect("an OID"), Err(Absent::NoAnswer));
    }
    answers.overwrite(silent);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let subject = Subject { address: "127.0.0.9", read_at: now, pack: 0, cut_short: false };
    let identity = crate::identify::identity(&answers, 1);
    let pmd = library.get("test/it").unwrap_or_else(|| panic!("{:?}", library.faults));
    explain(pmd, &identity, &answers, &library.words, &subject)
}

/// What a counter is of a device of which these objects got no answer.
#[track_caller]
fn check_lossy(rule: &str, walk: &str, lost: &[&str], expected: Option<u64>) {
    let (reading, trace) = lossy(&format!("[counters]\n{rule}"), walk, lost);
    let value = reading.counters.iter().flat_map(BTreeMap::values).map(|count| count.value).next();
    assert_eq!(value, expected, "without {lost:?}: {trace:#?}");
    let silent = reading.gaps.iter().any(|gap| gap.reason == GapReason::NoAnswer);
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

/// The gaps of a device with a field of every kind, as `field reason`.
#[track_caller]
fn check_gaps(walk: &str, lost: &[&str], expected: &[&str]) {
    let pmd = "[identity]\nfirmware = { get = \"1.3.6.1.4.1.9999.1.0\" }\nasset_tag = { get = \"1.3.6.1.4.1.9999.2.0\" }\n\
               [capabilities]\nmemory_bytes = { get = \"1.3.6.1.4.1.9999.3.0\", min = 1 }\n\
               [status]\nconsole = { column = \"1.3.6.1.4.1.9999.4\", take = \"all\" }\n\
               [supplies.all]\ntable = \"1.3.6.1.4.1.9999.5\"\nrows = [6]\ndescription = { column = 6 }\n";
    let (reading, trace) = lossy(pmd, walk, lost);
    let gaps: Vec<String> = reading.gaps.iter().map(|gap| format!("{} {}", gap.field, gap.reason.as_str())).collect();
    assert_eq!(gaps, expected, "without {lost:?}: {trace:#?}");
}

#[test]
fn every_field_that_the_mapping_knows_and_that_has_no_value_says_why() {
    let whole = "1.3.6.1.4.1.9999.1.0|4|1.2\n1.3.6.1.4.1.9999.2.0|4|IT-7\n1.3.6.1.4.1.9999.3.0|2|64\n\
                 1.3.6.1.4.1.9999.4.1|4|Ready\n1.3.6.1.4.1.9999.5.6.1|4|Toner";
    check_gaps(whole, &[], &[]);
    // a tag that nobody has set is no lack of the device, and a table without rows is no gap
    let not_supported =
        ["capabilities.memory_bytes not_supported", "identity.firmware not_supported", "status.console not_supported"];
    check_gaps("", &[], &not_supported);
    check_gaps(&whole.replace("|2|64", "|2|0"), &[], &["capabilities.memory_bytes rejected"]);
    let (reading, _) = lossy("[identity]\nuuid = { const = \"0x12\" }", "", &[]);
    assert_eq!(reading.gaps[0].reason, GapReason::Rejected, "it is no UUID");
    for (lost, gap) in [
        ("1.3.6.1.4.1.9999.1.0", "identity.firmware no_answer"),
        ("1.3.6.1.4.1.9999.2.0", "identity.asset_tag no_answer"),
        ("1.3.6.1.4.1.9999.3.0", "capabilities.memory_bytes no_answer"),
        ("1.3.6.1.4.1.9999.4.1", "status.console no_answer"),
        ("1.3.6.1.4.1.9999.5.6", "supplies no_answer"),
    ] {
        check_gaps(whole, &[lost], &[gap]);
    }
}
