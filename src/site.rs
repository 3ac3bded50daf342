//! One site at this collector: its store, its keys, and what a command can ask of them. It puts the keeping modules
//! together for `run` and the command line, and knows neither SNMP nor HTTP.

mod seal;

use std::path::{Path, PathBuf};

use jiff::{Timestamp, Zoned};
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::{ContentKey, Kid};
use meterpost_wire::receipt::{Submitted, verify_receipt, verify_refusal};

pub use seal::{Gathered, Sealer, Summary, Terms, percent};

use crate::batch::SweepEnd;
use crate::clock;
use crate::deliver::http::{BadChannel, Via};
use crate::deliver::soap::{self, Soap};
use crate::deliver::{self, Channel, Hurry, Pace, Report};
use crate::enroll::{self, EnrollError, Taken};
use crate::keyring::{KeyFileError, Keyring, SiteKeys};
use crate::memory::{self, Known};
use crate::open::{self, NotOpened, OpenedBatch};
use crate::outbox::{self, Event, Item, OutboxError, Outcome, Resent, Rest, State, Tally};
use crate::store::{Half, LockError, RunLock, Store, StoreError, ballast, salvage};

/// Where a site lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Holds the store.
    pub data_dir: PathBuf,
    /// The machine key; never in `data_dir`.
    pub key_file: PathBuf,
}

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// Enrol first.
    #[error("this site is not enrolled; `meterpost enroll TOKEN` takes the token that the central printed")]
    NotEnrolled,
    /// The machine key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The token.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// Another run.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A person's outbox command.
    #[error(transparent)]
    Outbox(OutboxError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queue is at its cap: nothing is sealed before something has left it.
    #[error(
        "the outbox holds {held} bytes of batches that wait, `max_queue_mb` allows {most}; nothing was sealed: see \
         `meterpost outbox list` for what is in the way"
    )]
    QueueFull {
        /// Bytes that wait or are set aside.
        held: u64,
        /// The cap.
        most: u64,
    },
    /// The keys of the epoch are not here.
    #[error("this site has no key of epoch {0} (any more)")]
    NoSuchEpoch(u32),
    /// The way out.
    #[error(transparent)]
    Channel(#[from] BadChannel),
    /// A receipt that was proven when it came and is not any more: the disk has changed it.
    #[error("the receipt kept of item {0} proves nothing under this site's keys")]
    Unproven(u64),
    /// A captured batch.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    /// A device whose reading does not fit into a batch, whatever is left out: a fault of ours.
    #[error("one reading does not fit into a batch: {0}")]
    TooLarge(String),
}

impl SiteError {
    /// As CONTRACT 1 says: 2 for what the person or the configuration has to put right, 4 for another run, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotEnrolled | Self::Key(_) | Self::NoSuchEpoch(_) | Self::Channel(_) => 2,
            Self::Enroll(EnrollError::Store(_)) => 1,
            Self::Enroll(_) => 2,
            Self::Lock(LockError::Held(_)) => 4,
            Self::Store(StoreError::Refused(_)) => 2,
            _ => 1,
        }
    }
}

impl From<OutboxError> for SiteError {
    fn from(error: OutboxError) -> Self {
        match error {
            OutboxError::Store(error) => Self::Store(error),
            other => Self::Outbox(other),
        }
    }
}

/// An open data directory, with the machine key that fits it.
#[derive(Debug)]
pub struct Site {
    store: Store,
    unlocked: Option<Unlocked>,
}

/// What an enrolled site has.
#[derive(Debug)]
struct Unlocked {
    keyring: Keyring,
    enrolment: Enrolment,
    keys: SiteKeys,
}

impl Site {
    /// Opens the data directory, which is made at first use. Rows that are sealed under a machine key which is missing or
    /// another one: refused, with a text that names the file.
    pub fn open(paths: &Paths) -> Result<Self, SiteError> {
        Self::with_store(open_or_salvage(&paths.data_dir, Store::open)?, &paths.key_file)
    }

    /// The same for a command that looks into the queue, or a pass of a daemon that checked it when it started.
    pub fn open_for_a_look(paths: &Paths) -> Result<Self, SiteError> {
        Self::with_store(open_or_salvage(&paths.data_dir, Store::open_for_a_look)?, &paths.key_file)
    }

