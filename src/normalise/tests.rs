//! Each operator of the mapping format on tiny hand-made walks.

use std::collections::BTreeMap;

use meterpost_wire::reading::Reading;

use crate::identify;
use crate::pmd::Library;
use crate::read;
use crate::snmp::recording::Recording;

use super::{Subject, Trace, explain};

mod billing;
mod supplies;

const WORDS: &str = include_str!("../../pmd/words.toml");
/// A generic file that says nothing, so that each test sees its own rules alone.
const EMPTY: &str = "format = 1\n";
/// What makes the walk a printer.
const PRINTER: &str = "1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.5\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9999.1\n";

/// Reads the walk of a printer by a mapping; lines `@context OID|type|value` are answered in that SNMPv3 context.
#[track_caller]
fn read(pmd: &str, walk: &str) -> (Reading, Trace) {
    read_as_is(pmd, &format!("{PRINTER}{walk}"))
}

/// As `read`, the walk alone.
#[track_caller]
fn read_as_is(pmd: &str, walk: &str) -> (Reading, Trace) {
    let head = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.9999\"]\n";
    let files = BTreeMap::from([
        ("generic/printer-mib".to_owned(), EMPTY.to_owned()),
        ("test/it".to_owned(), format!("{head}{pmd}")),
    ]);
    let library = Library::of(WORDS, files);
    assert_eq!(library.faults.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    let (elsewhere, here): (Vec<&str>, Vec<&str>) = walk.lines().map(str::trim).partition(|line| line.starts_with('@'));
    let mut agent = Recording::parse(&here.join("\n")).expect("a walk");
    for line in elsewhere {
        let (context, object) = line[1..].split_once(' ').expect("@context object");
        agent.add_context(context, object).expect("a walk");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let read = runtime.block_on(read::device(&mut agent, &library, None, "127.0.0.9", now)).expect("a printer");
    let answers = &read.learned.answers;
    let identity = identify::identity(answers, read.learned.device);
    let subject = Subject { address: "127.0.0.9", read_at: now, pack: library.pack, cut_short: false };
    let (reading, trace) = explain(&read.choice.pmd, &identity, answers, &library.words, &subject);
    assert_eq!(reading, read.reading, "explaining changes nothing");
    (reading, trace)
}

/// What a person would compare: counters, identity, supplies, each as one line.
fn lines(reading: &Reading) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, count) in reading.counters.iter().flatten() {
        let detail = count.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let unit = count.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        lines.push(format!("{key} = {}{unit} {}{detail}", count.value, count.basis.as_str()));
    }
    let identity = reading.identity.as_ref().expect("an identity");
    let texts = [
        ("vendor", &identity.vendor),
        ("model", &identity.model),
        ("serial", &identity.serial_number),
        ("asset", &identity.asset_tag),
    ];
    for (name, text) in texts {
        lines.extend(text.as_ref().map(|text| format!("{name} = {}", text.value)));
    }
    lines.extend(identity.firmwares.iter().map(|firmware| format!("firmware = {}", firmware.version.value)));
    for supply in reading.supplies.iter().flatten() {
        let kind = supply.kind.as_ref().map_or("?", |kind| &kind.label);
        let colorant = supply.colorant.as_ref().map(|c| format!(" {c}")).unwrap_or_default();
        let percent = supply.percent.map(|p| format!(" {p}%")).unwrap_or_default();
        let level = supply.level.map(|l| format!(" level {l}")).unwrap_or_default();
        let state = supply.level_state.map(|s| format!(" {}", s.as_str())).unwrap_or_default();
        let description = supply.description.as_ref().map(|d| format!(" `{d}`")).unwrap_or_default();
        lines.push(format!("{} {kind}{colorant}{level}{percent}{state}{description}", supply.index));
    }
    for input in reading.inputs.iter().flatten() {
        lines.push(format!("tray {} {:?} of {:?}", input.index, input.level, input.max_capacity));
    }
    let network = reading.network.as_ref().expect("a network");
    lines.extend(network.physical_addresses.iter().map(|mac| format!("mac {mac}")));
    lines
}

#[track_caller]
fn check(pmd: &str, walk: &str, expected: &[&str]) {
    let (reading, trace) = read(pmd, walk);
    assert_eq!(lines(&reading), expected, "{trace:#?}");
}

