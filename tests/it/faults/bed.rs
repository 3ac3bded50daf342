//! A site and a central with a relay between, and a ledger of what was queued.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use jiff::Timestamp;
use meterpost::outbox::State;
use meterpost::site::Site;
use meterpost_central::Config;
use meterpost_central::config::Overrides;
use meterpost_central::store::SiteRow;
use meterpost_wire::xml;

use crate::central::{Serving, program};
use crate::cli::{Said, meterpost, said};
use crate::relay::{Relay, Way};
use crate::simulator::manner::Manner;
use crate::simulator::recording::View;
use crate::simulator::{self, Fleet, Printer, Running, made};
use crate::site::{paths, seal_one};

/// A line of the table.
pub struct Row {
    pub fault: String,
    /// How often it was tried.
    pub runs: usize,
    /// Readings that were queued.
    pub queued: usize,
    /// Those of them that are at the central.
    pub arrived: usize,
    /// Those that count more than once there.
    pub doubled: usize,
    /// What did not arrive, and by which name it is known; and what else is told.
    pub gaps: Vec<String>,
}

/// A batch that was queued.
struct Queued {
    sequence: u64,
    /// Device and time of each reading, which is what counts once.
    readings: BTreeSet<(String, Timestamp)>,
}

/// A site at its central.
pub struct Bed {
    /// The site's `etc` and `data`.
    pub home: tempfile::TempDir,
    /// The central's.
    pub office: tempfile::TempDir,
    /// `None`: it is away.
    pub central: Option<Serving>,
    pub relay: Relay,
    /// By the hash of the token.
    queued: RefCell<BTreeMap<String, Queued>>,
    sealed: RefCell<u32>,
    /// Whether the central still has all that it has acknowledged.
    pub remembers: Cell<bool>,
}

