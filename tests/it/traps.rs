//! The traps of printers, T1 to T12: what devices do that a reader trips over, each read with the mappings of the program.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use meterpost::plan;
use meterpost::pmd::Library;
use meterpost::read;
use meterpost::show::{self, Device, Scan};
use meterpost::snmp::Oid;
use meterpost::snmp::recording::Recording;
use serde_json::{Value, json};

/// A printer with sysDescr and sysObjectID, and more rows: `@` stands for 1.3.6.1.2.1, `~` for 1.3.6.1.4.1.
fn printer(description: &str, enterprise: &str, more: &str) -> Value {
    let mut walk = format!("@1.1.0|4|{description}\n@1.2.0|6|~{enterprise}\n");
    if !more.contains("@25.3.2.1.2.") {
        walk.push_str("@25.3.2.1.2.1|6|@25.3.1.5\n");
    }
    walk.push_str(more);
    let walk = walk.replace('@', "1.3.6.1.2.1.").replace('~', "1.3.6.1.4.1.");
    let mut agent = Recording::parse(&walk).unwrap();
    let address = IpAddr::V4(Ipv4Addr::new(127, 30, 0, 1));
    let now = Timestamp::from_second(1_780_000_000).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let read =
        runtime.block_on(read::device(&mut agent, &Library::builtin(), None, &address.to_string(), now)).unwrap();
    let device = Device { address, reading: read.reading, mapping_reason: Some(read.choice.reason), traffic: None };
    let mut text = Vec::new();
    show::json(&Scan { devices: vec![device], ..Scan::default() }, &mut text).unwrap();
    let mut printed: Value = serde_json::from_slice(&text).unwrap();
    printed["devices"][0].take()
}

/// A row of prtMarkerSupplies: number, class, type, unit, capacity, level, description. -9 leaves a cell out.
fn supply(row: (u32, i64, i64, i64, i64, i64, &str)) -> String {
    let (index, class, kind, unit, max, level, description) = row;
    let cells = [(4, class), (5, kind), (7, unit), (8, max), (9, level)];
    let mut text = format!("@43.11.1.1.6.1.{index}|4|{description}\n");
    for (column, value) in cells.into_iter().filter(|(_, value)| *value != -9) {
        text.push_str(&format!("@43.11.1.1.{column}.1.{index}|2|{value}\n"));
    }
    text
}

fn supplies(rows: &[(u32, i64, i64, i64, i64, i64, &str)]) -> String {
    rows.iter().map(|row| supply(*row)).collect()
}