    /// The same with a store that is open already.
    pub fn with_store(store: Store, key_file: &Path) -> Result<Self, SiteError> {
        refuse_key_beside_the_data(key_file, store.directory())?;
        let keyring = Keyring::read(key_file)?;
        let sealed = store.read(|tx| tx.has_sealed_rows())?;
        let unlocked = match (keyring, sealed) {
            (_, false) => None,
            (None, true) => return Err(KeyFileError::Missing(key_file.to_owned()).into()),
            (Some(keyring), true) => match store.read(|tx| enroll::enrolled(tx, &keyring))? {
                Some((enrolment, keys)) => Some(Unlocked { keyring, enrolment, keys }),
                None => return Err(KeyFileError::Wrong(key_file.to_owned()).into()),
            },
        };
        Ok(Self { store, unlocked })
    }

    /// Takes an enrolment token; the machine key is made when there is none. After a lost key the outbox goes on and the
    /// devices are learned again.
    pub fn enroll(paths: &Paths, token: &str, now: Timestamp) -> Result<(Self, Taken), SiteError> {
        let token = Enrolment::parse(token).map_err(EnrollError::from)?;
        refuse_key_beside_the_data(&paths.key_file, &paths.data_dir)?;
        let store = open_or_salvage(&paths.data_dir, Store::open)?;
        let sealed = store.read(|tx| tx.has_sealed_rows())?;
        let (keyring, lost) = match Keyring::read(&paths.key_file)? {
            Some(keyring) if sealed && store.read(|tx| enroll::enrolled(tx, &keyring))?.is_none() => {
                return Err(KeyFileError::Wrong(paths.key_file.clone()).into());
            }
            Some(keyring) => (keyring, false),
            None => {
                // before a key is made for it: is the token for this directory at all?
                if let Some(here) = store.read(enroll::site)?.filter(|here| here != token.epoch.kid().site().as_str()) {
                    return Err(EnrollError::OtherSite { here, token: token.epoch.kid().site().to_string() }.into());
                }
                (Keyring::create(&paths.key_file)?, sealed)
            }
        };
        let taken = store.write(|tx| {
            if lost {
                tx.forget_sealed_rows()?;
            }
            // whatever kept the channels, the new token may have mended it
            outbox::wake_all(tx)?;
            enroll::take(tx, &keyring, &token, now)
        })?;
        let enrolled = store.read(|tx| enroll::enrolled(tx, &keyring))?;
        let (enrolment, keys) = enrolled.ok_or(SiteError::NotEnrolled)?;
        Ok((Self { store, unlocked: Some(Unlocked { keyring, enrolment, keys }) }, taken))
    }

    fn unlocked(&self) -> Result<&Unlocked, SiteError> {
        self.unlocked.as_ref().ok_or(SiteError::NotEnrolled)
    }

    /// What the enrolment token said.
    pub fn enrolment(&self) -> Result<&Enrolment, SiteError> {
        Ok(&self.unlocked()?.enrolment)
    }

    /// The site's keys, for a channel that proves receipts.
    pub fn keys(&self) -> Result<&SiteKeys, SiteError> {
        Ok(&self.unlocked()?.keys)
    }

    /// The store, for tests and for what has no method here.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps other runs of one half out while the lock lives.
    pub fn lock(&self, half: Half) -> Result<RunLock, SiteError> {
        Ok(RunLock::take(self.store.directory(), half)?)
    }

    /// Whether any device was ever read.
    pub fn knows_devices(&self) -> Result<bool, SiteError> {
        Ok(self.store.read(memory::count)? > 0)
    }

    /// The device that was last read at this address.
    pub fn known_at(&self, address: &str, port: u16) -> Result<Option<Known>, SiteError> {
        let keyring = &self.unlocked()?.keyring;
        Ok(self.store.read(|tx| memory::by_address(tx, keyring, address, port))?)
    }

    /// Devices that have not answered since an instant: to be reported as unreachable when their addresses were asked.
    pub fn not_seen_since(&self, since: Timestamp) -> Result<Vec<Known>, SiteError> {
        let keyring = &self.unlocked()?.keyring;
        Ok(self.store.read(|tx| memory::not_seen_since(tx, keyring, since))?)
    }

    /// Shows every known device.
    pub fn each_known(&self, show: impl FnMut(&Known)) -> Result<(), SiteError> {
        let keyring = &self.unlocked()?.keyring;
        Ok(self.store.read(|tx| memory::each(tx, keyring, show))?)
    }

