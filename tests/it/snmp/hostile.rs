//! Broken and hostile agents are met calmly: what they say right is taken, the rest is absent with its reason.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meterpost::snmp::credential::{Credential, Secret, Version, Versions};
use meterpost::snmp::transport::{Capture, Way};
use meterpost::snmp::{Absent, Agent, Limits, Network, NetworkOptions, Oid, Session, Unanswered, Value, ber};

use super::agent::{Reply, Request, ScriptedAgent, answer, element, error, right, text};
use super::oid;

const ALIVE: Option<Duration> = Some(Duration::from_millis(1));

fn community() -> Credential {
    Credential::community("c", Secret::new("public"), Versions::Either).unwrap()
}

async fn session(network: &Network, agent: &ScriptedAgent, version: Version) -> Session {
    network.session(agent.address, &community(), Some(version), ALIVE).await
}

/// 1.3.6.1.4.1.9999.1.n.0 for n of 1..=count, each an INTEGER n, behind a sysObjectID.
fn numbers(count: u32) -> Vec<(Vec<u32>, Vec<u8>)> {
    let mut objects = vec![(vec![1, 3, 6, 1, 2, 1, 1, 2, 0], element(0x06, &[vec![0x2b, 6, 1, 4, 1, 0x0b]]))];
    objects.extend((1..=count).map(|n| (number(n).arcs().to_vec(), vec![2, 1, n as u8])));
    objects
}

fn number(n: u32) -> Oid {
    oid("1.3.6.1.4.1.9999.1").join(&[n, 0])
}

fn all(count: u32) -> Vec<Oid> {
    (1..=count).map(number).collect()
}

/// The values, by number, and the reasons for what has none.
fn shown(varbinds: &[meterpost::snmp::VarBind]) -> Vec<Result<i64, Absent>> {
    varbinds.iter().map(|varbind| varbind.answer.clone().map(|value| value.as_i64().unwrap_or(-1))).collect()
}