#[test]
fn an_object_that_is_summed_with_itself_is_named_once_in_the_evidence() {
    let part = |oid: u32| format!("{{ get = \"1.3.6.1.4.1.9999.{oid}.0\" }}");
    let pmd = format!("[counters]\nsystem.impressions = {{ sum = [{}, {}, {}] }}\n", part(1), part(2), part(1));
    let (reading, _) = read(&pmd, "1.3.6.1.4.1.9999.1.0|65|7\n1.3.6.1.4.1.9999.2.0|65|5");
    let count = reading.counters.unwrap().into_values().next().unwrap();
    assert_eq!(count.value, 19);
    assert_eq!(count.evidence.oid.as_deref(), Some("1.3.6.1.4.1.9999.1.0 1.3.6.1.4.1.9999.2.0"));
}

#[test]
fn the_first_valid_candidate_wins_and_an_invalid_one_is_passed() {
    let pmd = r#"
        [counters]
        system.impressions = [
            { get = "1.3.6.1.4.1.9999.1.0" },
            { get = "1.3.6.1.4.1.9999.2.0", not = 0 },
            { get = "1.3.6.1.4.1.9999.3.0", max = 1000 },
            { get = "1.3.6.1.4.1.9999.4.0" },
        ]
    "#;
    let walk = "1.3.6.1.4.1.9999.2.0|2|0\n1.3.6.1.4.1.9999.3.0|2|99999\n1.3.6.1.4.1.9999.4.0|65|77";
    check(pmd, walk, &["system.impressions = 77 actual"]);
    let (reading, trace) = read(pmd, walk);
    let counters = reading.counters.unwrap();
    let evidence = &counters.values().next().unwrap().evidence;
    assert_eq!(evidence.oid.as_deref(), Some("1.3.6.1.4.1.9999.4.0"));
    assert_eq!(evidence.rule.as_deref(), Some("4"));
    let fates: Vec<String> =
        trace.fields["counters.system.impressions"].iter().map(|t| format!("{:?}", t.fate)).collect();
    assert_eq!(
        fates,
        [
            r#"Lost(NotSupported("no such object"))"#,
            r#"Lost(NotSupported("`0` means not supported"))"#,
            r#"Lost(Rejected("`99999` is above 1000"))"#,
            r#"Won("`77`")"#,
        ]
    );
}

#[test]
fn several_spellings_of_one_object_are_tried_without_and_with_a_further_zero() {
    let pmd = r#"[counters]
        system.impressions = { get = ["1.3.6.1.4.1.9999.5", "1.3.6.1.4.1.9999.5.0", "1.3.6.1.4.1.9999.5.0.0"] }"#;
    check(pmd, "1.3.6.1.4.1.9999.5.0.0|2|12", &["system.impressions = 12 actual"]);
}

#[test]
fn a_constant_needs_no_object() {
    check("[identity]\nvendor = { const = \"Acme\" }", "", &["vendor = Acme"]);
}

#[test]
fn a_row_is_chosen_by_the_type_in_another_column() {
    let pmd = r#"[counters]
        system.impressions = { column = "1.3.6.1.4.1.9999.6.1.9", where = { column = "1.3.6.1.4.1.9999.6.1.2", is = 10 } }
        copy.impressions = { column = "1.3.6.1.4.1.9999.6.1.9", where = { column = "1.3.6.1.4.1.9999.6.1.5", match = '^copier: ' } }"#;
    let walk = "1.3.6.1.4.1.9999.6.1.2.1|2|200\n1.3.6.1.4.1.9999.6.1.2.2|2|10
        1.3.6.1.4.1.9999.6.1.5.1|4|Copier: Total\n1.3.6.1.4.1.9999.6.1.5.2|4|Machine Total
        1.3.6.1.4.1.9999.6.1.9.1|2|30\n1.3.6.1.4.1.9999.6.1.9.2|2|118";
    check(pmd, walk, &["copy.impressions = 30 actual", "system.impressions = 118 actual"]);
}

