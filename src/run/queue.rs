//! `enroll`, `outbox …`, `open`, `key export`: what a person does with the site's keys and its queue.

use std::io::{Read, Write};
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use meterpost_wire::enrolment::Enrolment;
use meterpost_wire::keys::ContentKey;
use meterpost_wire::resend;

use super::{failed, print, print_bytes, send};
use crate::cli::{Exit, Failure, OpenWith, TokenSource, log};
use crate::clock;
use crate::config::{Config, Places};
use crate::open;
use crate::outbox::age::{STEPS, ages};
use crate::outbox::{Item, Resent, Rest, State};
use crate::site::{Paths, Site, SiteError};
use crate::store;

/// A token in a file or on standard input is at most this long.
const TOKEN_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// The site of the data directory, for a command that looks into its queue.
pub fn site(places: &Places) -> Result<Site, Failure> {
    opened(places, Site::open_for_a_look)
}

/// The same for a run that starts: the whole store is checked.
pub fn site_checked(places: &Places) -> Result<Site, Failure> {
    opened(places, Site::open)
}

/// The directory must be there: only `enroll` makes one.
fn opened(places: &Places, open: impl FnOnce(&Paths) -> Result<Site, SiteError>) -> Result<Site, Failure> {
    if !places.data.join(store::FILE).exists() {
        return Err(Failure::usage(format!("the data directory `{}` belongs to no site", places.data.display()))
            .hint("take the central's token with `meterpost enroll`, or name another directory with `--data-dir`"));
    }
    open(&paths(places)).map_err(failed)
}

fn paths(places: &Places) -> Paths {
    Paths { data_dir: places.data.clone(), key_file: places.key.clone() }
}

/// Takes an enrolment token.
pub fn enroll(places: &Places, source: &TokenSource, out: &mut dyn Write) -> Result<Exit, Failure> {
    let text = match source {
        TokenSource::Text(text) => text.clone(),
        TokenSource::File(path) => read(path)?,
        TokenSource::Stdin => read(Path::new("-"))?,
    };
    let (site, taken) = Site::enroll(&paths(places), &text, clock::now()).map_err(failed)?;
    let enrolment = site.enrolment().map_err(failed)?;
    let kid = enrolment.epoch.kid();
    let text = format!(
        "{} as site {} ({}), epoch {}, with {}; the next batch is number {}\n",
        if taken.again { "enrolled again" } else { "enrolled" },
        kid.site(),
        enrolment.name,
        kid.epoch(),
        enrolment.central,
        taken.next_sequence,
    );
    print(out, &text)
}

/// One line for each item, oldest first.
pub fn list(places: &Places, out: &mut dyn Write) -> Result<Exit, Failure> {
    let site = site(places)?;
    let (items, rest) = (site.items().map_err(failed)?, site.rested(&channels(places)).map_err(failed)?);
    print(out, &table(&items, rest.as_ref(), &TimeZone::system()))
}

/// The channels of the configuration; a queue can be looked into without one, or with one that is broken.
fn channels(places: &Places) -> Vec<&'static str> {
    send::names(&Config::load(&places.config).unwrap_or_default())
}

