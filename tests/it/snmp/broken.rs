//! Whole readings of devices that keep no rule, and what is made of them.
//!
//! Where each kind of broken or hostile agent is met (DESIGN 10):
//!
//! | it | is met in |
//! | --- | --- |
//! | gives OIDs that do not go forward, or other objects than those asked | `hostile` |
//! | has tables without an end | here |
//! | answers from another address or port, late, twice, with foreign or wrong ids | `hostile`, `sweep` |
//! | has bytes behind the message, lengths beyond it, strings of 60 kB | `hostile`, here |
//! | sends NULs, bytes that are no UTF-8, types that fit nothing | `hostile` (as they are), here (what becomes of them) |
//! | never answers for one object, says tooBig, errs, restarts, falls silent | `hostile`, `snmpd`, the tests of `read` |

use std::time::Duration;

use meterpost::gather::{Printer, read};
use meterpost::pmd::Library;
use meterpost::snmp::ber;
use meterpost::snmp::credential::{Credential, Secret, Versions};
use meterpost::snmp::{Agent, Limits, Network, NetworkOptions, Value};

use super::agent::{Reply, Request, ScriptedAgent, answer, element, right, text};
use super::{oid, printer, printer_of, reader, sighting};

async fn reading(agent: &ScriptedAgent) -> Printer {
    printer_of(read(&reader(Library::builtin()), &sighting(agent, Duration::from_millis(100)), None).await)
}

#[tokio::test]
async fn a_device_whose_tables_never_end_is_read_to_the_limits() {
    let objects = printer();
    // Every row of every table has another one behind it.
    let endless = move |request: &Request| -> Vec<Reply> {
        if request.pdu == ber::GET {
            return vec![right(&objects, request)];
        }
        let behind = |arcs: &Vec<u32>| match arcs[..] {
            [.., last] if arcs.len() > 12 => [&arcs[..arcs.len() - 1], &[last + 1]].concat(),
            _ => [&arcs[..], &[1, 1]].concat(),
        };
        vec![answer(request, &request.oids.iter().map(|oid| (behind(oid), vec![2, 1, 1])).collect::<Vec<_>>())]
    };
    let agent = ScriptedAgent::start(endless);
    let read = reading(&agent).await;
    let cost = read.traffic.bytes_sent + read.traffic.bytes_received;
    assert!(cost < 1_100_000 && read.traffic.requests < 2000, "{:?}", read.traffic);
    let reading = read.reading.unwrap();
    assert_eq!(reading.identity.unwrap().serial_number.map(|text| text.value).as_deref(), Some("S1"));
    assert!(reading.supplies.is_none_or(|supplies| supplies.len() <= 300));
}

#[tokio::test]
async fn nuls_bytes_that_are_no_text_and_types_that_fit_nothing_cost_their_own_value_alone() {
    let mut objects = printer();
    let mut put = |name: &str, value: Vec<u8>| {
        objects.retain(|(known, _)| *known != oid(name).arcs());
        objects.push((oid(name).arcs().to_vec(), value));
    };
    put("1.3.6.1.2.1.43.5.1.1.17.1", text(b"S1\0\0"));
    // sysName is a number, sysLocation no UTF-8 with bytes behind its NUL, the life count a text, a supply's level an OID.
    put("1.3.6.1.2.1.1.5.0", vec![2, 1, 5]);
    put("1.3.6.1.2.1.1.6.0", text(b"Stra\xdfe 7\0x"));
    put("1.3.6.1.2.1.43.10.2.1.4.1.1", text(b"many"));
    for (column, value) in [
        (3, vec![2, 1, 1]),
        (4, vec![2, 1, 3]),
        (5, vec![2, 1, 3]),
        (6, text(b"\x00\xff\xfetoner")),
        (7, vec![2, 1, 19]),
        (8, vec![2, 1, 100]),
        (9, element(0x06, &[vec![0x2b, 6, 1]])),
    ] {
        put(&format!("1.3.6.1.2.1.43.11.1.1.{column}.1.1"), value);
    }
    objects.sort();
    let agent = ScriptedAgent::honest(1, objects);
    let reading = reading(&agent).await.reading.unwrap();
    let identity = reading.identity.unwrap();
    assert_eq!(identity.serial_number.map(|text| text.value).as_deref(), Some("S1"));
    assert_eq!(identity.location.as_deref(), Some("Straße 7"));
    assert!(reading.counters.iter().flatten().next().is_none(), "{:?}", reading.counters);
    let supplies = reading.supplies.unwrap();
    assert_eq!(supplies.len(), 1);
    assert_eq!((supplies[0].max_capacity, supplies[0].level), (Some(100), None));
}

#[tokio::test]
async fn lengths_beyond_the_datagram_are_garbage_and_the_true_answer_behind_them_counts() {
    let agent = ScriptedAgent::start(|request| {
        let right = answer(request, &[(request.oids[0].clone(), vec![2, 1, 42])]);
        // The message's own length, behind its tag, in forms that promise gigabytes, nothing certain, or one byte more.
        let with_length = |length: &[u8]| {
            let from = right.bytes.iter().position(|byte| *byte == 2).unwrap();
            Reply { bytes: [&[0x30], length, &right.bytes[from..]].concat(), from: None }
        };
        let one_more = u8::try_from(right.bytes.len() - 2 + 1).unwrap();
        let broken = [
            with_length(&[0x84, 0xff, 0xff, 0xff, 0xff]),
            with_length(&[0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            with_length(&[0x80]),
            with_length(&[one_more]),
        ];
        broken.into_iter().chain([Reply { bytes: right.bytes.clone(), from: None }]).collect()
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let credential = Credential::community("c", Secret::new("public"), Versions::V2c).unwrap();
    let mut session = network.session(agent.address, &credential, None, Some(Duration::from_millis(100))).await;
    session.limit(Limits::default());
    let answers = session.get("", &[oid("1.3.6.1.2.1.1.3.0")]).await.unwrap();
    assert_eq!(answers[0].answer, Ok(Value::Integer(42)));
    assert_eq!((network.counts().garbage, network.counts().undecodable), (4, 0));
}