#[test]
fn a_row_is_chosen_by_several_columns_and_all_that_fit_are_summed() {
    let pmd = r#"[counters]
        print.monochrome_impressions = { column = "1.3.6.1.4.1.9999.7.1.7", take = "sum", where = [
            { column = "1.3.6.1.4.1.9999.7.1.4", is = 7 },
            { column = "1.3.6.1.4.1.9999.7.1.6", is = [3, 4] },
        ] }"#;
    let row = |n: u32, unit: u32, color: u32, count: u32| {
        format!(
            "1.3.6.1.4.1.9999.7.1.4.1.{n}|2|{unit}\n1.3.6.1.4.1.9999.7.1.6.1.{n}|2|{color}\n1.3.6.1.4.1.9999.7.1.7.1.{n}|65|{count}\n"
        )
    };
    let walk = row(1, 7, 3, 100) + &row(2, 8, 3, 50) + &row(3, 7, 1, 9) + &row(4, 7, 3, 11);
    check(pmd, &walk, &["print.monochrome_impressions = 111 derived"]);
}

#[test]
fn a_row_is_chosen_by_a_label_in_another_table_and_by_its_index() {
    let pmd = r#"[counters]
        system.impressions = { column = "1.3.6.1.4.1.9999.8.1.4", index = "*.3.3", where = { column = "1.3.6.1.4.1.9999.9.1.2", is = 3, arcs = 1 } }"#;
    let walk = "1.3.6.1.4.1.9999.9.1.2.21|2|4\n1.3.6.1.4.1.9999.9.1.2.22|2|3
        1.3.6.1.4.1.9999.8.1.4.21.3.3|65|1\n1.3.6.1.4.1.9999.8.1.4.22.3.3|65|2\n1.3.6.1.4.1.9999.8.1.4.22.3.4|65|3";
    check(pmd, walk, &["system.impressions = 2 actual"]);
}

#[test]
fn sums_differences_products_and_scales_are_derived_and_a_missing_term_spoils_them() {
    let pmd = r#"[counters]
        system.impressions = { sum = [{ get = "1.3.6.1.4.1.9999.1.0" }, { get = "1.3.6.1.4.1.9999.2.0" }] }
        copy.impressions = { sum = [{ get = "1.3.6.1.4.1.9999.1.0" }, { get = "1.3.6.1.4.1.9999.3.0" }] }
        print.impressions = { sum = [{ get = "1.3.6.1.4.1.9999.1.0" }, { get = "1.3.6.1.4.1.9999.3.0", optional = true }] }
        fax_in.impressions = { difference = [{ get = "1.3.6.1.4.1.9999.2.0" }, { get = "1.3.6.1.4.1.9999.1.0" }] }
        vendor.area = { product = [{ get = "1.3.6.1.4.1.9999.2.0" }, { get = "1.3.6.1.4.1.9999.1.0" }], unit = "cm" }
        scan.images = { get = "1.3.6.1.4.1.9999.2.0", scale = 0.125 }"#;
    check(
        pmd,
        "1.3.6.1.4.1.9999.1.0|2|4\n1.3.6.1.4.1.9999.2.0|2|20",
        &[
            "fax_in.impressions = 16 derived",
            "print.impressions = 4 derived",
            "scan.images = 3 actual",
            "system.impressions = 24 derived",
            "vendor.area = 80 cm derived",
        ],
    );
}

#[test]
fn a_negative_difference_is_no_counter() {
    let pmd = r#"[counters]
        system.impressions = { difference = [{ get = "1.3.6.1.4.1.9999.1.0" }, { get = "1.3.6.1.4.1.9999.2.0" }] }"#;
    let (reading, _) = read(pmd, "1.3.6.1.4.1.9999.1.0|2|4\n1.3.6.1.4.1.9999.2.0|2|20");
    assert_eq!(reading.counters, None);
    assert_eq!(reading.gaps[0].field, "counters.system.impressions");
    assert_eq!(reading.gaps[0].reason.as_str(), "rejected");
}

#[test]
fn one_text_gives_several_fields_by_patterns() {
    let pmd = r#"[identity]
        model = { use = "device.description", match = '^Acme (\S+)' }
        serial_number = { use = "device.description", match = 'SN:(\w+)' }
        firmware = { use = "device.description", match = 'FW ([\d.]+)', cut = '\.0$' }"#;
    check(
        pmd,
        "1.3.6.1.2.1.1.1.0|4|Acme X-20; FW 1.2.0; SN:AB12",
        &["model = X-20", "serial = AB12", "firmware = 1.2"],
    );
}

