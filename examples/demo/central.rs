//! The central's side: served in this process on a free port of loopback, and asked for what it has stored.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use meterpost_central::config::Overrides;
use meterpost_central::sites::{self, Enrol};
use meterpost_central::store::{FleetRow, ReadingsFrom};
use meterpost_central::{Config, Secret, Store};
use meterpost_wire::keys::Enc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A central that serves until this is dropped.
pub struct Central {
    url: String,
    password: String,
    store: Store,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

/// What the central has.
pub struct Stored {
    /// Devices by the address at which they were read.
    pub devices: BTreeMap<Ipv4Addr, Device>,
    /// The highest sequence of the site, and so the number of its batches.
    pub batches: u64,
    /// Sequences below it that are not there.
    pub missing: usize,
}

/// A device as the central has it.
pub struct Device {
    /// Its line in the list of the fleet.
    pub row: FleetRow,
    /// The counters of its reading.
    pub counters: BTreeMap<String, u64>,
}

impl Central {
    /// Makes store and administrator in `folder` and serves.
    pub fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let one_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = one_thread()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
        listener.set_nonblocking(true)?;
        let listen = listener.local_addr()?;
        let password = meterpost_central::auth::invent_password().expose().to_owned();
        let config = folder.join("central.toml");
        fs::write(&config, "")?;
        let config = Config::load(Overrides {
            config: Some(config),
            data_dir: Some(folder.join("data")),
            key_file: Some(folder.join("machine.key")),
            listen: Some(listen),
            admin_password: Some(Secret::new(password.clone())),
            ..Overrides::default()
        })?;
        let store = runtime.block_on(meterpost_central::open_store(&config))?;
        let url = config.base_url();
        let (stop, stopped) = oneshot::channel::<()>();
        let its_own = one_thread()?;
        let serving = std::thread::spawn(move || {
            let shutdown = async {
                // Dropping `Central` ends it too.
                let _ = stopped.await;
            };
            let served = its_own.block_on(async {
                anyhow::Ok(meterpost_central::serve(config, TcpListener::from_std(listener)?, shutdown).await?)
            });
            if let Err(why) = served {
                eprintln!("error: the central ended: {why}");
            }
        });
        Ok(Self { url, password, store, runtime, stop: Some(stop), serving: Some(serving) })
    }

    /// Where pages and batches go.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The administrator's password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Adds a site and gives its enrolment token.
    pub fn add_site(&self, name: &str) -> Result<String> {
        let enrol = Enrol { central: self.url.clone(), mail_to: None, ca_pem: None, pack_keys: Vec::new() };
        let enc = Enc::parse("A256CBC-HS512").ok_or_else(|| anyhow!("a cipher that the wire does not know"))?;
        let token = self.runtime.block_on(sites::add(&self.store, name, enc, &enrol))?;
        Ok((*token).clone())
    }

    /// What is stored now.
    pub fn stored(&self) -> Result<Stored> {
        let (fleet, readings, sites) = self.runtime.block_on(async {
            anyhow::Ok((
                self.store.fleet().await?,
                self.store.readings(ReadingsFrom::default()).await?,
                self.store.sites().await?,
            ))
        })?;
        let mut counters: BTreeMap<String, BTreeMap<String, u64>> = readings
            .rows
            .into_iter()
            .map(|reading| (reading.device, reading.counters.into_iter().map(|(key, row)| (key, row.value)).collect()))
            .collect();
        let devices = fleet
            .rows
            .into_iter()
            .filter_map(|row| {
                let address = row.summary.address.as_deref()?.parse().ok()?;
                let counters = counters.remove(&row.id).unwrap_or_default();
                Some((address, Device { row, counters }))
            })
            .collect();
        let site = sites.first();
        Ok(Stored {
            devices,
            batches: site.map_or(0, |site| site.highest),
            missing: site.map_or(0, |site| site.missing.len()),
        })
    }
}

impl Drop for Central {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            // What went wrong over there has been printed there.
            let _ = serving.join();
        }
    }
}
