//! The demo's fleet: every recording that the project ships, and copies of some that behave badly.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use meterpost::pmd::Library;
use serde::Deserialize;

use crate::simulator::manner::Manner;
use crate::simulator::recording::{Recording, View, arcs};
use crate::simulator::vary::{count, vary};
use crate::simulator::{Printer, made};

/// The v3 user of the site's configuration, as the simulator writes it.
pub const USER: &str = "meterpost:sha256:demo auth secret:aes128:demo privacy secret";
/// Where the first printer stands; the others follow.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 30, 0, 10);

/// A device of the fleet, and what must come of it.
pub struct Placed {
    /// The simulated device.
    pub printer: Printer,
    /// The recording that it answers.
    pub recording: String,
    /// How it is awkward, for people; a good one has none.
    pub awkward: Option<&'static str>,
    /// What the central must hold in the end: counters by key. None: this device must not be there at all.
    pub counters: Option<BTreeMap<String, u64>>,
}

/// All devices, the good ones first.
pub fn printers() -> Result<Vec<Placed>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/walks");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("reading `{}`", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".snmprec")?.to_owned()))
        .collect();
    names.sort();
    let later = left_for_later();
    let mut fleet = Vec::new();
    let mut address = FIRST;
    let mut place = |source: &Source, number: u32, manner: Manner, awkward: Option<&'static str>, read: bool| {
        let view = vary(&source.recording, number, true);
        let counters = (read && source.is_printer).then(|| source.counters(&view, number, &later));
        let awkward = awkward.or(if source.is_printer { None } else { Some("is no printer") });
        let printer = Printer { address, views: vec![(String::new(), view)], manner };
        fleet.push(Placed { printer, recording: source.name.clone(), awkward, counters });
        address = Ipv4Addr::from(u32::from(address) + 1);
    };
    let sources: Vec<Source> = names.iter().map(|name| Source::load(&folder, name)).collect::<Result<_>>()?;
    for source in &sources {
        place(source, 0, brisk(), None, true);
    }
    for source in [Source::made("typical-mfp", made::typical_mfp()), Source::made("a4-printer", made::a4_printer())] {
        place(&source, 1, brisk(), None, true);
        place(&source, 2, brisk(), None, true);
    }
    for (number, (name, awkward, manner, read)) in (1..).zip(awkward()) {
        let source = Source::load(&folder, name)?;
        place(&source, number, manner, Some(awkward), read);
    }
    Ok(fleet)
}

/// Counters that mapping files leave for the weekly full readings: the demo sees each device once.
fn left_for_later() -> BTreeSet<String> {
    let library = Library::builtin();
    let fields = library.pmds().flat_map(|pmd| &pmd.weekly);
    fields.map(|field| field.trim_start_matches("counters.").to_owned()).collect()
}

/// A printer on a good network.
fn brisk() -> Manner {
    Manner { delay: Duration::from_millis(20), jitter: Duration::from_millis(10), ..Manner::default() }
}