    /// Items of the outbox, oldest first.
    pub fn items(&self) -> Result<Vec<Item>, SiteError> {
        Ok(self.store.read(outbox::list)?)
    }

    /// How many items stand where.
    pub fn tally(&self) -> Result<Tally, SiteError> {
        Ok(self.store.read(outbox::tally)?)
    }

    /// The bytes inside an item's token, as they are.
    pub fn show(&self, sequence: u64) -> Result<OpenedBatch, SiteError> {
        let token = self.store.read(|tx| outbox::token(tx, sequence))?;
        self.open_captured(&token)
    }

    /// Opens a captured token with the site's keys.
    pub fn open_captured(&self, captured: &str) -> Result<OpenedBatch, SiteError> {
        Ok(open::with_site(captured, self.keys()?)?)
    }

    /// Items whose bytes fail their hash or do not open, with where they stood. Those that waited are set aside: nobody could
    /// read them.
    pub fn check(&self, now: Timestamp) -> Result<Vec<(u64, State)>, SiteError> {
        let rotten = self.store.read(outbox::check)?;
        let opens = |item: &Item| !matches!(self.show(item.sequence), Err(SiteError::NotOpened(_)));
        let bad = self.items()?.into_iter().filter(|item| rotten.contains(&item.sequence) || !opens(item));
        let bad: Vec<(u64, State)> = bad.map(|item| (item.sequence, item.state)).collect();
        self.store.write(|tx| {
            bad.iter().filter(|(_, state)| *state == State::Waiting).try_for_each(|&(sequence, _)| {
                let reason = OutboxError::Rotten(sequence).to_string();
                outbox::settle(tx, sequence, None, &Outcome::Refused { reason, refusal: None }, now).map(drop)
            })
        })?;
        Ok(bad)
    }

    /// A person sends an item again.
    pub fn retry(&self, sequence: u64, now: Timestamp) -> Result<(), SiteError> {
        Ok(self.store.write(|tx| outbox::retry(tx, sequence, now))?)
    }

    /// A person sends again what is here of these numbers.
    pub fn resend(&self, ranges: &[(u64, u64)], now: Timestamp) -> Result<Resent, SiteError> {
        Ok(self.store.write(|tx| outbox::resend(tx, ranges, now))?)
    }

    /// A person sends again what somebody at the central asked for: what is here waits, what is not becomes a void.
    pub fn resend_by_code(&self, ranges: &[(u64, u64)], now: Timestamp) -> Result<Resent, SiteError> {
        Ok(self.store.write(|tx| outbox::resend_by_code(tx, ranges, now))?)
    }

    /// Whether a sweep that begins now is sealed as the queue stands (`cap`). One that is not is counted, and the next batch's
    /// health says how many there were.
    pub fn admits_sweep(&self, queue_bytes_max: u64, now: &Zoned) -> Result<bool, SiteError> {
        Ok(self.store.write(|tx| seal::admits_sweep(tx, queue_bytes_max, now))?)
    }

    /// The rest of one channel, if it rests.
    pub fn rest(&self, channel: &str) -> Result<Option<Rest>, SiteError> {
        Ok(self.store.read(|tx| outbox::rest(tx, channel))?)
    }

    /// Own clock minus the central's, at the last verified answer.
    pub fn clock_skew(&self) -> Result<Option<i64>, SiteError> {
        Ok(self.store.read(outbox::clock_skew)?)
    }

    /// The number that the next batch gets.
    pub fn next_sequence(&self) -> Result<u64, SiteError> {
        Ok(self.store.read(outbox::next_sequence)?)
    }

    /// A person ends an item; what the central never acknowledged becomes a void. Gives whether the central has it.
    pub fn delete(&self, sequence: u64, now: Timestamp) -> Result<bool, SiteError> {
        let keys = self.keys().ok();
        Ok(self.store.write(|tx| {
            let (item, signed) = (outbox::item(tx, sequence)?, outbox::receipt(tx, sequence)?);
            // one that was to be sent again keeps its receipt
            let proven = keys.zip(signed).is_some_and(|(keys, jws)| is_receipt_of(&item, keys, &jws));
            let acknowledged = item.state == State::Delivered || proven;
            outbox::delete(tx, sequence, acknowledged, now)?;
            Ok::<_, OutboxError>(acknowledged)
        })?)
    }

