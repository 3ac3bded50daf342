//! Receives the sealed batches of meterpost collectors, stores them, shows and exports them. Never connects to a site.
//!
//! ```text
//! receive (SOAP) ─► open ─► check ─► store ─► derive ─► pages, exports
//!  Submission      Opened  Judgement  rows    states
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
mod gate;
pub mod open;
pub mod receive;
pub mod store;

pub mod auth;
mod error;
pub mod export;
pub mod keyring;
mod pages;

pub mod clock;

use std::sync::Arc;

use tokio::net::TcpListener;

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
/// configured password; without one it is invented and printed once on standard error.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let tls = config.tls.as_ref().map(serve::acceptor).transpose()?;
    let store = open_store(&config).await?;
    make_administrator(&store, &config).await?;
    let app = Arc::new(router::App::new(store, config));
    Ok(serve::serve(listener, tls, router::router(app), shutdown).await?)
}

async fn make_administrator(store: &Store, config: &Config) -> Result<(), StartError> {
    if store.has_people().await? {
        return Ok(());
    }
    let password = config.admin_password.clone().unwrap_or_else(auth::invent_password);
    auth::set_password(store, auth::ADMINISTRATOR, &password).await?;
    if config.admin_password.is_none() {
        eprintln!(
            "first start: log in as `{}` with the password `{}`; it is not shown again",
            auth::ADMINISTRATOR,
            password.expose()
        );
    }
    Ok(())
}
