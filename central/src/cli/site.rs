//! `site`: sites, their keys and the enrolment tokens that a person carries to them.

use clap::Subcommand;
use jiff::Timestamp;
use meterpost_wire::keys::Enc;

use super::enrol::EnrolArguments;
use super::{CommandError, Done, existing_store, print};
use crate::clock::{self, local};
use crate::config::Config;
use crate::open_store;
use crate::sites::{self, SiteError};
use crate::store::{SiteRow, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Site {
    /// Add a site and print its enrolment token
    #[command(after_help = "Example:\n  meterpost-central site add \"Head office\" --central https://central.example")]
    Add {
        /// For people
        name: String,
        /// Cipher of the site's batches: A256CBC-HS512 or A128CBC-HS256
        #[arg(long, default_value = "A256CBC-HS512", value_parser = parse_enc)]
        enc: Enc,
        #[command(flatten)]
        enrol: EnrolArguments,
    },
    /// Print all sites
    #[command(after_help = "Example:\n  meterpost-central site list")]
    List,
    /// Print one site and how its keys stand
    #[command(after_help = "Example:\n  meterpost-central site show \"Head office\"\n  \
                            meterpost-central site show \"Head office\" --jwk 1 > batch-key.jwk")]
    Show {
        /// Name or id
        name: String,
        /// Print only the batch key of this epoch, as a JWK that a stock JOSE library opens captured batches with
        #[arg(long, value_name = "EPOCH")]
        jwk: Option<u32>,
    },
    /// Print an enrolment token for the next epoch: `enroll` at the site takes it, and new batches have another key
    #[command(after_help = "Example:\n  meterpost-central site rotate \"Head office\"\n  \
                            meterpost-central site rotate \"Head office\" --fresh\n\n\
                            The old key stays in use until the first batch under the new one arrives, and opens late mail for \
                            400 days after that. Nothing goes to the site but the token that you carry there.")]
    Rotate {
        /// Name or id
        name: String,
        /// A random secret in place of one that follows from the present: whoever knows the present key learns nothing
        #[arg(long)]
        fresh: bool,
        /// Another cipher from that epoch on: A256CBC-HS512 or A128CBC-HS256
        #[arg(long, value_parser = parse_enc)]
        enc: Option<Enc>,
        #[command(flatten)]
        enrol: EnrolArguments,
    },
    /// Close the keys of a site that were stolen, at once; `rotate --fresh` gives it new ones
    #[command(after_help = "Example:\n  meterpost-central site revoke \"Head office\"\n  \
                            meterpost-central site rotate \"Head office\" --fresh\n\n\
                            Nobody gets in with the old keys any more. Batches that were under way, numbered up to the highest \
                            stored, are still taken from mail and files where later batches do not say otherwise.")]
    Revoke {
        /// Name or id
        name: String,
    },
    /// Print the enrolment token of a site again
    #[command(after_help = "Example:\n  meterpost-central site token \"Head office\"")]
    Token {
        /// Name or id
        name: String,
        #[command(flatten)]
        enrol: EnrolArguments,
    },
}

pub(super) async fn run(config: &Config, site: Site) -> Result<Done, CommandError> {
    let token = match site {
        Site::Add { name, enc, enrol } => {
            let enrol = enrol.checked(config)?;
            sites::add(&open_store(config).await?, &name, enc, &enrol).await?
        }
        Site::Token { name, enrol } => {
            let enrol = enrol.checked(config)?;
            sites::token(&open_store(config).await?, &name, &enrol, clock::now()).await?
        }
        Site::Rotate { name, fresh, enc, enrol } => {
            let enrol = enrol.checked(config)?;
            let store = existing_store(config).await?;
            let rotation = sites::rotate(&store, &name, fresh, enc, &enrol, clock::now()).await?;
            if let Some(printed_at) = rotation.replaces {
                let when = local(printed_at);
                eprintln!("warning: the token for epoch {} that was printed {when} is void now", rotation.epoch);
            }
            rotation.token
        }
        Site::Revoke { name } => {
            let open_through = sites::revoke(&existing_store(config).await?, &name, clock::now()).await?;
            return print(|out| {
                writeln!(
                    out,
                    "revoked: no batch above {open_through} is taken under the keys of `{name}` any more; `site rotate --fresh` \
                     prints a token with new ones"
                )
            })
            .map(|()| Done::Whole);
        }
        Site::Show { name, jwk } => return show(&existing_store(config).await?, &name, jwk).await,
        Site::List => return list(&existing_store(config).await?).await,
    };
    print(|out| writeln!(out, "{}", *token))?;
    Ok(Done::Whole)
}

