//! `gaps`: what is missing of each site, why, what it costs, and how it is mended.

use clap::{Args, ValueEnum};

use super::{CommandError, Done, existing_store, print};
use crate::config::Config;
use crate::gaps::{self, SiteGaps};
use crate::store::{ForkNote, Store};
use crate::{clock, sites};

#[derive(Debug, Args)]
pub(super) struct Gaps {
    /// Only this site, by name or id
    site: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Take note of a fork: it calls for nobody any more, until another token comes under that number
    #[arg(long, value_name = "SEQUENCE", requires = "site")]
    take_note: Option<u64>,
    /// What is to be remembered of it
    #[arg(long, value_name = "TEXT", requires = "take_note", default_value = "")]
    remark: String,
}

/// How gaps are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) async fn run(config: &Config, arguments: Gaps) -> Result<Done, CommandError> {
    let store = existing_store(config).await?;
    let now = clock::now();
    let only = match &arguments.site {
        Some(name) => Some(sites::named(&store, name, now).await?),
        None => None,
    };
    if let (Some(site), Some(sequence)) = (&only, arguments.take_note) {
        let note = ForkNote { at: now, person: String::new(), remark: arguments.remark };
        if !store.note_fork(site.id.to_string(), sequence, note).await? {
            return Err(CommandError::Usage(format!("sequence {sequence} of `{}` is not forked", site.name)));
        }
    }
    let all = all(&store, only.map(|site| site.id.to_string())).await?;
    print(|out| match arguments.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &serde_json::json!({ "sites": all }))?;
            writeln!(out)
        }
        Format::Table => {
            all.iter().flat_map(|site| gaps::lines(site, now)).try_for_each(|line| writeln!(out, "{line}"))
        }
    })?;
    Ok(Done::Whole)
}

async fn all(store: &Store, only: Option<String>) -> Result<Vec<SiteGaps>, CommandError> {
    let now = clock::now();
    let mut all = Vec::new();
    for row in store.sites().await? {
        if only.as_ref().is_none_or(|id| *id == row.id) {
            let keys = sites::named(store, &row.id, now).await?;
            all.push(gaps::of_site(store, &row, &keys, now).await?);
        }
    }
    Ok(all)
}
