//! The configuration as it is written: one type for each table of `meterpost.toml`, every key optional that can be.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A value and where it stands.
pub type At<T> = Option<Spanned<T>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    pub site: RawSite,
    pub sweep: Vec<Spanned<RawSweep>>,
    pub credentials: Vec<Spanned<RawCredential>>,
    pub schedule: RawSchedule,
    pub delivery: RawDelivery,
    pub privacy: BTreeMap<Spanned<String>, Spanned<String>>,
    pub packs: RawPacks,
    pub limits: RawLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSite {
    pub name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSweep {
    pub targets: Vec<Spanned<String>>,
    #[serde(default)]
    pub exclude: Vec<Spanned<String>>,
    pub credentials: Vec<Spanned<String>>,
    pub port: At<i64>,
    pub rate: At<i64>,
    pub retries: At<i64>,
    pub window: At<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCredential {
    pub name: Spanned<String>,
    pub version: At<String>,
    pub community: At<String>,
    pub community_file: At<String>,
    pub community_env: At<String>,
    pub user: At<String>,
    pub auth_protocol: At<String>,
    pub auth_secret: At<String>,
    pub auth_secret_file: At<String>,
    pub auth_secret_env: At<String>,
    pub priv_protocol: At<String>,
    pub priv_secret: At<String>,
    pub priv_secret_file: At<String>,
    pub priv_secret_env: At<String>,
    pub context: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSchedule {
    pub read: At<String>,
    pub send: At<String>,
    pub packs: At<String>,
    pub timezone: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDelivery {
    pub channels: At<Vec<Spanned<String>>>,
    pub https: RawHttps,
    pub mail: Option<Spanned<RawMail>>,
    pub file: Option<Spanned<RawFile>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMail {
    pub from: At<String>,
    pub to: At<String>,
    pub text: At<String>,
    pub server: At<String>,
    pub port: At<i64>,
    pub security: At<String>,
    pub ca_file: At<String>,
    pub user: At<String>,
    pub secret: At<String>,
    pub secret_file: At<String>,
    pub secret_env: At<String>,
    pub token_url: At<String>,
    pub client_id: At<String>,
    pub client_secret: At<String>,
    pub client_secret_file: At<String>,
    pub client_secret_env: At<String>,
    pub scope: At<String>,
    pub command: Option<Spanned<Vec<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawFile {
    pub directory: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHttps {
    pub proxy: At<String>,
    pub proxy_user: At<String>,
    pub proxy_secret: At<String>,
    pub proxy_secret_file: At<String>,
    pub proxy_secret_env: At<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    pub devices_in_flight: At<i64>,
    pub run_minutes: At<i64>,
    pub max_queue_mb: At<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPacks {
    pub url: At<String>,
    pub channel: At<String>,
    pub keys: Vec<Spanned<String>>,
    pub policy: At<String>,
}
