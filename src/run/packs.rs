//! Packs of mapping files: looked for, taken, tried, used, held, taken back. One at a time, under a lock of their own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use meterpost_wire::pack::{Key, Label, Minisig, NotProven, PACK_BYTES_MAX, PATH, SIGNATURE_BYTES_MAX};

use super::{configuration, failed, print, queue, send};
use crate::author::counted;
use crate::cli::{Exit, Failure, Invocation, Packs};
use crate::clock;
use crate::config::{Config, Places};
use crate::outbox::Event;
use crate::packs::course::{Course, Seen, Served, State, course, does_harm};
use crate::packs::fetch::{Source, Validators};
use crate::packs::shadow::Shadow;
use crate::packs::shelf::{Place, Shelf, read_at_most};
use crate::pmd::Library;
use crate::pmd::pack::{ENTRY_BYTES_MAX, FILES_MAX, Pack};
use crate::schedule::later;
use crate::site::Site;
use crate::store::Half;

/// How long a pack is the newest that there ought to be, unless its maker says otherwise.
const EXPIRES_AFTER: Duration = Duration::from_secs(90 * 86_400);

/// Does what was asked.
pub fn perform(orders: &Packs, invocation: &Invocation, out: &mut dyn Write) -> Result<Exit, Failure> {
    let places = &invocation.places;
    match orders {
        Packs::Build { dir, out: file, channel, version, expires } => {
            let expires = expires.unwrap_or_else(|| later(clock::now(), EXPIRES_AFTER));
            let label = Label { channel: channel.clone(), version: *version, expires };
            build(dir, file.as_deref(), label, out)
        }
        Packs::Rollback => {
            let (site, config) = site(places)?;
            let here = Here::new(&site, &config);
            let _lock = site.lock(Half::Packs).map_err(failed)?;
            let Some(place) = here.shelf.current().map_err(Failure::failed)? else {
                return Err(Failure::failed("no pack is in use: there is nothing to go back from"));
            };
            let to = here.take_back(&place)?;
            print(out, &format!("pack {place} is not used any more, {to} is\n"))
        }
        Packs::Update { file, accept, downgrade } => {
            let (site, config) = site(places)?;
            let here = Here::new(&site, &config);
            let _lock = site.lock(Half::Packs).map_err(failed)?;
            let person = Person { accepts: *accept, downgrades: *downgrade };
            let (text, end) = match file {
                Some(file) => here.take_file(file, person),
                None if *accept => here.accept(),
                None => here.fetch(person),
            }?;
            print(out, &text)?;
            Ok(if end == End::Held { Exit::InPart } else { Exit::Done })
        }
    }
}

fn site(places: &Places) -> Result<(Site, Config), Failure> {
    let config =
        if places.config_named || places.config.exists() { configuration(&places.config)? } else { Config::default() };
    Ok((queue::site(places)?, config))
}

/// Makes a pack of a folder, and tells how to sign it.
fn build(dir: &Path, file: Option<&Path>, label: Label, out: &mut dyn Write) -> Result<Exit, Failure> {
    let unreadable = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::usage(format!("cannot read `{}`: {error}", path.display()))
    };
    let mut files = BTreeMap::new();
    let mut take = |path: &Path, name: String| -> Result<(), Failure> {
        let bytes = read_at_most(path, ENTRY_BYTES_MAX).map_err(|error| unreadable(path, &error))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable(path, &"it is no UTF-8 text"))?;
        files.insert(name, text);
        Ok(())
    };
    for vendor in fs::read_dir(dir).map_err(|error| unreadable(dir, &error))?.take(FILES_MAX) {
        let vendor = vendor.map_err(|error| unreadable(dir, &error))?;
        let name = vendor.file_name().to_string_lossy().into_owned();
        if name == "words.toml" {
            take(&vendor.path(), name)?;
        } else if vendor.path().is_dir() {
            for mapping in
                fs::read_dir(vendor.path()).map_err(|error| unreadable(&vendor.path(), &error))?.take(FILES_MAX)
            {
                let mapping = mapping.map_err(|error| unreadable(&vendor.path(), &error))?;
                let family = mapping.file_name().to_string_lossy().into_owned();
                if family.ends_with(".toml") {
                    take(&mapping.path(), format!("{name}/{family}"))?;
                }
            }
        }
    }
    let count = files.len();
    let pack = Pack::of(label, files).map_err(|error| Failure::failed(format!("no pack was made: {error}")))?;
    let bytes = pack.to_zip().map_err(Failure::failed)?;
    let named = format!("meterpost-pmd-{}.zip", pack.label.version);
    let file = file.map_or_else(
        || Path::new(&named).to_owned(),
        |file| if file.is_dir() { file.join(&named) } else { file.to_owned() },
    );
    fs::write(&file, &bytes).map_err(|error| Failure::failed(format!("cannot write `{}`: {error}", file.display())))?;
    let path = file.display();
    print(
        out,
        &format!(
            "{path}: {}, {} bytes\nsign it with\n  minisign -S -s KEY -m {path} -t '{}'\n",
            counted(count, "file"),
            bytes.len(),
            pack.label
        ),
    )
}

