//! The configuration: read as written, then as meant. The program sees only what is meant.

mod import;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use meterpost_wire::pack;
use serde::Deserialize;
use zeroize::Zeroizing;

pub use import::{Imap, ImapTls, Login, Oauth};
use import::{RawImap, RawImport};

/// Where the configuration lies unless told otherwise.
pub fn default_file() -> PathBuf {
    if cfg!(windows) { program_data().join("central.toml") } else { PathBuf::from("/etc/meterpost/central.toml") }
}

/// Where data lies unless told otherwise.
fn default_data_dir() -> PathBuf {
    if cfg!(windows) { program_data().join("data") } else { PathBuf::from("/var/lib/meterpost-central") }
}

fn program_data() -> PathBuf {
    std::env::var_os("ProgramData").map_or_else(|| PathBuf::from(r"C:\ProgramData"), PathBuf::from).join("meterpost")
}

/// The address listened on unless told otherwise: plain HTTP is for this machine alone.
pub const LISTEN: &str = "127.0.0.1:8099";

/// The file of the machine key; it lies beside the configuration.
pub const KEY_FILE: &str = "machine.key";

/// Where the first password goes when nobody sits at a terminal to read it; it lies beside the configuration.
const INITIAL_PASSWORD_FILE: &str = "initial-password";

/// The key that packs are signed with now, and the one after it.
const PACK_KEYS_MAX: usize = 2;

/// The largest configuration file that is read, in bytes; a larger one is refused.
const FILE_MAX: u64 = 1 << 20;

/// A text that no log, error or `Debug` shows.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    listen: Option<String>,
    public_url: Option<String>,
    #[serde(default)]
    pack_keys: Vec<String>,
    #[serde(default)]
    tls: RawTls,
    #[serde(default)]
    admin: RawAdmin,
    #[serde(default)]
    import: RawImport,
    #[serde(default)]
    imap: RawImap,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdmin {
    password: Option<String>,
    password_file: Option<PathBuf>,
}

impl fmt::Debug for RawAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAdmin").field("password_file", &self.password_file).finish_non_exhaustive()
    }
}

/// What the command line and the environment say; it goes before the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`, `METERPOST_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--data-dir`, `METERPOST_DATA_DIR`.
    pub data_dir: Option<PathBuf>,
    /// `--key-file`, `METERPOST_KEY_FILE`.
    pub key_file: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--tls-cert`.
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`.
    pub tls_key: Option<PathBuf>,
    /// `--admin-password-file`.
    pub admin_password_file: Option<PathBuf>,
    /// `METERPOST_CENTRAL_ADMIN_PASSWORD`.
    pub admin_password: Option<Secret>,
    /// `METERPOST_CENTRAL_IMAP_PASSWORD`.
    pub imap_password: Option<Secret>,
    /// `METERPOST_CENTRAL_IMAP_CLIENT_SECRET`.
    pub imap_client_secret: Option<Secret>,
}

/// What the program sees.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address listened on.
    pub listen: SocketAddr,
    /// The base URL under which sites and browsers reach this central, without a slash at the end.
    pub public_url: Option<String>,
    /// Minisign keys that packs of mapping files are signed with: the one now, and the one after it. They go into
    /// enrolment tokens.
    pub pack_keys: Vec<pack::Key>,
    /// PEM files; without them only a loopback address is listened on.
    pub tls: Option<Tls>,
    /// Where the store lies.
    pub data_dir: PathBuf,
    /// The machine key, never inside `data_dir`.
    pub key_file: PathBuf,
    /// The password of the administrator made at the first start; without one it is invented, and told to a terminal or
    /// written to `initial_password_file`.
    pub admin_password: Option<Secret>,
    /// Beside the configuration; written at most once, with mode 0600.
    pub initial_password_file: PathBuf,
    /// A directory whose files `serve` imports.
    pub watch: Option<PathBuf>,
    /// A mailbox that `serve` and `import --imap` empty.
    pub imap: Option<Imap>,
}

