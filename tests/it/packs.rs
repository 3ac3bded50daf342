//! A pack on its way: built and signed at a dealer's desk, published, fetched, tried, held, accepted, taken back. The real
//! programs, Debian's minisign and simulated printers, on loopback.

mod killed;
mod nightly;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::central::{Serving, program};
use crate::cli::{Said, said};
use crate::simulator::manner::Manner;
use crate::simulator::recording::{Recording, View, arcs};
use crate::simulator::{self, Fleet, Printer, Running};

/// Where a mapping of the test takes the total from: `7` or `8` of the device's own tree, or nothing that fits it.
const OWN: &str = "1.3.6.1.4.1.99999.1";

/// Whether Debian's minisign is here: `tests/run` installs it.
fn can_sign() -> bool {
    let here = Command::new("minisign").arg("-v").output().is_ok();
    assert!(here || std::env::var_os("CI").is_none(), "minisign is not here");
    if !here {
        eprintln!("SKIPPED: minisign is not here");
    }
    here
}

/// A printer with a life count and two counters of its own.
fn recording(serial: u8) -> Recording {
    let text = format!(
        "1.3.6.1.2.1.1.1.0|4|Acme MFP 500\n1.3.6.1.2.1.1.2.0|6|{OWN}\n1.3.6.1.2.1.1.3.0|67|1000\n\
         1.3.6.1.2.1.25.3.2.1.2.1|6|1.3.6.1.2.1.25.3.1.5\n1.3.6.1.2.1.25.3.2.1.3.1|4|Acme MFP 500\n\
         1.3.6.1.2.1.43.5.1.1.17.1|4|S000{serial}\n1.3.6.1.2.1.43.10.2.1.3.1.1|2|7\n\
         1.3.6.1.2.1.43.10.2.1.4.1.1|65|500000\n{OWN}.1.0|2|1\n{OWN}.7.0|65|432951\n{OWN}.8.0|65|424405\n"
    );
    Recording::parse(&text).unwrap()
}

fn mapping(own: &str, object: u8, model: &str) -> String {
    format!(
        "format = 1\nextends = \"generic/printer-mib\"\n\n[match]\nsys_object_id = [\"{own}\"]\n\n[identity]\n\
         vendor = {{ const = \"Acme\" }}\nmodel = {{ const = \"{model}\" }}\n\n[counters]\n\
         system.impressions = {{ get = \"{OWN}.{object}.0\" }}\n"
    )
}

/// The dealer: keys and packs.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["now", "next", "strange"] {
            desk.key(name);
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key(&self, name: &str) {
        let made = Command::new("minisign")
            .args(["-G", "-W", "-f", "-p", &format!("{name}.pub"), "-s", &format!("{name}.key")])
            .current_dir(self.folder.path())
            .output();
        assert!(made.unwrap().status.success());
    }

    fn public(&self, name: &str) -> String {
        let file = fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        file.lines().nth(1).unwrap().to_owned()
    }

    /// Builds a pack with this mapping and signs it as the program says that it is to be signed.
    fn pack(&self, version: u64, text: &str, key: &str) -> PathBuf {
        self.pack_until(version, text, key, "2099-12-31")
    }

    fn pack_until(&self, version: u64, text: &str, key: &str, expires: &str) -> PathBuf {
        let dir = self.path(&format!("pmd-{version}"));
        fs::create_dir_all(dir.join("acme")).unwrap();
        fs::write(dir.join("acme/mfp.toml"), text).unwrap();
        let (dir, version) = (dir.display().to_string(), version.to_string());
        let arguments = ["pmd", "pack", &dir, "--version", &version, "--expires", expires];
        let built = said(self.folder.path(), &arguments);
        assert_eq!((built.err.as_str(), built.code), ("", 0), "{}", built.out);
        let file = format!("meterpost-pmd-{version}.zip");
        let command = built.out.lines().last().unwrap().trim();
        let comment = command.split('\'').nth(1).unwrap();
        assert_eq!(command, format!("minisign -S -s KEY -m {file} -t '{comment}'"));
        let key = format!("{key}.key");
        let mut signing = Command::new("minisign");
        signing.args(["-S", "-s", &key, "-m", &file, "-t", comment]).current_dir(self.folder.path());
        assert!(signing.output().unwrap().status.success());
        self.path(&file)
    }
}