#[test]
fn values_are_mapped_also_from_a_sentinel_to_a_level_state() {
    let pmd = r#"
        [supplies.private]
        table = "1.3.6.1.4.1.9999.24.1"
        rows = [5]
        type = { const = "toner" }
        colorant = { column = 4, map = { "3" = "black", "10" = "cyan" }, otherwise = "spot" }
        percent = { column = 5, map = { "-100" = "some_remaining" } }"#;
    let walk = "1.3.6.1.4.1.9999.24.1.4.1|2|3\n1.3.6.1.4.1.9999.24.1.4.2|2|10\n1.3.6.1.4.1.9999.24.1.4.3|2|77
        1.3.6.1.4.1.9999.24.1.5.1|2|-100\n1.3.6.1.4.1.9999.24.1.5.2|2|40\n1.3.6.1.4.1.9999.24.1.5.3|2|-3";
    check(pmd, walk, &["1 toner black some_remaining", "2 toner cyan 40% known", "3 toner spot some_remaining"]);
}

#[test]
fn rows_are_filtered_and_states_are_no_numbers() {
    let pmd = r#"
        [inputs.printer-mib]
        table = "1.3.6.1.2.1.43.8.2.1"
        rows = [10, 9]
        where = { column = 2, not = 5 }
        max_capacity = { column = 9 }
        level = { column = 10 }"#;
    let walk = "1.3.6.1.2.1.43.8.2.1.2.1.1|2|3\n1.3.6.1.2.1.43.8.2.1.2.1.2|2|5\n1.3.6.1.2.1.43.8.2.1.2.1.4|2|6
        1.3.6.1.2.1.43.8.2.1.9.1.1|2|250\n1.3.6.1.2.1.43.8.2.1.9.1.2|2|100\n1.3.6.1.2.1.43.8.2.1.9.1.4|2|200000000
        1.3.6.1.2.1.43.8.2.1.10.1.1|2|-3\n1.3.6.1.2.1.43.8.2.1.10.1.2|2|1\n1.3.6.1.2.1.43.8.2.1.10.1.4|2|7";
    check(pmd, walk, &["tray 1 None of Some(250)", "tray 4 Some(7) of None"]);
}

#[test]
fn key_value_strings_are_read_by_short_and_long_keys() {
    let pmd = r#"[identity]
        device_id = { get = "1.3.6.1.4.1.9999.7.0" }
        vendor = { use = "identity.device_id", pair = "MFG", words = "vendors" }
        model = { use = "identity.device_id", pair = "MDL" }
        serial_number = { use = "identity.device_id", pair = "SN" }"#;
    for id in ["MFG:Hewlett-Packard;MDL:HP X1 series;SERN:A1B2;", "MANUFACTURER:hp;MODEL:X1;SERIALNUMBER:A1B2;"] {
        check(pmd, &format!("1.3.6.1.4.1.9999.7.0|4|{id}"), &["vendor = HP", "model = X1", "serial = A1B2"]);
    }
}

#[test]
fn a_model_is_spelt_in_the_arcs_of_an_oid() {
    let pmd = r#"[identity]
        model = { get = "1.3.6.1.2.1.25.3.2.1.4.{device}", decode = "arcs", after = "1.3.6.1.4.1.1248.1.2.1" }"#;
    let walk = "1.3.6.1.2.1.25.3.2.1.4.1|6|1.3.6.1.4.1.1248.1.2.1.6.68.83.45.56.54.48";
    check(pmd, walk, &["model = DS-860"]);
}

