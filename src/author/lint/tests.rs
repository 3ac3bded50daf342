use crate::author::lint;
use crate::pmd::Sources;

/// What is found in files that are laid over the library, as `name:line: text`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let mut sources = Sources::builtin();
    let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    for (name, text) in files {
        sources.files.insert((*name).to_owned(), (*text).to_owned());
    }
    lint(&sources, &sources.library(), &names)
        .iter()
        .map(|fault| format!("{}: {}", sources.place(fault), fault.text))
        .collect()
}

#[track_caller]
fn check(body: &str, expected: &[&str]) {
    let head = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\n";
    assert_eq!(found(&[("acme/mfp", &format!("{head}{body}"))]), expected, "{body}");
}

#[test]
fn a_rule_behind_one_that_always_has_a_value_is_told_with_both_lines() {
    check(
        "[identity]\nvendor = [\n { const = \"Acme\" },\n { use = \"device.name\" },\n]",
        &["acme/mfp:8: `identity.vendor`: this rule is never reached: the one in line 7 always has a value"],
    );
    check(
        "[identity]\nmodel = [\n { stop = true },\n { use = \"device.name\" },\n]",
        &["acme/mfp:8: `identity.model`: this rule is never reached: the one in line 7 ends the list"],
    );
    check(
        "[identity]\nvendor = [ { const = \"Acme\", when = { \"identity.model\" = \"^A\" } }, { const = \"Bcme\" } ]",
        &[],
    );
    check(
        "[identity]\nmodel = [\n { use = \"device.name\" },\n {use=\"device.name\"},\n]",
        &["acme/mfp:8: `identity.model`: this rule stands in line 7 already"],
    );
}

#[test]
fn fields_that_refer_to_themselves_and_that_nobody_refers_to_are_told() {
    check(
        "[let]\na = { use = \"identity.model\" }\n[identity]\nmodel = { use = \"let.a\" }",
        &[
            "acme/mfp:6: `let.a` refers to itself by `identity.model`: on that way it has no value",
            "acme/mfp:8: `identity.model` refers to itself by `let.a`: on that way it has no value",
        ],
    );
    check("[let]\na = { use = \"identity.model\" }", &["acme/mfp:6: `let.a` is used by no rule and no check"]);
}

#[test]
fn a_check_without_counters_and_a_beginning_named_twice_are_told() {
    check(
        "[[checks]]\ntotal = \"system.impressions\"\nparts = [\"copy.impressions\"]",
        &["acme/mfp:5: this check never says anything: no rule gives `copy.impressions`"],
    );
    let twice = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\", \"1.3.6.1.4.1.99999.1\"]";
    assert_eq!(
        found(&[("acme/mfp", twice)]),
        ["acme/mfp:4: `1.3.6.1.4.1.99999.1` lies under `1.3.6.1.4.1.99999`, which is named too"]
    );
    assert_eq!(
        found(&[("acme/mfp", "format = 1\nextends = \"generic/printer-mib\"")]),
        ["acme/mfp: no device comes here: `[match]` names none, and no file extends this one"]
    );
}

#[test]
fn two_families_that_claim_one_device_are_told_unless_one_extends_the_other() {
    let of = |extends: &str, pattern: &str| {
        format!(
            "format = 1\nextends = \"{extends}\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\nmodel = ['{pattern}']"
        )
    };
    let (generic, first) = ("generic/printer-mib", "^(Acme )?Laser \\d");
    assert_eq!(
        found(&[("acme/laser", &of(generic, first)), ("acme/mono", &of(generic, "^Acme Laser"))]),
        ["acme/mono: `model` \"Acme Laser 1\" of a device under 1.3.6.1.4.1.99999 fits `^Acme Laser` here and \
          `^(Acme )?Laser \\d` in `acme/laser`: which one reads it would be chance"]
    );
    assert_eq!(found(&[("acme/laser", &of(generic, first)), ("acme/mono", &of("acme/laser", "^Acme Laser"))]), [""; 0]);
    assert_eq!(found(&[("acme/laser", &of(generic, first)), ("acme/ink", &of(generic, "^Acme Ink"))]), [""; 0]);
}

