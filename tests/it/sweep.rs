//! The sweep in virtual time, under loss, delay, late, foreign and doubled answers; and over real sockets on loopback.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::ControlFlow;
use std::time::Duration;

use meterpost::snmp::credential::{Credential, Secret, Version, Versions};
use meterpost::snmp::probe;
use meterpost::snmp::question::Answered;
use meterpost::sweep::{self, Action, Ask, Options, Outcome, Progress, Rate, Sighting, Sweep, Verdict};
use meterpost::targets::{Addresses, Group, Targets, World};
use tokio::sync::mpsc;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn community(name: &str, text: &str, versions: Versions) -> Credential {
    Credential::community(name, Secret::new(text), versions).unwrap()
}

fn addresses(text: &str) -> Addresses {
    let mut resolve = |_: &str| Err("no names here".to_owned());
    let mut read_file = |_: &str| Err("no files here".to_owned());
    Addresses::parse(&[text], &mut World { resolve: &mut resolve, read_file: &mut read_file }).unwrap()
}

fn targets(groups: &[(&str, &[&str])]) -> Targets {
    let mut targets = Targets::default();
    for (text, names) in groups {
        let credentials = names.iter().map(|&name| name.to_owned()).collect();
        targets.add(Group { addresses: addresses(text), port: 161, credentials }, &Addresses::default()).unwrap();
    }
    targets
}

fn options(rate: Rate, retries: u32) -> Options {
    Options { rate, retries, ..Options::default() }
}

/// A device in the simulated network.
#[derive(Clone, Copy)]
struct Device {
    community: &'static str,
    version: Version,
    rtt: Duration,
    /// It drops everything for so long, counted from the packet that wakes it.
    deaf: Duration,
}

const PRINTER: Device =
    Device { community: "public", version: Version::V2c, rtt: Duration::from_millis(20), deaf: Duration::ZERO };

/// The network between a sweep and its devices: what is sent reaches them at once, what they answer comes later.
struct Simulated {
    devices: HashMap<IpAddr, Device>,
    /// Of 1,000 answers so many are lost.
    loss: u64,
    /// Each answer comes twice.
    doubled: bool,
    dice: u64,
}

struct Run {
    log: Vec<(Duration, Ask)>,
    sightings: Vec<Sighting>,
    outcome: Outcome,
    ended: Duration,
}

impl Simulated {
    fn new(devices: impl IntoIterator<Item = (IpAddr, Device)>) -> Self {
        Self { devices: devices.into_iter().collect(), loss: 0, doubled: false, dice: 1 }
    }

    fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % 1000
    }

    fn run(&mut self, mut sweep: Sweep, credentials: &[Credential]) -> Run {
        // Answers under way, by when they arrive.
        let mut coming: BTreeMap<(Duration, usize), (Ask, Duration)> = BTreeMap::new();
        let (mut log, mut sightings, mut now) = (Vec::new(), Vec::new(), Duration::ZERO);
        let mut woken: HashMap<IpAddr, Duration> = HashMap::new();
        loop {
            while let Some(first) = coming.first_entry().filter(|first| first.key().0 <= now) {
                let (ask, sent) = first.remove();
                sightings.extend(deliver(&mut sweep, credentials, &self.devices[&ask.address], ask, now - sent, now));
            }
            match sweep.poll(now) {
                Action::Send(ask) => {
                    sweep.handle_sent(80, now);
                    log.push((now, ask));
                    let Some(device) = self.devices.get(&ask.address).copied() else { continue };
                    let awake = now - *woken.entry(ask.address).or_insert(now) >= device.deaf;
                    let heard = awake
                        && device.version == ask.version
                        && (ask.version == Version::V3 || shown(&credentials[ask.credential]) == device.community);
                    if heard {
                        for _ in 0..1 + u8::from(self.doubled) {
                            if self.roll() >= self.loss {
                                coming.insert((now + device.rtt, coming.len() + log.len() * 4), (ask, now));
                            }
                        }
                    }
                }
                Action::Wait(until) => {
                    assert!(until > now, "a wait that is over is no wait");
                    now = coming.first_key_value().map_or(until, |((at, _), _)| until.min(*at));
                }
                Action::Done => break,
            }
        }
        Run { log, sightings, outcome: sweep.finish(), ended: now }
    }
}