#[test]
fn numbers_come_as_text_hex_text_ieee_754_bcd_big_endian_and_bit_fields() {
    let pmd = r#"[counters]
        system.impressions = { get = "1.3.6.1.4.1.9999.1.0" }
        copy.impressions = { get = "1.3.6.1.4.1.9999.2.0", decode = "hex" }
        print.impressions = { get = "1.3.6.1.4.1.9999.3.0", decode = "float" }
        scan.images = { get = "1.3.6.1.4.1.9999.4.0", decode = "bcd" }
        vendor.big = { get = "1.3.6.1.4.1.9999.5.0", decode = "int" }
        vendor.bits = { get = "1.3.6.1.4.1.9999.6.0", bits = [4, 8] }
        vendor.mask = { get = "1.3.6.1.4.1.9999.7.0", mask = 0x70 }
        vendor.length = { get = "1.3.6.1.4.1.9999.8.0", match = '(\d+) CENTIMETERS', unit = "cm" }"#;
    let walk = "1.3.6.1.4.1.9999.1.0|4|1234
        1.3.6.1.4.1.9999.2.0|4|31 32 37
        1.3.6.1.4.1.9999.3.0|4x|461c4400
        1.3.6.1.4.1.9999.4.0|4x|001234
        1.3.6.1.4.1.9999.5.0|4x|0102
        1.3.6.1.4.1.9999.6.0|4x|0ff0
        1.3.6.1.4.1.9999.7.0|2|83
        1.3.6.1.4.1.9999.8.0|4|1920 INCHES, 4876 CENTIMETERS";
    check(
        pmd,
        walk,
        &[
            "copy.impressions = 127 actual",
            "print.impressions = 10001 actual",
            "scan.images = 1234 actual",
            "system.impressions = 1234 actual",
            "vendor.big = 258 actual",
            "vendor.bits = 255 actual",
            "vendor.length = 4876 cm actual",
            "vendor.mask = 5 actual",
        ],
    );
}

#[test]
fn tagged_blobs_are_read_by_tag_length_and_half_with_and_without_the_01() {
    let pmd = r#"[counters]
        vendor.long = { get = "1.3.6.1.4.1.9999.1.0", tlv = { tag = "41", length = 4 } }
        vendor.short = { get = "1.3.6.1.4.1.9999.1.0", tlv = { tag = "41", length = 1 } }
        vendor.value = { get = "1.3.6.1.4.1.9999.1.0", tlv = { tag = "a1", part = "value" } }
        vendor.maximum = { get = "1.3.6.1.4.1.9999.1.0", tlv = { tag = "a1", part = "maximum" } }
        vendor.plain = { get = "1.3.6.1.4.1.9999.2.0", tlv = { tag = "a1", layout = "tag-length-value" } }
        vendor.none = { get = "1.3.6.1.4.1.9999.2.0", tlv = { tag = "77", layout = "tag-length-value" } }"#;
    let walk = "1.3.6.1.4.1.9999.1.0|4x|31010400000001 410101 03 a10102 0714 ff 4101040000000900".replace(' ', "");
    let walk = walk.replace("|4x|31", "|4x|4101040000232831") + "\n1.3.6.1.4.1.9999.2.0|4x|00020544a10400000001ff";
    check(
        pmd,
        &walk,
        &[
            "vendor.long = 9000 actual",
            "vendor.maximum = 20 actual",
            "vendor.plain = 1 actual",
            "vendor.short = 3 actual",
            "vendor.value = 7 actual",
        ],
    );
}

#[test]
fn a_symbol_set_prefix_is_stripped_and_a_charset_declared() {
    let pmd = r#"[identity]
        serial_number = { get = "1.3.6.1.4.1.9999.1.0", strip = "0115" }
        asset_tag = { get = "1.3.6.1.4.1.9999.2.0", strip = "0115", charset = "hp-roman8" }"#;
    let walk = "1.3.6.1.4.1.9999.1.0|4x|011556313233\n1.3.6.1.4.1.9999.2.0|4x|0115 42cf 726f".replace(' ', "");
    check(pmd, &walk, &["serial = V123", "asset = Büro"]);
}

#[test]
fn bogus_serials_placeholders_and_unwanted_texts_are_none() {
    let pmd = r#"[identity]
        serial_number = [{ get = "1.3.6.1.4.1.9999.1.0" }, { get = "1.3.6.1.4.1.9999.2.0" }, { get = "1.3.6.1.4.1.9999.3.0", accept = '^\w+$', reject = '^TEST' }, { get = "1.3.6.1.4.1.9999.4.0" }]
        asset_tag = { get = "1.3.6.1.4.1.9999.5.0" }"#;
    let walk = "1.3.6.1.4.1.9999.1.0|4|00000000\n1.3.6.1.4.1.9999.2.0|4|????
        1.3.6.1.4.1.9999.3.0|4|TEST12\n1.3.6.1.4.1.9999.4.0|4|A1\n1.3.6.1.4.1.9999.5.0|4|unknown";
    check(pmd, walk, &["serial = A1"]);
}

