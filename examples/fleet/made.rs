//! Two made-up devices for measuring: values invented, sizes and counts as in life.
//!
//! Recordings of real devices are often cut down, and a walk of one looks ten times cheaper than it is. The typical MFP
//! has every readable column of RFC 3805, and about 690 objects in all; the A4 printer is the small one of an office.
//! Both speak Kyocera's tree, because that has the most counters of the families that are read from the first day.

use std::fmt::Write;

use super::recording::Recording;

/// An A3 colour MFP: 5 trays, 2 outputs, 11 supplies, 8 languages, 6 channels, 6 interpreters, 3 alerts.
pub fn typical_mfp() -> Recording {
    let mut made = Made::default();
    made.system("TASKalfa 4000ci", 2);
    made.host(4);
    made.general("VRA2X00417", "TASKalfa 4000ci");
    let covers = ["Front cover", "Right cover 1", "Right cover 2", "Document processor cover", "Toner cover"];
    made.covers(&covers);
    let languages = ["en", "de", "fr", "it", "es", "nl", "pl", "pt"];
    made.rows("43.7.1.1", 8, &[(2, &|n| text(languages[n])), (3, &|_| text("DE")), (4, &|_| number(106))]);
    made.inputs(5);
    made.outputs(2);
    made.markers(4, 95_412);
    made.supplies(&[
        (3, "TK-8735K", 3, 1, 7, 70_000, 49_700),
        (3, "TK-8735C", 3, 2, 7, 40_000, 12_400),
        (3, "TK-8735M", 3, 3, 7, 40_000, 28_800),
        (3, "TK-8735Y", 3, 4, 7, 40_000, 7_600),
        (9, "DK-8705 (K)", 3, 1, 7, 600_000, 504_588),
        (9, "DK-8705 (C)", 3, 2, 7, 600_000, 561_342),
        (9, "DK-8705 (M)", 3, 3, 7, 600_000, 561_342),
        (9, "DK-8705 (Y)", 3, 4, 7, 600_000, 561_342),
        (4, "Waste Toner Box", 4, 0, 7, -2, -3),
        (15, "FK-8705", 3, 0, 7, 600_000, 504_588),
        (20, "TR-8705", 3, 0, 7, 600_000, 504_588),
    ]);
    made.colorants(4);
    made.media_paths(2);
    made.channels(6);
    made.interpreters(6);
    made.console(&["Ready to print.", "", "Tray 3: A4 plain", ""]);
    made.alerts(&[
        (3, 4, 3, 8, 3, 807, "Add paper in cassette 3."),
        (4, 5, 6, 11, 4, 1104, "Toner is running low: TK-8735Y"),
        (9, 4, 5, 10, 1, 1001, "Maintenance is due."),
    ]);
    made.kyocera(
        "TASKalfa 4000ci",
        "VRA2X00417",
        "2XC_S000.003.117",
        &[(1, 61_204, 1_870, 20_412), (2, 8_811, 0, 1_204), (4, 1_733, 0, 0)],
        true,
    );
    made.recording()
}

/// An A4 colour printer: 2 trays, 4 supplies, 8 counters, nothing wrong.
pub fn a4_printer() -> Recording {
    let mut made = Made::default();
    made.system("ECOSYS P4100cdn", 1);
    made.host(1);
    made.general("VKB1Z00233", "ECOSYS P4100cdn");
    made.covers(&["Top cover"]);
    made.rows("43.7.1.1", 1, &[(2, &|_| text("en")), (3, &|_| text("US")), (4, &|_| number(106))]);
    made.inputs(2);
    made.outputs(1);
    made.markers(4, 21_377);
    made.supplies(&[
        (3, "TK-5490K", 3, 1, 7, 6_300, 4_914),
        (3, "TK-5490C", 3, 2, 7, 5_000, 1_550),
        (3, "TK-5490M", 3, 3, 7, 5_000, 3_600),
        (3, "TK-5490Y", 3, 4, 7, 5_000, 950),
    ]);
    made.colorants(4);
    made.media_paths(1);
    made.channels(2);
    made.interpreters(3);
    made.console(&["Ready to print."]);
    made.kyocera("ECOSYS P4100cdn", "VKB1Z00233", "2Z9_S000.001.042", &[(1, 14_205, 0, 7_102)], false);
    made.recording()
}