fn shown(credential: &Credential) -> &str {
    match &credential.access {
        meterpost::snmp::credential::Access::Community { community, .. } => community.expose(),
        meterpost::snmp::credential::Access::User(_) => "",
    }
}

fn deliver(
    sweep: &mut Sweep,
    credentials: &[Credential],
    device: &Device,
    ask: Ask,
    rtt: Duration,
    now: Duration,
) -> Option<Sighting> {
    let answered = Answered {
        version: device.version,
        id: 0x4000,
        community: device.community.as_bytes(),
        description: Some(b"a printer"),
        object_id: None,
    };
    sweep.handle_answer(credentials, SocketAddr::new(ask.address, ask.port), 90, Some((answered, rtt)), now)
}

fn busiest_second(times: impl Iterator<Item = Duration>) -> usize {
    let times: Vec<Duration> = times.collect();
    let mut from = 0;
    (0..times.len())
        .map(|n| {
            while times[from] + SECOND <= times[n] {
                from += 1;
            }
            n + 1 - from
        })
        .max()
        .unwrap_or(0)
}

#[test]
fn credentials_are_asked_in_order_then_again_with_v1_and_v2c_in_turn_and_the_last_round_is_slow() {
    let credentials = [
        community("hall", "public", Versions::Either),
        Credential::parse_v3("ann").unwrap(),
        Credential::parse_v3("bob").unwrap(),
        community("old", "x", Versions::V1),
    ];
    let targets = targets(&[("10.0.0.1", &["hall", "ann", "bob", "old"])]);
    let sweep = Sweep::new(&targets, &credentials, &options(Rate::Default, 2)).unwrap();
    let run = Simulated::new([]).run(sweep, &credentials);
    let asked: Vec<(u128, usize, &str)> =
        run.log.iter().map(|(at, ask)| (at.as_millis(), ask.credential, ask.version.as_str())).collect();
    // The second user's discovery would be the first one's over again.
    assert_eq!(
        asked,
        [
            (0, 0, "2c"),
            (500, 1, "3"),
            (1000, 3, "1"),
            (1500, 0, "1"),
            (1500, 1, "3"),
            (1500, 3, "1"),
            (4000, 0, "2c"),
            (4000, 1, "3"),
            (4000, 3, "1"),
        ]
    );
    assert_eq!(run.ended.as_millis(), 9000);
    assert_eq!(
        run.outcome.verdicts().collect::<Vec<_>>(),
        [("10.0.0.1".parse().unwrap(), Verdict::Silent, "no answer to 9 questions".to_owned())]
    );
    let sweep = Sweep::new(&targets, &credentials, &options(Rate::Default, 1)).unwrap();
    assert_eq!(Simulated::new([]).run(sweep, &credentials).ended.as_millis(), 2500);
    let sweep = Sweep::new(&targets, &credentials, &options(Rate::Default, 0)).unwrap();
    assert_eq!(Simulated::new([]).run(sweep, &credentials).ended.as_millis(), 2000);
}

