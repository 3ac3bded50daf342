//! Wrong mapping files and what is said about them, in full; and which file is chosen for a device.

use std::collections::BTreeMap;

use super::{BUILTIN, GENERIC, Library};
use crate::identify::Identity;

const WORDS: &str = include_str!("../../pmd/words.toml");

fn library(files: &[(&str, &str)]) -> Library {
    let mut all: BTreeMap<String, String> =
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    all.entry(GENERIC.to_owned()).or_insert_with(|| "format = 1\n".to_owned());
    Library::of(WORDS, all)
}

/// Loads one file with a right head, from line 4 on the given text.
#[track_caller]
fn check_faults(text: &str, expected: &[&str]) {
    let text = format!("format = 1\nextends = \"generic/printer-mib\"\n\n{text}");
    let library = library(&[("acme/x", &text), ("acme/good", "format = 1\nextends = \"generic/printer-mib\"\n")]);
    let found: Vec<String> = library.faults.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
    assert!(library.get("acme/x").is_none(), "a faulty file is left out");
    assert!(library.get("acme/good").is_some(), "the others work");
}

#[test]
fn a_file_that_is_not_toml_is_named_with_its_line() {
    check_faults("[match\nx = 1", &["pmd `acme/x` line 4: this is not TOML: unclosed table, expected `]`"]);
}

#[test]
fn a_wrong_rule_disables_its_file_with_one_reason() {
    let keys = "`get` `column` `use` `const` `sum` `difference` `product` `nth` `stop` `index` `where` `take` `expect` `at` `when` `context` `confidence` `basis` `unit` `optional` `strip` `decode` `after` `tlv` `bits` `mask` `charset` `pair` `match` `cut` `words` `labels` `map` `otherwise` `scale` `min` `max` `not` `accept` `reject`";
    check_faults(
        "[identity]\nmodel = { telepathy = \"1.3\" }\nlocation = { get = 7 }\ncontact = { min = 1 }",
        &[
            &format!("pmd `acme/x` line 5: `telepathy` is no key of a rule: {keys} are"),
            "pmd `acme/x` line 6: `get`: expected one value or a list of such values",
            "pmd `acme/x` line 7: a rule without a source: one of `get` `column` `use` `const` `sum` `difference` `product` `nth` `stop` would be",
        ],
    );
}

#[test]
fn all_faults_of_a_file_are_reported_at_once() {
    check_faults(
        "[quirks]\nvarbinds_max = 100\ntimeout_ms = 5\nbulk = 1\nweekly = [\"copy.impressions\"]\n\
         [identity]\nmodel = { get = \"1.3.6.1.4.1.x\" }\nname = { const = \"x\" }\n\
         [counters]\nsystem.pages = { get = \"1.3.6.1.4.1.9.1.0\" }\ncopy.impressions = { get = \"1.3.6.1.4.1.9.1.0\", const = 3 }",
        &[
            "pmd `acme/x` line 5: `varbinds_max` is 100: 1 to 60 would be right",
            "pmd `acme/x` line 6: `timeout_ms` is 5: 250 to 30000 would be right",
            "pmd `acme/x` line 7: `bulk`: invalid type: integer `1`, expected a boolean",
            "pmd `acme/x` line 8: `weekly` names `copy.impressions`: a `vendor.` counter with nothing but `get` would be right",
            "pmd `acme/x` line 10: `1.3.6.1.4.1.x` is not an OID: numbers and `{device}` with dots between them would be",
            "pmd `acme/x` line 11: `name` is no key of a section: `vendor` `model` `make_and_model` `serial_number` `asset_tag` `firmware` `system_name` `location` `contact` `system_info` `device_id` `uuid` are",
            "pmd `acme/x` line 13: `system.pages` names no counter: `<service>.<counter>` or `vendor.<snake_case>` would",
            "pmd `acme/x` line 14: a rule with the sources `get` and `const`: exactly one would be right",
        ],
    );
}

