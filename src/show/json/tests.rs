//! The whole page of CONTRACT 2, and what is absent.

use expect_test::expect;

use super::*;
use crate::show::sample;

fn text(scan: &Scan) -> String {
    let mut text = Vec::new();
    json(scan, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn the_json_is_the_contract_s_key_by_key() {
    expect![[r#"
        {
          "sweep": {
            "targets": [
              "127.30.0.4-9"
            ],
            "started_at": "2026-01-29T23:25:00Z",
            "ended_at": "2026-01-29T23:25:05Z",
            "addresses": 4,
            "answered": 3,
            "printers": 1,
            "packets_sent": 21,
            "packets_received": 9,
            "bytes_sent": 1800,
            "bytes_received": 5100
          },
          "verdicts": [
            {
              "address": "127.30.0.5",
              "verdict": "not_printer",
              "detail": "Linux switch"
            },
            {
              "address": "127.30.0.6",
              "verdict": "wrong_credential",
              "detail": "wrong digest"
            },
            {
              "address": "127.30.0.7",
              "verdict": "printer"
            },
            {
              "address": "127.30.0.9",
              "verdict": "silent"
            }
          ],
          "devices": [
            {
              "address": "127.30.0.7",
              "outcome": "complete",
              "read_at": "2026-01-29T23:25:02Z",
              "key": "sn:printomat:VCF1234567",
              "mapping": {
                "pmd": "printomat/office",
                "pack": 0,
                "reason": "sysObjectID 1.3.6.1.4.1.1347.41"
              },
              "identity": {
                "vendor": "Printomat",
                "model": "P2040dw",
                "serial_number": "VCF1234567",
                "system_name": "=cmd|' /C calc'!A0",
                "location": "2nd floor, \"the corner\"",
                "firmware": "2RX_3000",
                "sys_object_id": "1.3.6.1.4.1.1347.41"
              },
              "network": {
                "physical_addresses": [
                  "00:17:c8:b9:02:de"
                ],
                "host_name": "KMB902DE"
              },
              "capabilities": {
                "color": false,
                "services": [
                  "print"
                ],
                "trays": 2,
                "marker_technology": "electrophotographicLaser"
              },
              "counters": {
                "system.impressions": {
                  "value": 7342,
                  "basis": "actual",
                  "oid": "1.3.6.1.4.1.1347.43.1",
                  "rule": "1"
                },
                "vendor.marker_life_count": {
                  "value": 7432,
                  "basis": "actual",
                  "oid": "1.3.6.1.2.1.43.10",
                  "rule": "1"
                }
              },
              "supplies": [
                {
                  "index": 1,
                  "class": "supplyThatIsConsumed",
                  "type": "toner",
                  "colorant": "black",
                  "description": "T-1160",
                  "unit": "impressions",
                  "max_capacity": 7200,
                  "level": 3600,
                  "level_state": "known",
                  "percent": 50
                },
                {
                  "index": 2,
                  "class": "supplyThatIsConsumed",
                  "type": "opc",
                  "description": "T-1160",
                  "unit": "impressions",
                  "max_capacity": 7200,
                  "level_state": "some_remaining"
                }
              ],
              "inputs": [
                {
                  "index": 1,
                  "name": "Cassette 1",
                  "max_capacity": 250,
                  "level": 0,
                  "level_state": "known"
                }
              ],
              "outputs": [],
              "covers": [
                {
                  "index": 1,
                  "status": "coverClosed"
                }
              ],
              "alerts": [
                {
                  "index": 3,
                  "severity": "warning",
                  "training": "untrained",
                  "group": "input",
                  "group_index": 1,
                  "code": "inputMediaSupplyLow",
                  "code_number": 807,
                  "description": "Add paper\u001b[2J"
                }
              ],
              "status": {
                "state": "idle",
                "device_status": "running",
                "printer_status": "idle",
                "detected_errors": [
                  "lowPaper"
                ],
                "console": [
                  "Ready"
                ]
              },
              "gaps": [
                {
                  "field": "counters.copy.impressions",
                  "reason": "not_supported"
                }
              ],
              "traffic": {
                "requests": 7,
                "responses": 7,
                "bytes_sent": 900,
                "bytes_received": 4000
              }
            }
          ]
        }
    "#]]
    .assert_eq(&text(&sample::scan()));
}

#[test]
fn a_key_is_never_null_and_what_was_not_read_is_absent() {
    let mut device = sample::device();
    device.reading.identity = None;
    device.reading.counters = None;
    device.reading.supplies = Some(vec![wire::Supply { index: 1, ..wire::Supply::default() }]);
    device.reading.status = Some(wire::Status::default());
    device.traffic = None;
    let text = text(&Scan { sweep: None, verdicts: vec![], devices: vec![device] });
    assert!(!text.contains("null"), "{text}");
    for absent in ["sweep", "verdicts", "identity", "counters", "traffic", "state", "detected_errors", "percent"] {
        assert!(!text.contains(&format!("\"{absent}\"")), "`{absent}` in {text}");
    }
}