#[test]
fn a_sixteen_is_swept_in_strides_within_the_rate_and_each_printer_is_seen_once() {
    let credentials = [community("hall", "public", Versions::Either)];
    let all = addresses("10.1.0.0/16");
    let printers = (0..500).map(|n| (all.nth(n * 131).unwrap(), PRINTER));
    let mut network = Simulated::new(printers);
    network.doubled = true;
    let sweep =
        Sweep::new(&targets(&[("10.1.0.0/16", &["hall"])]), &credentials, &options(Rate::PerSecond(5000), 1)).unwrap();
    let run = network.run(sweep, &credentials);
    assert_eq!((run.sightings.len(), run.outcome.answered, run.outcome.addresses), (500, 500, 65_534));
    assert_eq!(run.log.len(), 65_534 + 65_034);
    assert!(busiest_second(run.log.iter().map(|(at, _)| *at)) <= 5000);
    // A pass takes longer than the gap between two questions to an address: nothing is waited for but the last answers.
    let sending = Duration::from_secs_f64(run.log.len() as f64 / 5000.0 * 1.06);
    assert!(run.ended <= sending + SECOND, "{:?} for {sending:?} of sending", run.ended);
    assert_eq!(run.outcome.silent.len(), 65_034);
    assert_eq!(run.outcome.unexpected, 500, "the doubles");
    assert!(run.sightings.iter().all(|sighting| sighting.rtt == 20 * MS && sighting.credential == "hall"));
    let third = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets()[2],
        IpAddr::V6(_) => unreachable!(),
    };
    let neighbours = run.log.windows(2).filter(|pair| third(pair[0].1.address) == third(pair[1].1.address)).count();
    assert!(neighbours < 600, "{neighbours} times the same /24 twice in a row");
}

#[test]
fn five_percent_of_lost_answers_cost_no_printer() {
    let credentials = [community("hall", "public", Versions::V2c)];
    let all = addresses("10.1.0.0/16");
    for dice in 1..=5 {
        let mut network = Simulated::new((0..500).map(|n| (all.nth(n * 131).unwrap(), PRINTER)));
        (network.loss, network.dice) = (50, dice * 7919);
        let sweep =
            Sweep::new(&targets(&[("10.1.0.0/16", &["hall"])]), &credentials, &options(Rate::Unpaced, 2)).unwrap();
        let run = network.run(sweep, &credentials);
        assert!(run.sightings.len() >= 499, "{} of 500", run.sightings.len());
    }
}

#[test]
fn a_v1_only_device_is_found_in_the_second_round_and_a_sleeper_in_the_slow_one() {
    let credentials = [community("hall", "public", Versions::Either)];
    let old = Device { version: Version::V1, ..PRINTER };
    let sleeper = Device { rtt: Duration::from_millis(4500), ..PRINTER };
    let mut network = Simulated::new([("10.0.0.1".parse().unwrap(), old), ("10.0.0.2".parse().unwrap(), sleeper)]);
    let make = |retries| {
        Sweep::new(&targets(&[("10.0.0.0/29", &["hall"])]), &credentials, &options(Rate::Default, retries)).unwrap()
    };
    let found = |run: &Run| {
        run.sightings.iter().map(|seen| (seen.address.to_string(), seen.version, seen.rtt)).collect::<Vec<_>>()
    };
    let run = network.run(make(2), &credentials);
    assert_eq!(
        found(&run),
        [("10.0.0.1:161".to_owned(), Version::V1, 20 * MS), ("10.0.0.2:161".to_owned(), Version::V2c, 4500 * MS),]
    );
    assert_eq!(network.run(make(1), &credentials).sightings.len(), 1);
}

#[test]
fn a_printer_that_drops_everything_while_it_wakes_is_found_by_the_slow_round_in_a_network_of_any_size() {
    let credentials = [community("hall", "public", Versions::Either)];
    for (groups, rate) in [
        ([("10.0.0.7", &["hall"][..])], Rate::Default),
        ([("10.0.0.0/24", &["hall"][..])], Rate::Unpaced),
        ([("10.0.0.0/22", &["hall"][..])], Rate::PerSecond(300)),
    ] {
        for (deaf, expected) in [(200, 1), (2000, 1), (2990, 1), (30_000, 0)] {
            let sleeper = Device { deaf: Duration::from_millis(deaf), ..PRINTER };
            let mut network = Simulated::new([("10.0.0.7".parse().unwrap(), sleeper)]);
            let sweep = Sweep::new(&targets(&groups), &credentials, &options(rate, 2)).unwrap();
            let run = network.run(sweep, &credentials);
            assert_eq!(run.sightings.len(), expected, "{groups:?}, deaf for {deaf} ms");
        }
    }
}