#[test]
fn objects_that_may_not_be_asked_are_refused_when_the_file_is_loaded() {
    check_faults(
        "[let]\n\
         a = { get = \"1.3.6.1.4.1.1248.1.2.2.44.1.1.2.1.124.124.16.0\" }\n\
         b = { column = \"1.3.6.1.4.1.1347.47.1.1\" }\n\
         c = { get = \"1.3.6.1.6.3.18.1.1.1.2.1\" }\n\
         d = { column = \"1.3.6.1.4.1.2699.1\", where = { column = \"1.3.6.1.4.1.2699.1.1.1\", is = 1 } }",
        &[
            "pmd `acme/x` line 5: `1.3.6.1.4.1.1248.1.2.2.44.1.1.2.1.124.124.16.0` may not be asked: Epson's command channel: a GET there can write",
            "pmd `acme/x` line 6: `1.3.6.1.4.1.1347.47.1.1` may not be asked: Kyocera's lists of jobs, users and addresses",
            "pmd `acme/x` line 7: `1.3.6.1.6.3.18.1.1.1.2.1` may not be asked: outside 1.3.6.1.2.1 and 1.3.6.1.4.1",
            "pmd `acme/x` line 8: `1.3.6.1.4.1.2699.1` may not be asked: the Job Monitoring MIB: jobs and their owners",
            "pmd `acme/x` line 8: `1.3.6.1.4.1.2699.1.1.1` may not be asked: the Job Monitoring MIB: jobs and their owners",
        ],
    );
}

#[test]
fn words_patterns_and_names_that_are_not_there_are_named() {
    check_faults(
        "[let]\n\
         a = { get = \"1.3.6.1.4.1.9.1.0\", labels = \"colour\" }\n\
         b = { get = \"1.3.6.1.4.1.9.1.0\", match = '(' }\n\
         c = { use = \"let.nothing\" }\n\
         d = { get = \"1.3.6.1.4.1.9.1.0\", charset = \"ebcdic-9\" }\n\
         e = { get = \"1.3.6.1.4.1.9.1.0\", take = \"last\" }\n\
         f = { get = \"1.3.6.1.4.1.9.1.0\", decode = \"rot13\", bits = [1] }",
        &[
            "pmd `acme/x` line 5: `colour` is no list of labels: `supply_class` `supply_type` `supply_unit` `counter_unit` `marker_technology` `colorant_role` `cover_status` `alert_severity` `alert_training` `alert_group` `alert_code` `device_status` `printer_status` `finisher` `language` are",
            "pmd `acme/x` line 6: `(` is not a pattern: unclosed group",
            "pmd `acme/x` line 7: `let.nothing` is no field: `section.name` or `let.name` would be",
            "pmd `acme/x` line 8: `ebcdic-9` is no charset that is known here",
            "pmd `acme/x` line 9: `index`, `where` and `take` choose rows of a `column`; this rule has none",
            "pmd `acme/x` line 10: `decode` is `rot13`: `hex` `arcs` `int` `float` `bcd` `mac` would be right",
            "pmd `acme/x` line 10: `bits` is [1]: `[first, how many]` would be right, 63 at most",
        ],
    );
}

#[test]
fn row_sets_are_checked_too() {
    check_faults(
        "[supplies.a]\ntable = \"1.3.6.1.4.1.9.1\"\nlevel = { column = 3 }\n\
         [inputs.b]\nover = \"a\"\nlevel = { column = 3 }\n\
         [supplies.c]\nover = \"nobody\"\ntype = { use = \"description\" }\n\
         [covers.d]\ndrop = true",
        &[
            "pmd `acme/x` line 4: `a` has a `table` and no `rows`: the columns that make a row",
            "pmd `acme/x` line 8: `over` is for `supplies` only",
            "pmd `acme/x` line 8: `a` is no row set of `inputs`",
            "pmd `acme/x` line 9: `column = 3` is short for a column of a row set's `table`; there is none here",
            "pmd `acme/x` line 11: `nobody` is no row set of `supplies`",
            "pmd `acme/x` line 12: `description` is no column of `supplies.c`",
            "pmd `acme/x` line 13: `d` is no set of the extended file: nothing to drop",
        ],
    );
}

#[test]
fn a_newer_format_a_circle_and_a_missing_base_are_said_plainly() {
    let library = library(&[
        ("a/new", "format = 2\nextends = \"generic/printer-mib\"\n"),
        ("a/one", "format = 1\nextends = \"a/two\"\n"),
        ("a/two", "format = 1\nextends = \"a/one\"\n"),
        ("a/lost", "format = 1\nextends = \"a/nowhere\"\n"),
        ("a/root", "format = 1\n"),
        ("a/rival", "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.9\"]"),
        ("a/twin", "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.9\"]"),
    ]);
    let found: Vec<String> = library.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "pmd `a/lost` line 2: there is no `a/nowhere` to extend",
            "pmd `a/new` line 1: `format` is 2: this program knows 1",
            "pmd `a/two` line 2: `a/one` extends this file: a circle",
            "pmd `a/one` line 2: `a/two` is itself at fault",
            "pmd `a/root`: `extends = \"generic/printer-mib\"` is missing",
            "pmd `a/twin`: `a/rival` names sysObjectID 1.3.6.1.4.1.9 too: patterns in one of them would tell which",
        ]
    );
}