/// `rest` is that of the channels that waiting items go by.
fn table(items: &[Item], rest: Option<&Rest>, zone: &TimeZone) -> String {
    if items.is_empty() {
        return "the outbox is empty\n".to_owned();
    }
    let local = |at: Timestamp| log::local(at, zone);
    let mut text = format!(
        "{:>6}  {:<11}  {:<25}  {:>7}  {:>7}  WHAT BECAME OF IT\n",
        "SEQ", "STATE", "QUEUED", "DEVICES", "BYTES"
    );
    for item in items {
        let became = match (item.state, &item.last_error, rest) {
            (State::Waiting, None, None) if item.attempts == 0 => "not tried yet".to_owned(),
            (State::Waiting, error, rest) => {
                let due = rest.map_or(item.due_at, |rest| item.due_at.max(rest.due_at));
                let tries = item.attempts + rest.map_or(0, |rest| rest.attempts);
                let error = error.as_deref().or(rest.map(|rest| rest.last_error.as_str()));
                let error = error.map(|error| format!(": {error}")).unwrap_or_default();
                format!("due {}, {tries} {} failed{error}", local(due), if tries == 1 { "try" } else { "tries" })
            }
            (State::Delivered, ..) => format!("delivered {}", local(item.since)),
            (State::HandedOver, ..) => format!("handed over {}", local(item.since)),
            (State::SetAside, error, _) => {
                let why = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
                format!("set aside {}{why}", local(item.since))
            }
        };
        let (state, queued_at) = (item.state.as_str(), local(item.queued_at));
        let line = format!(
            "{:>6}  {state:<11}  {queued_at}  {:>7}  {:>7}  {became}",
            item.sequence, item.devices, item.size_bytes
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// What is inside an item, byte for byte.
pub fn show(places: &Places, sequence: u64, out: &mut dyn Write) -> Result<Exit, Failure> {
    print_bytes(out, &site(places)?.show(sequence).map_err(failed)?.xml)
}

/// What the central signed about an item.
pub fn receipt(places: &Places, sequence: u64, out: &mut dyn Write) -> Result<Exit, Failure> {
    match site(places)?.receipt(sequence).map_err(failed)? {
        Some(claims) => print(out, &format!("{claims}\n")),
        None => {
            Err(Failure::failed(format!("item {sequence} has no receipt")).hint("`meterpost outbox list` says why"))
        }
    }
}

/// Proves every token: its hash, and that the site's keys open it. What waits and fails is set aside.
pub fn check(places: &Places, out: &mut dyn Write) -> Result<Exit, Failure> {
    let site = site(places)?;
    let bad = site.check(clock::now()).map_err(failed)?;
    if let Some(free) = site.short_of_room() {
        print(out, &format!("the disk is nearly full: {} MiB are free where the queue lies\n", free >> 20))?;
    }
    let count = site.items().map_err(failed)?.len();
    let items = if count == 1 { "1 item" } else { &format!("{count} items") };
    if bad.is_empty() {
        return print(out, &format!("{items} checked: all whole\n"));
    }
    let lines: String = bad
        .iter()
        .map(|(sequence, stood)| {
            let means = match stood {
                State::Waiting => "set aside",
                State::SetAside => "it was set aside before",
                State::HandedOver => "it was handed over, and cannot be sent again",
                State::Delivered => "the central has it",
            };
            format!("{sequence}: its bytes do not open; {means}\n")
        })
        .collect();
    print(out, &format!("{items} checked\n{lines}"))?;
    // a copy of what the central has is nobody's loss
    let lost = bad.iter().any(|(_, stood)| *stood != State::Delivered);
    Ok(if lost { Exit::InPart } else { Exit::Done })
}

/// A person sends items again; each is due at once.
pub fn resend(places: &Places, from: u64, to: u64, out: &mut dyn Write) -> Result<Exit, Failure> {
    let resent = site(places)?.resend(&[(from, to)], clock::now()).map_err(failed)?;
    if resent == Resent::default() {
        let numbers = if from == to { from.to_string() } else { format!("from {from} to {to}") };
        return Err(Failure::failed(format!("the outbox has no item {numbers}"))
            .hint("`meterpost outbox list` shows the numbers"));
    }
    print(out, &resent_text(&resent))?;
    Ok(if resent.rotten.is_empty() { Exit::Done } else { Exit::InPart })
}

fn resent_text(Resent { waiting, rotten, jumped_to }: &Resent) -> String {
    let mut text: String = waiting.iter().map(|sequence| format!("{sequence} waits to be sent\n")).collect();
    text.extend(rotten.iter().map(|sequence| format!("{sequence}: its bytes do not open; it cannot be sent again\n")));
    if let Some(next) = jumped_to {
        text += &format!(
            "the central has seen higher numbers than this store gave, as after a backup: the next one is {next}\n"
        );
    }
    text
}

/// A person sends again what a code names that somebody at the central read out.
pub fn resend_code(places: &Places, code: &str, out: &mut dyn Write) -> Result<Exit, Failure> {
    let site = site(places)?;
    let ranges = resend::decode(site.keys().map_err(failed)?.site(), code)
        .map_err(|error| Failure::usage(format!("`{code}`: {error}")))?;
    let resent = site.resend_by_code(&ranges, clock::now()).map_err(failed)?;
    let mut text = resent_text(&resent);
    let asked: u64 = ranges.iter().map(|(from, to)| to - from + 1).sum();
    let gone = asked - (resent.waiting.len() + resent.rotten.len()) as u64;
    if gone > 0 {
        text += &format!(
            "{gone} of {asked} are not here any more: the next batch tells the central that they will not come\n"
        );
    }
    print(out, &text)?;
    Ok(if resent.rotten.is_empty() { Exit::Done } else { Exit::InPart })
}

/// How old what was not acknowledged is, by channel.
pub fn age(places: &Places, out: &mut dyn Write) -> Result<Exit, Failure> {
    print(out, &age_table(&site(places)?.items().map_err(failed)?, clock::now()))
}

fn age_table(items: &[Item], now: Timestamp) -> String {
    let ages = ages(items, now);
    if ages.is_empty() {
        return "nothing waits, and nothing is handed over\n".to_owned();
    }
    let mut text = format!("{:<11}  {:<7}", "STATE", "CHANNEL");
    for name in STEPS.iter().map(|(_, name)| *name).chain(["older"]) {
        text += &format!("  {name:>6}");
    }
    for ((state, channel), counts) in ages {
        text += &format!("\n{state:<11}  {:<7}", channel.unwrap_or("-"));
        for count in counts {
            text += &format!("  {count:>6}");
        }
    }
    text + "\n"
}

/// A person ends an item for good.
pub fn delete(places: &Places, sequence: u64, out: &mut dyn Write) -> Result<Exit, Failure> {
    let acknowledged = site(places)?.delete(sequence, clock::now()).map_err(failed)?;
    let consequence =
        if acknowledged { "the central has it" } else { "the next batch tells the central that it will not come" };
    print(out, &format!("{sequence} deleted; {consequence}\n"))
}

/// Prints what is inside a captured token.
pub fn open(places: &Places, file: &Path, with: &OpenWith, out: &mut dyn Write) -> Result<Exit, Failure> {
    let captured = read(file)?;
    let opened = match with {
        OpenWith::Site => site(places)?.open_captured(&captured).map_err(failed)?,
        OpenWith::Token(path) => {
            let enrolment = Enrolment::parse(&read(path)?).map_err(Failure::usage)?;
            open::with_enrolment(&captured, &enrolment).map_err(Failure::failed)?
        }
        OpenWith::Jwk(path) => {
            let (kid, key) = ContentKey::from_jwk(&read(path)?).map_err(Failure::usage)?;
            open::with_jwk(&captured, kid.as_ref(), &key).map_err(Failure::failed)?
        }
    };
    print_bytes(out, &opened.xml)
}

/// Prints the batch key of an epoch as a JWK.
pub fn export_key(places: &Places, epoch: Option<u32>, out: &mut dyn Write) -> Result<Exit, Failure> {
    let jwk = site(places)?.jwk(epoch).map_err(failed)?;
    print(out, &format!("{}\n", *jwk))
}

/// A file, or standard input for `-`.
fn read(path: &Path) -> Result<String, Failure> {
    let input: std::io::Result<Box<dyn Read>> = if path == Path::new("-") {
        Ok(Box::new(std::io::stdin().lock()))
    } else {
        std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn Read>)
    };
    let mut text = String::new();
    match input.and_then(|input| input.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text)) {
        Ok(length) if length as u64 <= TOKEN_BYTES_MAX => Ok(text),
        Ok(_) => Err(Failure::usage(format!("`{}` has more than {TOKEN_BYTES_MAX} bytes", path.display()))),
        Err(error) => Err(Failure::usage(format!("cannot read `{}`: {error}", path.display()))),
    }
}
