use super::*;
use crate::pmd::Library;
use crate::snmp::recording::{Recording, push_answer};

/// Any function of the text will do here; its like is keyed in the program.
fn digest(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn redacted(walk: &str) -> (String, BTreeMap<Kind, (usize, usize)>) {
    let recording = Recording::parse(walk).unwrap();
    let objects: Vec<(Oid, Value)> = recording.objects("").map(|(oid, value)| (oid.clone(), value.clone())).collect();
    let known = Known::of(None, &objects, &Library::words_only().words);
    let redacted = redact(&objects, &known, &digest);
    let mut text = String::new();
    for (oid, value) in redacted.objects {
        text += &format!("{oid}|");
        push_answer(&mut text, &Ok(value));
        text.push('\n');
    }
    (text, redacted.replaced)
}

/// The values of the lines of a recording.
fn values(text: &str) -> Vec<String> {
    text.lines().map(|line| line.splitn(3, '|').nth(2).unwrap().to_owned()).collect()
}

#[test]
fn one_original_has_one_pseudonym_of_its_shape_in_every_form() {
    let (text, replaced) = redacted(
        "1.3.6.1.2.1.43.5.1.1.17.1|4|ABC12345X\n\
         1.3.6.1.4.1.9.1.0|4|MFG:Acme;MDL:L5;SN:ABC12345X;CLS:PRINTER;\n\
         1.3.6.1.4.1.9.2.0|4x|0115414243313233343558\n\
         1.3.6.1.4.1.9.3.0|4|414243313233343558\n\
         1.3.6.1.4.1.9.4.0|4|device abc12345x of floor 3\n\
         1.3.6.1.4.1.9.5.65.66.67.49.50.51.52.53.88|2|7",
    );
    let values = values(&text);
    let new = &values[0];
    assert_ne!(new, "ABC12345X");
    let shape = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_ascii_digit() {
                    '0'
                } else if c.is_ascii_uppercase() {
                    'A'
                } else {
                    c
                }
            })
            .collect()
    };
    assert_eq!(shape(new), "AAA00000A");
    assert_eq!(values[1], format!("MFG:Acme;MDL:L5;SN:{new};CLS:PRINTER;"));
    let hex: String = new.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(values[2], format!("0115{hex}"));
    assert_eq!(values[3], hex);
    assert_eq!(values[4], format!("device {} of floor 3", new.to_lowercase()));
    let arcs: Vec<String> = new.bytes().map(|byte| byte.to_string()).collect();
    assert!(text.contains(&format!("1.3.6.1.4.1.9.5.{}|2|7", arcs.join("."))), "{text}");
    assert_eq!(replaced[&Kind::SerialNumber], (1, 6));
}

#[test]
fn a_mac_address_keeps_its_maker_and_is_the_same_as_bytes_as_text_and_in_names() {
    let (text, _) = redacted(
        "1.3.6.1.2.1.2.2.1.6.1|4x|0017c85e21a7\n1.3.6.1.4.1.9.1.0|4|KM5E21A7\n1.3.6.1.4.1.9.2.0|4|00:17:C8:5E:21:A7\n\
         1.3.6.1.4.1.9.3.0|4|http://0017c85e21a7/x",
    );
    let values = values(&text);
    let mac = &values[0];
    assert!(mac.starts_with("0017c8") && mac != "0017c85e21a7", "{mac}");
    assert_eq!(values[1].to_lowercase(), format!("km{}", &mac[6..]));
    let colons: Vec<&str> = (0..6).map(|at| &mac[2 * at..2 * at + 2]).collect();
    assert_eq!(values[2].to_lowercase(), colons.join(":"));
    assert!(values[3].contains(mac), "{}", values[3]);
}