/// What a person says who stands beside it.
#[derive(Clone, Copy, Debug, Default)]
struct Person {
    accepts: bool,
    downgrades: bool,
}

/// What became of looking for a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Unchanged,
    Adopted,
    Held,
}

/// The packs of one site.
struct Here<'a> {
    site: &'a Site,
    config: &'a Config,
    shelf: Shelf,
}

impl<'a> Here<'a> {
    fn new(site: &'a Site, config: &'a Config) -> Self {
        Self { site, config, shelf: Shelf::of(site.store().directory()) }
    }

    fn state(&self) -> Result<State, Failure> {
        self.load().map(|(state, _)| state)
    }

    /// What is remembered, and whether that could be read.
    fn load(&self) -> Result<(State, bool), Failure> {
        let in_use = self.in_use();
        self.site.store().read(|tx| State::load(tx, in_use.as_ref())).map_err(|error| failed(error.into()))
    }

    fn in_use(&self) -> Option<Place> {
        self.shelf.current().ok().flatten()
    }

    fn change(&self, change: impl Fn(&mut State)) -> Result<(), Failure> {
        let in_use = self.in_use();
        let changed = self.site.store().write(|tx| {
            let (mut state, _) = State::load(tx, in_use.as_ref())?;
            change(&mut state);
            state.save(tx)
        });
        changed.map_err(|error: crate::store::StoreError| failed(error.into()))
    }

    /// Those that packs may be signed with: the configured ones, else those of the enrolment token.
    fn keys(&self) -> Result<Vec<Key>, Failure> {
        if !self.config.packs.keys.is_empty() {
            return Ok(self.config.packs.keys.clone());
        }
        let enrolled = &self.site.enrolment().map_err(failed)?.pack_keys;
        enrolled.iter().map(|key| Key::parse(key).map_err(Failure::usage)).collect()
    }

    /// Fetches what is newer, and takes it.
    fn fetch(&self, person: Person) -> Result<(String, End), Failure> {
        let keys = self.keys()?;
        if keys.is_empty() {
            return Err(Failure::usage(NotProven::NoKeys));
        }
        let enrolment = self.site.enrolment().map_err(failed)?;
        let (base, ca_pem) = match &self.config.packs.url {
            Some(url) => (url.clone(), None),
            None => (format!("{}{PATH}", enrolment.central), enrolment.ca_pem.as_deref()),
        };
        let channel = &self.config.packs.channel;
        let source = Source::new(&base, channel, ca_pem, &send::via(self.config)).map_err(Failure::usage)?;
        let once_more = |error: &NotProven| *error == NotProven::Forged;
        match self.fetch_from(&source, &keys, person) {
            // a newer one was published between the two requests, or it is forged: asking again tells
            Err(Refusal::NotProven(error)) if once_more(&error) => self.fetch_from(&source, &keys, person),
            fetched => fetched,
        }
        .map_err(Refusal::into_failure)
    }