#[test]
fn nobody_is_asked_twice_within_half_a_second_however_few_are_left() {
    let credentials = [community("hall", "public", Versions::Either)];
    let all = addresses("10.0.0.0/22");
    // All answer but the last twenty: the second pass is short.
    let mut network = Simulated::new(all.iter().take(1002).map(|address| (address, PRINTER)));
    let sweep =
        Sweep::new(&targets(&[("10.0.0.0/22", &["hall"])]), &credentials, &options(Rate::PerSecond(1000), 2)).unwrap();
    let run = network.run(sweep, &credentials);
    let mut last: HashMap<IpAddr, Duration> = HashMap::new();
    for (at, ask) in &run.log {
        if let Some(before) = last.insert(ask.address, *at) {
            assert!(*at - before >= Duration::from_millis(500), "{} after {:?}", ask.address, *at - before);
        }
    }
    assert_eq!(run.log.len(), 1022 + 2 * 20);
}

#[test]
fn the_time_left_is_the_time_that_it_takes() {
    let credentials = [community("hall", "public", Versions::Either)];
    let near = Options { attached: vec!["10.0.0.0/22".parse().unwrap()], ..options(Rate::Default, 2) };
    for (groups, options) in [
        ([("10.0.0.7", &["hall"][..])], options(Rate::Default, 2)),
        ([("10.0.0.0/22", &["hall"][..])], options(Rate::PerSecond(500), 1)),
        ([("10.0.0.0/22", &["hall"][..])], near),
    ] {
        let targets = targets(&groups);
        let (_, whole) = sweep::forecast(&targets, &credentials, &options).unwrap();
        let mut sweep = Sweep::new(&targets, &credentials, &options).unwrap();
        let mut now = Duration::ZERO;
        loop {
            match sweep.poll(now) {
                Action::Send(_) => {}
                Action::Wait(until) => now = until,
                Action::Done => break,
            }
            let told = now + sweep.progress(now).left;
            let apart = told.abs_diff(whole);
            assert!(apart <= whole / 20, "{groups:?} at {now:?}: {told:?} told, {whole:?} in truth");
        }
    }
}

#[test]
fn a_community_is_never_sent_where_it_is_not_listed() {
    let credentials = [
        community("hall", "public", Versions::Either),
        Credential::parse_v3("ann").unwrap(),
        community("lab", "secret", Versions::Either),
    ];
    let groups: [(&str, &[&str]); 3] =
        [("10.0.0.0/24", &["ann"]), ("10.0.1.0/24", &["lab", "ann"]), ("10.0.2.0/24", &["hall"])];
    let sweep = Sweep::new(&targets(&groups), &credentials, &options(Rate::Unpaced, 3)).unwrap();
    let run = Simulated::new([]).run(sweep, &credentials);
    assert_eq!(run.log.len(), 254 * 4 + 254 * 2 * 4 + 254 * 4);
    for (_, ask) in run.log {
        let IpAddr::V4(v4) = ask.address else { unreachable!() };
        let listed: &[usize] = [&[1][..], &[2, 1], &[0]][usize::from(v4.octets()[2])];
        assert!(listed.contains(&ask.credential), "{ask:?}");
        assert_eq!(ask.version == Version::V3, ask.credential == 1);
    }
    let unknown = Sweep::new(&targets(&[("10.0.0.1", &["nobody"])]), &credentials, &Options::default());
    assert_eq!(unknown.unwrap_err().to_string(), "targets name the credential `nobody`, which is not defined");
}

#[test]
fn an_attached_subnet_gets_256_a_second_and_a_given_rate_replaces_both() {
    let credentials = [community("hall", "public", Versions::Either)];
    let near: [(&str, &[&str]); 1] = [("10.0.0.0/23", &["hall"])];
    let far: [(&str, &[&str]); 1] = [("10.8.0.0/20", &["hall"])];
    let mut options = Options { attached: vec!["10.0.0.0/23".parse().unwrap()], ..options(Rate::Default, 0) };
    let busiest = |groups: &[(&str, &[&str])], options: &Options| {
        let sweep = Sweep::new(&targets(groups), &credentials, options).unwrap();
        let run = Simulated::new([]).run(sweep, &credentials);
        (busiest_second(run.log.iter().map(|(at, _)| *at)), run.ended)
    };
    assert!((235..=250).contains(&busiest(&near, &options).0), "{:?}", busiest(&near, &options));
    assert!((1900..=1950).contains(&busiest(&far, &options).0), "{:?}", busiest(&far, &options));
    options.rate = Rate::PerSecond(500);
    for groups in [near, far] {
        assert!((470..=490).contains(&busiest(&groups, &options).0), "{:?}", busiest(&groups, &options));
    }
    options.rate = Rate::Unpaced;
    assert_eq!(busiest(&near, &options).1, SECOND);
}