impl Bed {
    /// Everything in order.
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// The same with these lines in the collector's and in the central's configuration.
    pub fn with(config: &str, central_config: &str) -> Self {
        let (home, office, relay) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Relay::start(""));
        fs::create_dir(home.path().join("etc")).unwrap();
        fs::write(home.path().join("etc/meterpost.toml"), config).unwrap();
        fs::write(office.path().join("central.toml"), central_config).unwrap();
        let (queued, sealed) = (RefCell::default(), RefCell::default());
        let remembers = Cell::new(true);
        let mut bed = Self { home, office, central: None, relay, queued, sealed, remembers };
        bed.serve();
        let told = bed.central(&["site", "add", "Lindenweg", "--central", &bed.relay.url()]);
        let enrolled = said(bed.home.path(), &["enroll", told.out.trim()]);
        assert_eq!(enrolled.code, 0, "{enrolled:?}");
        bed
    }

    /// Everything in order, at a site with two printers.
    pub fn with_printers() -> (Running, Self) {
        let printers = [3, 4].map(|last| Printer {
            address: Ipv4Addr::new(127, 96, 1, last),
            views: vec![(String::new(), View::of(&Arc::new(made::a4_printer())))],
            manner: Manner::default(),
        });
        let fleet = simulator::start(Fleet { port: 0, printers: printers.into(), seed: 1 }).unwrap();
        let config = format!(
            "[[credentials]]\nname = \"office\"\ncommunity = \"public\"\n\n[[sweep]]\n\
             targets = [\"127.96.1.3\", \"127.96.1.4\"]\ncredentials = [\"office\"]\nport = {}\nretries = 0\n",
            fleet.port()
        );
        (fleet, Self::with(&config, ""))
    }

    /// The central serves, whatever became of it before.
    pub fn serve(&mut self) {
        self.central = None;
        let serving = Serving::start(self.office.path());
        self.relay.lead(Way::To(serving.address));
        self.central = Some(serving);
    }

    /// Where it serves.
    pub fn address(&self) -> std::net::SocketAddr {
        self.central.as_ref().unwrap().address
    }

    /// A command of the central's.
    #[track_caller]
    pub fn central(&self, words: &[&str]) -> Said {
        let said: Said = program(self.office.path()).args(words).output().unwrap().into();
        assert!(matches!(said.code, 0 | 3), "{said:?}");
        said
    }

    /// A command of the collector's.
    pub fn said(&self, words: &[&str]) -> Said {
        said(self.home.path(), words)
    }

    /// Seals so many batches with one reading each, no two of one time, as a run does.
    pub fn seal(&self, count: u32) {
        self.seal_in(self.home.path(), count);
    }

    /// The same at another place with the same keys.
    pub fn seal_in(&self, home: &Path, count: u32) {
        let site = Site::open(&paths(home)).unwrap();
        for _ in 0..count {
            let nth = *self.sealed.borrow();
            *self.sealed.borrow_mut() += 1;
            seal_one(&site, nth % 50, at(nth));
        }
        drop(site);
        self.note_in(home);
    }

    /// Writes down what is queued, and proves that what is acknowledged is at the central.
    pub fn note(&self) {
        self.note_in(self.home.path());
    }

    fn note_in(&self, home: &Path) {
        let site = Site::open(&paths(home)).unwrap();
        let mut queued = self.queued.borrow_mut();
        let stored = self.stored();
        for item in site.items().unwrap() {
            if item.state == State::Delivered && self.remembers.get() {
                assert!(stored.contains_key(&item.sha256), "batch {} is acknowledged and not there", item.sequence);
            }
            queued.entry(item.sha256).or_insert_with(|| {
                let inside = xml::decode(&site.show(item.sequence).unwrap().xml).unwrap();
                let readings = inside.batch.devices.into_iter().map(|device| (device.key, device.read_at)).collect();
                Queued { sequence: item.sequence, readings }
            });
        }
    }

    /// Everything is well again, until nothing waits any more. What a receipt names missing is sent by the pass after it.
    #[track_caller]
    pub fn settle(&self) {
        self.settle_in(self.home.path());
    }

    /// The same at another place.
    #[track_caller]
    pub fn settle_in(&self, home: &Path) {
        self.note_in(home);
        let mut last = None;
        for _ in 0..8 {
            let sent = said(home, &["outbox", "send"]);
            self.note_in(home);
            let waits = Site::open(&paths(home)).unwrap().tally().unwrap().waiting;
            if waits == 0 {
                return;
            }
            last = Some(sent);
        }
        panic!("it does not come to rest: {last:?}");
    }

    /// Hash and sequence of what the central has stored; a token that it had twice would be here with a count of 2.
    fn stored(&self) -> BTreeMap<String, (u64, u32)> {
        let database = rusqlite::Connection::open(self.office.path().join("data/central.db")).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        let sql = "SELECT lower(hex(sha256)), sequence, count(*) FROM batch GROUP BY sha256";
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get::<_, String>(0)?, (row.get::<_, i64>(1)?.unsigned_abs(), row.get(2)?))));
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn counted(&self, sql: &str) -> usize {
        let database = rusqlite::Connection::open(self.office.path().join("data/central.db")).unwrap();
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as usize
    }

    /// The numbers that the site has declared as void, as the central has heard it.
    fn voids(&self) -> Vec<(u64, u64, String)> {
        let database = rusqlite::Connection::open(self.office.path().join("data/central.db")).unwrap();
        let mut statement = database.prepare("SELECT first, last, reason FROM void").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?)));
        rows.unwrap().map(Result::unwrap).map(|(a, b, why)| (a.unsigned_abs(), b.unsigned_abs(), why)).collect()
    }

    /// The site as the central shows it.
    pub fn shown(&self) -> SiteRow {
        let config = Config::load(Overrides {
            config: Some(self.office.path().join("central.toml")),
            data_dir: Some(self.office.path().join("data")),
            key_file: Some(self.office.path().join("machine.key")),
            ..Overrides::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut sites = runtime.block_on(async {
            let store = meterpost_central::open_store(&config.unwrap()).await.unwrap();
            store.sites().await.unwrap()
        });
        assert_eq!(sites.len(), 1);
        sites.remove(0)
    }

    /// What came of it. Everything that was queued has arrived, or its number is named.
    #[track_caller]
    pub fn row(&self, fault: impl Into<String>, runs: usize) -> Row {
        self.note();
        let (queued, stored, shown, voids) = (self.queued.borrow(), self.stored(), self.shown(), self.voids());
        let set_aside: BTreeSet<String> = Site::open(&paths(self.home.path()))
            .unwrap()
            .items()
            .unwrap()
            .into_iter()
            .filter_map(|item| (item.state == State::SetAside).then_some(item.sha256))
            .collect();
        let fault = fault.into();
        for sha256 in stored.keys() {
            assert!(queued.contains_key(sha256), "{fault}: the central has what was never queued");
        }
        let (mut all, mut here, mut gaps) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::<String, Vec<u64>>::new());
        for (sha256, batch) in queued.iter() {
            all.extend(&batch.readings);
            if stored.contains_key(sha256) {
                here.extend(&batch.readings);
                continue;
            }
            let number = batch.sequence;
            let void = voids.iter().find(|(first, last, _)| (*first..=*last).contains(&number));
            let name = match void {
                Some((_, _, why)) => format!("void, {why}"),
                None if shown.missing.iter().any(|(from, to)| (*from..=*to).contains(&number)) => "missing".to_owned(),
                None if set_aside.contains(sha256) => "set aside at the site".to_owned(),
                None => panic!("{fault}: batch {number} is lost and nobody says so; {:?} {voids:?}", shown.missing),
            };
            gaps.entry(name).or_default().push(number);
        }
        let counted = self.counted("SELECT count(*) FROM reading");
        let twice = stored.values().filter(|(_, times)| *times > 1).count();
        assert_eq!(counted, here.len(), "{fault}: readings that count");
        assert_eq!(twice, 0, "{fault}: batches that are stored twice");
        assert_eq!((shown.quarantined, shown.set_aside), (0, 0), "{fault}: {:?}", shown.held);
        let told = |(name, mut numbers): (String, Vec<u64>)| {
            numbers.sort_unstable();
            format!("{numbers:?} {name}")
        };
        let mut gaps: Vec<String> = gaps.into_iter().map(told).collect();
        if !shown.forks.is_empty() {
            gaps.push(format!("forked at {:?}, both kept", shown.forks));
        }
        Row { fault, runs, queued: all.len(), arrived: here.len(), doubled: counted - here.len() + twice, gaps }
    }
}