#[test]
fn the_shipped_library_has_no_faults() {
    // with a comment behind it a file is no longer the program's own, and its patterns are looked at too
    let ours = |(name, text): &(&str, &str)| ((*name).to_owned(), format!("{text}\n# looked at\n"));
    let library = Library::of(&format!("{WORDS}\n# looked at\n"), BUILTIN.iter().map(ours).collect());
    let faults: Vec<String> = library.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(library.pmds().count(), BUILTIN.len());
}

#[track_caller]
fn check_choice(oid: &str, description: &str, model: &str, expected: (&str, &str)) {
    let file = |rest: &str| format!("format = 1\nextends = \"generic/printer-mib\"\n[match]\n{rest}");
    let library = library(&[
        ("a/wide", &file("sys_object_id = [\"1.3.6.1.4.1.9\"]")),
        ("a/narrow", &file("sys_object_id = [\"1.3.6.1.4.1.9.5\"]")),
        ("a/ink", &file("sys_object_id = [\"1.3.6.1.4.1.9\"]\nmodel = ['^X-J']")),
        ("a/text", &file("description = ['^Acme ']")),
    ]);
    let identity = Identity {
        sys_object_id: oid.parse().ok(),
        description: Some(description.to_owned()),
        device_description: Some(model.to_owned()),
        device: 1,
        ..Identity::default()
    };
    let choice = library.choose(&identity);
    assert_eq!((&*choice.pmd.name, choice.reason.as_str()), expected);
}

#[test]
fn the_longest_beginning_wins_then_patterns_then_the_generic_file() {
    check_choice("1.3.6.1.4.1.9.5.1", "", "X-J1", ("a/narrow", "sysObjectID begins with 1.3.6.1.4.1.9.5"));
    check_choice("1.3.6.1.4.1.9.1", "", "X-1", ("a/wide", "sysObjectID begins with 1.3.6.1.4.1.9"));
    check_choice("1.3.6.1.4.1.9.1", "", "x-j1", ("a/ink", "sysObjectID begins with 1.3.6.1.4.1.9, model has `^X-J`"));
    check_choice("1.3.6.1.4.1.8", "Acme 3", "?", ("a/text", "sysDescr has `^Acme `"));
    check_choice("1.3.6.1.4.1.8", "", "x-j1", (GENERIC, "no mapping names this device"));
    check_choice("1.3.6.1.4.1.8", "Other", "?", (GENERIC, "no mapping names this device"));
}

#[test]
fn an_extending_file_is_tried_first_and_may_drop_or_change_a_set() {
    let base = "format = 1\n[identity]\nvendor = { const = \"Base\" }\nmodel = { const = \"M\" }\n\
                [inputs.printer-mib]\ntable = \"1.3.6.1.2.1.43.8.2.1\"\nrows = [10]\nlevel = { column = 10 }\n\
                [covers.printer-mib]\ntable = \"1.3.6.1.2.1.43.6.1.1\"\nrows = [3]\nstatus = { column = 3 }\n";
    let own = "format = 1\nextends = \"generic/printer-mib\"\n[identity]\nvendor = { const = \"Own\" }\n\
               [inputs.printer-mib]\nname = { column = 18 }\n[covers.printer-mib]\ndrop = true\n";
    let library = library(&[(GENERIC, base), ("a/own", own)]);
    assert_eq!(library.faults, []);
    let pmd = library.get("a/own").unwrap();
    assert_eq!(pmd.fields["identity.vendor"].len(), 2);
    assert_eq!(&*pmd.fields["identity.vendor"][0].origin.pmd, "a/own");
    assert_eq!(pmd.fields["identity.model"].len(), 1);
    let sets: Vec<(&str, usize)> = pmd.sets.iter().map(|set| (set.section, set.columns.len())).collect();
    assert_eq!(sets, [("inputs", 2)]);
}