#[test]
fn a_firmware_is_kept_as_written_without_a_word_in_front() {
    let pmd = "[identity]\nfirmware = { get = \"1.3.6.1.4.1.9999.1.0\" }";
    for (written, kept) in [("Ver. A7PU-30", "A7PU-30"), ("Rev.01.02", "01.02"), ("ESS1.208.6", "1.208.6")] {
        check(pmd, &format!("1.3.6.1.4.1.9999.1.0|4|{written}"), &[&format!("firmware = {kept}")]);
    }
    check(pmd, "1.3.6.1.4.1.9999.1.0|4|U1307022128VER.J", &["firmware = U1307022128VER.J"]);
    check(pmd, "1.3.6.1.4.1.9999.1.0|4|Ver. ", &[]);
}

#[test]
fn conditions_look_at_model_unit_and_brand() {
    let pmd = r#"
        [let]
        unit = { get = "1.3.6.1.4.1.9999.1.0", labels = "counter_unit" }
        [identity]
        vendor = { const = "Acme" }
        model = { const = "MFC-J680DW" }
        [counters]
        system.impressions = [
            { get = "1.3.6.1.4.1.9999.2.0", when = { "let.unit" = 8 } },
            { get = "1.3.6.1.4.1.9999.2.0", scale = 2, when = { "identity.model" = '^DCP-' } },
            { get = "1.3.6.1.4.1.9999.2.0", scale = 3, when = { "let.unit" = ["impressions"], "identity.vendor" = ["acme"], "identity.asset_tag" = false } },
        ]"#;
    check(
        pmd,
        "1.3.6.1.4.1.9999.1.0|2|7\n1.3.6.1.4.1.9999.2.0|2|5",
        &["system.impressions = 15 actual", "vendor = Acme", "model = MFC-J680DW"],
    );
}

#[test]
fn a_counter_that_no_rule_is_for_has_no_gap() {
    let pmd = r#"[counters]
        system.impressions = { get = "1.3.6.1.4.1.9999.2.0", when = { "identity.model" = 'X' } }
        copy.impressions = { get = "1.3.6.1.4.1.9999.2.0" }"#;
    let (reading, _) = read(pmd, "");
    let gaps: Vec<&str> = reading.gaps.iter().map(|gap| gap.field.as_str()).collect();
    assert_eq!(gaps, ["counters.copy.impressions"]);
}

#[test]
fn the_printers_device_index_is_a_variable() {
    let pmd = r#"[identity]
        serial_number = { get = "1.3.6.1.2.1.43.5.1.1.17.{device}" }
        [counters]
        system.impressions = { column = "1.3.6.1.4.1.9999.3.1.4", index = "{device}.1" }"#;
    let walk = "1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.3\n1.3.6.1.2.1.25.3.2.1.2.4|6|1.3.6.1.2.1.25.3.1.5
        1.3.6.1.2.1.43.5.1.1.17.1|4|WRONG\n1.3.6.1.2.1.43.5.1.1.17.4|4|RIGHT
        1.3.6.1.4.1.9999.3.1.4.1.1|2|1\n1.3.6.1.4.1.9999.3.1.4.4.1|2|44";
    // the walk's own hrDeviceType row stands before the one that `read` adds
    let (reading, _) = read_as_is(pmd, &format!("{walk}\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.9999.1"));
    assert_eq!(lines(&reading), ["system.impressions = 44 actual", "serial = RIGHT"]);
}

#[test]
fn an_object_is_asked_in_its_context_and_a_mapping_names_one_for_all_that_is_missing() {
    let walk = "1.3.6.1.4.1.9999.1.0|2|1\n@Jetdirect 1.3.6.1.4.1.9999.2.0|2|2";
    let one = r#"[counters]
        system.impressions = { get = "1.3.6.1.4.1.9999.1.0" }
        copy.impressions = { get = "1.3.6.1.4.1.9999.2.0", context = "Jetdirect" }"#;
    let all = r#"[quirks]
        context = "Jetdirect"
        [counters]
        system.impressions = { get = "1.3.6.1.4.1.9999.1.0" }
        copy.impressions = { get = "1.3.6.1.4.1.9999.2.0" }"#;
    for pmd in [one, all] {
        check(pmd, walk, &["copy.impressions = 2 actual", "system.impressions = 1 actual"]);
    }
}

