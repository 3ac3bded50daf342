//! Packs over HTTP: who has one already is told so, and no name leads anywhere else.

use std::path::Path;
use std::process::Command;

use meterpost_central::packs;
use meterpost_wire::pack::Key;

use crate::bed::{Central, config_in};

/// Signs a file with a key of its own and gives the key; `None`, said, where Debian's minisign is not here.
fn signed(dir: &Path, file: &str, comment: &str) -> Option<Key> {
    let minisign = |arguments: &[&str]| Command::new("minisign").args(arguments).current_dir(dir).output();
    if minisign(&["-v"]).is_err() {
        assert!(std::env::var_os("CI").is_none(), "minisign is not here");
        eprintln!("SKIPPED: minisign is not here");
        return None;
    }
    for arguments in
        [&["-G", "-W", "-p", "k.pub", "-s", "k.key"][..], &["-S", "-s", "k.key", "-m", file, "-t", comment]]
    {
        assert!(minisign(arguments).expect("it runs").status.success());
    }
    let public = std::fs::read_to_string(dir.join("k.pub")).expect("a key");
    Some(Key::parse(public.lines().nth(1).expect("two lines")).expect("a key"))
}

#[test]
fn a_pack_is_served_with_its_validators_and_nothing_else_is() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("pack.zip"), "any bytes").expect("written");
    let comment = "pmd-pack channel=stable version=3 expires=2099-12-31T00:00:00Z";
    let Some(key) = signed(dir.path(), "pack.zip", comment) else { return };
    let config = config_in(dir.path());
    packs::publish(&config.data_dir, &[key], &dir.path().join("pack.zip")).expect("published");
    let central = Central::start_with(config);
    let ask = |method: &str, path: &str, headers: &str| {
        central.request(&format!("{method} {path} HTTP/1.1\r\nHost: central\r\n{headers}"), b"")
    };
    let whole = ask("GET", "/packs/stable.zip", "");
    assert_eq!((whole.status, whole.body.as_str()), (200, "any bytes"));
    let (tag, date) = (whole.header("etag").expect("a tag"), whole.header("last-modified").expect("a date"));
    for (headers, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: \"other\", W/{tag}\r\n"), 304),
        (format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {date}\r\n"), 200),
        (format!("If-Modified-Since: {date}\r\n"), 304),
        ("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(), 200),
        ("If-Modified-Since: tomorrow\r\n".to_owned(), 200),
    ] {
        assert_eq!(ask("GET", "/packs/stable.zip", &headers).status, status, "{headers}");
    }
    let head = ask("HEAD", "/packs/stable.zip", "");
    assert_eq!((head.status, head.header("content-length"), head.body.as_str()), (200, Some("9"), ""));
    assert!(ask("GET", "/packs/stable.zip.minisig", "").body.contains(comment));
    for path in [
        "/packs/beta.zip",
        "/packs/stable",
        "/packs/stable-3.zip",
        "/packs/.zip",
        "/packs/..%2fmachine.zip",
        "/packs/%2e%2e%2f%2e%2e%2fetc%2fpasswd.zip",
        "/packs/../central.toml",
        "/packs/stable%00.zip",
    ] {
        assert_eq!(ask("GET", path, "").status, 404, "{path}");
    }
    assert_eq!(ask("PUT", "/packs/stable.zip", "Content-Length: 0\r\n").status, 405);
}