#[test]
fn a_pass_and_the_sweep_end_once_all_have_answered() {
    let credentials = [community("hall", "public", Versions::Either)];
    let mut network = Simulated::new(addresses("10.0.0.1-9").iter().map(|address| (address, PRINTER)));
    let sweep = Sweep::new(&targets(&[("10.0.0.1-9", &["hall"])]), &credentials, &options(Rate::Default, 2)).unwrap();
    let run = network.run(sweep, &credentials);
    assert_eq!((run.sightings.len(), run.log.len(), run.outcome.silent.len()), (9, 9, 0));
    assert!(run.ended < 30 * MS, "{:?}", run.ended);
}

#[test]
fn answers_to_no_question_are_counted_and_make_no_sighting() {
    let credentials = [community("hall", "public", Versions::V2c)];
    let mut sweep =
        Sweep::new(&targets(&[("10.0.0.1-2", &["hall"])]), &credentials, &options(Rate::Default, 0)).unwrap();
    assert!(matches!(sweep.poll(Duration::ZERO), Action::Send(_)));
    let answered = |community: &'static str, version| Answered {
        version,
        id: 0x4000,
        community: community.as_bytes(),
        description: None,
        object_id: None,
    };
    let from = |text: &str| text.parse::<SocketAddr>().unwrap();
    let mut handle = |from, answered: Option<Answered<'static>>| {
        sweep.handle_answer(&credentials, from, 50, answered.map(|answered| (answered, MS)), MS)
    };
    for (address, what) in [
        (from("10.0.0.3:161"), Some(answered("public", Version::V2c))),
        (from("10.0.0.1:161"), Some(answered("other", Version::V2c))),
        (from("10.0.0.1:161"), Some(answered("public", Version::V1))),
        (from("10.0.0.1:161"), Some(answered("", Version::V3))),
        (from("10.0.0.1:161"), None),
    ] {
        assert_eq!(handle(address, what), None);
    }
    // From another port of the asked address it counts.
    let seen = handle(from("10.0.0.1:4000"), Some(answered("public", Version::V2c))).unwrap();
    assert_eq!((seen.address, seen.other_port), (from("10.0.0.1:161"), Some(4000)));
    assert_eq!(handle(from("10.0.0.1:161"), Some(answered("public", Version::V2c))), None);
    let outcome = sweep.finish();
    assert_eq!((outcome.unexpected, outcome.other_port, outcome.answered), (6, 1, 1));
}

#[test]
fn a_sweep_that_is_stopped_tells_who_was_never_asked() {
    let credentials = [community("hall", "public", Versions::V2c)];
    let mut targets = Targets::default();
    let group = Group { addresses: addresses("10.0.0.1-100"), port: 161, credentials: vec!["hall".to_owned()] };
    targets.add(group, &addresses("10.0.0.50-59")).unwrap();
    let mut sweep = Sweep::new(&targets, &credentials, &options(Rate::PerSecond(10), 0)).unwrap();
    let (mut now, mut sent) = (Duration::ZERO, 0);
    while sent < 30 {
        match sweep.poll(now) {
            Action::Send(ask) if sent == 7 => {
                sweep.handle_unreachable(ask.address, ask.port);
                sent += 1;
            }
            Action::Send(_) => sent += 1,
            Action::Wait(until) => now = until,
            Action::Done => unreachable!(),
        }
    }
    let progress = sweep.progress(now);
    assert_eq!((progress.addresses, progress.asked, progress.answered), (90, 30, 0));
    assert!((6..=8).contains(&progress.left.as_secs()), "{progress:?}");
    sweep.stop();
    assert_eq!(sweep.poll(now), Action::Done);
    let outcome = sweep.finish();
    let mut count: HashMap<&str, usize> = HashMap::new();
    outcome.verdicts().for_each(|(_, verdict, _)| *count.entry(verdict.as_str()).or_default() += 1);
    assert_eq!(count["silent"], 29);
    assert_eq!(count["unreachable"], 1);
    assert_eq!(count["budget_ended"], 60);
    assert_eq!(count["excluded"], 10);
}