/// Recording, what is odd, how it behaves, and whether it can be read all the same.
fn awkward() -> Vec<(&'static str, &'static str, Manner, bool)> {
    let user = || USER.parse().into_iter().collect();
    let stranger = || "meterpost:sha256:another auth secret:aes128:another secret".parse().into_iter().collect();
    let v3 = |users| Manner { v1: false, v2c: false, users, ..brisk() };
    vec![
        (
            "kyocera-taskalfa-4054ci",
            "loses every seventh datagram",
            Manner { loss_in: 0.08, loss_out: 0.08, ..brisk() },
            true,
        ),
        ("hp-laserjet-m404dn", "wakes at the third packet", Manner { wakes_at: 3, ..brisk() }, true),
        ("ricoh-im-c3010", "wakes at the second packet", Manner { wakes_at: 2, ..brisk() }, true),
        ("utax-4007ci", "speaks SNMPv3 only", v3(user()), true),
        ("brother-mfc-l8905cdw", "speaks SNMPv1 only", Manner { v2c: false, ..brisk() }, true),
        ("hp-color-mfp-e78630", "bears 8 objects a request", Manner { varbinds_max: 8, ..brisk() }, true),
        ("copystar-cs-3554ci", "answers 484 bytes at most", Manner { bytes_max: 484, ..brisk() }, true),
        ("savin-mp-2555", "sends every answer twice", Manner { twice: true, ..brisk() }, true),
        (
            "lanier-mp-c307",
            "is late every fifth time",
            Manner { late: Some((5, Duration::from_millis(700))), ..brisk() },
            true,
        ),
        (
            "kyocera-ecosys-p3155dn",
            "takes a quarter of a second",
            Manner { delay: Duration::from_millis(250), jitter: Duration::from_millis(150), ..Manner::default() },
            true,
        ),
        ("sharp-mx-4071", "knows another community", Manner { communities: vec!["locked".into()], ..brisk() }, false),
        ("lexmark-mx722", "knows another v3 secret", v3(stranger()), false),
    ]
}

/// A recording and what a correct reader reports for it.
struct Source {
    name: String,
    recording: Arc<Recording>,
    is_printer: bool,
    expected: BTreeMap<String, Expected>,
}

/// A counter in the file beside a recording.
#[derive(Clone, Debug, Deserialize)]
struct Expected {
    value: u64,
    /// Where it stands; a sum has none.
    oid: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Beside {
    is_printer: bool,
    #[serde(default)]
    counters: BTreeMap<String, Expected>,
}

impl Source {
    fn load(folder: &Path, name: &str) -> Result<Self> {
        let recording = Recording::load(&folder.join(format!("{name}.snmprec"))).map_err(anyhow::Error::msg)?;
        let path = folder.join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).with_context(|| format!("reading `{}`", path.display()))?;
        let beside: Beside = toml::from_str(&text).with_context(|| format!("reading `{}`", path.display()))?;
        Ok(Self { name: name.to_owned(), recording, is_printer: beside.is_printer, expected: beside.counters })
    }

    /// A made-up one: its totals stand in Kyocera's tree.
    fn made(name: &str, recording: Recording) -> Self {
        let totals = [
            ("system.impressions", "1.3.6.1.4.1.1347.43.10.1.1.12.1.1"),
            ("print.impressions", "1.3.6.1.4.1.1347.42.3.1.1.1.1.1"),
            ("vendor.marker_life_count", "1.3.6.1.2.1.43.10.2.1.4.1.1"),
        ];
        let view = View::of(&Arc::new(recording));
        let expected = totals
            .into_iter()
            .filter_map(|(key, oid)| {
                Some((key.to_owned(), Expected { value: number_at(&view, oid)?, oid: Some(oid.to_owned()) }))
            })
            .collect();
        Self { name: name.to_owned(), recording: view.recording, is_printer: true, expected }
    }

    /// What this device's counters are, those apart that come later: for the recording itself all that is known of it; for a copy those that are
    /// plain numbers, as the copy answers them.
    fn counters(&self, view: &View, number: u32, later: &BTreeSet<String>) -> BTreeMap<String, u64> {
        let itself = View::of(&self.recording);
        let of = |expected: &Expected| match (&expected.oid, number) {
            (_, 0) => Some(expected.value),
            (Some(oid), _) if number_at(&itself, oid) == Some(expected.value) => number_at(view, oid),
            _ => None,
        };
        let soon = self.expected.iter().filter(|(key, _)| !later.contains(*key));
        soon.filter_map(|(key, expected)| Some((key.clone(), of(expected)?))).collect()
    }
}

fn number_at(view: &View, oid: &str) -> Option<u64> {
    let place = view.recording.find(&arcs(oid)?)?;
    u64::try_from(count(view.at(place)?.2)?).ok()
}