#[tokio::test]
async fn values_of_every_type_come_as_they_are() {
    let cases: Vec<(Vec<u8>, Result<Value, Absent>)> = vec![
        (vec![2, 1, 0xfd], Ok(Value::Integer(-3))),
        (vec![2, 5, 0, 0xff, 0xff, 0xff, 0xfd], Ok(Value::Integer(-3))),
        (text(b"a\0b\xff\xfe\n"), Ok(Value::Octets(b"a\0b\xff\xfe\n".to_vec()))),
        (text(b""), Ok(Value::Octets(Vec::new()))),
        // Longer, by its own word, than what stands around it.
        (vec![4, 0x7f, b'a'], Ok(Value::Octets(b"a".to_vec()))),
        (vec![5, 0], Ok(Value::Nothing)),
        (vec![6, 3, 0x2b, 6, 1], Ok(Value::Oid(oid("1.3.6.1")))),
        (vec![0x40, 4, 10, 0, 0, 1], Ok(Value::IpAddress([10, 0, 0, 1]))),
        (vec![0x41, 4, 0xff, 0xff, 0xff, 0xff], Ok(Value::Counter(0xffff_ffff))),
        (vec![0x41, 5, 0, 0xff, 0xff, 0xff, 0xff], Ok(Value::Counter(0xffff_ffff))),
        (vec![0x42, 1, 7], Ok(Value::Gauge(7))),
        (vec![0x43, 2, 1, 0], Ok(Value::TimeTicks(256))),
        (vec![0x44, 2, 1, 2], Ok(Value::Opaque(vec![1, 2]))),
        (vec![0x46, 9, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Ok(Value::Counter(u64::MAX))),
        (vec![0x80, 0], Err(Absent::NoSuchObject)),
        (vec![0x81, 0], Err(Absent::NoSuchInstance)),
        (vec![0x81, 1, 0], Err(Absent::NoSuchInstance)),
        (vec![0x0c, 1, b'x'], Ok(Value::Nothing)),
        (vec![0x01, 1, 1], Ok(Value::Nothing)),
    ];
    let objects: Vec<_> =
        cases.iter().enumerate().map(|(n, (value, _))| (number(n as u32 + 1).arcs().to_vec(), value.clone())).collect();
    let agent = ScriptedAgent::honest(1, objects);
    let network = Network::open(NetworkOptions::default()).unwrap();
    // a slow printer: also on a busy machine nothing is asked twice
    let slow = Some(Duration::from_secs(1));
    let mut session = network.session(agent.address, &community(), Some(Version::V2c), slow).await;
    let answers = session.get("", &all(cases.len() as u32)).await.unwrap();
    for ((value, expected), answer) in cases.iter().zip(&answers) {
        assert_eq!(answer.answer, *expected, "{value:x?}");
    }
    let traffic = session.traffic();
    assert_eq!((traffic.requests, traffic.responses), (1, 1));
    // 19 objects with OIDs of 10 octets in 12, NULLs and heads around them; the answer's values instead of the NULLs.
    assert_eq!((traffic.bytes_sent, traffic.bytes_received), (337, 386));
}

#[tokio::test]
async fn a_list_of_any_length_is_cut_by_the_limits_and_answered_in_order() {
    let agent = ScriptedAgent::honest(1, numbers(60));
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let mut asked = all(60);
    asked.insert(7, number(99));
    let answers = session.get("", &asked).await.unwrap();
    assert_eq!(answers.iter().map(|varbind| varbind.oid.clone()).collect::<Vec<_>>(), asked);
    assert_eq!(shown(&answers)[5..9], [Ok(6), Ok(7), Err(Absent::NoSuchInstance), Ok(8)]);
    assert_eq!(agent.seen().iter().map(|request| request.oids.len()).collect::<Vec<_>>(), [25, 25, 11]);
    session.limit(Limits { varbinds_max: 10, bulk: false, wait_max: None });
    session.get("", &all(11)).await.unwrap();
    assert_eq!(agent.seen().last().unwrap().oids.len(), 1);
    assert_eq!(session.get("", &[]).await, Ok(Vec::new()));
}

#[tokio::test]
async fn in_v1_one_missing_object_costs_the_others_nothing() {
    let agent = ScriptedAgent::honest(0, numbers(5));
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V1).await;
    let asked = [number(1), oid("1.3.6.1.2.1.43.5.1.1.17.1"), number(3), number(9), number(5)];
    let answers = session.get("", &asked).await.unwrap();
    let missing = Err(Absent::NoSuchObject);
    assert_eq!(shown(&answers), [Ok(1), missing, Ok(3), missing, Ok(5)]);
    assert_eq!(answers.iter().map(|varbind| varbind.oid.clone()).collect::<Vec<_>>(), asked);
    assert!(agent.seen().iter().all(|request| request.pdu == ber::GET_NEXT));
    // number(9) lies behind all objects: noSuchName names it, and the rest is asked once more.
    assert_eq!(agent.seen().len(), 2);
    let ends = session.get_next("", &[number(4), number(5)]).await.unwrap();
    assert_eq!(shown(&ends), [Ok(5), Err(Absent::EndOfMibView)]);
}

#[tokio::test]
async fn in_v1_an_object_behind_a_deeper_neighbour_is_asked_alone() {
    let deep = |arcs: &[u32], n: u8| (oid("1.3.6.1.4.1.9999.1").join(arcs).arcs().to_vec(), vec![2, 1, n]);
    let agent = ScriptedAgent::honest(0, vec![deep(&[1, 7], 1), deep(&[2], 2)]);
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V1).await;
    let asked = [oid("1.3.6.1.4.1.9999.1.2"), oid("1.3.6.1.4.1.9999.1.1.7")];
    assert_eq!(shown(&session.get("", &asked).await.unwrap()), [Ok(2), Ok(1)]);
}