    /// Ends what has been kept long enough; the number of items that went.
    pub fn expire(&mut self, now: Timestamp) -> Result<usize, SiteError> {
        let unlocked = self.unlocked.as_mut().ok_or(SiteError::NotEnrolled)?;
        Ok(self.store.write(|tx| {
            let gone = outbox::expire(tx, now)?;
            enroll::forget_unused_epochs(tx, &unlocked.keyring, &mut unlocked.keys)?;
            Ok::<_, StoreError>(gone)
        })?)
    }

    /// Keeps something that a person, and the central, should hear of.
    pub fn note(&self, event: &Event) -> Result<(), SiteError> {
        Ok(self.store.write(|tx| outbox::note(tx, event))?)
    }

    /// What the central signed about an item, a receipt or a refusal: its claims as JSON, proven once more. `None` when
    /// there is neither.
    pub fn receipt(&self, sequence: u64) -> Result<Option<String>, SiteError> {
        let (item, receipt) = self
            .store
            .read(|tx| Ok::<_, OutboxError>((outbox::item(tx, sequence)?, outbox::receipt(tx, sequence)?)))?;
        let Some(jws) = receipt else { return Ok(None) };
        let keys = self.keys()?;
        let submitted = submitted(&item, keys);
        let proven = keys.receipt_keys(item.epoch).iter().find_map(|key| {
            let receipt = verify_receipt(&jws, key, &submitted).map(|receipt| receipt.to_json());
            receipt.or_else(|_| verify_refusal(&jws, key, &submitted).map(|refusal| refusal.to_json())).ok()
        });
        proven.map(Some).ok_or(SiteError::Unproven(sequence))
    }

    /// When the first of these channels tries again, and what it met; `None` when one of them does not rest.
    pub fn rested(&self, channels: &[&str]) -> Result<Option<Rest>, SiteError> {
        Ok(self.store.read(|tx| outbox::rested(tx, channels))?)
    }

    /// Keeps room for the day when the disk is full, and notes when there is none: the next batch's health tells it.
    pub fn keep_ballast(&self, now: Timestamp) -> Result<(), SiteError> {
        let kept = ballast::keep(self.store.directory()).unwrap_or_else(|error| {
            tracing::warn!("cannot make `{}`: {error}", ballast::FILE);
            false
        });
        if !kept {
            let text =
                "less than 64 MiB are free where the store lies; once nothing is, nothing more is sealed".to_owned();
            let event = Event { at: now, code: "disk-full".to_owned(), text };
            self.store.write(|tx| outbox::note(tx, &event))?;
        }
        Ok(())
    }

    /// Bytes that are free where the store lies, when they are too few for the ballast.
    pub fn short_of_room(&self) -> Option<u64> {
        let directory = self.store.directory();
        ballast::free(directory).filter(|free| *free < ballast::FREE_MIN && !directory.join(ballast::FILE).exists())
    }

    /// What went wrong lately, newest first.
    pub fn events(&self, since: Timestamp, most: u32) -> Result<Vec<Event>, SiteError> {
        Ok(self.store.read(|tx| outbox::events(tx, since, most))?)
    }

    /// The batch key of an epoch, the current one when `None`, as a JWK for stock JOSE libraries.
    pub fn jwk(&self, epoch: Option<u32>) -> Result<zeroize::Zeroizing<String>, SiteError> {
        let keys = self.keys()?;
        let epoch = epoch.unwrap_or(keys.current().kid().epoch());
        let key: Option<ContentKey> = keys.batch_keys(epoch).into_iter().next();
        let (key, kid) = key.zip(Kid::new(keys.site().clone(), epoch)).ok_or(SiteError::NoSuchEpoch(epoch))?;
        Ok(key.to_jwk(&kid))
    }