#[test]
fn a_mapping_that_asks_for_hundreds_of_objects_is_told() {
    let get = |n: usize| format!("\"1.3.6.1.4.1.99999.3.{n}.0\"");
    let of = |n: usize| (0..20).map(|part| get(20 * n + part)).collect::<Vec<_>>().join(", ");
    let fields: String = (0..20).map(|n| format!("vendor.n{n} = {{ get = [{}] }}\n", of(n))).collect();
    let found = found(&[(
        "acme/mfp",
        &format!(
            "format = 1\nextends = \"generic/printer-mib\"\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999\"]\n[counters]\n{fields}"
        ),
    )]);
    let [fault] = found.as_slice() else { panic!("{found:?}") };
    assert!(
        fault.starts_with("acme/mfp: a first reading asks for 4")
            && fault.ends_with(" single objects: 400 at most, the extended ones included"),
        "{fault}"
    );
}

#[test]
fn what_the_loader_refuses_is_all_told_at_once() {
    let many: String = (0..1000).map(|n| format!("vendor.n{n} = {{ const = 1 }}\n")).collect();
    let files = [
        ("acme/a", "format = 1\nextends = \"acme/b\"".to_owned()),
        ("acme/b", "format = 1\nextends = \"acme/a\"".to_owned()),
        (
            "acme/c",
            "format = 1\nextends = \"generic/printer-mib\"\n[match]\nmodel = ['(((a{99}){99}){99}){99}']\n[counters]\n\
             system.impressions = { get = \"1.3.6.1.4.1.1248.1.2.2.44.1.1.2.1.124.124.16.0\" }\n\
             copy.impressions = { get = \"1.3.6.1.6.3.15.1.2.2\" }"
                .to_owned(),
        ),
        (
            "acme/d",
            format!("format = 1\nextends = \"generic/printer-mib\"\n[match]\nmodel = ['^x']\n[counters]\n{many}"),
        ),
    ];
    let head = "format = 1\nextends = \"generic/printer-mib\"\n[match]\nmodel = ['^x']\n[counters]\n";
    let three = "copy.impressions = { column = \"1.3.6.1.4.1.1347.47.1\", match = '[', where = { column = \"1.3.6.1.4.1.2699.1.1.1.1\", is = 2 } }";
    let rules: String = (0..21).map(|n| format!("{{ get = \"1.3.6.1.4.1.99999.2.{n}.0\" }},\n")).collect();
    let more = [("acme/e", format!("{head}{three}")), ("acme/f", format!("{head}system.impressions = [\n{rules}]"))];
    let files: Vec<(&str, &str)> = files.iter().chain(&more).map(|(name, text)| (*name, text.as_str())).collect();
    let found = found(&files).join("\n");
    for part in [
        "acme/b:2: `acme/a` extends this file: a circle",
        "acme/c:4: `(((a{99}){99}){99}){99}` is not a pattern: Compiled regex exceeds size limit of 262144 bytes.",
        "acme/c:6: `1.3.6.1.4.1.1248.1.2.2.44.1.1.2.1.124.124.16.0` may not be asked: Epson's command channel: a GET there can write",
        "acme/c:7: `1.3.6.1.6.3.15.1.2.2` may not be asked: outside 1.3.6.1.2.1 and 1.3.6.1.4.1",
        "acme/d:206: 1000 fields: 200 at most",
        "acme/e:6: `1.3.6.1.4.1.1347.47.1` may not be asked: Kyocera's lists of jobs, users and addresses",
        "acme/e:6: `1.3.6.1.4.1.2699.1.1.1.1` may not be asked: the Job Monitoring MIB: jobs and their owners",
        "acme/e:6: `[` is not a pattern: ",
        "acme/f:27: `counters.system.impressions` has 21 rules: 20 at most",
    ] {
        assert!(found.contains(part), "{part} is missing in\n{found}");
    }
}
