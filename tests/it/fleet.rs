//! The simulated fleet is honest: independent clients read from it what the recordings say, and its settings do what
//! they promise. What the other tests prove against it stands on this.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::simulator::manner::Manner;
use crate::simulator::recording::{Recording, View};
use crate::simulator::tally::Tally;
use crate::simulator::vary::vary;
use crate::simulator::{self, Fleet, Printer, Running, ber, made};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 41, 0, 7);
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn net_snmp_walks_every_recording_as_it_is_written() {
    if missing("snmpwalk") {
        return;
    }
    for (name, text) in recordings() {
        let running = one(&text, manner());
        for (tool, security) in [
            ("snmpwalk", &["-v1", "-c", "public"][..]),
            ("snmpwalk", &["-v2c", "-c", "public"]),
            ("snmpbulkwalk", &["-v2c", "-c", "public", "-Cr25"]),
            ("snmpbulkwalk", V3),
        ] {
            let v1 = security[0] == "-v1";
            let expected = written(&text).into_iter().filter(|(_, value)| !v1 || !value.starts_with("Counter64"));
            let output = ask(tool, security, running.port(), &["1.3"]);
            // v1 says with an error that the tree ends; net-snmp calls that a failure only when it saw nothing.
            check_same(&printed(&output), &expected.collect(), &format!("{tool} {security:?} of {name}"));
        }
        assert_eq!(running.stop().total().most_pending, 1);
    }
}