/// A cell: tag and value, as a line of a recording has them.
type Cell = (u8, String);
/// A column: its number and its cell for row n, from 0.
type Column<'a> = (u32, &'a dyn Fn(usize) -> Cell);
/// A supply: type, description, class, colorant index, unit, capacity, level.
type Supply<'a> = (i64, &'a str, i64, i64, i64, i64, i64);
/// An alert: its index, severity, training, group, group index, code, description.
type Alert<'a> = (u32, i64, i64, i64, i64, i64, &'a str);

fn number(value: i64) -> Cell {
    (2, value.to_string())
}

fn text(value: impl Into<String>) -> Cell {
    (4, value.into())
}

fn counter(value: i64) -> Cell {
    (65, value.to_string())
}

fn oid(value: &str) -> Cell {
    (6, value.to_owned())
}

/// Lines of a recording in the making. OIDs are written without 1.3.6.1.2.1; those that begin with 1.3 are whole.
#[derive(Default)]
struct Made(String);

impl Made {
    fn recording(self) -> Recording {
        Recording::parse(&self.0).expect("lines as this module writes them")
    }

    fn put(&mut self, oid: &str, (tag, value): Cell) {
        let root = if oid.starts_with("1.3.") { "" } else { "1.3.6.1.2.1." };
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{root}{oid}|{tag}|{value}");
    }

