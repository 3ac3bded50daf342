//! Receives the sealed batches of meterpost collectors, stores them, shows and exports them. Never connects to a site.
//!
//! ```text
//! receive, import ─► open ─► check ─► store ─► derive ─► pages, exports
//!   Submission      Opened  Judgement  rows    states
//! ```
//!
//! Whatever way a batch came in, it passes [`accept::accept`]; everything shown is derived from the stored tokens and can be
//! derived again.

pub mod cli;
pub mod config;
mod router;
mod serve;
pub mod sites;

pub mod accept;
pub mod chain;
pub mod derive;
pub mod gaps;
mod gate;
pub mod import;
pub mod open;
pub mod receive;
pub mod store;

pub mod auth;
mod error;
pub mod export;
pub mod keyring;
pub mod packs;
mod pages;
mod private;

pub mod clock;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use config::{Config, Secret};
pub use serve::ServeError;
pub use store::Store;

/// Why the central does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The machine key.
    #[error(transparent)]
    Key(#[from] keyring::KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The administrator's password.
    #[error("the administrator's password: {0}")]
    Password(#[from] auth::PasswordError),
    /// Nobody sits at a terminal, and the file for the first password cannot be written.
    #[error(
        "cannot write the first password to `{0}`: {1}; set one with `METERPOST_CENTRAL_ADMIN_PASSWORD`, \
         `--admin-password-file` or `meterpost-central user passwd admin`"
    )]
    PasswordFile(String, io::Error),
    /// Listening.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Opens the store that the configuration names, under its machine key; makes both where there are none.
pub async fn open_store(config: &Config) -> Result<Store, StartError> {
    let keyring = keyring::Keyring::open_file(&config.key_file, Store::exists(&config.data_dir))?;
    Ok(Store::open(&config.data_dir, keyring).await?)
}

/// Serves on `listener` until `shutdown` resolves. At the first start one administrator is made, `admin`, with the
/// configured password; without one it is invented and told once: to the terminal, or else to a file that only its owner
/// can read, for a journal keeps what it is told.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let tls = config.tls.as_ref().map(serve::acceptor).transpose()?;
    let store = open_store(&config).await?;
    make_administrator(&store, &config).await?;
    // They may end at any moment: what is not stored by then is found again.
    let mut attending = JoinSet::new();
    if let Some(folder) = config.watch.clone() {
        attending.spawn(import::watch::attend(store.clone(), folder, clock::now));
    }
    if let Some(imap) = config.imap.clone() {
        attending.spawn(import::imap::attend(store.clone(), imap, clock::now));
    }
    // Whoever waits for these words may come: nothing that could still end the start lies behind them.
    if let Ok(address) = listener.local_addr() {
        tracing::info!("listening on {}://{address}", if tls.is_some() { "https" } else { "http" });
    }
    let app = Arc::new(router::App::new(store, config));
    Ok(serve::serve(listener, tls, router::router(app), shutdown).await?)
}

async fn make_administrator(store: &Store, config: &Config) -> Result<(), StartError> {
    if store.has_people().await? {
        return Ok(());
    }
    let name = auth::ADMINISTRATOR;
    if let Some(password) = &config.admin_password {
        auth::make_first(store, name, password).await?;
        return Ok(());
    }
    let password = auth::invent_password();
    if io::stderr().is_terminal() {
        // Of two programs that start at one time the one that makes the administrator tells the password.
        if auth::make_first(store, name, &password).await? {
            eprintln!(
                "first start: log in as `{name}` with the password `{}`; it is not shown again",
                password.expose()
            );
        }
        return Ok(());
    }
    let file = &config.initial_password_file;
    let cannot = |error| StartError::PasswordFile(file.display().to_string(), error);
    let own = file.with_extension(clock::random_uuid());
    private::write(&own, format!("{}\n", password.expose()).as_bytes()).map_err(cannot)?;
    if auth::make_first(store, name, &password).await? {
        std::fs::rename(&own, file).map_err(cannot)?;
        eprintln!("first start: log in as `{name}` with the password in `{}`, and delete that file", file.display());
    } else {
        std::fs::remove_file(&own).map_err(cannot)?;
    }
    Ok(())
}
