//! The central as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A `meterpost-central serve` on a free port of loopback. Dropping it is `kill -9`.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
}

impl Serving {
    /// In this directory, as `program` has it.
    pub fn start(home: &Path) -> Self {
        Self::start_with(home, &["--listen", "127.0.0.1:0"])
    }

    /// The same with other words.
    pub fn start_with(home: &Path, words: &[&str]) -> Self {
        let mut process = program(home)
            .arg("serve")
            .args(words)
            .env("METERPOST_CENTRAL_ADMIN_PASSWORD", "a password for the tests")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("listening on ")).expect("it listens");
        let address = line.rsplit("://").next().unwrap().trim().parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { address, process }
    }

    /// Whether it has not ended.
    pub fn serves(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Its number, for who wants to look into it.
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // it may have ended by itself, when the test failed because of that
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The central's program lies beside ours; a test of this package alone has not made it.
pub fn program(home: &Path) -> Command {
    let ours = Path::new(env!("CARGO_BIN_EXE_meterpost"));
    let program = ours.with_file_name(format!("meterpost-central{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        let target = ours.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "-p", "meterpost-central", "--target-dir"]).arg(target);
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    }
    let mut command = Command::new(program);
    let place = |name: &str| home.join(name).display().to_string();
    command
        .env_clear()
        .env("METERPOST_CONFIG", place("central.toml"))
        .env("METERPOST_DATA_DIR", place("data"))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}