    fn fetch_from(&self, source: &Source, keys: &[Key], person: Person) -> Result<(String, End), Refusal> {
        let asked = format!(
            "{} {} {}",
            env!("CARGO_PKG_VERSION"),
            source.url(),
            keys.iter().map(|key| key.id().to_string()).collect::<Vec<_>>().join(" ")
        );
        let state = self.state()?;
        let in_use = self.in_use().filter(|place| self.shelf.load(place).is_ok());
        let unchanged =
            |place: &Place| Ok((format!("pack {place} is in use, and there is no newer one\n"), End::Unchanged));
        let last = state
            .signature
            .as_ref()
            .filter(|last| last.asked == asked && in_use.as_ref().is_some_and(|place| place.to_string() == last.place));
        let etag = Validators { etag: last.map(|last| last.etag.clone()), modified: None };
        let (signature, served) = match (source.signature(&etag).map_err(Refusal::other)?, &in_use) {
            (Some(signed), _) => signed,
            (None, Some(place)) => return unchanged(place),
            (None, None) => return Err(Refusal::other("the server knows a pack that is not in use here")),
        };
        let minisig = Minisig::parse(&signature)?;
        let claim = minisig.claim().map_err(NotProven::from)?;
        let claimed = Place { channel: claim.channel.clone(), version: claim.version };
        if in_use.as_ref() == Some(&claimed) {
            let place = claimed.to_string();
            let served = served.etag.map(|etag| Served { asked: asked.clone(), place, etag });
            self.change(|state| state.signature.clone_from(&served))?;
            return unchanged(&claimed);
        }
        if state.held().as_ref() == Some(&claimed) && self.shelf.load(&claimed).is_ok() {
            return Ok(self.consider(&claimed, person)?);
        }
        // not to be believed yet, and good enough not to download what would be refused
        state.admits(&claim, &self.config.packs.channel, person.downgrades, clock::now()).map_err(Refusal::other)?;
        let seen = state.seen.filter(|seen| seen.asked == asked);
        let last = seen.as_ref().map(|seen| Validators { etag: seen.etag.clone(), modified: seen.modified.clone() });
        let Some((bytes, Validators { etag, modified })) =
            source.archive(&last.unwrap_or_default()).map_err(Refusal::other)?
        else {
            let refused = seen.map(|seen| seen.refused).unwrap_or_default();
            return Err(Refusal::Other(Failure::failed(format!("{refused} (unchanged since it was last refused)"))));
        };
        let taken = self.take(&minisig, keys, &bytes, person);
        // the same bytes need not come a second time to be refused
        let refused = taken.as_ref().err().map(|refusal| refusal.what());
        self.change(|state| {
            state.seen = refused.clone().map(|refused| Seen {
                asked: asked.clone(),
                etag: etag.clone(),
                modified: modified.clone(),
                refused,
            });
        })?;
        taken
    }

    /// Takes a pack that a person has brought.
    fn take_file(&self, file: &Path, person: Person) -> Result<(String, End), Failure> {
        let beside = format!("{}.minisig", file.display());
        let open = |path: &Path, most: usize| {
            let read = read_at_most(path, most as u64);
            read.map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", path.display())))
        };
        let signature = open(Path::new(&beside), SIGNATURE_BYTES_MAX)?;
        let bytes = open(file, PACK_BYTES_MAX)?;
        let wrong = |error: NotProven| Failure::failed(format!("`{beside}`: {error}"));
        let minisig = Minisig::parse(&signature).map_err(wrong)?;
        self.take(&minisig, &self.keys()?, &bytes, person).map_err(|refusal| {
            let Failure { exit, what, hint } = refusal.into_failure();
            Failure { exit, what: format!("`{}` was not taken: {what}", file.display()), hint }
        })
    }

    /// Proves, opens and keeps a pack, and decides what becomes of it.
    fn take(&self, minisig: &Minisig, keys: &[Key], bytes: &[u8], person: Person) -> Result<(String, End), Refusal> {
        if bytes.len() > PACK_BYTES_MAX {
            return Err(Refusal::other(format!("more than {PACK_BYTES_MAX} bytes")));
        }
        let label = minisig.prove(keys, bytes)?;
        let admitted = self.state()?.admits(&label, &self.config.packs.channel, person.downgrades, clock::now());
        admitted.map_err(Refusal::other)?;
        let pack = Pack::open(bytes, &label).map_err(Refusal::other)?;
        let place = Place::of(&pack);
        if self.shelf.current().is_ok_and(|current| current.as_ref() == Some(&place)) && self.shelf.load(&place).is_ok()
        {
            return Ok((format!("pack {place} is in use already\n"), End::Unchanged));
        }
        let place = self.shelf.keep(&pack, clock::random_bytes()).map_err(Refusal::other)?;
        Ok(self.consider(&place, person)?)
    }