/// Fields of every supply, `-` where there is none.
fn told(device: &Value, fields: &[&str]) -> Vec<String> {
    let word = |row: &Value, field: &str| match &row[field] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    };
    let rows = device["supplies"].as_array().into_iter().flatten();
    rows.map(|row| fields.iter().map(|field| word(row, field)).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn t1_the_life_count_stands_beside_the_vendors_total_and_for_it_only_in_impressions() {
    let life = |unit: u32, count: u32| format!("@43.10.2.1.3.1.1|2|{unit}\n@43.10.2.1.4.1.1|65|{count}\n");
    let totals = |device: &Value| {
        let value = |key: &str| device["counters"][key]["value"].as_u64();
        (value("system.impressions"), value("vendor.marker_life_count"))
    };
    let kyocera = printer("KYOCERA Print I/F", "1347.41", &(life(7, 7432) + "~1347.43.10.1.1.12.1.1|2|7342\n"));
    assert_eq!(totals(&kyocera), (Some(7342), Some(7432)));
    assert_eq!(kyocera["counters"]["system.impressions"]["basis"], "actual");
    let impressions = printer("ACME", "99999.1", &life(7, 500));
    assert_eq!(totals(&impressions), (Some(500), Some(500)));
    assert_eq!(impressions["counters"]["system.impressions"]["basis"], "derived");
    let sheets = printer("RICOH MP 2501 1.0 / RICOH Network Printer", "367.1.1", &life(8, 500));
    assert_eq!(totals(&sheets), (None, Some(500)));
    let not_counted = printer("EPSON Built-in 11b/g/n Print Server", "1248.1.1.2.1.3.5.69.69.80.83.50", &life(7, 0));
    assert_eq!(totals(&not_counted), (None, None));
}

#[test]
fn t2_negative_levels_are_states_and_never_numbers() {
    let device = printer(
        "ACME",
        "99999.1",
        &supplies(&[
            (1, 3, 3, 19, -2, -3, "Toner"),
            (2, 3, 1, 7, 30000, -3, "Separator pad"),
            (3, 4, 4, 19, -2, -2, "Waste"),
            (4, 3, 15, 7, -2, -1, "Fuser"),
            (5, 3, 9, 7, -2, 9, "Drum"),
            (6, 4, 4, 2, 1, -2, "Waste box"),
            (7, 3, 20, 7, 1000, 0, "Belt"),
        ]),
    );
    assert_eq!(
        told(&device, &["index", "max_capacity", "level", "level_state", "percent"]),
        [
            "1 - - some_remaining -",
            "2 30000 - some_remaining -",
            "3 - - unknown -",
            "4 - - unrestricted -",
            "5 - 9 known -",
            "6 1 - unknown -",
            "7 1000 0 known 0",
        ]
    );
}

#[test]
fn t3_a_percentage_follows_from_unit_and_capacity_or_there_is_none() {
    let device = printer(
        "ACME",
        "99999.1",
        &supplies(&[
            (1, 3, 3, 19, -2, 40, "Toner"),
            (2, 3, 3, 7, 12000, 11501, "Toner"),
            (3, 3, 3, 1, 100, 55, "Toner"),
            (4, 3, 3, 13, 60000, 26174, "Toner"),
            (5, 3, 3, 7, 0, 30, "Toner"),
            (6, 3, 3, 7, 100, 130, "Toner"),
            (7, 3, 3, 8, 200, 1, "Toner"),
            (8, 3, 3, 15, -9, 12, "Toner"),
        ]),
    );
    let percents = ["1 40", "2 96", "3 55", "4 44", "5 -", "6 -", "7 1", "8 -"];
    assert_eq!(told(&device, &["index", "percent"]), percents);
}

#[test]
fn t4_a_receptacle_tells_the_room_left_whether_it_says_its_class_or_not() {
    let device = printer(
        "ACME",
        "99999.1",
        &supplies(&[
            (1, 4, 4, 19, 100, 5, "Waste Toner Container"),
            (2, -9, -9, 19, 100, 30, "Resttonerbehälter"),
            (3, 4, 8, 1, 100, 50, "Maintenance Box"),
        ]),
    );
    assert_eq!(told(&device, &["type", "colorant", "percent"]), ["wasteToner - 5", "wasteToner - 30", "wasteInk - 50"]);
}

#[test]
fn t5_colours_come_from_the_index_then_words_then_part_numbers_and_never_from_the_place() {
    let index = |supply: u32, colorant: u32| format!("@43.11.1.1.3.1.{supply}|2|{colorant}\n");
    let names = "@43.12.1.1.4.1.1|4x|79656c6c6f7700\n@43.12.1.1.4.1.2|4|magenta\n@43.12.1.1.4.1.3|4|cyan\n\
                 @43.12.1.1.4.1.4|4|black\n";
    let by_index = printer(
        "ACME",
        "99999.1",
        &(supplies(&[(1, 3, 5, 1, 100, 5, "Ink"), (2, 3, 5, 1, 100, 5, "Ink"), (3, 4, 4, 1, 100, 5, "Black waste")])
            + names
            + &index(1, 1)
            + &index(2, 4)
            + &index(3, 4)),
    );
    assert_eq!(told(&by_index, &["type", "colorant"]), ["ink yellow", "ink black", "wasteToner -"]);
    let by_words = printer(
        "ACME",
        "99999.1",
        &supplies(&[
            (1, 3, 3, 7, 100, 5, "黑色碳粉"),
            (2, 3, 3, 7, 100, 5, "Toner jaune"),
            (3, 3, 3, 7, 100, 5, "TK-8527C"),
            (4, 3, 3, 7, 100, 5, "Zyan"),
            (5, 3, 5, 7, 100, 5, "Matte Black"),
            (6, 3, 9, 7, 100, 5, "Drum Cartridge R1"),
            (7, 3, 15, 7, 100, 5, "Black Fuser"),
        ]),
    );
    assert_eq!(
        told(&by_words, &["type", "colorant"]),
        ["toner black", "toner yellow", "toner cyan", "toner cyan", "ink matte-black", "opc -", "fuser -"]
    );
    let lone = printer("ACME", "99999.1", &supplies(&[(1, 3, 3, 7, 100, 5, "Toner"), (2, 3, 9, 7, 100, 5, "Drum")]));
    assert_eq!(told(&lone, &["type", "colorant"]), ["toner black", "opc -"]);
}

#[test]
fn t6_two_rows_for_one_thing_stay_two() {
    let device = printer(
        "FUJIFILM Apeos C7580",
        "297.1.11.93.2.1.2",
        &supplies(&[(30, 3, 3, 19, 100, 80, "Black Toner (K1)"), (31, 3, 3, 19, 100, -3, "Black Toner (K2)")]),
    );
    assert_eq!(
        told(&device, &["index", "colorant", "level_state", "percent"]),
        ["30 black known 80", "31 black some_remaining -"]
    );
}

#[test]
fn t7_a_counter_is_a_number_in_whatever_type_it_comes() {
    for written in ["2|4294967295", "65|4294967295", "66|4294967295", "70|4294967295", "4|4294967295"] {
        let device = printer(
            "OKI OkiLAN 8100e Rev.01.06: Attached to C843 Rev.A1.00 : (C)2016",
            "2001.1.1.1.1.100.2",
            &format!("~2001.1.1.1.1.11.1.10.150.1.6.102|{written}\n"),
        );
        assert_eq!(device["counters"]["system.impressions"]["value"], 4_294_967_295_u64, "{written}");
    }
    let negative = printer("KYOCERA Print I/F", "1347.41", "~1347.43.10.1.1.12.1.1|2|-1\n");
    assert_eq!(negative["counters"]["system.impressions"], Value::Null);
}

#[test]
fn t8_what_stands_for_nothing_is_nothing() {
    for nothing in ["", "   ", "????", "*", "N/A", "none", "unknown", "0", "0000000000"] {
        let device = printer("ACME", "99999.1", &format!("@43.5.1.1.17.1|4|{nothing}\n"));
        assert_eq!(device["identity"]["serial_number"], Value::Null, "`{nothing}`");
    }
    let device = printer(
        "Xerox AltaLink C8045; SS 103.23",
        "253.8.62.1.37",
        &(supplies(&[(1, 3, 3, 19, 100, 60, "Black Toner, PN unknown;SNunknown")])
            + "@43.8.2.1.9.1.1|2|200000000\n@43.8.2.1.10.1.1|2|-3\n@43.8.2.1.13.1.1|4|Roll\n"),
    );
    assert_eq!(told(&device, &["description", "part_number", "serial_number"]), ["Black Toner - -"]);
    assert_eq!(device["inputs"][0], json!({ "index": 1, "name": "Roll", "level_state": "some_remaining" }));
    let neutral = printer("Generic 28C-1", "18334.1.1.1.2.1.60", "@25.3.2.1.3.1|4|Generic 28C-1\n");
    assert_eq!(
        (&neutral["identity"]["vendor"], &neutral["identity"]["model"]),
        (&json!("Konica Minolta"), &Value::Null)
    );
}

#[test]
fn t9_text_is_utf_8_first_and_loses_nuls_prefixes_and_half_characters() {
    let described = |bytes: &str, charset: u32| {
        let rows = supplies(&[(1, 3, 3, 19, 100, 60, "x")]);
        let rows = rows.replace("@43.11.1.1.6.1.1|4|x", &format!("@43.11.1.1.6.1.1|4x|{bytes}"));
        let device = printer("ACME", "99999.1", &format!("{rows}@43.7.1.1.4.1.1|2|{charset}\n"));
        told(&device, &["description"]).remove(0)
    };
    assert_eq!(described("426c61636b205150000000", 106), "Black QP");
    assert_eq!(described("73766172742066c3a47267", 2009), "svart färg"); // UTF-8 though cp850 is declared
    assert_eq!(described("53636877f67220", 4), "Schwör"); // Latin-1 as declared
    assert_eq!(described("547261666f20c3", 106), "Trafo"); // cut in the middle of a character
    let hp = printer(
        "HP ETHERNET MULTI-ENVIRONMENT,ROM none,JETDIRECT,JD153",
        "11.2.3.9.1",
        "~11.2.3.9.4.2.1.1.3.3.0|4x|0115564e43524331\n",
    );
    assert_eq!(hp["identity"]["serial_number"], "VNCRC1");
    let brother = printer(
        "Brother NC-8100h, Firmware Ver.D",
        "2435.2.3.9.1",
        "~2435.2.3.9.4.2.1.5.4.5.2.0|4x|5265706c6163650d4472756d20202000\n",
    );
    assert_eq!(brother["status"]["console"], json!(["Replace", "Drum"]));
}

#[test]
fn t10_the_device_index_may_be_0_and_rows_may_have_gaps_or_short_indexes() {
    let rows = supplies(&[(1, 3, 5, 15, 651, 65, "Black ink"), (7, 3, 5, 15, 230, 230, "Cyan ink")]);
    let at_0 = rows.replace(".1.1|", ".0.1|").replace(".1.7|", ".0.7|");
    let device = printer(
        "HP ETHERNET MULTI-ENVIRONMENT,SN:CN1,PID:HP Officejet Pro 8600",
        "11.2.3.9.1",
        &format!("@25.3.2.1.2.0|6|@25.3.1.5\n@25.3.2.1.3.0|4|HP Officejet Pro 8600\n@43.5.1.1.17.0|4|CN1XZ\n{at_0}"),
    );
    assert_eq!(device["identity"]["serial_number"], "CN1XZ");
    assert_eq!(told(&device, &["index", "colorant", "percent"]), ["1 black 10", "7 cyan 100"]);
    let pantum = printer(
        "Pantum",
        "40093.1.1",
        "@43.11.1.1.5.1|2|3\n@43.11.1.1.6.1|4|Toner\n@43.11.1.1.7.1|2|19\n@43.11.1.1.8.1|2|100\n@43.11.1.1.9.1|2|42\n",
    );
    assert_eq!(told(&pantum, &["index", "type", "colorant", "percent"]), ["1 toner black 42"]);
}

#[test]
fn t11_no_mapping_asks_a_whole_enterprise_or_uses_getbulk_unbidden() {
    let library = Library::builtin();
    let arcs = |oid: &str| oid.parse::<Oid>().unwrap();
    let (thousands, commands) = (arcs("1.3.6.1.4.1.1347.47"), arcs("1.3.6.1.4.1.1248.1.2.2.44"));
    let mut bulk = BTreeMap::new();
    for pmd in library.pmds() {
        let plan = plan::plan(pmd, 1);
        let walked = plan.walks.iter().flat_map(|walk| walk.columns.iter().map(|column| column.join(&walk.prefix)));
        for oid in walked.chain(plan.gets.iter().map(|(_, oid)| oid.clone())) {
            assert!(oid.arcs().len() > 9, "{}: {oid} is no column", pmd.name);
            assert!(!oid.is_under(&thousands) && !oid.is_under(&commands), "{}: {oid}", pmd.name);
        }
        bulk.insert(pmd.name.to_string(), pmd.limits.bulk);
    }
    assert_eq!(bulk.values().filter(|bulk| **bulk).count(), 0, "{bulk:?}");
    let hp = library.get("hp/jetdirect").unwrap();
    assert_eq!(hp.context.as_deref(), Some("Jetdirect"));
}

#[test]
fn t12_a_sleeping_device_is_idle_and_its_zeros_are_no_counters() {
    let alert = |index: u32, severity: u32, code: u32, text: &str| {
        let row = |column: u32, value: String| format!("@43.18.1.1.{column}.1.{index}|{value}\n");
        row(2, format!("2|{severity}")) + &row(7, format!("2|{code}")) + &row(8, format!("4|{text}"))
    };
    let device = printer(
        "KYOCERA Print I/F",
        "1347.41",
        &("@25.3.2.1.5.1|2|2\n@25.3.5.1.1.1|2|1\n@25.3.5.1.2.1|4x|0000\n@43.10.2.1.3.1.1|2|7\n@43.10.2.1.4.1.1|65|0\n\
           ~1347.43.10.1.1.12.1.1|2|0\n"
            .to_owned()
            + &alert(1, 1, 23, "Sleeping")
            + &alert(2, 5, 1001, "Fuser under temperature")
            + &alert(3, 1, 503, "Power up")
            + &alert(4, 0, 0, "Idle")),
    );
    assert_eq!(device["status"]["state"], "idle");
    assert_eq!(device["status"]["detected_errors"], json!([]));
    assert_eq!(device["counters"]["system.impressions"], Value::Null);
    let codes: Vec<&Value> = device["alerts"].as_array().unwrap().iter().map(|alert| &alert["code"]).collect();
    assert_eq!(codes, ["subunitPowerSaver", "markerFuserUnderTemperature", "powerUp"]);
}