/// Certificate chain and private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A configuration that cannot be used; the text says where and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl Config {
    /// Reads the file, if there is one, and lays the overrides over it. A file that was named must exist.
    pub fn load(overrides: Overrides) -> Result<Self, ConfigError> {
        let path = overrides.config.clone().unwrap_or_else(default_file);
        let raw = if overrides.config.is_some() || path.exists() {
            parse(&path, &read_small(&path)?)?
        } else {
            RawConfig::default()
        };
        mean(&path, raw, overrides)
    }

    /// The base URL that this central tells others: the configured one, else the address listened on.
    pub fn base_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", self.listen))
    }

    /// Whether browsers reach this central by HTTPS, here or through a proxy in front.
    pub fn is_https(&self) -> bool {
        self.base_url().starts_with("https:")
    }
}

fn parse(path: &Path, text: &str) -> Result<RawConfig, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        ConfigError(format!("`{}` line {line}: {}", path.display(), error.message().replace('\n', " ")))
    })
}

fn mean(path: &Path, raw: RawConfig, overrides: Overrides) -> Result<Config, ConfigError> {
    let wrong = |key: &str, found: &str, right: &str| {
        ConfigError(format!("`{}` key `{key}`: found `{found}`: {right}", path.display()))
    };
    let listen = match overrides.listen {
        Some(listen) => listen,
        None => {
            let text = raw.listen.unwrap_or_else(|| LISTEN.to_owned());
            text.parse().map_err(|_| wrong("listen", &text, "an address with a port is right, as `127.0.0.1:8099`"))?
        }
    };
    let tls = match (overrides.tls_cert.or(raw.tls.cert), overrides.tls_key.or(raw.tls.key)) {
        (Some(cert), Some(key)) => Some(Tls { cert, key }),
        (None, None) => None,
        _ => {
            return Err(ConfigError(
                "TLS needs a certificate and its key: give both `--tls-cert` and `--tls-key`, or `cert` and `key` under `[tls]`"
                    .to_owned(),
            ));
        }
    };
    if tls.is_none() && !listen.ip().is_loopback() {
        return Err(ConfigError(format!(
            "plain HTTP on `{listen}` would be readable on the network: give `--tls-cert` and `--tls-key`, or listen on a \
             loopback address such as `{LISTEN}`"
        )));
    }
    let public_url = match raw.public_url {
        Some(url) => {
            Some(base_url(&url).ok_or_else(|| wrong("public_url", &url, "`https://central.example` would be right"))?)
        }
        None => None,
    };
    if raw.pack_keys.len() > PACK_KEYS_MAX {
        let found = raw.pack_keys.len().to_string();
        return Err(wrong("pack_keys", &found, "the key that signs now and the next one would be right"));
    }
    let pack_keys: Result<Vec<_>, _> = raw.pack_keys.iter().map(|key| pack::Key::parse(key)).collect();
    let pack_keys = pack_keys.map_err(|error| ConfigError(format!("`{}` key `pack_keys`: {error}", path.display())))?;
    let admin_password = match (overrides.admin_password, overrides.admin_password_file.or(raw.admin.password_file)) {
        (Some(password), _) => Some(password),
        (None, Some(file)) => Some(Secret::new(read_small(&file)?.trim_end_matches(['\r', '\n']).to_owned())),
        (None, None) => raw.admin.password.map(Secret::new),
    };
    let data_dir = overrides.data_dir.unwrap_or_else(default_data_dir);
    let key_file = overrides.key_file.unwrap_or_else(|| path.with_file_name(KEY_FILE));
    if absolute(&key_file).starts_with(absolute(&data_dir)) {
        return Err(ConfigError(format!(
            "the machine key `{}` would lie inside the data directory, and a copy of the one would open the other: name \
             another place with `--key-file`",
            key_file.display()
        )));
    }
    let initial_password_file = path.with_file_name(INITIAL_PASSWORD_FILE);
    let imap = raw.imap.meant(path, overrides.imap_password, overrides.imap_client_secret)?;
    let watch = raw.import.watch();
    Ok(Config {
        listen,
        public_url,
        pack_keys,
        tls,
        data_dir,
        key_file,
        admin_password,
        initial_password_file,
        watch,
        imap,
    })
}