#[test]
fn the_forecast_is_what_a_sweep_of_silence_takes() {
    let credentials = [community("hall", "public", Versions::Either), Credential::parse_v3("ann").unwrap()];
    for (groups, options) in [
        (vec![("10.0.0.0/24", &["hall"][..])], options(Rate::Default, 2)),
        (vec![("10.0.0.0/22", &["hall", "ann"][..]), ("10.9.0.0/24", &["ann"][..])], options(Rate::PerSecond(500), 1)),
        (vec![("10.0.0.7", &["ann"][..])], options(Rate::Unpaced, 0)),
    ] {
        let targets = targets(&groups);
        let run = Simulated::new([]).run(Sweep::new(&targets, &credentials, &options).unwrap(), &credentials);
        let (packets, time) = sweep::forecast(&targets, &credentials, &options).unwrap();
        assert_eq!((packets, time), (run.log.len() as u64, run.ended));
    }
    let (packets, time) =
        sweep::forecast(&targets(&[("10.1.0.0/16", &["hall"])]), &credentials, &options(Rate::Default, 2)).unwrap();
    assert_eq!(packets, 3 * 65_534);
    assert!((105..=110).contains(&time.as_secs()), "{time:?}");
}

/// A device on a real socket: answers with its second argument, a function of the question.
fn device(address: &str, port: u16, mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> UdpSocket {
    let socket = UdpSocket::bind((address, port)).unwrap();
    let (theirs, handle) = (socket.try_clone().unwrap(), socket);
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        // Ends when a datagram of no bytes comes.
        while let Ok((length, from)) = theirs.recv_from(&mut buffer) {
            if length == 0 {
                return;
            }
            if let Some(reply) = answer(&buffer[..length]) {
                theirs.send_to(&reply, from).unwrap();
            }
        }
    });
    handle
}

/// The question turned into an answer: another PDU type, the same values (none).
fn echoed(question: &[u8]) -> Option<Vec<u8>> {
    let mut reply = question.to_vec();
    let pdu = reply.iter().position(|&octet| octet == 0xa0)?;
    reply[pdu] = 0xa2;
    Some(reply)
}

async fn sweep_for_real(sweep: Sweep, credentials: &[Credential]) -> (Vec<Sighting>, Outcome, Vec<Progress>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let mut told = Vec::new();
    let (outcome, sightings) = tokio::join!(
        async {
            probe::run(sweep, credentials, sender, |progress| {
                told.push(*progress);
                ControlFlow::Continue(())
            })
            .await
            .unwrap()
        },
        async {
            let mut sightings = Vec::new();
            while let Some(sighting) = receiver.recv().await {
                sightings.push(sighting);
            }
            sightings.sort_by_key(|sighting| sighting.address);
            sightings
        }
    );
    (sightings, outcome, told)
}

