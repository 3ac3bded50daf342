//! Batches that a key holder would have to be broken, newer or hostile to make.

use meterpost_wire::counters::CounterKey;
use meterpost_wire::xml::{DEVICES_MAX, Decoded, decode, encode};

use crate::batches;

const HEAD: &str = r#"<Batch xmlns="urn:meterpost:batch:1" schemaVersion="1.0" id="0192f0c1-7b7e-7000-8000-000000000001" site="6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10" sequence="41" created="2026-11-20T06:03:12Z">"#;
const DEVICE: &str = r#"<Device id="sn:a:1"><ReadAt>2026-11-20T06:01:44Z</ReadAt><Outcome>complete</Outcome></Device>"#;

fn batch(devices: &str) -> String {
    format!("{HEAD}<Devices>{devices}</Devices></Batch>")
}

/// A device with something in it.
fn device(content: &str) -> String {
    DEVICE.replace("</Device>", &format!("{content}</Device>"))
}

#[track_caller]
fn read(xml: &str) -> Decoded {
    decode(xml.as_bytes()).unwrap_or_else(|error| panic!("{error}: {xml:.600}"))
}

#[track_caller]
fn check_refused(xml: &str, why: &str) {
    let error = decode(xml.as_bytes()).expect_err(why).to_string();
    assert!(error.starts_with("no batch: ") && error.contains(why), "{error}");
}

/// One device that is set aside for this reason, between two that are taken.
#[track_caller]
fn check_set_aside(bad: &str, reason: &str) {
    let (first, last) = (DEVICE, DEVICE.replace("sn:a:1", "sn:a:9"));
    let read = read(&batch(&format!("{first}{bad}{last}")));
    let taken: Vec<&str> = read.batch.devices.iter().map(|device| device.key.as_str()).collect();
    assert_eq!(taken, ["sn:a:1", "sn:a:9"]);
    assert_eq!(read.set_aside.len(), 1);
    assert_eq!((read.set_aside[0].xml.as_str(), read.set_aside[0].reason.as_str()), (bad, reason));
}

#[test]
fn entities_and_document_types_are_refused() {
    let bomb = r#"<!DOCTYPE Batch [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>"#;
    check_refused(
        &format!("{bomb}{}", batch(&device("<Network><HostName>&b;</HostName></Network>"))),
        "a document type",
    );
    let external = r#"<!DOCTYPE Batch SYSTEM "file:///etc/passwd">"#;
    check_refused(&format!("{external}{}", batch("")), "a document type");
    check_refused(&batch(&device("<Network><HostName>&b;</HostName></Network>")), "an entity that XML has not");
    check_refused(&batch(&device("<Network><HostName>&#0;</HostName></Network>")), "not XML");
}

#[test]
fn deep_wide_and_crowded_elements_are_refused() {
    check_refused(&batch(&"<a>".repeat(1_000_000)), "nested deeper than 32");
    read(&batch(&format!("{}{}", "<a>".repeat(30), "</a>".repeat(30))));
    let attributes = |count: usize| (0..count).map(|i| format!(" a{i}=\"\"")).collect::<String>();
    read(&batch(&format!("<a{}/>", attributes(16))));
    check_refused(&batch(&format!("<a{}/>", attributes(17))), "more than 16 attributes");
    check_refused(&batch(&format!("<a{}/>", attributes(100_000))), "more than 16 attributes");
    let namespaces = (0..1_000).map(|i| format!(" xmlns:a{i}=\"u{i}\"")).collect::<String>();
    check_refused(&batch(&format!("<a{namespaces}/>")), "not XML");
    check_refused(&batch("<a b='1' b='2'/>"), "not XML");
    check_refused(&batch(&DEVICE.repeat(DEVICES_MAX + 1)), "more than 2000 devices");
}