    /// A person says yes to the pack that is held.
    fn accept(&self) -> Result<(String, End), Failure> {
        let Some(place) = self.state()?.held() else {
            return Err(Failure::failed("no pack is held").hint("`meterpost pmd update` looks for one"));
        };
        self.consider(&place, Person { accepts: true, downgrades: false })
    }

    /// Tries a pack that lies here on every known device, and uses or holds it.
    fn consider(&self, place: &Place, person: Person) -> Result<(String, End), Failure> {
        let now = clock::now();
        let new = self.shelf.load(place).map_err(Failure::failed)?.library().map_err(Failure::failed)?;
        let (present, _) = self.shelf.library();
        let mut shadow = Shadow::default();
        self.site.each_known(|known| shadow.add(known, &present, &new, now)).map_err(failed)?;
        let course = if person.accepts { Course::Adopt } else { course(self.config.packs.policy, &shadow) };
        match course {
            Course::Adopt => {
                self.adopt(place, person)?;
                Ok((format!("{shadow}pack {place} is in use\n"), End::Adopted))
            }
            Course::Hold | Course::UntilRead => {
                let until_read = course == Course::UntilRead;
                self.change(|state| state.hold(place, until_read))?;
                let why = if until_read {
                    "is tried when the devices are read the next time"
                } else {
                    "is held: `meterpost pmd update --accept` uses it"
                };
                if !until_read {
                    let devices = shadow.changed;
                    let text = format!(
                        "pack {place} is held until a person accepts it: what is billed of {devices} devices would change"
                    );
                    let event = Event { at: now, code: "pack-held".to_owned(), text };
                    self.site.note(&event).map_err(failed)?;
                }
                Ok((format!("{shadow}pack {place} {why}\n"), End::Held))
            }
        }
    }

    fn adopt(&self, place: &Place, person: Person) -> Result<(), Failure> {
        let before = self.in_use();
        let now = clock::now();
        // whoever goes back by hand does not want to be brought forward again in the night
        let left = before.clone().filter(|before| before.channel == place.channel && before.version > place.version);
        self.change(|state| {
            if person.accepts || person.downgrades {
                state.forgive(&place.channel);
            }
            if let Some(left) = &left {
                state.take_back(left);
            }
            state.adopting(place, before.as_ref(), now);
        })?;
        self.shelf.switch(Some(place)).map_err(Failure::failed)?;
        self.shelf.tidy(before.as_ref());
        Ok(())
    }

    /// Goes back to the pack before, or to the library inside the program; says to which.
    fn take_back(&self, place: &Place) -> Result<String, Failure> {
        let older = self.shelf.versions(&place.channel).into_iter().filter(|version| *version < place.version);
        let older = older.map(|version| Place { channel: place.channel.clone(), version });
        let to = self
            .state()?
            .before()
            .into_iter()
            .chain(older)
            .find(|older| self.shelf.load(older).is_ok_and(|pack| pack.library().is_ok()));
        self.shelf.switch(to.as_ref()).map_err(Failure::failed)?;
        self.change(|state| state.take_back(place))?;
        Ok(to.map_or_else(|| "the library inside the program".to_owned(), |to| format!("pack {to}")))
    }

    fn note(&self, code: &str, text: String) -> Result<(), Failure> {
        tracing::warn!("{text}");
        self.site.note(&Event { at: clock::now(), code: code.to_owned(), text }).map_err(failed)
    }
}

/// Why a pack was not taken.
enum Refusal {
    NotProven(NotProven),
    Other(Failure),
}

impl Refusal {
    fn other(what: impl std::fmt::Display) -> Self {
        Self::Other(Failure::failed(what))
    }

    fn what(&self) -> String {
        match self {
            Self::NotProven(error) => error.to_string(),
            Self::Other(failure) => failure.what.clone(),
        }
    }

    fn into_failure(self) -> Failure {
        match self {
            Self::NotProven(error) => Failure::failed(error),
            Self::Other(failure) => failure,
        }
    }
}