/// A base URL for sites, without a slash at the end: `https:`, or `http:` with a loopback address.
pub fn base_url(text: &str) -> Option<String> {
    let url = text.trim().trim_end_matches('/');
    let host = match url.split_once("://")? {
        ("https", rest) => return (!rest.is_empty() && !rest.contains(['?', '#', ' '])).then(|| url.to_owned()),
        ("http", rest) => rest.split('/').next().unwrap_or_default(),
        _ => return None,
    };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let loopback = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    loopback.then(|| url.to_owned())
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn read_small(path: &Path) -> Result<String, ConfigError> {
    let read = || {
        if std::fs::metadata(path)?.len() > FILE_MAX {
            return Err(std::io::Error::other("it is larger than 1 MiB"));
        }
        std::fs::read_to_string(path)
    };
    read().map_err(|error| ConfigError(format!("cannot read `{}`: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, overrides: Overrides) -> Result<Config, String> {
        let path = Path::new("central.toml");
        parse(path, text).and_then(|raw| mean(path, raw, overrides)).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        assert_eq!(read(text, Overrides::default()).map(|config| config.listen.to_string()), Err(expected.to_owned()));
    }

    #[test]
    fn an_empty_file_listens_on_loopback() {
        let config = read("", Overrides::default()).expect("defaults are right");
        assert_eq!(config.listen.to_string(), LISTEN);
        assert_eq!(config.base_url(), "http://127.0.0.1:8099");
        assert_eq!(config.key_file, Path::new("machine.key"));
        assert!(!config.is_https());
    }

    const EXAMPLE: &str = include_str!("../../examples/central.toml");

    #[test]
    fn the_commented_example_says_the_defaults() {
        let shown = |config: Config| format!("{config:?}");
        let defaults = read("", Overrides::default()).map(shown);
        assert_eq!(read(EXAMPLE, Overrides::default()).map(shown), defaults);
        assert!(EXAMPLE.contains(&format!("\nlisten = \"{LISTEN}\"\n")));
    }

    #[test]
    fn every_setting_of_the_example_is_right() {
        let secret = tempfile::NamedTempFile::new().expect("a file");
        let text =
            EXAMPLE.replace("\n#", "\n").lines().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>().join("\n");
        let text = ["admin-password", "imap-password", "imap-client-secret"].iter().fold(text, |text, name| {
            text.replace(&format!("/etc/meterpost/{name}"), &secret.path().display().to_string())
        });
        let config = read(&text, Overrides::default()).expect("right");
        assert_eq!(config.base_url(), "https://central.example");
        let imap = config.imap.expect("a mailbox");
        assert_eq!((imap.port, imap.mailbox.as_str()), (993, "INBOX"));
        assert!(matches!(imap.login, Login::Oauth(_)) && config.watch.is_some());
        assert!(config.tls.is_some() && config.admin_password.is_some());
    }

    #[test]
    fn the_unit_names_the_program_and_the_places_of_the_defaults() {
        let unit = include_str!("../../examples/meterpost-central.service");
        for line in ["ExecStart=/usr/bin/meterpost-central serve", "UMask=0077", "RestartPreventExitStatus=2"] {
            assert!(unit.lines().any(|found| found == line), "{line}");
        }
        if !cfg!(windows) {
            let (file, data) = (default_file(), default_data_dir());
            for place in [file.parent().expect("a folder"), data.as_path()] {
                let writable = unit.lines().find(|line| line.starts_with("ReadWritePaths=")).expect("a line");
                assert!(writable.contains(place.to_str().expect("text")), "{}", place.display());
            }
        }
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let listen = "127.0.0.9:1".parse().ok();
        let config = read("listen = '127.0.0.1:2'", Overrides { listen, ..Overrides::default() }).expect("right");
        assert_eq!(config.listen.to_string(), "127.0.0.9:1");
    }

    #[test]
    fn wrong_files_are_refused_with_the_place_and_what_would_be_right() {
        check_refused(
            "listen = '127.0.0.1:1'\nlisten_on = 3\n",
            "`central.toml` line 2: unknown field `listen_on`, expected one of `listen`, `public_url`, `pack_keys`, `tls`, `admin`, `import`, `imap`",
        );
        check_refused(
            "listen = '8099'",
            "`central.toml` key `listen`: found `8099`: an address with a port is right, as `127.0.0.1:8099`",
        );
        check_refused(
            "listen = '0.0.0.0:8099'",
            "plain HTTP on `0.0.0.0:8099` would be readable on the network: give `--tls-cert` and `--tls-key`, or listen on a \
             loopback address such as `127.0.0.1:8099`",
        );
        check_refused(
            "public_url = 'http://central.example'",
            "`central.toml` key `public_url`: found `http://central.example`: `https://central.example` would be right",
        );
        check_refused(
            "[tls]\ncert = 'a.pem'",
            "TLS needs a certificate and its key: give both `--tls-cert` and `--tls-key`, or `cert` and `key` under `[tls]`",
        );
    }

    #[test]
    fn a_mailbox_needs_tls_a_user_and_a_secret_and_shows_none() {
        check_refused("[imap]\nuser = 'a'", "`central.toml` key `imap.host`: the server of the mailbox is missing");
        check_refused("[imap]\nhost = 'a'", "`central.toml` key `imap.user`: who logs in is missing");
        check_refused(
            "[imap]\nhost = 'a'\nuser = 'b'",
            "`central.toml` key `imap.password_file`: give `password_file`, METERPOST_CENTRAL_IMAP_PASSWORD, or \
             `[imap.oauth]`",
        );
        check_refused(
            "[imap]\nhost = 'a'\nuser = 'b'\npassword = 'c'\ntls = 'none'",
            "`central.toml` key `imap.tls`: without TLS the password would be readable on the network: `implicit` or \
             `starttls` would be right",
        );
        check_refused(
            "[imap]\nhost = 'a'\nuser = 'b'\npassword = 'c'\nlook_every_seconds = 4",
            "`central.toml` key `imap.look_every_seconds`: 5 to 1500 would be right: servers end a wait after 29 minutes",
        );
        check_refused(
            "[imap]\nhost = 'a'\nuser = 'b'\npassword = 'c'\nrejected = 'INBOX'",
            "`central.toml` key `imap.mailbox`: messages cannot be moved to the folder that they come from",
        );
        check_refused(
            "[imap]\nhost = 'a'\nuser = 'b'\n[imap.oauth]\ntoken_url = 'http://a'\nclient_id = 'c'\nclient_secret = 'd'",
            "`central.toml` key `imap.oauth.token_url`: `https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token` would \
             be right",
        );
        let right = "[imap]\nhost = '127.0.0.1'\nuser = 'b'\npassword = 'hunter2'\ntls = 'none'";
        let config = read(right, Overrides::default()).expect("right");
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.imap.map(|imap| imap.port), Some(143));
    }

    #[test]
    fn the_machine_key_may_not_lie_in_the_data_directory() {
        let overrides = Overrides {
            data_dir: Some("/srv/data".into()),
            key_file: Some("/srv/data/machine.key".into()),
            ..Overrides::default()
        };
        assert!(read("", overrides).is_err_and(|text| text.contains("inside the data directory")));
    }

    #[test]
    fn plain_http_is_a_base_url_only_on_loopback() {
        for good in ["https://central.example/", "http://127.0.0.1:8099", "http://[::1]:80", "http://localhost/central"]
        {
            assert!(base_url(good).is_some(), "{good}");
        }
        for bad in
            ["http://central.example", "http://127.0.0.1.example", "central.example", "ftp://127.0.0.1", "https://"]
        {
            assert_eq!(base_url(bad), None, "{bad}");
        }
    }

    #[test]
    fn no_debug_text_shows_a_password() {
        let config = read("[admin]\npassword = 'hunter2'", Overrides::default()).expect("right");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
