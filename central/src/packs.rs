//! Packs of mapping files for the sites: published here by a person, fetched by each site when it likes.
//!
//! Whoever asks gets them, without a key of a site: a pack holds nothing of anybody's, its signature proves it, a mirror may
//! serve it as well, and a site does not show its own token to whatever `[packs].url` names.
//!
//! A pack and its signature lie as `packs/<channel>-<version>.zip` and `.zip.minisig` in the data directory. The file
//! `packs/<channel>` names the version that is served, and is replaced at once. What is not named is not served.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::fmt::rfc2822::{self, DateTimePrinter};
use meterpost_wire::hex;
use meterpost_wire::pack::{Channel, Key, Label, Minisig, NotProven, PACK_BYTES_MAX, SIGNATURE_BYTES_MAX};
use sha2::{Digest, Sha256};

use crate::error::Failure;
use crate::receive::Peer;
use crate::router::App;
use crate::{clock, private};

/// Versions of a channel that are kept, the one that is served among them.
const KEPT: usize = 3;

/// Bytes of the file that names what is served.
const NAMED_BYTES_MAX: u64 = 200;

/// Channels whose packs are held in memory; others are read for each request.
const CHANNELS_HELD: usize = 8;

/// Why a pack was not published. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A file cannot be read or written.
    #[error("`{}`: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// Too long to be one.
    #[error("`{}` has more than {} bytes", .0.display(), .1)]
    TooLong(PathBuf, usize),
    /// The signature.
    #[error("`{}`: {}", .0.display(), .1)]
    NotProven(PathBuf, NotProven),
    /// Sites would refuse it.
    #[error("version {found} of `{channel}` is older than {served}, which is served: sites refuse that")]
    Older {
        /// Its channel.
        channel: Channel,
        /// Its version.
        found: u64,
        /// What is served.
        served: u64,
    },
    /// Another pack of this number is out already.
    #[error("version {0} is published already, with other bytes: a new pack needs a new version")]
    Changed(u64),
    /// A newer one ought to be out by now.
    #[error("it expired at {0}: make it anew with a later `--expires`")]
    Expired(Timestamp),
}

/// Proves a pack by the signature beside it, and serves it from now on.
pub fn publish(data_dir: &Path, keys: &[Key], file: &Path) -> Result<Label, PublishError> {
    let beside = PathBuf::from(format!("{}.minisig", file.display()));
    let bytes = small(file, PACK_BYTES_MAX)?;
    let signature = small(&beside, SIGNATURE_BYTES_MAX)?;
    let proven = Minisig::parse(&signature).and_then(|minisig| minisig.prove(keys, &bytes));
    let label = proven.map_err(|error| PublishError::NotProven(beside, error))?;
    if label.is_expired(clock::now()) {
        return Err(PublishError::Expired(label.expires));
    }
    let shelf = Shelf::of(data_dir);
    let channel = &label.channel;
    let served = shelf.served(channel).map_err(|error| PublishError::File(shelf.named(channel), error))?;
    if let Some(served) = served.map(|served| served.version) {
        if label.version < served {
            return Err(PublishError::Older { channel: channel.clone(), found: label.version, served });
        }
        if label.version == served && fs::read(shelf.archive(channel, served)).is_ok_and(|there| there != bytes) {
            return Err(PublishError::Changed(served));
        }
    }
    let failed = |path: PathBuf| move |error| PublishError::File(path, error);
    fs::create_dir_all(&shelf.directory).map_err(failed(shelf.directory.clone()))?;
    let archive = shelf.archive(channel, label.version);
    private::write(&archive, &bytes).map_err(failed(archive.clone()))?;
    let signed = shelf.signature(channel, label.version);
    private::write(&signed, &signature).map_err(failed(signed.clone()))?;
    let (named, new) = (shelf.named(channel), shelf.directory.join(format!(".new-{channel}")));
    let line = format!("{} {} {}\n", label.version, digest(&bytes), clock::now());
    let switched = private::write(&new, line.as_bytes()).and_then(|()| fs::rename(&new, &named));
    switched.and_then(|()| sync_folder(&shelf.directory)).map_err(failed(named))?;
    shelf.tidy(channel, label.version);
    Ok(label)
}

/// The packs of one data directory.
#[derive(Debug)]
pub struct Shelf {
    directory: PathBuf,
    held: Mutex<HashMap<String, Arc<Served>>>,
}

/// What is served of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    version: u64,
    digest: String,
    published: Timestamp,
}

/// The same with its bytes.
#[derive(Debug)]
struct Served {
    named: Named,
    archive: Bytes,
    signature: Bytes,
}

impl Shelf {
    /// Of a data directory, where nothing need be.
    pub fn of(data_dir: &Path) -> Self {
        Self { directory: data_dir.join("packs"), held: Mutex::default() }
    }

    fn archive(&self, channel: &Channel, version: u64) -> PathBuf {
        self.directory.join(format!("{channel}-{version}.zip"))
    }

    fn signature(&self, channel: &Channel, version: u64) -> PathBuf {
        self.directory.join(format!("{channel}-{version}.zip.minisig"))
    }

