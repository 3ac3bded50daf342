//! What is billed: the vendor's own total, what is proven before what is not, and nothing made up.

use std::collections::BTreeMap;

use meterpost_wire::reading::{GapReason, Reading};

use super::{Trace, check, read};
use crate::identify;
use crate::normalise::{Subject, explain};
use crate::plan::Answers;
use crate::pmd::Library;
use crate::snmp::recording::Recording;

/// Reads by a mapping that extends this generic one.
fn read_over(generic: &str, pmd: &str, walk: &str) -> (Reading, Trace) {
    let files = BTreeMap::from([
        ("generic/printer-mib".to_owned(), format!("format = 1\n{generic}")),
        ("test/it".to_owned(), format!("format = 1\nextends = \"generic/printer-mib\"\n{pmd}")),
    ]);
    let library = Library::of(include_str!("../../../pmd/words.toml"), files);
    let pmd = library.get("test/it").unwrap_or_else(|| panic!("{:?}", library.faults));
    let mut answers = Answers::default();
    for (oid, value) in Recording::parse(walk).expect("a walk").objects("") {
        answers.insert("", oid.clone(), Ok(value.clone()));
    }
    let subject = Subject { address: "127.0.0.9", read_at: jiff::Timestamp::UNIX_EPOCH, pack: 0, cut_short: false };
    explain(pmd, &identify::identity(&answers, 1), &answers, &library.words, &subject)
}

/// The total of a device, with its basis and `?` where it is unverified.
#[track_caller]
fn check_total(own: &str, generic: &str, walk: &str, expected: &str) {
    let field = |rules: &str| {
        if rules.is_empty() { String::new() } else { format!("[counters]\nsystem.impressions = [{rules}]\n") }
    };
    let (reading, trace) = read_over(&field(generic), &field(own), walk);
    let shown = reading.counters.iter().flatten().map(|(_, count)| {
        format!("{} {}{}", count.value, count.basis.as_str(), if count.evidence.unverified { " ?" } else { "" })
    });
    assert_eq!(shown.collect::<Vec<_>>().concat(), expected, "{trace:#?}");
}

const BOTH: &str = "1.3.6.1.4.1.9999.1.0|65|700\n1.3.6.1.4.1.9999.2.0|65|900\n";
const OWN: &str = "1.3.6.1.4.1.9999.1.0|65|700\n";

#[test]
fn what_is_unverified_takes_the_place_of_nothing_proven() {
    let unverified = "{ get = \"1.3.6.1.4.1.9999.1.0\", confidence = \"unverified\" }";
    let proven = "{ get = \"1.3.6.1.4.1.9999.2.0\" }";
    check_total(unverified, proven, BOTH, "900 actual");
    check_total(unverified, proven, OWN, "700 actual ?");
    check_total(&format!("{unverified}, {proven}"), "", BOTH, "900 actual");
    check_total(&format!("{unverified}, {{ stop = true }}"), proven, BOTH, "700 actual ?");
    check_total("{ get = \"1.3.6.1.4.1.9999.1.0\" }", proven, BOTH, "700 actual");
    // of two that nobody has proven the first one
    let other = proven.replace('}', ", confidence = \"unverified\" }");
    check_total(unverified, &other, BOTH, "700 actual ?");
}

#[test]
fn the_vendors_total_stands_before_the_life_count_that_stands_in_for_it() {
    let stand_in = "{ get = \"1.3.6.1.4.1.9999.2.0\", basis = \"derived\" }";
    let own = "{ get = \"1.3.6.1.4.1.9999.1.0\", confidence = \"unverified\" }";
    check_total(own, stand_in, BOTH, "700 actual ?");
    check_total(own, stand_in, "1.3.6.1.4.1.9999.2.0|65|900\n", "900 derived");
}

