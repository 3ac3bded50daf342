//! What the sessions of all devices share.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_snmp::v3::{EngineCache, MasterKeys};
use async_snmp::{Auth, UsmConfig};
use tokio::sync::Semaphore;

use super::Session;
use crate::snmp::credential::{Access, AuthProtocol, Credential, PrivProtocol, User, Version, Versions};
use crate::snmp::patience::WAIT_FIRST;
use crate::snmp::transport::{Capture, Counts, Link, Sockets};

/// Devices read at a time when nothing else is said.
pub const DEVICES_DEFAULT: usize = 256;
/// And at most.
pub const DEVICES_MAX: usize = 1024;
/// What all reading shares: the sockets, keys derived from passwords, known v3 engines, and places for devices.
pub struct Network {
    sockets: Sockets,
    places: Arc<Semaphore>,
    engines: Arc<EngineCache>,
    logins: Mutex<HashMap<String, (Credential, Auth)>>,
    first_wait: Duration,
}

/// How a [`Network`] behaves.
#[derive(Clone, Default)]
pub struct NetworkOptions {
    /// Devices read at a time; 256 when not said, 1,024 at most.
    pub devices: Option<usize>,
    /// The wait for the first answer of a device whose round trip is not known; 1 s when not said.
    pub first_wait: Option<Duration>,
    /// Sees every datagram.
    pub capture: Option<Capture>,
}

impl Network {
    /// Opens the sockets. Needs a tokio runtime around it.
    pub fn open(options: NetworkOptions) -> io::Result<Self> {
        let sockets = Sockets::open(options.capture)?;
        let devices = options.devices.unwrap_or(DEVICES_DEFAULT).clamp(1, DEVICES_MAX).min(sockets.in_flight_max());
        Ok(Self {
            sockets,
            places: Arc::new(Semaphore::new(devices)),
            engines: Arc::new(EngineCache::new().with_max_capacity(65_536)),
            logins: Mutex::default(),
            first_wait: options.first_wait.unwrap_or(WAIT_FIRST),
        })
    }

    /// Waits for a free place and makes a session there; the place is free again when the session is dropped. Nothing
    /// is sent yet. `rtt` is the round trip that the sweep saw; a device that it saw is known to be alive.
    ///
    /// `version` is the one that the device was sighted with; without it a community whose version is not fixed speaks
    /// v2c.
    pub async fn session(
        &self,
        peer: SocketAddr,
        credential: &Credential,
        version: Option<Version>,
        rtt: Option<Duration>,
    ) -> Session {
        // The semaphore is never closed; without a permit the session would only be unbounded, not wrong.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let link = Link::new(&self.sockets, peer, rtt, self.first_wait);
        let default_context = match &credential.access {
            Access::User(user) => user.context.clone(),
            Access::Community { .. } => String::new(),
        };
        let auth = self.login(credential, version);
        Session::new(link, auth, default_context, Arc::clone(&self.engines), rtt.is_some(), place)
    }

    /// What the sockets saw and dropped.
    pub fn counts(&self) -> Counts {
        self.sockets.counts()
    }

    /// Derives a user's keys at the first need only: a password costs 2 to 4 ms.
    fn login(&self, credential: &Credential, version: Option<Version>) -> Option<Auth> {
        match &credential.access {
            Access::Community { community, versions } => {
                let v1 = match versions {
                    Versions::V1 => true,
                    Versions::V2c => false,
                    Versions::Either => version == Some(Version::V1),
                };
                let community = community.expose().as_bytes().to_vec();
                Some(if v1 { Auth::v1(community) } else { Auth::v2c(community) })
            }
            Access::User(user) => {
                let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((known, auth)) = logins.get(&credential.name)
                    && known == credential
                {
                    return Some(auth.clone());
                }
                let auth = usm(user)?;
                logins.insert(credential.name.clone(), (credential.clone(), auth.clone()));
                Some(auth)
            }
        }
    }
}

/// A user as the library wants it; none when the library refuses it, which [`Credential::user`] has ruled out.
fn usm(user: &User) -> Option<Auth> {
    let config = UsmConfig::new(user.name.clone().into_bytes());
    let Some((protocol, secret)) = &user.auth else { return Some(Auth::Usm(config)) };
    let protocol = match protocol {
        AuthProtocol::Md5 => async_snmp::AuthProtocol::Md5,
        AuthProtocol::Sha1 => async_snmp::AuthProtocol::Sha1,
        AuthProtocol::Sha224 => async_snmp::AuthProtocol::Sha224,
        AuthProtocol::Sha256 => async_snmp::AuthProtocol::Sha256,
        AuthProtocol::Sha384 => async_snmp::AuthProtocol::Sha384,
        AuthProtocol::Sha512 => async_snmp::AuthProtocol::Sha512,
    };
    let mut keys = MasterKeys::new(protocol, secret.expose().as_bytes()).ok()?;
    if let Some((protocol, secret)) = &user.privacy {
        let protocol = match protocol {
            PrivProtocol::Des => async_snmp::PrivProtocol::Des,
            PrivProtocol::Aes128 => async_snmp::PrivProtocol::Aes128,
            PrivProtocol::Aes192 => async_snmp::PrivProtocol::Aes192Blumenthal,
            PrivProtocol::Aes256 => async_snmp::PrivProtocol::Aes256Blumenthal,
            PrivProtocol::Aes192Reeder => async_snmp::PrivProtocol::Aes192Reeder,
            PrivProtocol::Aes256Reeder => async_snmp::PrivProtocol::Aes256Reeder,
        };
        keys = keys.with_privacy(protocol, secret.expose().as_bytes()).ok()?;
    }
    config.with_master_keys(keys).ok().map(Auth::Usm)
}