    fn named(&self, channel: &Channel) -> PathBuf {
        self.directory.join(channel.as_str())
    }

    fn served(&self, channel: &Channel) -> io::Result<Option<Named>> {
        let mut line = String::new();
        match fs::File::open(self.named(channel)) {
            Ok(file) => file.take(NAMED_BYTES_MAX).read_to_string(&mut line)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let parts: Vec<&str> = line.split_whitespace().collect();
        let named = match parts[..] {
            [version, digest, published] if hex::is_sha256(digest) => version
                .parse()
                .ok()
                .zip(published.parse().ok())
                .map(|(version, published)| Named { version, digest: digest.to_owned(), published }),
            _ => None,
        };
        named.map(Some).ok_or_else(|| io::Error::other("no line that `pack publish` wrote"))
    }

    /// What is served now. One copy of it is in memory for all who ask.
    fn look_up(&self, channel: &Channel) -> io::Result<Option<Arc<Served>>> {
        let Some(named) = self.served(channel)? else { return Ok(None) };
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(channel.as_str()).cloned();
        if let Some(served) = held.filter(|served| served.named == named) {
            return Ok(Some(served));
        }
        let archive = fs::read(self.archive(channel, named.version))?;
        if digest(&archive) != named.digest {
            return Err(io::Error::other(format!(
                "pack {} of `{channel}` is damaged: publish it again",
                named.version
            )));
        }
        let signature = fs::read(self.signature(channel, named.version))?;
        let served = Arc::new(Served { named, archive: archive.into(), signature: signature.into() });
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() < CHANNELS_HELD || held.contains_key(channel.as_str()) {
            held.insert(channel.to_string(), Arc::clone(&served));
        }
        Ok(Some(served))
    }

    /// Clears away what is neither served nor one of the versions before it.
    fn tidy(&self, channel: &Channel, version: u64) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let of_channel = |name: String| {
            let rest = name.strip_prefix(channel.as_str())?.strip_prefix('-')?;
            rest.strip_suffix(".zip")?.parse::<u64>().ok()
        };
        let mut older: Vec<u64> = names.filter_map(of_channel).filter(|found| *found < version).collect();
        older.sort_unstable_by(|a, b| b.cmp(a));
        for gone in older.into_iter().skip(KEPT - 1) {
            // what stays is in nobody's way
            let _ = fs::remove_file(self.archive(channel, gone));
            let _ = fs::remove_file(self.signature(channel, gone));
        }
    }
}

/// GET and HEAD `/packs/<channel>.zip` and `.zip.minisig`. The name is taken apart and checked before any file is looked for.
pub async fn pack(
    State(app): State<Arc<App>>,
    peer: Peer,
    UrlPath(name): UrlPath<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    if !app.addresses.admit(peer.network(), clock::now()) {
        return Err(Failure::TooMany);
    }
    let (channel, is_signature) = match name.strip_suffix(".zip.minisig") {
        Some(channel) => (channel, true),
        None => (name.strip_suffix(".zip").ok_or(Failure::NotFound)?, false),
    };
    let channel = Channel::parse(channel).map_err(|_| Failure::NotFound)?;
    let looking = tokio::task::spawn_blocking(move || app.packs.look_up(&channel));
    let served = looking.await.map_err(|error| Failure::Inside(error.to_string()))?;
    let served = served.map_err(|error| Failure::Inside(format!("packs: {error}")))?.ok_or(Failure::NotFound)?;
    let (body, kind, tag) = if is_signature {
        (served.signature.clone(), "text/plain; charset=utf-8", digest(&served.signature))
    } else {
        (served.archive.clone(), "application/zip", served.named.digest.clone())
    };
    let (tag, published) = (format!("\"{}\"", &tag[..32]), served.named.published);
    let about = [(ETAG, tag.clone()), (LAST_MODIFIED, http_date(published)), (CACHE_CONTROL, "no-cache".to_owned())];
    if is_known(&headers, &tag, published) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    Ok((about, [(CONTENT_TYPE, kind)], body).into_response())
}

/// Whether the one who asks has it already; the tag goes before the date (RFC 9110, 13.2.2).
fn is_known(headers: &HeaderMap, tag: &str, published: Timestamp) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(tags) = text(IF_NONE_MATCH) {
        return tags.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag);
    }
    let since = text(IF_MODIFIED_SINCE).and_then(|date| rfc2822::parse(date).ok());
    since.is_some_and(|since| published.as_second() <= since.timestamp().as_second())
}

fn http_date(at: Timestamp) -> String {
    DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes))
}

fn small(path: &Path, most: usize) -> Result<Vec<u8>, PublishError> {
    let mut bytes = Vec::new();
    let opened = fs::File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes));
    opened.map_err(|error| PublishError::File(path.to_owned(), error))?;
    if bytes.len() > most { Err(PublishError::TooLong(path.to_owned(), most)) } else { Ok(bytes) }
}

/// What was renamed lasts once its folder is synced; Windows has no such call and does it by itself.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(path)?.sync_all() } else { Ok(()) }
}