    /// A table of device 1 with rows 1 to `rows`.
    fn rows(&mut self, table: &str, rows: usize, columns: &[Column<'_>]) {
        for (column, cell) in columns {
            for n in 0..rows {
                self.put(&format!("{table}.{column}.1.{}", n + 1), cell(n));
            }
        }
    }

    fn system(&mut self, model: &str, interfaces: usize) {
        for (n, cell) in [
            text("KYOCERA Document Solutions Printing System"),
            oid("1.3.6.1.4.1.1347.41"),
            (67, "181301465".into()),
            text(""),
            text(""),
            text("Floor 2"),
            number(72),
        ]
        .into_iter()
        .enumerate()
        {
            self.put(&format!("1.{}.0", n + 1), cell);
        }
        let all = interfaces + 1;
        self.put("2.1.0", number(all as i64));
        let names = ["eth0", "wlan0"];
        for n in 1..=all {
            let loopback = n == all;
            let name = if loopback { "lo0" } else { names[n - 1] };
            self.put(&format!("2.2.1.1.{n}"), number(n as i64));
            self.put(&format!("2.2.1.2.{n}"), text(name));
            self.put(&format!("2.2.1.3.{n}"), number(if loopback { 24 } else { 6 }));
            self.put(&format!("2.2.1.4.{n}"), number(1500));
            self.put(&format!("2.2.1.5.{n}"), (66, "1000000000".into()));
            let hardware = if loopback { String::new() } else { format!("0017c8a1b2{:02x}", 0x30 + n) };
            let _ = writeln!(self.0, "1.3.6.1.2.1.2.2.1.6.{n}|4x|{hardware}");
            self.put(&format!("2.2.1.7.{n}"), number(1));
            self.put(&format!("2.2.1.8.{n}"), number(1));
            self.put(&format!("2.2.1.9.{n}"), (67, "900".into()));
            for column in 10..=21 {
                self.put(&format!("2.2.1.{column}.{n}"), counter(((n * 7919) as i64) * column * column));
            }
        }
        for (n, cell) in [number(2), number(64), counter(5_512_344), counter(0), counter(12)].into_iter().enumerate() {
            self.put(&format!("4.{}.0", n + 1), cell);
        }
        self.put("1.3.6.1.4.1.2699.1.2.1.2.1.1.2.1", text(model));
        self.put("1.3.6.1.4.1.2699.1.2.1.2.1.1.3.1", text(format!("MFG:Kyocera;CMD:PCL,PS;MDL:{model};CLS:PRINTER;")));
    }

    fn host(&mut self, devices: usize) {
        for (n, (name, size)) in [("RAM", 4_194_304), ("SSD", 31_260_672), ("HDD", 312_571_224)].iter().enumerate() {
            let n = n + 1;
            self.put(&format!("25.2.3.1.1.{n}"), number(n as i64));
            self.put(
                &format!("25.2.3.1.2.{n}"),
                oid(if n == 1 { "1.3.6.1.2.1.25.2.1.2" } else { "1.3.6.1.2.1.25.2.1.4" }),
            );
            self.put(&format!("25.2.3.1.3.{n}"), text(*name));
            self.put(&format!("25.2.3.1.4.{n}"), number(1024));
            self.put(&format!("25.2.3.1.5.{n}"), number(*size));
            self.put(&format!("25.2.3.1.6.{n}"), number(size / 3));
        }
        let types = ["5", "4", "3", "6"];
        for n in 1..=devices {
            self.put(&format!("25.3.2.1.1.{n}"), number(n as i64));
            self.put(&format!("25.3.2.1.2.{n}"), oid(&format!("1.3.6.1.2.1.25.3.1.{}", types[n - 1])));
            let name = ["Kyocera printer engine", "Ethernet 1000BASE-T", "ARM Cortex-A53", "Solid state disk"][n - 1];
            self.put(&format!("25.3.2.1.3.{n}"), text(name));
            self.put(&format!("25.3.2.1.4.{n}"), oid("0.0"));
            self.put(&format!("25.3.2.1.5.{n}"), number(2));
            self.put(&format!("25.3.2.1.6.{n}"), counter(0));
        }
        self.put("25.3.5.1.1.1", number(3));
        // Bit 0, lowPaper, and bit 2, lowToner (RFC 2790).
        let _ = writeln!(self.0, "1.3.6.1.2.1.25.3.5.1.2.1|4x|{}", if devices > 1 { "a0" } else { "00" });
    }

    fn general(&mut self, serial: &str, model: &str) {
        let cells = [
            counter(42),
            number(1),
            number(1),
            text("Copy room, extension 12"),
            text("Service, extension 99"),
            number(1),
            number(1),
            number(1),
            number(1),
            number(1),
            number(4),
            number(40),
            number(4),
            number(3),
            number(3),
            text(model),
            text(serial),
            counter(18),
            counter(143),
        ];
        for (n, cell) in cells.into_iter().enumerate() {
            self.put(&format!("43.5.1.1.{}.1", n + 1), cell);
        }
    }

    fn covers(&mut self, names: &[&str]) {
        self.rows("43.6.1.1", names.len(), &[(2, &|n| text(names[n])), (3, &|_| number(4))]);
    }

    fn inputs(&mut self, trays: usize) {
        let name = |n: usize| if n == 0 { "MP Tray".to_owned() } else { format!("Cassette {n}") };
        let capacity = |n: usize| if n == 0 { 150 } else { 550 };
        self.rows(
            "43.8.2.1",
            trays,
            &[
                (2, &|n| number(if n == 0 { 5 } else { 3 })),
                (3, &|_| number(4)),
                (4, &|_| number(297_000)),
                (5, &|_| number(210_000)),
                (6, &|_| number(297_000)),
                (7, &|_| number(210_000)),
                (8, &|_| number(8)),
                (9, &move |n| number(capacity(n))),
                (10, &move |n| number(capacity(n) * (4 - n as i64 % 5) / 5)),
                (11, &|_| number(0)),
                (12, &|_| text("iso-a4-white")),
                (13, &move |n| text(name(n))),
                (14, &|_| text("Kyocera")),
                (15, &|n| text(if n > 2 { "PF-8100" } else { "" })),
                (16, &|_| text("")),
                (17, &|_| text("")),
                (18, &move |n| text(name(n))),
                (19, &|_| number(3)),
                (20, &|_| number(80)),
                (21, &|_| text("stationery")),
                (22, &|_| text("white")),
                (23, &|_| number(-2)),
                (24, &|_| number(-2)),
                (25, &move |n| number(((n + 1) % trays) as i64 + 1)),
            ],
        );
    }

    fn outputs(&mut self, bins: usize) {
        self.rows(
            "43.9.2.1",
            bins,
            &[
                (2, &|_| number(4)),
                (3, &|_| number(8)),
                (4, &|_| number(500)),
                (5, &|_| number(-3)),
                (6, &|_| number(0)),
                (7, &|n| text(if n == 0 { "Inner tray" } else { "Job separator" })),
                (8, &|_| text("Kyocera")),
                (9, &|_| text("")),
                (10, &|_| text("")),
                (11, &|_| text("")),
                (12, &|n| text(if n == 0 { "Inner tray" } else { "Job separator" })),
                (13, &|_| number(3)),
                (14, &|_| number(4)),
                (15, &|_| number(457_200)),
                (16, &|_| number(304_800)),
                (17, &|_| number(148_000)),
                (18, &|_| number(98_000)),
                (19, &|_| number(4)),
                (20, &|_| number(4)),
                (21, &|_| number(5)),
                (22, &|_| number(5)),
                (23, &|_| number(3)),
                (24, &|_| number(4)),
            ],
        );
    }

    fn markers(&mut self, colorants: i64, life: i64) {
        self.rows(
            "43.10.2.1",
            1,
            &[
                (2, &|_| number(4)),
                (3, &|_| number(7)),
                (4, &move |_| counter(life)),
                (5, &move |_| counter(life / 90)),
                (6, &move |_| number(colorants)),
                (7, &|_| number(0)),
                (8, &|_| number(3)),
                (9, &|_| number(1200)),
                (10, &|_| number(1200)),
                (11, &|_| number(4000)),
                (12, &|_| number(4000)),
                (13, &|_| number(4000)),
                (14, &|_| number(4000)),
                (15, &|_| number(2)),
            ],
        );
    }

    fn supplies(&mut self, supplies: &[Supply<'_>]) {
        self.rows(
            "43.11.1.1",
            supplies.len(),
            &[
                (2, &|_| number(1)),
                (3, &|n| number(supplies[n].3)),
                (4, &|n| number(supplies[n].2)),
                (5, &|n| number(supplies[n].0)),
                (6, &|n| text(supplies[n].1)),
                (7, &|n| number(supplies[n].4)),
                (8, &|n| number(supplies[n].5)),
                (9, &|n| number(supplies[n].6)),
            ],
        );
    }

    fn colorants(&mut self, count: usize) {
        let names = ["black", "cyan", "magenta", "yellow"];
        self.rows(
            "43.12.1.1",
            count,
            &[(2, &|_| number(1)), (3, &|_| number(3)), (4, &|n| text(names[n])), (5, &|_| number(256))],
        );
    }

    fn media_paths(&mut self, count: usize) {
        self.rows(
            "43.13.4.1",
            count,
            &[
                (2, &|_| number(8)),
                (3, &|_| number(4)),
                (4, &|n| number(40 - 20 * n as i64)),
                (5, &|_| number(457_200)),
                (6, &|_| number(304_800)),
                (7, &|_| number(148_000)),
                (8, &|_| number(98_000)),
                (9, &|n| number(if n == 0 { 4 } else { 3 })),
                (10, &|n| text(if n == 0 { "Simplex" } else { "Duplex" })),
                (11, &|_| number(0)),
            ],
        );
    }

    fn channels(&mut self, count: usize) {
        let (types, names) = ([4, 8, 11, 14, 40, 44], ["LPD", "Port 9100", "IPP", "SMB", "FTP", "WSD"]);
        self.rows(
            "43.14.1.1",
            count,
            &[
                (2, &move |n| number(types[n])),
                (3, &|_| text("1.1")),
                (4, &|_| number(1)),
                (5, &|_| number(1)),
                (6, &|_| number(3)),
                (7, &|_| number(1)),
                (8, &|_| number(0)),
                (9, &move |n| text(format!("Name={}", names[n]))),
            ],
        );
    }

    fn interpreters(&mut self, count: usize) {
        let (families, names) = ([3, 47, 6, 37, 54, 5], ["PCL 6", "PCL XL", "KPDL 3", "Line printer", "PDF", "TIFF"]);
        self.rows(
            "43.15.1.1",
            count,
            &[
                (2, &move |n| number(families[n])),
                (3, &|_| text("3")),
                (4, &|_| text("")),
                (5, &move |n| text(names[n])),
                (6, &|_| text("2024.03")),
                (7, &|_| number(3)),
                (8, &|_| number(600)),
                (9, &|_| number(600)),
                (10, &|_| number(106)),
                (11, &|_| number(106)),
                (12, &|_| number(3)),
            ],
        );
    }

    fn console(&mut self, lines: &[&str]) {
        self.rows("43.16.5.1", lines.len(), &[(2, &|n| text(lines[n]))]);
        let lights = ["Ready", "Data", "Attention"];
        let count = lines.len().min(3);
        self.rows(
            "43.17.6.1",
            count,
            &[(2, &|_| number(1)), (3, &|_| number(0)), (4, &|_| number(4)), (5, &move |n| text(lights[n]))],
        );
    }

    fn alerts(&mut self, alerts: &[Alert<'_>]) {
        for (index, severity, training, group, group_index, code, description) in alerts {
            let cells = [
                number(*severity),
                number(*training),
                number(*group),
                number(*group_index),
                number(-2),
                number(*code),
                text(*description),
                (67, "179441200".into()),
            ];
            for (n, cell) in cells.into_iter().enumerate() {
                self.put(&format!("43.18.1.1.{}.1.{index}", n + 2), cell);
            }
        }
    }

    /// Kyocera's tree; `functions` are (function, mono, single colour, full colour), which add up to the total.
    fn kyocera(&mut self, model: &str, serial: &str, firmware: &str, functions: &[(u32, i64, i64, i64)], scans: bool) {
        let at = |tail: &str| format!("1.3.6.1.4.1.1347.{tail}");
        self.put(&at("40.1.1.1.8.1"), text(format!("MFG:Kyocera;MDL:{model};CLS:PRINTER;SER:{serial};")));
        // KM and the tail of the first interface's address, as Kyocera names its devices.
        self.put(&at("40.10.1.1.5.1"), text("KMA1B231"));
        self.put(&at("43.5.1.1.1.1"), text(model));
        self.put(&at("43.5.1.1.28.1"), text(serial));
        self.put(&at("43.5.1.1.29.1"), text(""));
        self.put(&at("43.5.1.1.36.1"), text(model));
        self.put(&at("43.5.4.1.5.1.1"), text(firmware));
        self.put(&at("43.5.4.1.5.1.2"), text("2XC_1000.002.009"));
        let total: i64 = functions.iter().map(|(_, mono, single, full)| mono + single + full).sum();
        self.put(&at("43.10.1.1.12.1.1"), number(total));
        for (function, mono, single, full) in functions {
            self.put(&at(&format!("42.3.1.1.1.1.{function}")), number(mono + single + full));
            for (colour, pages) in [(1, mono), (2, single), (3, full)] {
                self.put(&at(&format!("42.3.1.2.1.1.{function}.{colour}")), number(*pages));
            }
        }
        self.put(&at("42.2.5.1.1.1.1"), number(total - total / 3));
        self.put(&at("42.2.5.1.1.2.1"), number(total / 3));
        self.put(&at("43.18.2.1.2.1.1"), text("Ready to print."));
        if scans {
            self.put(&at("42.3.1.3.1.1.2"), number(10_015));
            self.put(&at("42.3.1.3.1.1.4"), number(1_288));
            self.put(&at("42.3.1.4.1.1.1"), number(5_730));
            self.put(&at("46.10.1.1.5.3"), number(17_033));
            let sizes = ["A3", "B4", "A4", "B5", "A5", "Ledger", "Legal", "Letter"];
            for (n, size) in sizes.iter().enumerate() {
                let (row, pages) = (n + 1, [3_120, 0, total - 3_120 - 44, 0, 0, 44, 0, 0][n]);
                self.put(&at(&format!("42.2.1.1.1.2.1.{row}")), text(*size));
                self.put(&at(&format!("42.2.1.1.1.6.1.{row}")), number(pages));
                self.put(&at(&format!("42.2.1.1.1.7.1.{row}")), number(pages / 4 * 3));
                self.put(&at(&format!("42.2.1.1.1.8.1.{row}")), number(pages - pages / 4 * 3));
            }
        }
    }
}
