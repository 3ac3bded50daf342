//! Dovecot from Debian's package, on ports of its own, with one mailbox.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Of every user.
pub const PASSWORD: &str = "hunter2-of-the-mailbox";

/// Whether it speaks TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Secured {
    /// Not at all.
    Not,
    /// On both ports, and nothing without it.
    Tls,
}

/// A running one; it ends with the test.
pub struct Dovecot {
    child: Child,
    dir: tempfile::TempDir,
    delivered: AtomicU32,
    /// Without TLS, or with STARTTLS.
    pub port: u16,
    /// With TLS from the start.
    pub tls_port: u16,
}

impl Dovecot {
    /// Starts it; `provider` tells it whose an OAuth token is. Nothing, visibly, where it is not installed; in CI that is a
    /// failure.
    pub fn start(secured: Secured, provider: Option<SocketAddr>) -> Option<Self> {
        Self::start_with(secured, provider, "")
    }

    /// One that says of itself only these capabilities, as older servers and other makers' do.
    pub fn limited_to(capabilities: &str) -> Option<Self> {
        Self::start_with(Secured::Not, None, &format!("imap_capability = {capabilities}\n"))
    }

    fn start_with(secured: Secured, provider: Option<SocketAddr>, more: &str) -> Option<Self> {
        let Some(program) =
            ["/usr/sbin/dovecot", "/usr/local/sbin/dovecot"].into_iter().find(|path| Path::new(path).exists())
        else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "dovecot is not installed");
            eprintln!("SKIPPED: dovecot is not installed (Debian package dovecot-imapd)");
            return None;
        };
        let dir = tempfile::Builder::new().prefix("dv").tempdir().expect("a directory");
        let place = dir.path();
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("opened up");
        for folder in ["mail/new", "mail/cur", "mail/tmp", "run", "state"] {
            fs::create_dir_all(place.join(folder)).expect("made");
        }
        let (port, tls_port) = (free_port(), free_port());
        fs::write(place.join("dovecot.conf"), configuration(place, port, tls_port, secured, provider) + more)
            .expect("written");
        if let Some(provider) = provider {
            let introspection = format!(
                "introspection_url = http://{provider}/who\nintrospection_mode = auth\nactive_attribute = active\n\
                 active_value = true\nusername_attribute = username\n"
            );
            fs::write(place.join("oauth2.conf"), introspection).expect("written");
        }
        if secured == Secured::Tls {
            let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
            fs::write(place.join("cert.pem"), made.cert.pem()).expect("written");
            fs::write(place.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
        }
        if is_root() {
            let status = Command::new("chown").args(["-R", "nobody:nogroup"]).arg(place.join("mail")).status();
            assert!(status.expect("chown runs").success());
        }
        let child = Command::new(program)
            .args(["-F", "-c"])
            .arg(place.join("dovecot.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let dovecot = Self { child, delivered: AtomicU32::new(0), port, tls_port, dir };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = || fs::read_to_string(dovecot.dir.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(30), "dovecot does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(dovecot)
    }

    fn mail(&self) -> PathBuf {
        self.dir.path().join("mail")
    }

    /// Delivers a message, as a relay would.
    pub fn deliver(&self, message: &[u8]) {
        let number = self.delivered.fetch_add(1, Ordering::SeqCst);
        let (written, name) =
            (self.mail().join(format!("tmp/{number}")), format!("{}.{number}.host", 1_700_000_000 + number));
        fs::write(&written, message).expect("written");
        fs::rename(written, self.mail().join("new").join(name)).expect("delivered");
    }

    /// The file with the certificate that is to be trusted.
    pub fn certificate(&self) -> String {
        self.dir.path().join("cert.pem").display().to_string()
    }

    /// Messages in the inbox.
    pub fn inbox(&self) -> usize {
        messages(&self.mail()).len()
    }

    /// Messages in another folder.
    pub fn folder(&self, name: &str) -> usize {
        messages(&self.mail().join(format!(".{name}"))).len()
    }

    /// Puts everything back into the inbox, in the order of delivery.
    pub fn move_back(&self) {
        let mut all: Vec<PathBuf> =
            ["Processed", "Rejected"].iter().flat_map(|name| messages(&self.mail().join(format!(".{name}")))).collect();
        all.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
        for path in all {
            fs::rename(&path, self.mail().join("new").join(path.file_name().expect("a name"))).expect("moved");
        }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its children too.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn messages(folder: &Path) -> Vec<PathBuf> {
    let of = |part: &str| fs::read_dir(folder.join(part)).into_iter().flatten().flatten().map(|entry| entry.path());
    of("new").chain(of("cur")).collect()
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim() == "0"
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn configuration(dir: &Path, port: u16, tls_port: u16, secured: Secured, provider: Option<SocketAddr>) -> String {
    let dir = dir.display();
    let ssl = match secured {
        Secured::Not => "ssl = no\ndisable_plaintext_auth = no\n".to_owned(),
        Secured::Tls => format!("ssl = required\nssl_cert = <{dir}/cert.pem\nssl_key = <{dir}/key.pem\n"),
    };
    let (mechanisms, oauth) = match provider {
        None => ("plain", String::new()),
        Some(_) => (
            "plain xoauth2",
            format!("passdb {{\n driver = oauth2\n mechanisms = xoauth2\n args = {dir}/oauth2.conf\n}}\n"),
        ),
    };
    let (user, services) = if is_root() {
        ("nobody gid=nogroup".to_owned(), String::new())
    } else {
        // Without root's rights nothing can change its user or root directory.
        let me = |flag: &str| {
            let output = Command::new("id").arg(flag).output().expect("id runs");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let own = format!(
            "default_internal_user = {0}\ndefault_login_user = {0}\ndefault_internal_group = {1}\n\
             service anvil {{\n chroot =\n}}\nservice imap-login {{\n chroot =\n}}\n",
            me("-un"),
            me("-gn")
        );
        (format!("{} gid={}", me("-u"), me("-g")), own)
    };
    format!(
        "protocols = imap\nlisten = 127.0.0.1\nbase_dir = {dir}/run\nstate_dir = {dir}/state\nlog_path = {dir}/log\n{ssl}\
         auth_mechanisms = {mechanisms}\nfirst_valid_uid = 1\nmail_location = maildir:{dir}/mail\n\
         mailbox_idle_check_interval = 1 secs\nauth_failure_delay = 0\n{oauth}\
         passdb {{\n driver = static\n args = password={PASSWORD}\n}}\n\
         userdb {{\n driver = static\n args = uid={user} home={dir}\n}}\n{services}\
         service imap-login {{\n inet_listener imap {{\n  port = {port}\n }}\n inet_listener imaps {{\n  port = {tls_port}\n  ssl = yes\n }}\n}}\n"
    )
}