    /// Begins to seal what a sweep brings.
    pub fn sealer(&self, terms: Terms) -> Result<Sealer<'_>, SiteError> {
        Sealer::new(&self.store, self.unlocked()?, terms)
    }

    /// The XML of the batches that these readings would make, byte for byte but for ids and random bytes: the same steps
    /// as sealing, in a transaction that is taken back.
    pub fn preview(
        &self,
        terms: Terms,
        gathered: Vec<Gathered>,
        end: &SweepEnd,
        now: Timestamp,
    ) -> Result<Vec<String>, SiteError> {
        let mut sealer = Sealer::preview(&self.store, self.unlocked()?, terms)?;
        gathered.into_iter().try_for_each(|one| sealer.push(one, now))?;
        sealer.show(end, now)
    }

    /// The HTTPS channel to the central that the enrolment token named.
    pub fn https(&self, via: &Via) -> Result<Soap, SiteError> {
        let Unlocked { enrolment, keys, .. } = self.unlocked()?;
        Ok(Soap::new(enrolment, keys, via, soap::TIMEOUT)?)
    }

    /// One pass over what waits; see [`deliver::pass`]. Blocks: call it from a thread that may.
    pub fn deliver(&self, channels: &[&dyn Channel], hurry: Hurry, pace: &Pace<'_>) -> Result<Report, SiteError> {
        Ok(deliver::pass(&self.store, channels, hurry, pace)?)
    }

    /// When a delivering daemon should look again: the earliest of the due times, not before the first of these channels has
    /// rested. `None` when nothing waits.
    pub fn deliver_next(&self, channels: &[&str]) -> Result<Option<Timestamp>, SiteError> {
        let (due, rested) =
            self.store.read(|tx| Ok::<_, StoreError>((outbox::next_due(tx)?, outbox::rested(tx, channels)?)))?;
        Ok(due.map(|due| rested.map_or(due, |rested| due.max(rested.due_at))))
    }
}

fn submitted<'a>(item: &'a Item, keys: &'a SiteKeys) -> Submitted<'a> {
    Submitted { site: keys.site(), batch_id: &item.id, sequence: item.sequence, sha256: &item.sha256 }
}

/// Whether what the central signed says that it has this item; a refusal does not.
fn is_receipt_of(item: &Item, keys: &SiteKeys, jws: &str) -> bool {
    keys.receipt_keys(item.epoch).iter().any(|key| verify_receipt(jws, key, &submitted(item, keys)).is_ok())
}

/// The store; one that is damaged is moved aside and what can be read of it is saved, unless another run has it open.
fn open_or_salvage(
    directory: &Path,
    open: impl FnOnce(&Path) -> Result<Store, StoreError>,
) -> Result<Store, StoreError> {
    let damaged = match open(directory) {
        Err(StoreError::Damaged(how)) => how,
        opened => return opened,
    };
    // whoever reads, seals or sends right now holds one of these; a daemon between its passes has nothing open
    let locks = [Half::Gathering, Half::Delivering].map(|half| RunLock::take(directory, half));
    if locks.iter().any(Result::is_err) {
        return Err(StoreError::Damaged(damaged));
    }
    // another process may have been first
    if let Ok(store) = Store::open(directory) {
        return Ok(store);
    }
    let now = clock::now();
    let aside = salvage::aside(now.as_second());
    let (store, rows) = salvage::salvage(directory, &aside.to_string_lossy())?;
    let kept = salvage::kept_sequence(directory);
    let next = store.write(|tx| {
        if !enroll::has_token(tx)? {
            // without it the machine key cannot be told from another one: the devices are learned again
            tx.forget_sealed_rows()?;
        }
        let next = outbox::go_on_after_damage(tx, kept, now)?;
        let text = format!("the store was damaged; {rows} rows were saved, numbers go on at {next}");
        outbox::note(tx, &Event { at: now, code: "store-damaged".to_owned(), text })?;
        Ok::<_, StoreError>(next)
    })?;
    tracing::error!(
        "the store was damaged ({damaged}); it lies in `{}`, {rows} rows were saved, numbers go on at {next}",
        aside.display()
    );
    Ok(store)
}

/// Whoever takes a copy of the directory must not have the key to it.
fn refuse_key_beside_the_data(key: &Path, data: &Path) -> Result<(), KeyFileError> {
    if resolved(key).starts_with(resolved(data)) {
        return Err(KeyFileError::InDataDirectory { key: key.to_owned(), data: data.to_owned() });
    }
    Ok(())
}

/// A path without links and relative parts, as far as it is there already.
fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|there| Some((there, there.canonicalize().ok()?)));
    match there {
        Some((there, canonical)) => canonical.join(path.strip_prefix(there).unwrap_or(Path::new(""))),
        None => path,
    }
}