#[test]
fn net_snmp_gets_values_exceptions_and_whole_pdu_errors() {
    if missing("snmpget") {
        return;
    }
    let running = one(SMALL, manner());
    let there = "1.3.6.1.2.1.1.1.0";
    let gone = "1.3.6.1.2.1.1.1.7";
    for security in [&["-v2c", "-c", "public"][..], V3] {
        let output = ask("snmpget", security, running.port(), &[there, gone, "1.3.6.1.9.9.0"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.contains("54 65 73 74") && text.contains("No Such Instance") && text.contains("No Such Object"),
            "{text}"
        );
    }
    // `-Cf`: no second try without the object that failed.
    let output = ask("snmpget", &["-v1", "-c", "public", "-Cf"], running.port(), &[there, gone]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("noSuchName"), "{output:?}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn net_snmp_hears_why_v3_is_refused() {
    if missing("snmpget") {
        return;
    }
    let running = one(SMALL, manner());
    for (security, word) in [
        (&["-v3", "-l", "noAuthNoPriv", "-u", "nobody"][..], "Unknown user name"),
        (&["-v3", "-l", "authNoPriv", "-u", "reader", "-a", "SHA-256", "-A", "not this one"], "Authentication failure"),
        (&["-v3", "-l", "noAuthNoPriv", "-u", "reader"], "authorizationError"),
        (&[V3, &["-n", "nowhere"]].concat(), "Bad context"),
    ] {
        let output = ask("snmpget", security, running.port(), &["1.3.6.1.2.1.1.1.0"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains(word), "{word}: {output:?}");
    }
    assert_eq!(running.stop().total().refused, 4);
}

#[test]
fn net_snmp_reads_with_every_digest_and_cipher_and_in_a_context() {
    if missing("snmpget") {
        return;
    }
    let digests = [
        ("md5", "MD5"),
        ("sha1", "SHA"),
        ("sha224", "SHA-224"),
        ("sha256", "SHA-256"),
        ("sha384", "SHA-384"),
        ("sha512", "SHA-512"),
    ];
    let ciphers = [("des", "DES"), ("aes128", "AES"), ("aes192", "AES-192"), ("aes256", "AES-256")];
    let pairs = || digests.into_iter().flat_map(|digest| ciphers.map(|cipher| (digest, cipher)));
    let users = pairs()
        .map(|((digest, _), (cipher, _))| {
            format!("{digest}{cipher}:{digest}:first secret:{cipher}:second secret").parse().unwrap()
        })
        .collect();
    let view = View::of(&Arc::new(Recording::parse(SMALL).unwrap()));
    let manner = Manner { v1: false, v2c: false, users, ..Manner::default() };
    let running = start(Printer { address: ADDRESS, views: vec![("Jetdirect".into(), view)], manner });
    for ((digest, auth), (cipher, privacy)) in pairs() {
        let user = format!("{digest}{cipher}");
        let security = [
            "-v3",
            "-l",
            "authPriv",
            "-n",
            "Jetdirect",
            "-u",
            &user,
            "-a",
            auth,
            "-A",
            "first secret",
            "-x",
            privacy,
            "-X",
            "second secret",
        ];
        let output = ask("snmpwalk", &security, running.port(), &["1.3"]);
        check_same(&printed(&output), &written(SMALL), &format!("{auth} {privacy}: {output:?}"));
    }
}

#[tokio::test]
async fn csnmp_walks_every_recording_as_it_is_written() {
    for (name, text) in recordings() {
        // csnmp takes the end of the tree for a fault: an object behind the recording spares it that.
        let running = one(&format!("{text}\n1.3.9.1|2|1\n"), manner());
        let at = SocketAddr::from((ADDRESS, running.port()));
        let client = csnmp::Snmp2cClient::new(at, b"public".to_vec(), None, Some(PATIENCE), 0).await.unwrap();
        let found = client.walk_bulk("1.3.6".parse().unwrap(), 20).await.unwrap_or_else(|why| panic!("{name}: {why}"));
        let found: BTreeMap<Vec<u32>, String> =
            found.iter().map(|(oid, value)| (arcs(&oid.to_string()), csnmp_shows(value))).collect();
        check_same(&found, &written(&text), &name);
    }
}

#[test]
fn requests_and_answers_get_lost_as_often_as_set_and_the_same_ones_for_the_same_seed() {
    let lossy = |seed| {
        let manner = Manner { loss_in: 0.1, loss_out: 0.2, ..Manner::default() };
        let printer = printer(SMALL, manner);
        let running = simulator::start(Fleet { port: 0, printers: vec![printer], seed }).unwrap();
        let socket = socket(&running);
        // In small groups, so that no queue overflows.
        let ids: Vec<i64> = (1..=2000).collect();
        let mut heard: Vec<i64> = Vec::new();
        for group in ids.chunks(100) {
            group.iter().for_each(|id| send(&socket, *id, SYSTEM));
            await_tally(&running, |tally| {
                let counts = tally.total();
                counts.answers + counts.lost == u64::try_from(group[group.len() - 1]).unwrap()
            });
            let answers = usize::try_from(running.tally().total().answers).unwrap();
            heard.extend((heard.len()..answers).map(|_| receive(&socket)));
        }
        let counts = running.tally().total();
        heard.sort_unstable();
        (counts, heard)
    };
    let (counts, heard) = lossy(1);
    // 0.9 × 0.8 of 2,000 are 1,440; four standard deviations to both sides are 80.
    assert!((1360..=1520).contains(&counts.answers), "{counts:?}");
    assert!((1720..=1880).contains(&counts.requests), "{counts:?}");
    assert_eq!((counts, heard.clone()), lossy(1));
    assert_ne!(heard, lossy(2).1);
}

#[test]
fn an_answer_takes_its_delay() {
    let slow = Manner { delay: Duration::from_millis(30), jitter: Duration::from_millis(10), ..Manner::default() };
    let running = one(SMALL, slow);
    let socket = socket(&running);
    let mut taken: Vec<Duration> = (1..=40)
        .map(|id| {
            let before = Instant::now();
            send(&socket, id, SYSTEM);
            assert_eq!(receive(&socket), id);
            before.elapsed()
        })
        .collect();
    taken.sort();
    assert!(taken[0] >= Duration::from_millis(20), "{taken:?}");
    assert!(taken[20] >= Duration::from_millis(25) && taken[20] < Duration::from_millis(60), "{taken:?}");
    assert!(taken[39] > taken[0] + Duration::from_millis(5), "{taken:?}");
}

#[test]
fn requests_that_wait_at_one_printer_are_counted_and_a_retransmission_is_no_second_one() {
    for (ids, most) in [([1, 1, 1], 1), ([1, 2, 2], 2), ([1, 2, 3], 3)] {
        let running = one(SMALL, Manner { delay: Duration::from_millis(50), ..Manner::default() });
        let socket = socket(&running);
        ids.iter().for_each(|id| send(&socket, *id, SYSTEM));
        ids.iter().for_each(|_| assert!(ids.contains(&receive(&socket))));
        assert_eq!(running.stop().total().most_pending, most, "{ids:?}");
    }
}

#[test]
fn a_sleeper_answers_from_its_set_request_on() {
    let running = one(SMALL, Manner { wakes_at: 3, ..Manner::default() });
    let socket = socket(&running);
    (1..=4).for_each(|id| send(&socket, id, SYSTEM));
    assert_eq!([receive(&socket), receive(&socket)], [3, 4]);
    let counts = running.stop().total();
    assert_eq!((counts.requests, counts.answers), (4, 2));
}

#[test]
fn a_sleeper_answers_after_its_time() {
    let sleep = Duration::from_millis(200);
    let running = one(SMALL, Manner { wakes_after: sleep, ..Manner::default() });
    let socket = socket(&running);
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let before = Instant::now();
    let mut buffer = [0; 2048];
    for id in 1.. {
        send(&socket, id, SYSTEM);
        if socket.recv(&mut buffer).is_ok() {
            break;
        }
        assert!(before.elapsed() < PATIENCE, "it never woke");
    }
    assert!(before.elapsed() >= sleep);
}

#[test]
fn odd_manners_are_as_odd_as_set() {
    let (description, object_id) = (&[1, 3, 6, 1, 2, 1, 1, 1, 0][..], &[1, 3, 6, 1, 2, 1, 1, 2, 0][..]);

    let running = one(SMALL, Manner { twice: true, ..Manner::default() });
    let asker = socket(&running);
    send(&asker, 5, SYSTEM);
    assert_eq!([receive(&asker), receive(&asker)], [5, 5]);

    let running = one(SMALL, Manner { never: vec![object_id.to_vec()], ..Manner::default() });
    let asker = socket(&running);
    send(&asker, 1, &[description, object_id]);
    send(&asker, 2, &[description]);
    assert_eq!(receive(&asker), 2);

    let running = one(SMALL, Manner { late: Some((2, Duration::from_millis(80))), ..Manner::default() });
    let asker = socket(&running);
    (1..=3).for_each(|id| send(&asker, id, SYSTEM));
    assert_eq!([receive(&asker), receive(&asker), receive(&asker)], [1, 3, 2]);

    let running = one(SMALL, Manner { other_port: true, ..Manner::default() });
    let asker = UdpSocket::bind("127.0.0.1:0").unwrap();
    asker.set_read_timeout(Some(PATIENCE)).unwrap();
    asker.send_to(&get(1, SYSTEM, "public"), (ADDRESS, running.port())).unwrap();
    let (_, from) = asker.recv_from(&mut [0; 2048]).unwrap();
    assert_eq!(from.ip(), ADDRESS);
    assert_ne!(from.port(), running.port());

    let running = one(SMALL, Manner { varbinds_max: 1, ..Manner::default() });
    let asker = socket(&running);
    send(&asker, 1, &[description, object_id]);
    let mut buffer = [0; 2048];
    let length = asker.recv(&mut buffer).unwrap();
    // error-status tooBig, error-index 0, no varbinds (RFC 3416 4.2.1)
    assert!(buffer[..length].ends_with(&[0x02, 1, 1, 0x02, 1, 0, 0x30, 0]), "{:02x?}", &buffer[..length]);
}

#[test]
fn a_wrong_community_a_foreign_version_and_garbage_are_met_with_silence_and_counted() {
    let running = one(SMALL, Manner { v1: false, communities: vec!["secret".into()], ..Manner::default() });
    let socket = socket(&running);
    let version_1 = {
        let mut message = get(2, SYSTEM, "secret");
        message[4] = 0;
        message
    };
    for message in [get(1, SYSTEM, "public"), version_1, b"not snmp".to_vec(), get(3, SYSTEM, "secret")] {
        socket.send(&message).unwrap();
    }
    assert_eq!(receive(&socket), 3);
    let counts = running.stop().total();
    assert_eq!((counts.requests, counts.refused, counts.malformed, counts.answers), (4, 2, 1, 1));
}

#[test]
fn a_set_is_refused_and_counted() {
    if missing("snmpset") {
        return;
    }
    let running = one(SMALL, manner());
    let output = ask("snmpset", &["-v2c", "-c", "public"], running.port(), &["1.3.6.1.2.1.1.1.0", "s", "new"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("notWritable"), "{output:?}");
    assert_eq!(running.stop().total().sets, 1);
}

#[test]
fn packets_to_addresses_without_a_printer_are_swallowed_and_counted() {
    let running = one(SMALL, manner());
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    for last in 100..110 {
        nobody.send_to(&get(1, SYSTEM, "public"), (Ipv4Addr::new(127, 41, 0, last), running.port())).unwrap();
    }
    await_tally(&running, |tally| tally.packets_to_nobody == 10);
    assert_eq!(running.tally().busiest_second, 10);
}

#[test]
fn the_made_up_devices_have_the_size_of_real_ones() {
    let mfp = made::typical_mfp();
    let rows = |table: &[u32]| mfp.objects().iter().filter(|object| object.arcs.starts_with(table)).count();
    assert!((680..=700).contains(&mfp.objects().len()), "{}", mfp.objects().len());
    let printer_mib = [1, 3, 6, 1, 2, 1, 43];
    for (table, expected) in
        [(&[8, 2, 1, 10][..], 5), (&[9, 2, 1, 5], 2), (&[11, 1, 1, 9], 11), (&[14, 1, 1, 2], 6), (&[18, 1, 1, 2], 3)]
    {
        assert_eq!(rows(&[&printer_mib[..], table].concat()), expected, "{table:?}");
    }
    assert!((490..=530).contains(&rows(&printer_mib)), "{}", rows(&printer_mib));
    assert!(made::a4_printer().objects().len() > 200);
}

#[test]
fn printers_of_one_recording_differ_and_their_parts_still_add_up() {
    let recording = Arc::new(made::typical_mfp());
    let value = |view: &View, oid: &str| {
        let place = recording.find(&arcs(oid)).unwrap();
        view.at(place).unwrap().2.to_vec()
    };
    let views: Vec<View> = (0..1000).map(|number| vary(&recording, number, true)).collect();
    for oid in [
        "1.3.6.1.2.1.43.5.1.1.17.1",
        "1.3.6.1.2.1.2.2.1.6.1",
        "1.3.6.1.4.1.1347.43.5.1.1.28.1",
        "1.3.6.1.4.1.1347.40.10.1.1.5.1",
    ] {
        let different: std::collections::BTreeSet<Vec<u8>> = views.iter().map(|view| value(view, oid)).collect();
        assert_eq!(different.len(), views.len(), "{oid}");
    }
    for view in &views {
        let count = |tail: &str| simulator::vary::count(&value(view, &format!("1.3.6.1.4.1.1347.{tail}"))).unwrap();
        assert_eq!(
            count("43.10.1.1.12.1.1"),
            count("42.3.1.1.1.1.1") + count("42.3.1.1.1.1.2") + count("42.3.1.1.1.1.4")
        );
        assert_eq!(count("43.10.1.1.12.1.1"), count("42.2.5.1.1.1.1") + count("42.2.5.1.1.2.1"));
    }
}

const SYSTEM: &[&[u32]] = &[&[1, 3, 6, 1, 2, 1, 1, 1, 0]];
const V3: &[&str] = &[
    "-v3",
    "-l",
    "authPriv",
    "-u",
    "reader",
    "-a",
    "SHA-256",
    "-A",
    "first secret",
    "-x",
    "AES",
    "-X",
    "second secret",
];
const SMALL: &str = "\
1.3.6.1.2.1.1.1.0|4|Test printer
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.1347.41
1.3.6.1.2.1.1.3.0|67|4294967295
1.3.6.1.2.1.1.5.0|4|
1.3.6.1.2.1.2.2.1.6.1|4x|0017c8b902de
1.3.6.1.2.1.4.20.1.1.10.0.0.1|64|10.0.0.1
1.3.6.1.2.1.25.3.2.1.4.1|6|0.0
1.3.6.1.2.1.31.1.1.1.6.1|70|18446744073709551615
1.3.6.1.2.1.43.10.2.1.4.1.1|65|4294967295
1.3.6.1.2.1.43.11.1.1.9.1.1|2|-3
1.3.6.1.2.1.43.11.1.1.9.1.2|2|-2147483648
1.3.6.1.4.1.11.4294967295.1|66|128
";

fn manner() -> Manner {
    Manner { users: vec!["reader:sha256:first secret:aes128:second secret".parse().unwrap()], ..Manner::default() }
}

fn printer(text: &str, manner: Manner) -> Printer {
    let view = View::of(&Arc::new(Recording::parse(text).unwrap()));
    Printer { address: ADDRESS, views: vec![(String::new(), view)], manner }
}

fn one(text: &str, manner: Manner) -> Running {
    start(printer(text, manner))
}

fn start(printer: Printer) -> Running {
    simulator::start(Fleet { port: 0, printers: vec![printer], seed: 1 }).unwrap()
}

/// Every recording that the project ships, and a small one with what these lack.
fn recordings() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/walks");
    let mut found = vec![("SMALL".to_owned(), SMALL.to_owned())];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "snmprec") {
            found.push((path.display().to_string(), fs::read_to_string(path).unwrap()));
        }
    }
    assert!(found.len() > 12);
    found
}

/// Says so, and fails in CI, when a tool of net-snmp is not there.
fn missing(tool: &str) -> bool {
    let found = Command::new(tool).arg("-V").output().is_ok();
    if !found {
        eprintln!("SKIPPED: `{tool}` is not installed; `apt-get install snmp` has it");
        assert!(std::env::var_os("CI").is_none(), "`{tool}` is missing, and CI tests everything");
    }
    !found
}

/// Runs a tool of net-snmp with values as bytes and numbers (-Oxet), whole OIDs, no MIB files, and no second try.
fn ask(tool: &str, security: &[&str], port: u16, oids: &[&str]) -> Output {
    let mut command = Command::new(tool);
    command
        .args(security)
        .args(["-m", "", "-Onxet", "-t", "20", "-r", "0"])
        .arg(format!("{ADDRESS}:{port}"))
        .args(oids);
    command.env("SNMPCONFPATH", "/nonexistent").output().unwrap()
}

/// What a tool printed: OID → type and value.
fn printed(output: &Output) -> BTreeMap<Vec<u32>, String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut objects: Vec<(Vec<u32>, String)> = Vec::new();
    for line in text.lines() {
        match line.split_once(" = ").filter(|(oid, _)| oid.starts_with('.')) {
            Some((_, "No more variables left in this MIB View (It is past the end of the MIB tree)")) => {}
            Some((oid, value)) => objects.push((arcs(oid), value.trim_end().to_owned())),
            None if line == "End of MIB" => {}
            // Bytes of a long string go on in the next line.
            None => match objects.last_mut() {
                Some((_, value)) if value.starts_with("Hex-STRING") => *value = format!("{value} {}", line.trim()),
                _ => {}
            },
        }
    }
    objects.into_iter().map(|(oid, value)| (oid, value.trim_end().to_owned())).collect()
}