#[tokio::test]
async fn a_real_subnet_is_swept_over_real_sockets() {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let is_v1 = |question: &[u8]| question[4] == 0;
    let handles = [
        device("127.41.0.7", port, echoed),
        // Answers v1 alone; another answers from a port of its own; one is no agent; one answers only as a stranger.
        device("127.41.0.9", port, move |question| if is_v1(question) { echoed(question) } else { None }),
        device("127.41.0.11", port, |_| Some(b"hello, who is there?".to_vec())),
    ];
    let other_port = UdpSocket::bind("127.41.0.13:0").unwrap();
    let stranger = UdpSocket::bind("127.41.1.13:0").unwrap();
    let listening = UdpSocket::bind(("127.41.0.13", port)).unwrap();
    let listener = listening.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = listener.recv_from(&mut buffer) {
            if length == 0 {
                return;
            }
            let reply = echoed(&buffer[..length]).unwrap();
            stranger.send_to(&reply, from).unwrap();
            other_port.send_to(&reply, from).unwrap();
            other_port.send_to(&reply, from).unwrap();
        }
    });
    let credentials = [community("hall", "public", Versions::Either)];
    let mut targets = Targets::default();
    let group = Group { addresses: addresses("127.41.0.0/24"), port, credentials: vec!["hall".to_owned()] };
    targets.add(group, &Addresses::default()).unwrap();
    let sweep = Sweep::new(&targets, &credentials, &options(Rate::Unpaced, 1)).unwrap();
    let (sightings, outcome, told) = sweep_for_real(sweep, &credentials).await;
    let seen: Vec<(String, &str)> =
        sightings.iter().map(|seen| (seen.address.ip().to_string(), seen.version.as_str())).collect();
    assert_eq!(
        seen,
        [("127.41.0.7".to_owned(), "2c"), ("127.41.0.9".to_owned(), "1"), ("127.41.0.13".to_owned(), "2c"),]
    );
    assert!(sightings.iter().all(|seen| seen.rtt < SECOND && seen.address.port() == port));
    assert_eq!((outcome.addresses, outcome.answered, outcome.silent.len()), (254, 3, 251));
    // 254, then without the two that have answered.
    assert_eq!((outcome.traffic.requests, outcome.traffic.responses), (254 + 252, 3));
    assert_eq!((outcome.other_port, outcome.unexpected), (1, 4), "greetings twice, a stranger, a double");
    assert_eq!(told.last().map(|last| (last.answered, last.packets)), Some((3, (506, 0))));
    for handle in handles.iter().chain([&listening]) {
        handle.send_to(&[], handle.local_addr().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn no_one_second_on_the_wire_holds_more_packets_than_the_rate() {
    let receiver = UdpSocket::bind("127.42.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    receiver.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let credentials = [community("hall", "public", Versions::V2c)];
    let mut targets = Targets::default();
    let group = Group { addresses: addresses("127.42.0.1"), port, credentials: vec!["hall".to_owned()] };
    targets.add(group, &Addresses::default()).unwrap();
    // All else of the range is another port's, where nobody listens.
    let group = Group { addresses: addresses("127.43.0.0/21"), port, credentials: vec!["hall".to_owned()] };
    targets.add(group, &Addresses::default()).unwrap();
    let sweep = Sweep::new(&targets, &credentials, &options(Rate::PerSecond(1000), 0)).unwrap();
    let (_, outcome, told) = sweep_for_real(sweep, &credentials).await;
    assert_eq!(outcome.traffic.requests, 2047);
    // Told ten times a second: in no ten of them more than the rate.
    let sent: Vec<u64> = told.iter().map(|progress| progress.packets.0).collect();
    assert!(sent.windows(10).all(|window| window[9] - window[0] <= 1000), "{sent:?}");
    assert!(receiver.recv_from(&mut [0; 100]).is_ok());
}

#[tokio::test]
async fn an_ipv6_address_is_asked_too() {
    let Ok(socket) = UdpSocket::bind("[::1]:0") else {
        eprintln!("SKIPPED: this host has no IPv6");
        return;
    };
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let handle = device("::1", port, echoed);
    let credentials = [community("hall", "public", Versions::V2c)];
    let mut targets = Targets::default();
    let group = Group { addresses: addresses("::1"), port, credentials: vec!["hall".to_owned()] };
    targets.add(group, &Addresses::default()).unwrap();
    let sweep = Sweep::new(&targets, &credentials, &options(Rate::Default, 2)).unwrap();
    let (sightings, outcome, _) = sweep_for_real(sweep, &credentials).await;
    assert_eq!((sightings.len(), outcome.traffic.requests), (1, 1));
    handle.send_to(&[], handle.local_addr().unwrap()).unwrap();
}