#[test]
fn parts_that_contradict_their_total_are_suspect() {
    let pmd = r#"[counters]
        system.impressions = { get = "1.3.6.1.4.1.9999.1.0" }
        system.monochrome_impressions = { get = "1.3.6.1.4.1.9999.2.0" }
        system.full_color_impressions = { get = "1.3.6.1.4.1.9999.3.0" }
        [[checks]]
        total = "system.impressions"
        parts = ["system.monochrome_impressions", "system.full_color_impressions"]"#;
    let why = "(system.impressions is 10, its parts sum to 11)";
    check(
        pmd,
        "1.3.6.1.4.1.9999.1.0|2|10\n1.3.6.1.4.1.9999.2.0|2|6\n1.3.6.1.4.1.9999.3.0|2|5",
        &[
            &format!("system.full_color_impressions = 5 suspect {why}"),
            &format!("system.impressions = 10 suspect {why}"),
            &format!("system.monochrome_impressions = 6 suspect {why}"),
        ],
    );
}

/// The life count counts engine events (trap T1): parts do not add up to it.
#[test]
fn parts_are_not_measured_against_a_life_count_that_stands_in_for_the_total() {
    let pmd = r#"[counters]
        system.impressions = { get = "1.3.6.1.4.1.9999.1.0", basis = "derived" }
        vendor.marker_life_count = { get = "1.3.6.1.4.1.9999.1.0" }
        print.impressions = { get = "1.3.6.1.4.1.9999.2.0" }
        [[checks]]
        total = "system.impressions"
        parts = ["print.impressions"]"#;
    check(
        pmd,
        "1.3.6.1.4.1.9999.1.0|2|10\n1.3.6.1.4.1.9999.2.0|2|6",
        &["print.impressions = 6 actual", "system.impressions = 10 derived", "vendor.marker_life_count = 10 actual"],
    );
}

#[test]
fn lists_take_all_rows_and_addresses_only_real_interfaces() {
    let pmd = r#"[network]
        physical_addresses = { column = "1.3.6.1.2.1.2.2.1.6", decode = "mac", take = "all", where = { column = "1.3.6.1.2.1.2.2.1.3", is = [6, 71], or_absent = true } }"#;
    let walk = "1.3.6.1.2.1.2.2.1.3.1|2|24\n1.3.6.1.2.1.2.2.1.3.2|2|6\n1.3.6.1.2.1.2.2.1.3.3|2|71
        1.3.6.1.2.1.2.2.1.6.1|4x|001122334455\n1.3.6.1.2.1.2.2.1.6.2|4x|0017c8b902de\n1.3.6.1.2.1.2.2.1.6.3|4x|000000000000\n1.3.6.1.2.1.2.2.1.6.7|4x|0017c8b3988b";
    check(pmd, walk, &["mac 00:17:c8:b9:02:de", "mac 00:17:c8:b3:98:8b"]);
}

#[test]
fn a_rule_that_no_device_has_proven_says_so_and_stop_ends_the_list() {
    let pmd = r#"[counters]
        system.impressions = [{ get = "1.3.6.1.4.1.9999.1.0", confidence = "unverified" }]
        copy.impressions = [{ stop = true }, { get = "1.3.6.1.4.1.9999.1.0" }]"#;
    let (reading, _) = read(pmd, "1.3.6.1.4.1.9999.1.0|2|10");
    let counters = reading.counters.unwrap();
    assert_eq!(counters.len(), 1);
    assert!(counters.values().all(|count| count.evidence.unverified));
}

#[test]
fn a_field_that_refers_to_itself_has_no_value() {
    let pmd = "[let]\na = { use = \"let.b\" }\nb = { use = \"let.a\" }\n[identity]\nvendor = { use = \"let.a\" }";
    check(pmd, "", &[]);
}