/// What a recording says, in the words of net-snmp. Read from the text here, not by the simulator.
fn written(text: &str) -> BTreeMap<Vec<u32>, String> {
    let mut objects = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts: Vec<&str> = line.splitn(3, '|').collect();
        let [oid, tag, value] = parts[..] else { panic!("`{line}`") };
        let shown = match tag {
            "2" => format!("INTEGER: {value}"),
            "4" => octets(value.bytes().map(|byte| format!("{byte:02X}")).collect()),
            "4x" => octets(value.as_bytes().chunks(2).map(|two| String::from_utf8_lossy(two).to_uppercase()).collect()),
            "6" => format!("OID: .{}", value.trim_start_matches('.')),
            "64" => format!("IpAddress: {value}"),
            "65" => format!("Counter32: {value}"),
            "66" => format!("Gauge32: {value}"),
            "67" => value.to_owned(),
            "70" => format!("Counter64: {value}"),
            _ => panic!("`{line}`: a type that this test cannot compare"),
        };
        objects.entry(arcs(oid)).or_insert(shown);
    }
    objects
}

/// Both hold the same objects with the same values; only what differs is printed.
#[track_caller]
fn check_same(found: &BTreeMap<Vec<u32>, String>, expected: &BTreeMap<Vec<u32>, String>, what: &str) {
    let other =
        |map: &BTreeMap<Vec<u32>, String>, oid: &Vec<u32>| map.get(oid).cloned().unwrap_or_else(|| "nothing".into());
    let differing: Vec<String> = found
        .keys()
        .chain(expected.keys().filter(|oid| !found.contains_key(*oid)))
        .filter(|oid| found.get(*oid) != expected.get(*oid))
        .map(|oid| format!("{oid:?}: found {}, recorded {}", other(found, oid), other(expected, oid)))
        .collect();
    assert!(differing.is_empty(), "{what}: {differing:#?}");
}

