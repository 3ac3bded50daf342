//! Brand and model of what is known by sysObjectID and sysDescr alone: one line for every enterprise that makes printers,
//! whether a mapping file is there for it or not.

use jiff::Timestamp;
use meterpost::pmd::Library;
use meterpost::read::{self, NotRead};
use meterpost::snmp::recording::Recording;

/// Brand and model that are read, or `None` when it is no printer. An empty text is not answered.
fn read(library: &Library, enterprise: &str, description: &str, more: &str) -> Option<(String, String)> {
    let mut walk = String::new();
    if !description.is_empty() {
        walk.push_str(&format!("1.3.6.1.2.1.1.1.0|4|{description}\n"));
    }
    if !enterprise.is_empty() {
        walk.push_str(&format!("1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.{enterprise}\n"));
    }
    walk.push_str(more);
    let mut agent = Recording::parse(&walk).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let now = Timestamp::from_second(1_780_000_000).unwrap();
    match runtime.block_on(read::device(&mut agent, library, None, "127.30.0.1", now)) {
        Ok(read) => {
            let who = read.reading.identity.unwrap();
            let text = |text: Option<meterpost_wire::reading::Text>| text.map(|text| text.value).unwrap_or_default();
            Some((text(who.vendor), text(who.model)))
        }
        Err(NotRead::NotPrinter(_)) => None,
        Err(error) => panic!("{enterprise} {description}: {error}"),
    }
}