#[test]
fn an_unverified_serial_number_leaves_a_proven_one_alone() {
    let generic = "[identity]\nserial_number = { get = \"1.3.6.1.2.1.43.5.1.1.17.1\" }\n";
    let own = "[identity]\nserial_number = { get = \"1.3.6.1.4.1.9999.1.0\", confidence = \"unverified\" }\n";
    let walk = "1.3.6.1.2.1.43.5.1.1.17.1|4|PROVEN1\n1.3.6.1.4.1.9999.1.0|4|OTHER2\n";
    let serial = |walk: &str| {
        let text = read_over(generic, own, walk).0.identity.unwrap().serial_number.unwrap();
        (text.value, text.evidence.unverified)
    };
    assert_eq!(serial(walk), ("PROVEN1".to_owned(), false));
    assert_eq!(serial("1.3.6.1.4.1.9999.1.0|4|OTHER2\n"), ("OTHER2".to_owned(), true));
}

#[test]
fn what_is_made_of_something_unverified_or_derived_is_that_too() {
    let rules = "[let]\nx = { get = \"1.3.6.1.4.1.9999.1.0\", confidence = \"unverified\" }\n\
                 y = { sum = [{ get = \"1.3.6.1.4.1.9999.1.0\" }, { get = \"1.3.6.1.4.1.9999.2.0\" }] }\n\
                 [counters]\nsystem.impressions = { use = \"let.x\" }\nprint.impressions = { use = \"let.y\" }\n\
                 copy.impressions = { sum = [{ use = \"let.x\" }, { get = \"1.3.6.1.4.1.9999.2.0\" }] }\n";
    let (reading, _) = read_over("", rules, BOTH);
    let shown: Vec<String> = reading
        .counters
        .iter()
        .flatten()
        .map(|(key, count)| {
            format!(
                "{key} {} {}",
                count.basis.as_str(),
                if count.evidence.unverified { "unverified" } else { "proven" }
            )
        })
        .collect();
    let expected = [
        "copy.impressions derived unverified",
        "print.impressions derived proven",
        "system.impressions actual unverified",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn no_sum_is_made_that_no_rule_says() {
    let pmd = "[counters]\nsystem.monochrome_impressions = { get = \"1.3.6.1.4.1.9999.1.0\" }\n\
               system.full_color_impressions = { get = \"1.3.6.1.4.1.9999.2.0\" }\n\
               print.impressions = { get = \"1.3.6.1.4.1.9999.1.0\" }\ncopy.impressions = { get = \"1.3.6.1.4.1.9999.2.0\" }\n";
    check(
        pmd,
        BOTH,
        &[
            "copy.impressions = 900 actual",
            "print.impressions = 700 actual",
            "system.full_color_impressions = 900 actual",
            "system.monochrome_impressions = 700 actual",
        ],
    );
}

#[test]
fn a_row_is_known_by_its_label_as_text_or_as_text_of_hex_digits() {
    let pmd = "[counters]\nsystem.impressions = { column = \"1.3.6.1.4.1.9999.2\", \
               where = { column = \"1.3.6.1.4.1.9999.1\", decode = \"hex\", cut = '^\\d+: ', is = \"Total\" } }";
    for label in ["Total", "546F74616C", "54 6f 74 61 6c", "113: Total"] {
        let walk = format!(
            "1.3.6.1.4.1.9999.1.1|4|Copy\n1.3.6.1.4.1.9999.1.2|4|{label}\n\
             1.3.6.1.4.1.9999.2.1|65|1\n1.3.6.1.4.1.9999.2.2|65|700\n"
        );
        check(pmd, &walk, &["system.impressions = 700 actual"]);
    }
}

#[test]
fn addresses_that_are_none_leave_a_gap() {
    let pmd = "[network]\nphysical_addresses = { column = \"1.3.6.1.2.1.2.2.1.6\", decode = \"mac\", take = \"all\" }";
    for none in ["4x|000000000000", "4|", "4x|ffffffffffff", "4x|01005e000001", "4x|0017c8"] {
        let (reading, trace) = read(pmd, &format!("1.3.6.1.2.1.2.2.1.6.1|{none}\n"));
        assert_eq!(reading.network.unwrap().physical_addresses, Vec::<String>::new());
        let gaps: Vec<_> = reading.gaps.iter().map(|gap| (gap.field.as_str(), gap.reason)).collect();
        assert_eq!(gaps, [("network.physical_addresses", GapReason::Rejected)], "{none}: {trace:#?}");
    }
}