/// The central, as a process of its own.
struct Central {
    home: tempfile::TempDir,
    serving: Serving,
}

impl Central {
    /// A site of its own on 127.98.`net`.0/24 that takes every pack without asking.
    fn adopting_site(&self, net: u8) -> Site {
        let token = self.said(&["site", "add", "Lindenweg", "--central", &format!("http://{}", self.serving.address)]);
        Site::new(net, &token.out, "[packs]\npolicy = \"adopt\"\n")
    }

    fn start(keys: &[String]) -> Self {
        Self::start_with(keys, &["--listen", "127.0.0.1:0"])
    }

    fn start_with(keys: &[String], words: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("central.toml"), format!("pack_keys = {keys:?}\n")).unwrap();
        let serving = Serving::start_with(home.path(), words);
        Self { home, serving }
    }

    fn said(&self, arguments: &[&str]) -> Said {
        program(self.home.path()).args(arguments).output().unwrap().into()
    }

    #[track_caller]
    fn publish(&self, file: &Path) -> Said {
        self.said(&["pack", "publish", &file.display().to_string()])
    }
}

/// Passes bytes on and counts them, both ways.
struct Counter {
    address: SocketAddr,
    bytes: Arc<AtomicUsize>,
}

impl Counter {
    fn before(central: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, bytes) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&bytes);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let other = TcpStream::connect(central).unwrap();
                for (from, to) in [(&stream, &other), (&other, &stream)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let counted = Arc::clone(&counted);
                    std::thread::spawn(move || {
                        let mut buffer = [0; 4096];
                        while let Ok(length @ 1..) = from.read(&mut buffer) {
                            counted.fetch_add(length, Ordering::SeqCst);
                            if to.write_all(&buffer[..length]).is_err() {
                                break;
                            }
                        }
                        // the other side sees the end; when it is gone already that is nobody's loss
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Self { address, bytes }
    }

    fn take(&self) -> usize {
        self.bytes.swap(0, Ordering::SeqCst)
    }
}

/// A site with three printers, enrolled at a central by way of a counter.
struct Site {
    home: tempfile::TempDir,
    _fleet: Running,
}

impl Site {
    fn new(net: u8, token: &str, packs: &str) -> Self {
        let printer = |last: u8| Printer {
            address: Ipv4Addr::new(127, 98, net, last),
            views: vec![("".to_owned(), View::of(&Arc::new(recording(last))))],
            manner: Manner { never: vec![arcs(&format!("{OWN}.9")).unwrap()], ..Manner::default() },
        };
        let fleet = Fleet { port: 0, printers: vec![printer(1), printer(2), printer(3)], seed: 1 };
        let fleet = simulator::start(fleet).unwrap();
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("etc")).unwrap();
        let config = format!(
            "[[credentials]]\nname = \"office\"\ncommunity = \"public\"\n\n[[sweep]]\ntargets = [\"127.98.{net}.0/29\"]\n\
             credentials = [\"office\"]\nport = {}\nretries = 0\n\n[schedule]\npacks = \"\"\n\n{packs}",
            fleet.port()
        );
        fs::write(home.path().join("etc/meterpost.toml"), config).unwrap();
        fs::write(home.path().join("token"), token).unwrap();
        let site = Self { home, _fleet: fleet };
        assert_eq!(site.said(&["enroll", "--file", "token"]).code, 0);
        site
    }

    fn said(&self, arguments: &[&str]) -> Said {
        said(self.home.path(), arguments)
    }

    #[track_caller]
    fn check(&self, arguments: &[&str], code: i32, out: &str) {
        let said = self.said(arguments);
        assert_eq!((said.out.as_str(), said.err.as_str(), said.code), (out, "", code), "{arguments:?}");
    }

    #[track_caller]
    fn check_refused(&self, arguments: &[&str], expected: &str) {
        let said = self.said(arguments);
        assert!(said.err.contains(expected) && said.code == 1, "{}", said.err);
        assert_eq!(said.out, "", "{arguments:?}");
    }

    /// Reads, and gives what was sealed.
    fn read(&self) -> String {
        let run = self.said(&["run", "--once", "--read-only"]);
        assert_eq!(run.code, 0, "{}", run.err);
        let list = self.said(&["outbox", "list"]).out;
        let last = list.lines().last().unwrap().split_whitespace().next().unwrap().to_owned();
        self.said(&["outbox", "show", &last]).out
    }
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn a_pack_is_built_signed_published_fetched_tried_held_accepted_and_taken_back() {
    if !can_sign() {
        return;
    }
    let desk = Desk::new();
    let central = Central::start(&[desk.public("now"), desk.public("next")]);
    let counter = Counter::before(central.serving.address);
    let token = central.said(&["site", "add", "Lindenweg", "--central", &format!("http://{}", counter.address)]);
    assert_eq!((token.err.as_str(), token.code), ("", 0));
    let site = Site::new(1, &token.out, "");
    let batch = site.read();
    assert_eq!(
        (count(&batch, "<PackVersion>0</PackVersion>"), count(&batch, "mapping=\"acme/mfp@")),
        (1, 0),
        "{batch}"
    );
    site.check_refused(&["pmd", "update"], "stable.zip.minisig` answers 404: no pack is published there");

    // held until it can be told, then because it changes what is billed
    let eleven = desk.pack(11, &mapping(OWN, 7, "MFP 500"), "now");
    let published = central.publish(&eleven);
    assert_eq!(
        (published.out.as_str(), published.code),
        ("pack stable 11 is served until 2099-12-31T00:00:00Z: /packs/stable.zip\n", 0)
    );
    let tried =
        "3 devices: cannot be told until read\npack stable 11 is tried when the devices are read the next time\n";
    site.check(&["pmd", "update"], 3, tried);
    let batch = site.read();
    assert_eq!(count(&batch, "<PackVersion>0</PackVersion>"), 1, "what is tried makes no reading");
    let batch = site.read();
    let told =
        "code=\"pack-held\">pack stable 11 is held until a person accepts it: what is billed of 3 devices would change";
    assert!(batch.contains(told), "{batch}");
    let held = site.said(&["pmd", "update"]);
    assert_eq!((held.err.as_str(), held.code), ("", 3));
    assert!(held.out.contains("system.impressions 500,000 (derived) → 432,951 (one of them)\n"), "{}", held.out);
    assert!(held.out.contains("MFP 500 key ip:127.98.1."), "a device with another key is another device: {}", held.out);
    assert!(held.out.ends_with("pack stable 11 is held: `meterpost pmd update --accept` uses it\n"), "{}", held.out);
    let accepted = site.said(&["pmd", "update", "--accept"]);
    assert!(accepted.code == 0 && accepted.out.ends_with("pack stable 11 is in use\n"), "{}", accepted.out);
    let batch = site.read();
    assert_eq!(count(&batch, "<PackVersion>11</PackVersion>"), 1, "{batch}");
    assert_eq!(count(&batch, "mapping=\"acme/mfp@11\""), 3, "{batch}");
    assert_eq!(count(&batch, ">432951<"), 3, "{batch}");
    let scanned = site.said(&["scan", "127.98.1.1", "--port", "9", "--plan"]);
    assert_eq!(scanned.code, 0);

    // the nightly look at an unchanged pack
    counter.take();
    site.check(&["pmd", "update"], 0, "pack stable 11 is in use, and there is no newer one\n");
    let bytes = counter.take();
    assert!((300..1_500).contains(&bytes), "{bytes} bytes");

    // a text is adopted at once; signed with the next key
    let twelve = desk.pack(12, &mapping(OWN, 7, "MFP 501"), "next");
    assert_eq!(central.publish(&twelve).code, 0);
    let adopted = "3 devices: something else than a counter changes\npack stable 12 is in use\n";
    site.check(&["pmd", "update"], 0, adopted);

    // another total is held, from an object that nobody has asked yet
    let thirteen = desk.pack(13, &mapping(OWN, 8, "MFP 501"), "now");
    assert_eq!(central.publish(&thirteen).code, 0);
    site.read();
    assert_eq!(site.said(&["pmd", "update"]).code, 3);
    site.read();
    let held = "3 devices: Acme MFP 501 system.impressions 432,951 → 424,405 (one of them)\n\
                pack stable 13 is held: `meterpost pmd update --accept` uses it\n";
    site.check(&["pmd", "update"], 3, held);
    let batch = site.read();
    assert_eq!((count(&batch, "@12\""), count(&batch, ">432951<")), (3, 3), "{batch}");
    assert_eq!(site.said(&["pmd", "update", "--accept"]).code, 0);
    assert_eq!(count(&site.read(), ">424405<"), 3);

    // taken back by hand, and not brought again by night
    site.check(&["pmd", "rollback"], 0, "pack stable 13 is not used any more, pack stable 12 is\n");
    assert_eq!(count(&site.read(), "mapping=\"acme/mfp@12\""), 3);
    site.check_refused(&["pmd", "update"], "version 13 is not used by itself: 13 was taken back here");

    // taken back by itself: it asks for something that makes the printers fall silent
    let silent = format!("print.impressions = {{ get = \"{OWN}.9.0\" }}\n\n[quirks]\ntimeout_ms = 250\n");
    let fourteen = desk.pack(14, &(mapping(OWN, 7, "MFP 501") + &silent), "now");
    site.check(
        &["pmd", "update", &fourteen.display().to_string()],
        0,
        "3 devices: something else than a counter changes\npack stable 14 is in use\n",
    );
    let run = site.said(&["run", "--once", "--read-only"]);
    let told = "pack stable 14 is not used any more, pack stable 12 is: of 3 devices that were read completely before, 3 \
                were not with it";
    assert!(run.err.contains(told), "{}", run.err);
    let batch = site.read();
    assert_eq!(count(&batch, "mapping=\"acme/mfp@12\""), 3, "{batch}");
    assert!(batch.contains("code=\"pack-reverted\""), "{batch}");
}

#[test]
fn what_is_not_proven_or_a_step_back_changes_nothing() {
    if !can_sign() {
        return;
    }
    let desk = Desk::new();
    let central = Central::start(&[desk.public("now")]);
    let site = central.adopting_site(2);
    let text = mapping(OWN, 7, "MFP 500");
    let five = desk.pack(5, &text, "now");
    assert_eq!(central.publish(&five).code, 0);
    assert_eq!(site.said(&["pmd", "update"]).code, 0);
    let in_use = || fs::read_to_string(site.home.path().join("data/packs/current")).unwrap();
    let refused = |file: &Path, expected: &str| {
        site.check_refused(&["pmd", "update", &file.display().to_string()], expected);
        assert_eq!(in_use(), "stable 5\n");
    };

    let strange = desk.pack(6, &text, "strange");
    refused(&strange, " would be right");
    assert!(central.publish(&strange).err.contains("the signature is by key "));
    let four = desk.pack(4, &text, "now");
    refused(&four, "version 4 is older than 5, which was in use here: `--allow-downgrade` takes it all the same");
    assert!(central.publish(&four).err.contains("version 4 of `stable` is older than 5, which is served"));

    let seven = desk.pack(7, &text, "now");
    let whole = fs::read(&seven).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    fs::write(&seven, &changed).unwrap();
    refused(&seven, "the signature does not fit");
    fs::write(&seven, &whole).unwrap();
    let signature = desk.path("meterpost-pmd-7.zip.minisig");
    let signed = fs::read_to_string(&signature).unwrap();
    fs::write(&signature, signed.replace("version=7", "version=8")).unwrap();
    refused(&seven, "the signature does not fit");
    fs::remove_file(&signature).unwrap();
    let missing = site.said(&["pmd", "update", &seven.display().to_string()]);
    assert!(missing.code == 2 && missing.err.contains("cannot read `"), "{}", missing.err);
    let legacy = ["-S", "-l", "-s", "now.key", "-m", "meterpost-pmd-7.zip"];
    assert!(Command::new("minisign").args(legacy).current_dir(desk.folder.path()).status().unwrap().success());
    refused(&seven, "the signature is of minisign's legacy kind");

    // a person insists, and is not brought forward again by night
    let file = four.display().to_string();
    assert_eq!(site.said(&["pmd", "update", &file, "--allow-downgrade"]).code, 0);
    assert_eq!(in_use(), "stable 4\n");
    site.check_refused(&["pmd", "update"], "version 5 is not used by itself");
}

#[test]
fn the_schedule_fetches_a_pack_and_damage_on_the_disk_leaves_the_programs_own_library() {
    if !can_sign() {
        return;
    }
    let desk = Desk::new();
    let central = Central::start(&[desk.public("now")]);
    let site = central.adopting_site(3);
    let config = site.home.path().join("etc/meterpost.toml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("packs = \"\"", "packs = \"@daily\"")).unwrap();
    assert_eq!(central.publish(&desk.pack(5, &mapping(OWN, 7, "MFP 500"), "now")).code, 0);
    let run = site.said(&["run", "--once", "--due"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(fs::read_to_string(site.home.path().join("data/packs/current")).unwrap(), "stable 5\n");
    assert_eq!(count(&site.read(), "mapping=\"acme/mfp@5\""), 3);

    fs::write(site.home.path().join("data/packs/stable/5/acme/mfp.toml"), "damaged").unwrap();
    let batch = site.read();
    assert_eq!((count(&batch, "<PackVersion>0</PackVersion>"), count(&batch, "acme/mfp@")), (1, 0), "{batch}");
    assert!(batch.contains("code=\"pack-damaged\""), "{batch}");
    // the same pack mends it
    assert_eq!(site.said(&["pmd", "update"]).code, 0);
    assert_eq!(count(&site.read(), "mapping=\"acme/mfp@5\""), 3);
}

#[test]
fn a_pack_that_has_expired_is_not_taken_and_one_in_use_is_used_on_with_a_warning() {
    if !can_sign() {
        return;
    }
    let desk = Desk::new();
    let central = Central::start(&[desk.public("now")]);
    let site = central.adopting_site(5);
    let status = || site.said(&["status"]).out;
    assert!(status().contains("\nmappings  those inside the program\n"), "{}", status());
    let old = desk.pack_until(4, &mapping(OWN, 7, "MFP 500"), "now", "2024-01-01").display().to_string();
    let expired =
        "version 4 expired at 2024-01-01T00:00:00Z, and a newer one ought to have come: `--allow-downgrade` takes it";
    site.check_refused(&["pmd", "update", &old], expired);
    assert!(!site.home.path().join("data/packs").exists());
    assert!(central.publish(Path::new(&old)).err.contains("it expired at 2024-01-01T00:00:00Z"));

    // a person insists; from then on it is used like any other
    assert_eq!(site.said(&["pmd", "update", &old, "--allow-downgrade"]).code, 0);
    let batch = site.read();
    assert_eq!(count(&batch, "mapping=\"acme/mfp@4\""), 3, "{batch}");
    let batch = site.read();
    let warned = "pack stable 4 has expired and is used on: a newer one ought to have come";
    assert!(batch.contains(&format!("code=\"pack-expired\">{warned}")), "{batch}");
    assert!(status().contains(&format!("warning   {warned}\n")), "{}", status());
    assert!(status().contains("mappings  pack stable 4; a newer one is due until 2024-01-01T"), "{}", status());
}