#[track_caller]
fn check(more: &str, rows: &[(&str, &str, &str, &str)]) {
    let library = Library::builtin();
    let mut wrong = Vec::new();
    for (enterprise, description, vendor, model) in rows {
        let found = read(&library, enterprise, description, more);
        if found.as_ref().map(|(v, m)| (v.as_str(), m.as_str())) != Some((*vendor, *model)) {
            wrong.push(format!("{enterprise} `{description}`: {found:?}, not {vendor} {model}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_enterprise_that_makes_printers_is_known_by_its_number() {
    check(
        "",
        &[
            ("11.2.3.9.1", "", "HP", ""),
            ("11.1", "", "HP", ""),
            ("29999.1", "", "HP", ""),
            ("26696.1", "", "HP", ""),
            ("1347.41", "", "Kyocera", ""),
            ("1602.4.7", "", "Canon", ""),
            ("5502.1", "", "Canon", ""),
            ("25278.1", "", "Canon", ""),
            ("27748.4", "", "Canon", ""),
            ("1552.21", "", "Océ", ""),
            ("367.1.1", "", "Ricoh", ""),
            ("3793.1", "", "Lanier", ""),
            ("253.8.62.1.35", "", "Xerox", ""),
            ("297.1.11.93.1.27", "", "Fuji Xerox", ""),
            ("297.1.11.93.2.1.2", "", "FUJIFILM", ""),
            ("28708.1", "", "FUJIFILM", ""),
            ("18334.1.1.1.2.1.60", "", "Konica Minolta", ""),
            ("18334.1.2.1.2.1.60", "", "Develop", ""),
            ("2590.1.1.1.2.1", "", "Konica Minolta", ""),
            ("641.1", "", "Lexmark", ""),
            ("641.2.71106820", "", "Lexmark", ""),
            ("641.51", "", "Lexmark", ""),
            ("2435.2.3.9.1", "", "Brother", ""),
            ("1248.1.1.2.1.3.7.65.76.45.67.88.49.49", "", "Epson", "AL-CX11"),
            ("1248.1.2.1", "", "Epson", ""),
            ("345.1", "", "Epson", ""),
            ("236.11.5.1", "", "Samsung", ""),
            ("2385.3.1.112.1.2", "", "Sharp", ""),
            ("1472.1", "", "Sharp", ""),
            ("3369.1.1.2.40", "", "Sharp", ""),
            ("1129.2.3.58.2", "", "Toshiba", ""),
            ("186.1", "", "Toshiba", ""),
            ("2001.1.1.1.1.100.2", "", "OKI", ""),
            ("674.10898.2.100.6", "", "Dell", ""),
            ("674.100.1", "", "Dell", ""),
            ("258.406.2", "", "Panasonic", ""),
            ("44932.1", "", "Panasonic", ""),
            ("40093.1.1", "", "Pantum", ""),
            ("10642.1", "", "Zebra", ""),
            ("683.6.0", "", "Zebra", ""),
            ("16653.1", "", "Zebra", ""),
            ("51966.2.6", "", "TSC", ""),
            ("42406.1", "", "SATO", ""),
            ("20438.1", "", "Citizen", ""),
            ("33241.1", "", "Citizen", ""),
            ("10504.1", "", "Printronix", ""),
            ("24807.1", "", "Riso", ""),
            ("25549.1", "", "Star", ""),
            ("38191.6.2.2", "", "LG", ""),
            ("22624.1", "", "Source Technologies", ""),
            ("40463.1", "", "TROY", ""),
            ("28959.1", "", "Fargo", ""),
            ("2565.1", "", "Avery Dennison", ""),
            ("128.1", "", "Tektronix", ""),
            ("28918.1", "", "IBM", ""),
            ("279.1", "", "Olivetti", ""),
            ("6345.1", "", "Compuprint", ""),
            ("4228.1", "", "Dascom", ""),
            ("25816.1", "", "Roland DG", ""),
            ("3835.1", "", "ALPS", ""),
            ("28878.1", "", "Seiko", ""),
            ("2136.2.1", "", "EFI", ""),
            ("171.11.10.1", "D-Link DP-301P+ Print Server", "D-Link", ""),
        ],
    );
}

/// They make servers, switches and cameras too: their number is a brand, and something else must say that it prints.
#[test]
fn makers_of_much_else_are_a_brand_once_something_says_printer() {
    const PRINTER: &str = "1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.5\n";
    let makers = [
        ("2.6.168", "IBM"),
        ("11369.1", "Lenovo"),
        ("314.1", "Kodak"),
        ("79.2", "Fujitsu"),
        ("211.1", "Fujitsu"),
        ("231.1", "Fujitsu"),
        ("119.2", "NEC"),
        ("122.8", "Sony"),
        ("263.1", "Seiko"),
        ("396.1", "Panasonic"),
    ];
    let rows: Vec<(&str, &str, &str, &str)> =
        makers.iter().map(|(enterprise, brand)| (*enterprise, "", *brand, "")).collect();
    check(PRINTER, &rows);
    let library = Library::builtin();
    for (enterprise, _) in makers {
        assert_eq!(read(&library, enterprise, "Linux 5.10 gateway", ""), None, "{enterprise}");
    }
}

/// What sysDescr tells where sysObjectID is not answered, or is a general one.
#[test]
fn brand_and_model_stand_at_the_beginning_of_the_description() {
    const GENERAL: &str = "8072.3.2.10";
    check(
        "",
        &[
            (GENERAL, "HP Color LaserJet MFP E78630", "HP", "Color LaserJet MFP E78630"),
            (GENERAL, "HP ETHERNET MULTI-ENVIRONMENT,ROM none,JETDIRECT,JD153", "HP", ""),
            ("", "Canon LBP6670 /P", "Canon", "LBP6670"),
            ("", "RICOH Aficio MP 171 1.00.1 / RICOH Network Printer C model", "Ricoh", "Aficio MP 171"),
            ("", "Xerox WorkCentre 5755 ; SS 061.132.222.16901, NC 061.132.16901", "Xerox", "WorkCentre 5755"),
            ("", "FUJI XEROX DocuCentre-V C3375;System 52.40.61,ESS1.208.6", "Fuji Xerox", "DocuCentre-V C3375"),
            ("", "FUJIFILM Apeos C7580", "FUJIFILM", "Apeos C7580"),
            ("", "KONICA MINOLTA bizhub C250i", "Konica Minolta", "bizhub C250i"),
            ("", "Lexmark X746de version NH41.NA.N543 kernel 2.6", "Lexmark", "X746de"),
            ("", "IBM Infoprint 1412 55.10.21", "IBM", "Infoprint 1412"),
            (GENERAL, "InfoPrint 6500-V10", "IBM", "InfoPrint 6500-V10"),
            ("", "EPSON Built-in 11b/g/n Print Server", "Epson", ""),
            ("", "Samsung ML-3710 Series; V1.00.01.74 MAR-15-2012;Engine 1.01.08", "Samsung", "ML-3710"),
            (GENERAL, "Samsung CLX-6260 Series OS V1.00.01.62 11-01-2012", "Samsung", "CLX-6260"),
            ("", "SHARP MX-2614N", "Sharp", "MX-2614N"),
            ("", "TOSHIBA TEC B-FV4T", "Toshiba", "B-FV4T"),
            (GENERAL, "TOSHIBA e-STUDIO2505AC", "Toshiba", "e-STUDIO2505AC"),
            ("", "OKI OkiLAN 8100e Rev.01.06: Attached to C9600 Rev.03.16 : (C)2004", "OKI", "C9600"),
            ("", "Dell 1700n Laser Printer version 1.0", "Dell", "1700n"),
            ("", "Dell MFP Laser 3115cn; Net 11.81, Controller 200707051126", "Dell", "3115cn"),
            ("", "ZebraNet Wired PS", "Zebra", ""),
            (GENERAL, "SATO CL4NX 1.11.0", "SATO", "CL4NX"),
            (GENERAL, "Printronix T8204", "Printronix", "T8204"),
            (GENERAL, "Star Micronics TSP847II", "Star", "TSP847II"),
            (GENERAL, "NEC MultiWriter 5750C", "NEC", "MultiWriter 5750C"),
            ("22624.1", "Source Technologies ST9730 version LW40.SB7.P543", "Source Technologies", "ST9730"),
            ("40463.1", "TROY 4015 Series", "TROY", "4015"),
            (GENERAL, "AXIS 5600+ Network Print Server V6.15", "AXIS", ""),
        ],
    );
}

#[test]
fn a_model_loses_its_brand_in_all_the_ways_that_it_is_spelt() {
    let spellings = [
        ("Hewlett-Packard HP LaserJet 400", "HP", "LaserJet 400"),
        ("TA Triumph-Adler 4006ci", "Triumph-Adler", "4006ci"),
        ("UTAX_TA 3005ci", "UTAX", "3005ci"),
        ("Kyocera Mita FS-1020D", "Kyocera", "FS-1020D"),
        ("KONICAMINOLTA bizhub 223", "Konica Minolta", "bizhub 223"),
        ("SEIKO EPSON AL-C2600", "Epson", "AL-C2600"),
        ("OKI DATA CORP C532", "OKI", "C532"),
        ("Lexmark International X792", "Lexmark", "X792"),
        ("Nashuatec MP 301", "Nashuatec", "MP 301"),
        ("Lanier MP C2003 Series", "Lanier", "MP C2003"),
    ];
    for (described, vendor, model) in spellings {
        let row = format!("1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.5\n1.3.6.1.2.1.25.3.2.1.3.1|4|{described}\n");
        check(&row, &[("", "", vendor, model)]);
    }
}

#[test]
fn other_devices_of_such_brands_are_no_printers() {
    let library = Library::builtin();
    let rows = [
        ("11.2.3.7.11.160", "HP J9775A 2530-48G Switch, revision YA.16.08"),
        ("2.3.1.2.1.1.3", "IBM PowerPC CHRP Computer"),
        ("119.2.3", "NEC IX2215 router"),
        ("368.4.1", "AXIS P1448-LE Network Camera"),
        ("171.10.117", "D-Link DGS-1210-24 Switch"),
        ("674.10895.3000", "Dell Networking N1548"),
        ("8072.3.2.10", "Linux samsung 3.2"),
    ];
    for (enterprise, description) in rows {
        assert_eq!(read(&library, enterprise, description, ""), None, "{description}");
    }
}