#[test]
fn a_batch_cut_anywhere_is_refused() {
    let check = |whole: &str, step: usize| {
        for end in (0..whole.len()).step_by(step).filter(|end| whole.is_char_boundary(*end)) {
            assert!(decode(&whole.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    };
    check(&batch(DEVICE), 1);
    check(&encode(&batches::full()), 61);
}

#[test]
fn what_follows_the_root_is_refused_unless_it_is_nothing() {
    let good = batch(DEVICE);
    read(&format!("\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- a -->{good}\n<!-- b --><?php ?>\n"));
    check_refused(&format!("{good}junk"), "text outside the root");
    check_refused(&format!("{good}<![CDATA[junk]]>"), "text outside the root");
    check_refused(&format!("{good}{good}"), "something after the root");
    check_refused(&format!("junk{good}"), "text outside the root");
}

#[test]
fn other_roots_and_encodings_are_refused() {
    check_refused("", "no element");
    check_refused("{}", "text outside the root");
    check_refused(&batch("").replace("batch:1", "batch:2"), "the root is not `Batch` of `urn:meterpost:batch:1`");
    check_refused(&batch("").replace("Batch", "batch"), "the root is not `Batch`");
    check_refused(&batch("").replace(" xmlns=\"urn:meterpost:batch:1\"", ""), "the root is not `Batch`");
    check_refused(
        &format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{}", batch("")),
        "an encoding other than UTF-8",
    );
    assert_eq!(decode(b"<Batch>\xe4</Batch>").unwrap_err().to_string(), "no batch: not UTF-8 at byte 7");
    let utf16: Vec<u8> = batch("").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(decode(&utf16).is_err());
}

#[test]
fn a_root_without_what_makes_a_batch_is_refused() {
    for (from, to, why) in [
        (" id=\"0192f0c1", " x=\"0192f0c1", "`@id` is missing"),
        (" id=\"0192f0c1", " id=\"0192F0C1", "`@id` is not a lower-case UUID"),
        (" site=\"6f1c2a52-", " site=\"", "`@site` is not a lower-case UUID"),
        ("sequence=\"41\"", "", "`@sequence` is missing"),
        ("sequence=\"41\"", "sequence=\"0\"", "`@sequence` is not 1 to 2^53 - 1"),
        ("sequence=\"41\"", "sequence=\"9007199254740992\"", "`@sequence` is not 1 to 2^53 - 1"),
        ("06:03:12Z", "06:03:12+01:00", "`@created` is not a time in UTC"),
        ("2026-11-20T", "2026-13-20T", "`@created` is not a time in UTC"),
    ] {
        assert!(HEAD.contains(from));
        check_refused(&batch(DEVICE).replacen(from, to, 1), why);
    }
}

#[test]
fn a_device_that_cannot_be_read_is_set_aside_alone() {
    check_set_aside(&DEVICE.replace(" id=\"sn:a:1\"", ""), "`@id` is missing");
    check_set_aside(&DEVICE.replace("ReadAt>", "ReadA>"), "`ReadAt` is missing, or no time in UTC");
    check_set_aside(&DEVICE.replace("44Z", "44"), "`ReadAt` is missing, or no time in UTC");
    check_set_aside(&DEVICE.replace("complete", "splendid"), "`Outcome` is missing, or not known here");
    check_set_aside(&DEVICE.replace(" id=", " scope=\"half\" id="), "`@scope` is not known here");
    let total = |value: &str| {
        device(&format!(
            "<Counters><SystemTotals><WorkTotals><Impressions>{value}</Impressions></WorkTotals></SystemTotals></Counters>"
        ))
    };
    for bad in ["", "12,5", "-1", "0x10", "18446744073709551616", "1 2"] {
        check_set_aside(&total(bad), &format!("`{bad}` where a number is due"));
    }
    let supply = |content: &str| device(&format!("<MarkerSupplies>{content}</MarkerSupplies>"));
    check_set_aside(&supply("<MarkerSupply/>"), "a `MarkerSupply` without `@index`");
    check_set_aside(&supply("<MarkerSupply index='a'/>"), "`a` where index is due");
    let percent = "<MarkerSupply index='1'><RemainingPercent>101</RemainingPercent></MarkerSupply>";
    check_set_aside(&supply(percent), "`101` where a percentage is due");
    let code = "<MarkerSupply index='1'><MarkerSupplyClass code='x'>a</MarkerSupplyClass></MarkerSupply>";
    check_set_aside(&supply(code), "`x` where MarkerSupplyClass is due");
    let nameless = "<Counters><VendorCounters><VendorCounter name='No'>1</VendorCounter></VendorCounters></Counters>";
    check_set_aside(&device(nameless), "a `VendorCounter` without a name in snake case");
}

#[test]
fn of_a_key_that_stands_twice_the_first_device_counts() {
    let read = read(&batch(&format!("{DEVICE}{}", DEVICE.replace("complete", "denied"))));
    assert_eq!(read.batch.devices.len(), 1);
    assert_eq!(read.batch.devices[0].outcome.as_str(), "complete");
    assert_eq!(read.notes.duplicate_devices, ["sn:a:1"]);
}

#[test]
fn a_newer_batch_is_read_and_what_is_unknown_counted() {
    let newer = format!(
        r#"{}<Later><Devices><Device id="trap"/></Devices></Later><Devices><Note/>{}<d:Device xmlns:d="urn:dealer" id="x"/></Devices><Collector><Name>a</Name><Mood>b</Mood></Collector></Batch>"#,
        HEAD.replace("1.0", "1.7").replace(" created", " mood=\"good\" created"),
        device(
            "<Mood>x</Mood><Identity xmlns:d='urn:dealer'><d:AssetTag>no</d:AssetTag><AssetTag>yes</AssetTag><AssetTag>late</AssetTag></Identity>"
        ),
    );
    let read = read(&newer);
    let [device] = read.batch.devices.as_slice() else { panic!("{:?}", read.batch.devices) };
    assert_eq!(device.identity.as_ref().unwrap().asset_tag, Some("yes".into()));
    assert_eq!(read.batch.collector.name, "a");
    // six elements, each with all that is in it, and the mood of the batch
    assert_eq!((read.notes.unknown, read.notes.repeated), (7, 1));
    assert_eq!(read.notes.needs_reader, None);
}

#[test]
fn attributes_that_are_unknown_are_passed_over_and_counted() {
    let check = |device: &str, unknown| {
        let read = read(&batch(device));
        assert_eq!((read.batch.devices.len(), read.notes.unknown), (1, unknown), "{device}");
        assert_eq!(read.batch.devices[0].key, "sn:a:1");
    };
    check(DEVICE, 0);
    check(&DEVICE.replace(" id=", " mood='good' id="), 1);
    check(&DEVICE.replace(" id=", " xmlns:d='urn:dealer' d:id='x' d:mood='good' id="), 2);
    // of what is unknown as a whole only that it was there
    check(&DEVICE.replace("</Device>", "<Mood a='1' b='2'><c d='3'/></Mood></Device>"), 1);
    check(&DEVICE.replace(" id=", " xml:lang='de' id="), 1);
}

#[test]
fn comments_and_processing_instructions_are_passed_over_wherever_they_stand() {
    let plain = batch(DEVICE);
    let between = plain.replace("><", "><?style href='a'?><!-- <Device id='trap'/> --><");
    assert!(between.len() > plain.len() + 100);
    assert_eq!(read(&between), read(&plain));
    let within = plain.replace("complete", "comp<?x?>le<!-- -->te");
    assert_eq!(read(&within), read(&plain));
}

#[test]
fn a_batch_that_needs_a_newer_reader_says_so() {
    for (min_reader, needed) in [("1.0", None), ("1.1", Some("1.1")), ("2.0", Some("2.0")), ("soon", None)] {
        let xml = batch(DEVICE).replace(" created", &format!(" minReader=\"{min_reader}\" created"));
        assert_eq!(read(&xml).notes.needs_reader.as_deref(), needed);
    }
}

#[test]
fn prefixes_order_and_white_space_do_not_matter() {
    let shuffled = format!(
        "<m:Batch xmlns:m=\"urn:meterpost:batch:1\" {}\n<m:Devices>\n {} \n</m:Devices></m:Batch>",
        HEAD.split_once("batch:1\" ").unwrap().1,
        "<m:Device id='sn:a:1'> <m:Outcome>\n complete </m:Outcome><m:ReadAt> 2026-11-20T06:01:44Z\n</m:ReadAt></m:Device>"
    );
    assert_eq!(read(&shuffled).batch.devices, read(&batch(DEVICE)).batch.devices);
}

#[test]
fn counters_of_other_versions_keep_their_numbers() {
    let counters = "<Counters><SystemTotals><WorkTotals><Impressions>1</Impressions><HoloImpressions>2</HoloImpressions>\
        </WorkTotals><Night><Impressions>3</Impressions></Night><MediasUsed><MediaUsed><MediaUsedMediaSizeName>\
        na_letter_8.5x11in</MediaUsedMediaSizeName><MediaUsedTotalSheets>4</MediaUsedTotalSheets></MediaUsed></MediasUsed>\
        </SystemTotals><TransformServiceCounters><WorkTotals><Images>5</Images></WorkTotals></TransformServiceCounters>\
        </Counters>";
    let read = read(&batch(&device(counters)));
    let counters = read.batch.devices[0].counters.clone().unwrap();
    for (key, value) in [
        ("system.impressions", 1),
        ("vendor.system_holo_impressions", 2),
        ("vendor.system_night_impressions", 3),
        ("vendor.system_na_letter_8_5x11in_total_sheets", 4),
        ("vendor.transform_images", 5),
    ] {
        let count = counters.get(&CounterKey::parse(key).unwrap());
        assert_eq!(count.map(|count| count.value), Some(value), "{key} in {counters:?}");
    }
    assert_eq!(counters.len(), 5);
}

#[test]
fn texts_are_cut_to_their_field_and_freed_of_control_characters() {
    let long = "x".repeat(5_000_000);
    let content = format!(
        "<Network><HostName>{long}</HostName></Network><Status><ConsoleText>a\u{1}&#x2;b</ConsoleText></Status>"
    );
    let read = read(&batch(&device(&content)));
    let device = &read.batch.devices[0];
    assert_eq!(device.network.as_ref().unwrap().host_name.as_ref().map(String::len), Some(255));
    assert_eq!(device.status.as_ref().unwrap().console, ["a\u{FFFD}\u{FFFD}b"]);
}

#[test]
fn lists_end_at_their_limit() {
    let gap = "<Gap field='a' reason='policy'/>".repeat(250);
    let link = format!("<Link sequence='1' sha256='{}'/>", "0".repeat(64)).repeat(20);
    let void = "<Void from='1' to='2' reason='lost'/>".repeat(70);
    let error = "<Error at='2026-11-20T06:01:44Z' code='a'>b</Error>".repeat(10);
    let rest = format!(
        "<Chain><Links>{link}</Links><Voids>{void}</Voids></Chain><Health><Errors>{error}</Errors></Health></Batch>"
    );
    let xml = batch(&device(&format!("<Gaps>{gap}</Gaps>"))).replace("</Batch>", &rest);
    let read = read(&xml);
    let chain = read.batch.chain.unwrap();
    let lengths = (
        read.batch.devices[0].gaps.len(),
        chain.links.len(),
        chain.voids.len(),
        read.batch.health.unwrap().errors.len(),
    );
    assert_eq!(lengths, (200, 15, 64, 8));
    assert_eq!(read.notes.over_limit, 50 + 5 + 6 + 2);
}

#[test]
fn odd_links_voids_and_times_are_passed_over() {
    let rest = "<Sweep><StartedAt>2026-11-20T06:00:00Z</StartedAt></Sweep><Chain><Links><Link sequence='0' sha256='x'/></Links>\
        <Voids><Void from='3' to='2' reason='lost'/><Void from='1' to='2' reason='eaten'/></Voids></Chain>\
        <Health><UptimeSeconds>long</UptimeSeconds><QueueWaiting>3</QueueWaiting></Health></Batch>";
    let xml = batch(DEVICE).replace("</Batch>", rest).replace(" created", " previous=\"ABC\" dueNext=\"soon\" created");
    let read = read(&xml);
    assert_eq!((&read.batch.previous, &read.batch.due_next, &read.batch.sweep), (&None, &None, &None));
    let chain = read.batch.chain.unwrap();
    assert!(chain.links.is_empty() && chain.voids.is_empty());
    assert_eq!(read.batch.health.unwrap().queue_waiting, Some(3));
    assert_eq!((read.batch.devices.len(), read.notes.unreadable), (1, 7));
}

#[test]
fn times_at_the_very_end_of_the_calendar_refuse_nothing() {
    for (created, year) in [("9999-12-31T23:00:00Z", 9999), ("9999-12-31T23:59:59.999Z", 9999)] {
        let read = read(&batch("").replace("2026-11-20T06:03:12Z", created));
        assert_eq!(read.batch.created.to_string()[..4].parse(), Ok(year), "{created}");
    }
    for wrong in ["9999-12-31Z", "9999-12-32T00:00:00Z", "9999-12-31T23:00:00", "2026-11-20Z"] {
        check_refused(&batch("").replace("2026-11-20T06:03:12Z", wrong), "`@created` is not a time in UTC");
    }
}
