//! `quarantine`: what could not be taken, why, and once more after a fix.

use std::io::Write;

use clap::Subcommand;
use meterpost_wire::hex;

use super::{CommandError, Done, existing_store};
use crate::clock::{self, local};
use crate::config::Config;
use crate::import::{self, Outcome};
use crate::open;
use crate::store::{HeldRow, SetAsideRow, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Quarantine {
    /// Print what could not be taken: tokens and files by number, devices of stored batches as `BATCH.DEVICE`
    #[command(after_help = "Example:\n  meterpost-central quarantine list")]
    List,
    /// Print one item
    #[command(after_help = "Example:\n  meterpost-central quarantine show 7\n  \
                            meterpost-central quarantine show 7 --raw > captured.jwe\n  \
                            meterpost-central quarantine show 41.2 --raw")]
    Show {
        /// As `list` names it
        item: String,
        /// Only its bytes, as they came
        #[arg(long)]
        raw: bool,
    },
    /// Try again what is in quarantine, after a key was added or a newer version installed; the site is not needed
    #[command(
        after_help = "Example:\n  meterpost-central quarantine reimport\n  meterpost-central quarantine reimport 7 41.2"
    )]
    Reimport {
        /// As `list` names them [default: all]
        items: Vec<String>,
    },
}

pub(super) async fn run(config: &Config, command: Quarantine) -> Result<Done, CommandError> {
    let store = existing_store(config).await?;
    match command {
        Quarantine::List => list(&store).await,
        Quarantine::Show { item, raw } => show(&store, &item, raw).await,
        Quarantine::Reimport { items } => reimport(&store, &items).await,
    }
}

/// How an item is named.
enum Name {
    /// A token or file.
    Number(u64),
    /// A device of a stored batch, by the batch's place in the order of arrival and its own in the batch.
    Device(u64, u64),
}

fn name(text: &str) -> Result<Name, CommandError> {
    let number = |text: &str| text.parse::<u64>().ok();
    let parsed = match text.split_once('.') {
        None => number(text).map(Name::Number),
        Some((batch, device)) => number(batch).zip(number(device)).map(|(batch, device)| Name::Device(batch, device)),
    };
    parsed.ok_or_else(|| {
        CommandError::Usage(format!(
            "`{text}` is no item of the quarantine: `7` or `41.2` would be right, as `list` prints"
        ))
    })
}

fn unknown(text: &str) -> CommandError {
    CommandError::Usage(format!("there is no `{text}` in the quarantine: `quarantine list` prints all there is"))
}

async fn list(store: &Store) -> Result<Done, CommandError> {
    let (held, devices) = (store.held().await?, store.set_asides().await?);
    super::print(|out| {
        if held.is_empty() && devices.is_empty() {
            return writeln!(out, "nothing is in quarantine");
        }
        held.iter().try_for_each(|row| {
            writeln!(
                out,
                "{:>7}  {}  {}  {}  {} bytes  {}{}",
                row.number,
                local(row.received_at),
                site(row),
                row.code,
                row.size,
                row.reason,
                row.source.as_ref().map(|source| format!("  ({source})")).unwrap_or_default()
            )
        })?;
        devices.iter().try_for_each(|row| {
            writeln!(
                out,
                "{:>7}  {}  {}  batch {}  one device  {}",
                format!("{}.{}", row.arrival, row.position),
                local(row.received_at),
                row.site_name,
                row.sequence,
                row.detail.reason
            )
        })
    })?;
    Ok(Done::Whole)
}

async fn show(store: &Store, text: &str, raw: bool) -> Result<Done, CommandError> {
    match name(text)? {
        Name::Number(number) => {
            let (row, bytes) = store.held_item(number).await?.ok_or_else(|| unknown(text))?;
            super::print(|out| if raw { out.write_all(&bytes) } else { describe(out, &row) })?;
        }
        Name::Device(arrival, position) => {
            let is_it = |row: &SetAsideRow| (row.arrival, row.position) == (arrival, position);
            let row = store.set_asides().await?.into_iter().find(is_it).ok_or_else(|| unknown(text))?;
            super::print(|out| {
                if !raw {
                    writeln!(out, "received  {}", local(row.received_at))?;
                    writeln!(out, "site      {}", row.site_name)?;
                    writeln!(out, "batch     {}", row.sequence)?;
                    writeln!(out, "reason    {}", row.detail.reason)?;
                }
                writeln!(out, "{}", row.detail.xml)
            })?;
        }
    }
    Ok(Done::Whole)
}

fn describe(out: &mut dyn Write, row: &HeldRow) -> std::io::Result<()> {
    writeln!(out, "received  {}", local(row.received_at))?;
    writeln!(out, "by        {}", row.source.as_deref().unwrap_or("a request of the site"))?;
    writeln!(out, "site      {}", site(row))?;
    writeln!(out, "code      {}", row.code)?;
    writeln!(out, "reason    {}", row.reason)?;
    let proven = if row.authentic { "made by a holder of the site's key" } else { "nothing proves who made it" };
    writeln!(out, "proven    {proven}")?;
    writeln!(out, "sha256    {}", hex::encode(&row.sha256))?;
    writeln!(out, "size      {} bytes", row.size)
}

async fn reimport(store: &Store, items: &[String]) -> Result<Done, CommandError> {
    let (mut numbers, mut arrivals) = (Vec::new(), Vec::new());
    if items.is_empty() {
        numbers.extend(store.held().await?.into_iter().map(|row| row.number));
        arrivals = store.not_shown_whole().await?;
    }
    for text in items {
        match name(text)? {
            Name::Number(number) => numbers.push(number),
            Name::Device(arrival, _) => arrivals.push(arrival),
        }
    }
    let (mut taken, mut left) = (0_u64, 0_u64);
    for number in numbers {
        let outcome = import::again(store, number, clock::now()).await?;
        match outcome {
            None => return Err(unknown(&number.to_string())),
            Some(Outcome::Stored { .. }) => taken += 1,
            Some(Outcome::Held { reasons, .. }) => {
                left += 1;
                eprintln!("warning: {number} stays in quarantine: {}", reasons.join("; "));
            }
            Some(Outcome::Without(_) | Outcome::Left(_)) => left += 1,
        }
    }
    if taken > 0 {
        // A batch may bring the key of the next ones.
        let more = import::follow_keys(store, clock::now()).await?;
        taken += more;
        left = left.saturating_sub(more);
    }
    let open =
        |keys: &_, token: &str| open::open(keys, token).map(|(_, content)| content).map_err(|error| error.to_string());
    arrivals.dedup();
    let mut whole = 0_u64;
    for arrival in arrivals {
        match store.derive_again(arrival, open).await? {
            None => return Err(unknown(&format!("{arrival}"))),
            Some(true) => whole += 1,
            Some(false) => {
                left += 1;
                eprintln!("warning: batch {arrival} is still not read whole: `quarantine list` says why");
            }
        }
    }
    super::print(|out| {
        writeln!(out, "{taken} taken in, {whole} stored batches read whole now, {left} left in quarantine")
    })?;
    Ok(if left == 0 { Done::Whole } else { Done::InPart })
}

fn site(row: &HeldRow) -> &str {
    match (&row.site_name, row.site.as_str()) {
        (Some(name), _) => name,
        (None, "") => "no site",
        (None, id) => id,
    }
}