/// No two readings of a bed are of one time; the first is of yesterday.
pub fn at(nth: u32) -> Timestamp {
    let now = meterpost::clock::now().as_second();
    Timestamp::from_second(now - 86_400 + 60 * i64::from(nth)).unwrap()
}

/// `meterpost` with these words by a clock that is so wrong (`+365d`); `None` where Debian's `faketime`, which `tests/run`
/// installs, is not.
pub fn said_by_clock(off: &str, home: &Path, words: &[&str]) -> Option<Said> {
    let program = victim(home, words);
    let mut faked = Command::new("faketime");
    faked.args(["-f", off]).arg(program.get_program()).args(program.get_args());
    within_the_environment_of(&program, &mut faked);
    match faked.stdin(Stdio::null()).output() {
        Ok(output) => Some(output.into()),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "faketime (Debian package faketime) is not here: {error}");
            eprintln!("SKIPPED: faketime (Debian package faketime) is not here");
            None
        }
    }
}

/// A program that runs another is looked for where programs are; all else is as the other has it.
fn within_the_environment_of(program: &Command, wrapper: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    wrapper.env_clear().env("PATH", path);
    wrapper.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(place) = program.get_current_dir() {
        wrapper.current_dir(place);
    }
}

/// Whether a program can be ended at a call: `tests/run` installs strace, and a container may forbid it.
pub fn can_strike() -> bool {
    let words = ["-f", "-o", "/dev/null", "-e", "trace=write", "/bin/true"];
    let can = Command::new("strace").args(words).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(can || std::env::var_os("CI").is_none(), "strace (Debian package strace) is not here, or may not trace");
    if !can {
        eprintln!("SKIPPED: strace (Debian package strace) is not here, or may not trace");
    }
    can
}

/// Runs a program that is struck by `kill -9` before its `nth` such call; whether it came so far.
pub fn struck(victim: &Command, call: &str, nth: usize) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-qqq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={nth}")]);
    strace.arg(victim.get_program()).args(victim.get_args());
    within_the_environment_of(victim, &mut strace);
    let ended = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    ended.code().is_none()
}

/// Strikes a process that runs already; dropping it lets the process go.
pub struct Sniper(Child);

impl Sniper {
    /// Before its `nth` such call from now on.
    pub fn aims(at: u32, call: &str, nth: usize) -> Self {
        use std::io::{BufRead, BufReader};
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        strace.args(["-e", &format!("inject={call}:signal=KILL:when={nth}"), "-p", &at.to_string()]);
        let mut strace = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(strace.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.contains("attached")), "it can trace");
        std::thread::spawn(move || said.for_each(drop));
        Self(strace)
    }
}

impl Drop for Sniper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `meterpost` with these words, to be struck.
pub fn victim(home: &Path, words: &[&str]) -> Command {
    let mut command = meterpost(home);
    command.args(words.iter().map(OsStr::new));
    command
}