#[tokio::test]
async fn answers_from_other_ports_late_doubled_and_foreign_ones_are_dropped_and_counted() {
    let stranger = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let elsewhere = Arc::new(UdpSocket::bind("127.0.0.2:0").unwrap());
    let objects = numbers(2);
    let mut last: Option<Reply> = None;
    let agent = ScriptedAgent::start(move |request| {
        let wrong = |from: &Arc<UdpSocket>| {
            let bytes = answer(request, &[(request.oids[0].clone(), vec![2, 1, 66])]).bytes;
            Reply { bytes, from: Some(Arc::clone(from)) }
        };
        let mut foreign = request.clone();
        foreign.id = vec![0x7f, 0x7f, 0x7f, 0x7f];
        let mut others = request.clone();
        others.id = (u16::from_be_bytes(others.id[..].try_into().unwrap_or([0x12, 0x34])) ^ 1).to_be_bytes().to_vec();
        let right = right(&objects, request);
        let copy = || Reply { bytes: right.bytes.clone(), from: None };
        let mut replies = vec![wrong(&stranger), wrong(&elsewhere)];
        replies.extend(last.take());
        replies.push(answer(&foreign, &[(request.oids[0].clone(), vec![2, 1, 66])]));
        replies.push(answer(&others, &[(request.oids[0].clone(), vec![2, 1, 66])]));
        replies.push(Reply { bytes: b"no SNMP at all".to_vec(), from: None });
        replies.push(Reply { bytes: right.bytes[..right.bytes.len() - 3].to_vec(), from: None });
        replies.extend([copy(), copy()]);
        last = Some(copy());
        replies
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    for n in [1, 2] {
        assert_eq!(shown(&session.get("", &[number(n)]).await.unwrap()), [Ok(i64::from(n))]);
    }
    assert_eq!(session.traffic().requests, 2);
    assert_eq!(session.traffic().responses, 2);
    let counts = network.counts();
    assert_eq!((counts.received, counts.undecodable, counts.kernel_drops), (2, 0, 0));
    // Before each right answer: a stranger's, the right one's from another address, two with foreign ids, garbage, a
    // cut one; before the second the first once more, and the double of the first. The last double is under way.
    assert_eq!((counts.unexpected, counts.garbage), (10, 4));
}

#[tokio::test]
async fn a_late_answer_to_a_repeated_request_counts_and_is_not_asked_for_again() {
    let objects = numbers(3);
    let agent = ScriptedAgent::start(move |request| {
        // Nothing to the first transmission of each request; then one answer to each of the two.
        let reply = || right(&objects, request);
        if request.number % 2 == 0 { Vec::new() } else { vec![reply(), reply()] }
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    for n in [1, 2, 3] {
        assert_eq!(shown(&session.get("", &[number(n)]).await.unwrap()), [Ok(i64::from(n))]);
    }
    let seen = agent.seen();
    assert_eq!(seen.len(), 6);
    assert!(seen.chunks(2).all(|pair| pair[0].id == pair[1].id), "a retransmission keeps its id");
    assert!(seen.chunks(2).zip(seen.chunks(2).skip(1)).all(|(one, next)| one[0].id != next[0].id));
}

#[tokio::test]
async fn no_second_request_goes_to_a_device_before_the_first_is_answered() {
    let objects = numbers(50);
    let agent = ScriptedAgent::start(move |request| {
        std::thread::sleep(Duration::from_millis(5));
        vec![right(&objects, request)]
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    session.limit(Limits { varbinds_max: 5, bulk: false, wait_max: None });
    session.get("", &all(50)).await.unwrap();
    // Each takes 5 ms at the agent, which reads the next one only then: two at once would come closer together.
    let times: Vec<Instant> = agent.seen().iter().map(|request| request.at).collect();
    assert_eq!(times.len(), 10);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(5)));
}

#[tokio::test]
async fn a_device_whose_mapping_names_a_shorter_wait_is_given_up_sooner() {
    let agent = ScriptedAgent::start(|_| Vec::new());
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    session.limit(Limits { wait_max: Some(Duration::from_millis(250)), ..Limits::default() });
    let asked = Instant::now();
    assert_eq!(session.get("", &[number(1)]).await, Err(Unanswered::Silent));
    // Four waits of 250 ms and a quarter, asked twice at most (the object, then whether it lives); without it, 9 s once.
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(agent.seen().len() >= 4, "no transmission less");
}

#[tokio::test]
async fn strings_of_60_kilobytes_and_bytes_behind_the_message_are_taken() {
    let long = vec![b'x'; 60_000];
    let value = text(&long);
    let agent = ScriptedAgent::start(move |request| {
        let mut reply = answer(request, &[(request.oids[0].clone(), value.clone())]);
        reply.bytes.extend([0, 0, 0xff]);
        vec![reply]
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let answers = session.get("", &[number(1)]).await.unwrap();
    assert_eq!(answers[0].answer, Ok(Value::Octets(long)));
}

#[tokio::test]
async fn what_is_too_big_is_halved_and_the_size_that_was_borne_is_kept() {
    let objects = numbers(20);
    let agent = ScriptedAgent::start(move |request| {
        vec![if request.oids.len() > 6 { error(request, 1, 0) } else { right(&objects, request) }]
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let values = shown(&session.get("", &all(20)).await.unwrap());
    assert_eq!(values, (1..=20).map(Ok).collect::<Vec<_>>());
    assert_eq!(session.borne(), Some(5));
    let before = agent.seen().len();
    session.get("", &all(20)).await.unwrap();
    assert_eq!(agent.seen().len() - before, 4, "no second time too big");
}

#[tokio::test]
async fn one_huge_object_does_not_make_all_later_requests_small() {
    let objects = numbers(24);
    let agent = ScriptedAgent::start(move |request| {
        let huge = request.oids.len() > 1 && request.oids.contains(&number(24).arcs().to_vec());
        vec![if huge { error(request, 1, 0) } else { right(&objects, request) }]
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    assert_eq!(shown(&session.get("", &all(24)).await.unwrap()), (1..=24).map(Ok).collect::<Vec<_>>());
    assert_eq!(session.borne(), Some(12));
}

#[tokio::test]
async fn an_object_that_is_too_big_alone_or_in_error_is_refused_and_the_others_are_read() {
    let objects = numbers(8);
    let agent = ScriptedAgent::start(move |request| {
        let at = |n: u32| request.oids.iter().position(|oid| *oid == number(n).arcs()).map(|at| at as u8 + 1);
        vec![match (at(3), at(5), at(7)) {
            (Some(_), ..) => error(request, 1, 0),
            (_, Some(index), _) => error(request, 5, index),
            // An error that names no object.
            (_, _, Some(_)) => error(request, 13, 0),
            _ => right(&objects, request),
        }]
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let mut expected: Vec<Result<i64, Absent>> = (1..=8).map(Ok).collect();
    for n in [3, 5, 7] {
        expected[n - 1] = Err(Absent::Refused);
    }
    assert_eq!(shown(&session.get("", &all(8)).await.unwrap()), expected);
}

#[tokio::test]
async fn an_object_that_never_answers_is_found_left_out_and_not_asked_again() {
    let objects = numbers(10);
    let agent = ScriptedAgent::start(move |request| {
        if request.oids.contains(&number(4).arcs().to_vec()) { Vec::new() } else { vec![right(&objects, request)] }
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let mut expected: Vec<Result<i64, Absent>> = (1..=10).map(Ok).collect();
    expected[3] = Err(Absent::NoAnswer);
    assert_eq!(shown(&session.get("", &all(10)).await.unwrap()), expected);
    let skipped: Vec<Oid> = session.skipped().cloned().collect();
    assert_eq!(skipped, [number(4)]);
    drop(session);
    let before = agent.seen().len();
    let mut session = network.session(agent.address, &community(), Some(Version::V2c), ALIVE).await;
    session.skip(skipped);
    assert_eq!(shown(&session.get("", &all(10)).await.unwrap()), expected);
    assert_eq!(agent.seen().len() - before, 1);
}

#[tokio::test]
async fn an_answer_that_cannot_be_decoded_is_isolated_without_waiting() {
    // An IpAddress of no octets, an arc above 32 bit.
    for broken in [vec![0x40, 0], vec![6, 7, 0x2b, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]] {
        let mut objects = numbers(9);
        objects[6].1 = broken.clone();
        let agent = ScriptedAgent::honest(1, objects);
        let network = Network::open(NetworkOptions::default()).unwrap();
        let mut session = session(&network, &agent, Version::V2c).await;
        let started = Instant::now();
        let mut expected: Vec<Result<i64, Absent>> = (1..=9).map(Ok).collect();
        expected[5] = Err(Absent::NoAnswer);
        assert_eq!(shown(&session.get("", &all(9)).await.unwrap()), expected, "{broken:x?}");
        assert!(started.elapsed() < Duration::from_millis(240), "it waited for another answer");
        assert!(network.counts().undecodable > 0);
    }
}

#[tokio::test]
async fn a_device_that_falls_silent_is_silent_and_no_object_is_blamed() {
    let objects = numbers(30);
    let agent = ScriptedAgent::start(
        move |request| {
            if request.number == 0 { vec![right(&objects, request)] } else { Vec::new() }
        },
    );
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let mut expected: Vec<Result<i64, Absent>> = (1..=30).map(Ok).collect();
    expected[25..].fill(Err(Absent::NoAnswer));
    assert_eq!(shown(&session.get("", &all(30)).await.unwrap()), expected, "what it answered is kept");
    assert_eq!(session.skipped().count(), 0);
    let sent = agent.seen().len();
    assert_eq!(session.get("", &all(30)).await, Err(Unanswered::Silent));
    assert_eq!(session.get_next("", &all(30)).await, Err(Unanswered::Silent));
    assert_eq!(agent.seen().len(), sent, "and it is not asked again");
    let seen = agent.seen();
    let waits: Vec<Duration> = seen[1..5].windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    for (wait, base) in waits.iter().zip([250, 500, 1000]) {
        let (least, most) = (base * 74 / 100, base * 126 / 100 + 60);
        assert!((least..=most).contains(&(wait.as_millis() as u64)), "{waits:?}");
    }
}

#[tokio::test]
async fn an_agent_that_goes_backwards_or_stays_ends_its_table() {
    let agent = ScriptedAgent::start(|request| {
        let bindings: Vec<_> = request
            .oids
            .iter()
            .enumerate()
            .map(|(n, oid)| match n {
                0 => (oid.clone(), vec![2, 1, 1]),
                1 => (vec![1, 3, 6, 1], vec![2, 1, 2]),
                _ => ([&oid[..], &[1]].concat(), vec![2, 1, 3]),
            })
            .collect();
        vec![answer(request, &bindings)]
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let answers = session.get_next("", &all(3)).await.unwrap();
    assert_eq!(shown(&answers), [Err(Absent::EndOfMibView), Err(Absent::EndOfMibView), Ok(3)]);
    assert_eq!(session.not_increasing(), 2);
}

#[tokio::test]
async fn an_answer_about_other_objects_fewer_or_more_is_no_answer_to_those_asked() {
    let objects = numbers(6);
    let agent = ScriptedAgent::start(move |request: &Request| {
        let value = |n: u32| (number(n).arcs().to_vec(), vec![2, 1, n as u8]);
        vec![match request.number {
            // In another order, one of them missing, one too many.
            0 => answer(request, &[value(3), value(1), value(9)]),
            // What was missing, under another name: twice the same would come back.
            1 => answer(request, &[value(8)]),
            _ => right(&objects, request),
        }]
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    assert_eq!(shown(&session.get("", &all(3)).await.unwrap()), [Ok(1), Err(Absent::Refused), Ok(3)]);
    assert_eq!(shown(&session.get("", &all(2)).await.unwrap()), [Ok(1), Ok(2)]);
}

#[tokio::test]
async fn getbulk_is_used_only_when_allowed_and_given_up_when_broken() {
    let objects = numbers(9);
    let agent = ScriptedAgent::honest(1, objects.clone());
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut whole = session(&network, &agent, Version::V2c).await;
    let root = [oid("1.3.6.1.4.1.9999.1")];
    assert_eq!(shown(&whole.get_bulk("", &root, 0, 5).await.unwrap()), [Ok(1)]);
    whole.limit(Limits { varbinds_max: 25, bulk: true, wait_max: None });
    assert_eq!(shown(&whole.get_bulk("", &root, 0, 5).await.unwrap()), (1..=5).map(Ok).collect::<Vec<_>>());
    assert_eq!(agent.seen().iter().map(|request| request.pdu).collect::<Vec<_>>(), [ber::GET_NEXT, ber::GET_BULK]);

    // One that repeats itself, and one that answers nothing at all: both are asked by GETNEXT from then on.
    for empty in [false, true] {
        let objects = objects.clone();
        let broken = ScriptedAgent::start(move |request| {
            let same = (number(1).arcs().to_vec(), vec![2, 1, 1]);
            vec![match (request.pdu, empty) {
                (ber::GET_BULK, true) => answer(request, &[]),
                (ber::GET_BULK, false) => answer(request, &[same.clone(), same]),
                _ => right(&objects, request),
            }]
        });
        let mut session = session(&network, &broken, Version::V2c).await;
        session.limit(Limits { varbinds_max: 25, bulk: true, wait_max: None });
        for _ in 0..2 {
            assert_eq!(shown(&session.get_bulk("", &root, 0, 5).await.unwrap()), [Ok(1)]);
        }
        let kinds: Vec<u8> = broken.seen().iter().map(|request| request.pdu).collect();
        assert_eq!(kinds, [ber::GET_BULK, ber::GET_NEXT, ber::GET_NEXT]);
    }
}

#[tokio::test]
async fn a_context_below_v3_has_no_objects_and_costs_no_packet() {
    let agent = ScriptedAgent::honest(1, numbers(2));
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    assert_eq!(shown(&session.get("Jetdirect", &all(2)).await.unwrap()), [Err(Absent::NoSuchObject); 2]);
    assert_eq!(agent.seen().len(), 0);
}

#[tokio::test]
async fn a_read_object_equals_what_an_independent_client_reads() {
    let mut objects = numbers(12);
    objects.push((vec![1, 3, 6, 1, 4, 1, 9999, 2, 1, 0], text(b"TK-1160")));
    objects.push((vec![1, 3, 6, 1, 4, 1, 9999, 2, 4_294_967_295, 0], vec![0x41, 4, 0xff, 0xff, 0xff, 0xfe]));
    let agent = ScriptedAgent::honest(1, objects.clone());
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let oids: Vec<Oid> = objects.iter().map(|(arcs, _)| Oid::new(arcs)).collect();
    let ours = session.get("", &oids).await.unwrap();
    let witness = csnmp::Snmp2cClient::new(agent.address, b"public".to_vec(), None, None, 0).await.unwrap();
    for varbind in ours {
        let theirs = witness.get(csnmp::ObjectIdentifier::try_from(varbind.oid.arcs()).unwrap()).await.unwrap();
        let theirs = match theirs {
            csnmp::ObjectValue::Integer(n) => Value::Integer(i64::from(n)),
            csnmp::ObjectValue::String(bytes) => Value::Octets(bytes),
            csnmp::ObjectValue::ObjectId(oid) => Value::Oid(oid.to_string().trim_start_matches('.').parse().unwrap()),
            csnmp::ObjectValue::Counter32(n) => Value::Counter(u64::from(n)),
            other => panic!("{other:?}"),
        };
        assert_eq!(varbind.answer, Ok(theirs), "{}", varbind.oid);
    }
}

#[tokio::test]
async fn in_v1_too_an_object_that_never_answers_is_left_out_the_next_time() {
    let objects = numbers(4);
    let agent = ScriptedAgent::start(move |request| {
        let poison = request.oids.contains(&oid("1.3.6.1.4.1.9999.1.3").arcs().to_vec());
        if poison { Vec::new() } else { vec![right(&objects, request)] }
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut first = session(&network, &agent, Version::V1).await;
    let expected = [Ok(1), Ok(2), Err(Absent::NoAnswer), Ok(4)];
    assert_eq!(shown(&first.get("", &all(4)).await.unwrap()), expected);
    let skipped: Vec<Oid> = first.skipped().cloned().collect();
    assert_eq!(skipped, [number(3)]);
    drop(first);
    let mut second = session(&network, &agent, Version::V1).await;
    second.skip(skipped);
    assert_eq!(shown(&second.get("", &all(4)).await.unwrap()), expected);
    assert_eq!(second.traffic().requests, 1);
}

#[tokio::test]
async fn an_oid_that_no_message_can_carry_costs_the_others_nothing() {
    let agent = ScriptedAgent::honest(1, numbers(2));
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let asked = [number(1), oid("3.1"), oid("1.40.1"), number(2)];
    let missing = Err(Absent::NoSuchObject);
    assert_eq!(shown(&session.get("", &asked).await.unwrap()), [Ok(1), missing, missing, Ok(2)]);
}

#[tokio::test]
async fn a_capture_sees_every_datagram_as_it_is() {
    let agent = ScriptedAgent::honest(1, numbers(2));
    let log = Arc::new(Mutex::new(Vec::new()));
    let theirs = Arc::clone(&log);
    let capture: Capture =
        Arc::new(move |way, peer, bytes: &[u8]| theirs.lock().unwrap().push((way, peer, bytes.len())));
    let network = Network::open(NetworkOptions { capture: Some(capture), ..NetworkOptions::default() }).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    session.get("", &all(2)).await.unwrap();
    let traffic = session.traffic();
    let sizes = (traffic.bytes_sent as usize, traffic.bytes_received as usize);
    assert_eq!(*log.lock().unwrap(), [(Way::Out, agent.address, sizes.0), (Way::In, agent.address, sizes.1)]);
}

#[tokio::test]
async fn only_so_many_devices_are_read_at_once() {
    let agent = ScriptedAgent::honest(1, numbers(1));
    let network = Network::open(NetworkOptions { devices: Some(2), ..NetworkOptions::default() }).unwrap();
    let first = session(&network, &agent, Version::V2c).await;
    let _second = session(&network, &agent, Version::V2c).await;
    let mut third = std::pin::pin!(session(&network, &agent, Version::V2c));
    assert!(poll_once(third.as_mut()).await.is_none(), "a third one must wait");
    drop(first);
    third.await;
}

async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_kernel_drops_is_counted() {
    let objects = numbers(1);
    let agent = ScriptedAgent::start(move |request| {
        let flood = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..if request.number == 0 { 20_000 } else { 0 } {
            flood.send_to(&[0; 64], request.from).unwrap();
        }
        vec![right(&objects, request)]
    });
    let network = Network::open(NetworkOptions::default()).unwrap();
    let mut session = session(&network, &agent, Version::V2c).await;
    let mut reading = std::pin::pin!(async { session.get("", &all(1)).await });
    while agent.seen().is_empty() {
        assert!(poll_once(reading.as_mut()).await.is_none());
        tokio::task::yield_now().await;
    }
    // This thread holds the runtime, so nobody empties the socket while the flood comes.
    let started = Instant::now();
    while network.counts().kernel_drops == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "20,000 datagrams fit into the receive buffer");
        std::thread::yield_now();
    }
    assert_eq!(shown(&reading.await.unwrap()), [Ok(1)]);
}