fn octets(bytes: Vec<String>) -> String {
    if bytes.is_empty() { "\"\"".into() } else { format!("Hex-STRING: {}", bytes.join(" ")) }
}

fn csnmp_shows(value: &csnmp::ObjectValue) -> String {
    use csnmp::ObjectValue as V;
    match value {
        V::Integer(number) => format!("INTEGER: {number}"),
        V::String(bytes) => octets(bytes.iter().map(|byte| format!("{byte:02X}")).collect()),
        V::ObjectId(oid) => format!("OID: .{}", oid.to_string().trim_start_matches('.')),
        V::IpAddress(address) => format!("IpAddress: {address}"),
        V::Counter32(number) => format!("Counter32: {number}"),
        V::Unsigned32(number) => format!("Gauge32: {number}"),
        V::TimeTicks(number) => number.to_string(),
        V::Counter64(number) => format!("Counter64: {number}"),
        V::Opaque(bytes) => format!("OPAQUE: {bytes:02X?}"),
    }
}

fn arcs(oid: &str) -> Vec<u32> {
    oid.trim_start_matches('.').split('.').map(|arc| arc.parse().unwrap()).collect()
}

/// A v2c GET, written by hand.
fn get(id: i64, oids: &[&[u32]], community: &str) -> Vec<u8> {
    let varbinds: Vec<Vec<u8>> = oids.iter().map(|oid| ber::group(0x30, &[&ber::oid(oid), &[5, 0]])).collect();
    let zero = ber::integer(2, 0);
    let pdu = ber::group(0xa0, &[&ber::integer(2, id), &zero, &zero, &ber::element(0x30, &varbinds.concat())]);
    ber::group(0x30, &[&ber::integer(2, 1), &ber::element(4, community.as_bytes()), &pdu])
}

fn socket(running: &Running) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((ADDRESS, running.port())).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn send(socket: &UdpSocket, id: i64, oids: &[&[u32]]) {
    socket.send(&get(id, oids, "public")).unwrap();
}

/// The request id of the next answer.
fn receive(socket: &UdpSocket) -> i64 {
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    let mut rest = &buffer[..length];
    let mut message = ber::expect(&mut rest, 0x30).unwrap();
    ber::expect_integer(&mut message).unwrap();
    ber::expect(&mut message, 4).unwrap();
    let mut pdu = ber::expect(&mut message, 0xa2).unwrap();
    ber::expect_integer(&mut pdu).unwrap()
}

/// Waits until the fleet has seen what is said here.
fn await_tally(running: &Running, seen: impl Fn(&Tally) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !seen(&running.tally()) {
        assert!(Instant::now() < deadline, "{:?}", running.tally());
        std::thread::yield_now();
    }
}