impl From<NotProven> for Refusal {
    fn from(error: NotProven) -> Self {
        Self::NotProven(error)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// The mappings of a pass: those in use, and those that are tried beside them.
pub fn library(site: &Site, config: &Config) -> Result<Library, Failure> {
    let here = Here::new(site, config);
    let (mut library, trouble) = here.shelf.library();
    if let Some(trouble) = trouble {
        let text = format!("the mapping files inside the program are used: {trouble}");
        here.note("pack-damaged", text)?;
    }
    if let Ok(Some(place)) = here.shelf.current()
        && library.pack == place.version
        && here.shelf.load(&place).is_ok_and(|pack| pack.label.is_expired(clock::now()))
    {
        here.note("pack-expired", format!("pack {place} has expired and is used on: a newer one ought to have come"))?;
    }
    let (state, readable) = here.load()?;
    if !readable {
        here.change(|_| {})?;
        let text = "what was remembered of packs could not be read, and is begun anew".to_owned();
        here.note("pack-damaged", text)?;
    }
    let trial = state.on_trial().and_then(|place| here.shelf.load(&place).ok()?.library().ok());
    library.trial = trial.map(Arc::new);
    Ok(library)
}

/// How packs stand, for `status`.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The one in use and when it expires; absent = the mapping files inside the program.
    pub in_use: Option<(Place, Timestamp)>,
    /// The one that waits, and whether that is for devices to be read; else it is for a person.
    pub waits: Option<(Place, bool)>,
    /// Why the mapping files inside the program are used instead of a pack.
    pub damage: Option<String>,
}

/// How packs stand here. Nothing is written.
pub fn standing(site: &Site, config: &Config) -> Result<Standing, Failure> {
    let here = Here::new(site, config);
    let mut standing = Standing { waits: here.state()?.waits(), ..Standing::default() };
    let in_use = here.shelf.current().and_then(|place| place.map(|place| here.shelf.load(&place)).transpose());
    match in_use {
        Ok(pack) => standing.in_use = pack.map(|pack| (Place::of(&pack), pack.label.expires)),
        Err(damage) => standing.damage = Some(damage.to_string()),
    }
    Ok(standing)
}

/// Looks for a newer pack by the schedule, when there is a key to prove it with. What is wrong is told and changes nothing.
pub fn look(site: &Site, config: &Config) -> Result<(), Failure> {
    let here = Here::new(site, config);
    if here.keys()?.is_empty() {
        return Ok(());
    }
    let _lock = site.lock(Half::Packs).map_err(failed)?;
    match here.fetch(Person::default()) {
        Ok(told) => log(&told),
        Err(failure) => here.note("pack-refused", format!("no pack was taken: {}", failure.what))?,
    }
    Ok(())
}

/// After devices were read: a pack that waited for that is decided on, and one that does harm is taken back.
pub fn after_reading(site: &Site, config: &Config) -> Result<(), Failure> {
    let here = Here::new(site, config);
    let (now, state) = (clock::now(), here.state()?);
    let on_trial = state.on_trial();
    if on_trial.is_none() && !state.watches(now) {
        return Ok(());
    }
    let _lock = site.lock(Half::Packs).map_err(failed)?;
    if let Some(place) = here.in_use().filter(|_| state.watches(now)) {
        let (mut complete_before, mut no_longer) = (0, 0);
        let count = |known: &crate::memory::Known| {
            if known.went.pack == place.version && known.went.complete_before {
                complete_before += 1;
                no_longer += u32::from(!known.went.complete);
            }
        };
        site.each_known(count).map_err(failed)?;
        if does_harm(complete_before, no_longer) {
            let to = here.take_back(&place)?;
            let text = format!(
                "pack {place} is not used any more, {to} is: of {complete_before} devices that were read completely before, \
                 {no_longer} were not with it"
            );
            return here.note("pack-reverted", text);
        }
    }
    if let Some(place) = on_trial {
        log(&here.consider(&place, Person::default())?);
    }
    Ok(())
}

/// What a person would have been shown: louder when one is needed.
fn log((text, end): &(String, End)) {
    for line in text.lines() {
        match end {
            End::Held => tracing::warn!("{line}"),
            End::Unchanged | End::Adopted => tracing::info!("{line}"),
        }
    }
}