async fn show(store: &Store, name: &str, jwk: Option<u32>) -> Result<Done, CommandError> {
    let now = clock::now();
    let keys = sites::named(store, name, now).await?;
    if let Some(number) = jwk {
        let epoch = keys.epoch(number).ok_or_else(|| {
            let there: Vec<String> = keys.keys.iter().map(|key| key.epoch.kid().epoch().to_string()).collect();
            CommandError::Usage(format!("`{}` has no key of epoch {number}: it has {}", keys.name, there.join(", ")))
        })?;
        print(|out| writeln!(out, "{}", *epoch.batch_key().to_jwk(epoch.kid())))?;
        return Ok(Done::Whole);
    }
    let row = store.sites().await?.into_iter().find(|row| row.id == keys.id.as_str());
    let row = row.ok_or_else(|| SiteError::Unknown(name.to_owned()))?;
    let last = row.last.as_ref().map_or_else(
        || "none yet".to_owned(),
        |last| format!("{}, {}, {}", last.sequence, local(last.received_at), last.report.collector),
    );
    print(|out| {
        writeln!(out, "name        {}\nid          {}\nadded       {}", row.name, row.id, local(row.added_at))?;
        writeln!(out, "last batch  {last}\nhighest     {}\ncomplete    {}", row.highest, row.acknowledged_through)?;
        writeln!(out, "devices     {}", row.devices)?;
        let remarks = remarks(&row, now);
        if !remarks.is_empty() {
            writeln!(out, "look at     {}", remarks.trim_start())?;
        }
        for key in &keys.keys {
            let epoch = key.epoch.kid().epoch();
            writeln!(out, "epoch {epoch:<5} {}, {}", key.epoch.enc().as_str(), sites::standing(&keys, key))?;
        }
        Ok(())
    })?;
    Ok(Done::Whole)
}

async fn list(store: &Store) -> Result<Done, CommandError> {
    let sites = store.sites().await?;
    let width = sites.iter().map(|site| site.name.chars().count()).max().unwrap_or(0).max(4);
    let now = clock::now();
    print(|out| {
        writeln!(
            out,
            "{:36}  {:width$}  {:>8}  {:>9}  {:>9}  last batch",
            "site", "name", "devices", "highest", "complete"
        )?;
        for site in &sites {
            let last = site.last.as_ref().map_or_else(|| "never".to_owned(), |last| local(last.received_at));
            writeln!(
                out,
                "{}  {:width$}  {:>8}  {:>9}  {:>9}  {last}{}",
                site.id,
                site.name,
                site.devices,
                site.highest,
                site.acknowledged_through,
                remarks(site, now)
            )?;
        }
        Ok(())
    })?;
    Ok(Done::Whole)
}

/// What a person should look into, in words after two blanks; the page of sites says more.
fn remarks(site: &SiteRow, now: Timestamp) -> String {
    let missing: u64 = site.missing.iter().map(|(first, last)| last - first + 1).sum();
    let counted = |number: u64, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let silent = site.last.as_ref().and_then(|last| last.promise_at).is_some_and(|promise| promise < now);
    let remarks = [
        silent.then(|| "silent".to_owned()),
        (!site.forks.is_empty()).then(|| "forked".to_owned()),
        counted(missing, "missing"),
        counted(site.quarantined, "in quarantine"),
        counted(site.set_aside, "set aside"),
        counted(site.needs_upgrade, "for a newer central"),
        counted(site.unreadable, "unreadable"),
    ];
    let words = remarks.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if words.is_empty() { words } else { format!("  {words}") }
}

fn parse_enc(text: &str) -> Result<Enc, String> {
    Enc::parse(text).ok_or_else(|| "`A256CBC-HS512` or `A128CBC-HS256` would be right".to_owned())
}