#[test]
fn names_places_and_addresses_go_and_what_says_what_the_device_is_stays() {
    let (text, replaced) = redacted(
        "1.3.6.1.2.1.1.1.0|4|Acme L500 version 4.2.1 at printer room\n\
         1.3.6.1.2.1.1.4.0|4|Ann Smith <ann@smith.example>\n1.3.6.1.2.1.1.5.0|4|lp-hall-2\n1.3.6.1.2.1.1.6.0|4|Hall 2, left\n\
         1.3.6.1.2.1.25.3.2.1.3.1|4|Acme L500\n1.3.6.1.4.1.9.1.0|64|10.20.3.4\n1.3.6.1.4.1.9.2.0|4|ipp://10.20.3.4/ipp\n\
         1.3.6.1.4.1.9.3.0|4|lp-hall-2.corp\n1.3.6.1.4.1.9.4.0|64|255.255.255.0\n1.3.6.1.4.1.9.5.0|2|15003\n\
         1.3.6.1.4.1.9.6.0|4|uuid 12345678-9abc-4def-8012-3456789abcde\n1.3.6.1.4.1.9.7.0|4|Total 1",
    );
    for original in ["Ann", "Smith", "smith.example", "lp-hall-2", "Hall 2", "10.20.3.4", "12345678-9abc"] {
        assert!(!text.contains(original), "{original} is still in\n{text}");
    }
    for kept in [
        "Acme L500 version 4.2.1 at printer room",
        "|4|Acme L500\n",
        "255.255.255.0",
        "|2|15003",
        "Total 1",
        "ipp://10.",
    ] {
        assert!(text.contains(kept), "{kept} is gone from\n{text}");
    }
    let values = values(&text);
    let address = values.iter().find(|value| value.starts_with("10.")).unwrap();
    assert!(text.contains(&format!("ipp://{address}/ipp")), "one pseudonym in both: {text}");
    assert!(replaced[&Kind::Address].1 >= 2 && replaced.contains_key(&Kind::Location), "{replaced:?}");
}

#[test]
fn an_ordinary_word_as_a_name_is_replaced_where_it_stands_alone() {
    let (text, _) = redacted(
        "1.3.6.1.2.1.1.1.0|4|Acme Printer Controller\n1.3.6.1.2.1.1.5.0|4|Printer\n1.3.6.1.2.1.1.6.0|4|B2\n\
         1.3.6.1.4.1.9.1.0|4|B2",
    );
    assert!(text.contains("Acme Printer Controller") && !text.contains("|4|Printer\n"), "{text}");
    assert_eq!(text.matches("|4|B2").count(), 1, "too short to be looked for elsewhere: {text}");
}

#[test]
fn a_device_reads_the_same_from_its_redacted_recording() {
    let walk = std::fs::read_to_string("tests/walks/kyocera-taskalfa-4054ci.snmprec").unwrap();
    let library = Library::builtin();
    let recording = Recording::parse(&walk).unwrap();
    let objects: Vec<(Oid, Value)> = recording.objects("").map(|(oid, value)| (oid.clone(), value.clone())).collect();
    let device = |objects: &[(Oid, Value)]| {
        let mut answers = crate::plan::Answers::default();
        answers.extend("", objects.iter().map(|(oid, value)| (oid.clone(), Ok(value.clone()))));
        crate::author::Device::recorded(&answers, &library, None).reading
    };
    let before = device(&objects);
    let known = Known::of(Some(&before), &objects, &library.words);
    let redacted = redact(&objects, &known, &digest);
    let after = device(&redacted.objects);
    assert_eq!((&before.counters, &before.supplies, &before.inputs), (&after.counters, &after.supplies, &after.inputs));
    let who = |reading: &meterpost_wire::Reading| {
        let identity = reading.identity.clone().unwrap();
        let text = |text: Option<meterpost_wire::reading::Text>| text.map(|text| text.value);
        (
            text(identity.vendor),
            text(identity.model),
            identity.firmwares[0].version.value.clone(),
            text(identity.serial_number),
        )
    };
    let (old, new) = (who(&before), who(&after));
    assert_eq!((&old.0, &old.1, &old.2), (&new.0, &new.1, &new.2));
    assert_ne!(old.3, new.3);
    for (_, original) in known.originals() {
        let is_in = |(_, value): &(Oid, Value)| {
            let bytes = value.as_octets().unwrap_or_default();
            bytes.windows(original.len()).any(|part| part.eq_ignore_ascii_case(original.as_bytes()))
        };
        assert!(!redacted.objects.iter().any(is_in), "{original}");
    }
}
