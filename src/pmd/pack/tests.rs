use std::io::Write as _;

use super::*;

const RULE: &str = "format = 1\nextends = \"generic/printer-mib\"\n\n[match]\nsys_object_id = [\"1.3.6.1.4.1.99999.1\"]\n\n[counters]\n\
                    \"system.impressions\" = { get = \"1.3.6.1.4.1.99999.1.7.0\" }\n";

fn label() -> Label {
    Label::parse("pmd-pack channel=stable version=12 expires=2026-12-31T00:00:00Z").unwrap()
}

fn files(mapping: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("acme/mfp.toml".to_owned(), mapping.to_owned())])
}

fn pack() -> Pack {
    Pack::of(label(), files(RULE)).unwrap()
}

/// One file of a hostile archive, as its maker pleases.
#[derive(Clone)]
struct Forged {
    name: Vec<u8>,
    bytes: Vec<u8>,
    method: u16,
    flags: u16,
    mode: u32,
    claimed: u32,
}

fn forged(name: impl AsRef<[u8]>, text: impl AsRef<[u8]>) -> Forged {
    let bytes = text.as_ref().to_vec();
    let claimed = bytes.len() as u32;
    Forged { name: name.as_ref().to_vec(), bytes, method: 0, flags: 0, mode: 0o100_644, claimed }
}

/// The same, deflated.
fn deflated(name: &str, text: &[u8]) -> Forged {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text).unwrap();
    Forged { bytes: encoder.finish().unwrap(), method: 8, claimed: text.len() as u32, ..forged(name, text) }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// An archive by APPNOTE 6.3, without anybody's scruples. `overlap`: all files share the bytes of the first.
fn archive_of(files: &[Forged], overlap: bool) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (n, file) in files.iter().enumerate() {
        let crc = if file.method == 0 { crc32(&file.bytes) } else { 0 };
        let mut common = Vec::new();
        common.extend(20_u16.to_le_bytes());
        common.extend(file.flags.to_le_bytes());
        common.extend(file.method.to_le_bytes());
        common.extend([0; 4]);
        common.extend(crc.to_le_bytes());
        common.extend((file.bytes.len() as u32).to_le_bytes());
        common.extend(file.claimed.to_le_bytes());
        common.extend((file.name.len() as u16).to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        let at = if overlap { 0 } else { out.len() as u32 };
        if !overlap || n == 0 {
            out.extend(b"PK\x03\x04");
            out.extend(&common);
            out.extend(&file.name);
            out.extend(&file.bytes);
        }
        directory.extend(b"PK\x01\x02");
        directory.extend((3_u16 << 8 | 20).to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((file.mode << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(&file.name);
    }
    let (start, size, count) = (out.len() as u32, directory.len() as u32, files.len() as u16);
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn manifest_of(listed: &[(&str, &[u8])]) -> Forged {
    let file = listed.iter().map(|(path, bytes)| Listed {
        path: (*path).to_owned(),
        sha256: sha256(bytes),
        size: bytes.len() as u64,
    });
    let manifest = Manifest {
        format: FORMAT,
        channel: "stable".to_owned(),
        version: 12,
        expires: "2026-12-31T00:00:00Z".to_owned(),
        file: file.collect(),
    };
    forged(MANIFEST, toml::to_string(&manifest).unwrap())
}

#[track_caller]
fn check_refused(bytes: &[u8], expected: &str) {
    assert_eq!(Pack::open(bytes, &label()).map(|_| ()), Err(BadPack(expected.to_owned())));
}

/// Refused with this file beside a sound mapping, whatever the manifest says of it.
#[track_caller]
fn check_file_refused(file: Forged, expected: &str) {
    let manifest = manifest_of(&[("acme/mfp.toml", RULE.as_bytes())]);
    check_refused(&archive_of(&[manifest, forged("acme/mfp.toml", RULE), file], false), expected);
}

#[test]
fn the_same_files_make_the_same_bytes_and_open_again() {
    let zip = pack().to_zip().unwrap();
    assert_eq!(zip, Pack::of(label(), files(RULE)).unwrap().to_zip().unwrap());
    let opened = Pack::open(&zip, &label()).unwrap();
    assert_eq!(opened, pack());
    let library = opened.library().unwrap();
    assert_eq!((library.pack, library.get("acme/mfp").is_some()), (12, true));
    // somebody else's archive of the same files is as good
    let manifest = opened.files().find(|(path, _)| *path == MANIFEST).unwrap().1;
    let others = archive_of(&[forged("acme/mfp.toml", RULE), forged(MANIFEST, manifest)], false);
    assert_eq!(Pack::open(&others, &label()).unwrap(), pack());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let shape = "is no name for a file of a pack: lower-case letters, digits, `-` and `_` in `<vendor>/<family>.toml` would be right";
    for name in [
        "../x.toml",
        "a/../../b.toml",
        "/abs.toml",
        "a//b.toml",
        "a/b/c/d.toml",
        "./a.toml",
        ".toml",
        "a/.b.toml",
        "x:ads.toml",
        "Acme/x.toml",
        "acme/mfp.TOML.toml",
        "trail./a.toml",
        "a b.toml",
        "ä.toml",
    ] {
        check_file_refused(forged(name, "x"), &format!("`{}` {shape}", name.escape_debug()));
    }
    check_file_refused(forged("..\\x.toml", "x"), &format!("`..\\\\x.toml` {shape}"));
    check_file_refused(forged("C:\\win.toml", "x"), &format!("`C:\\\\win.toml` {shape}"));
    let end = "is no name for a file of a pack: `.toml` would be right at its end";
    for name in ["abs.txt", "a/", "trail.toml. ", "run.sh", "", "a.toml\0", "a.toml\n"] {
        check_file_refused(forged(name, "x"), &format!("`{}` {end}", name.escape_debug()));
    }
    check_file_refused(forged(b"\xff.toml", "x"), "`\u{fffd}.toml` is no name for a file of a pack: no UTF-8");
}

#[test]
fn names_of_windows_devices_are_refused() {
    for name in ["con.toml", "nul.toml", "aux/mfp.toml", "acme/prn.toml", "com1.toml", "acme/lpt9.pmd"] {
        let text = format!("`{name}` is no name for a file of a pack: it is a device on Windows");
        check_file_refused(forged(name, "x"), &text);
    }
    for name in ["console.toml", "com.toml", "com10.toml", "canon/lpt.toml"] {
        assert!(archive::name(name.as_bytes()).is_ok(), "{name}");
    }
}

#[test]
fn what_is_no_plain_file_is_refused() {
    let link = Forged { mode: 0o120_777, ..forged("acme/link.toml", "/etc/passwd") };
    check_file_refused(link, "`acme/link.toml` is no plain file");
    let device = Forged { mode: 0o060_644, ..forged("acme/disk.toml", "") };
    check_file_refused(device, "`acme/disk.toml` is no plain file");
    let folder = Forged { mode: 0o040_755, ..forged("acme/folder.toml", "") };
    check_file_refused(folder, "`acme/folder.toml` is no plain file");
}

#[test]
fn two_files_of_one_name_are_refused_in_whatever_case() {
    check_file_refused(forged("acme/mfp.toml", "other"), "two files of the archive have one name");
    check_file_refused(forged("acme/MFP.toml", "other"), "`acme/MFP.toml` stands twice, in letters of another case");
}

#[test]
fn files_that_the_manifest_does_not_list_or_has_otherwise_are_refused() {
    check_file_refused(forged("acme/more.toml", RULE), "2 files, and `manifest.toml` lists 1");
    let (mapping, path) = (forged("acme/mfp.toml", RULE), "acme/mfp.toml");
    let other = RULE.replace("99999.1.7", "99999.1.8");
    let listed = manifest_of(&[(path, other.as_bytes())]);
    check_refused(
        &archive_of(&[listed, mapping.clone()], false),
        "`acme/mfp.toml` has another SHA-256 than `manifest.toml` says",
    );
    check_refused(&archive_of(std::slice::from_ref(&mapping), false), "there is no `manifest.toml` in it");
    let twice = manifest_of(&[(path, RULE.as_bytes()), (path, RULE.as_bytes())]);
    check_refused(
        &archive_of(&[twice, mapping.clone(), forged("acme/x.toml", "")], false),
        "`manifest.toml` lists `acme/mfp.toml`, which it must not or already did",
    );
    let elsewhere = manifest_of(&[("acme/old/mfp.toml", RULE.as_bytes())]);
    check_refused(
        &archive_of(&[elsewhere, forged("acme/old/mfp.toml", RULE)], false),
        "`acme/old/mfp.toml` is neither `words.toml` nor `<vendor>/<family>.toml`",
    );
    let absent = manifest_of(&[("acme/gone.toml", RULE.as_bytes())]);
    check_refused(&archive_of(&[absent, mapping], false), "there is no `acme/gone.toml` in it");
}

#[test]
fn a_file_that_unpacks_to_more_than_it_may_is_cut_off_and_refused() {
    let path = "acme/mfp.toml";
    let listed = manifest_of(&[(path, RULE.as_bytes())]);
    let long = format!("{RULE}{}", "#".repeat(900_000));
    let lying = Forged { claimed: RULE.len() as u32, ..deflated(path, long.as_bytes()) };
    let larger = "`acme/mfp.toml`: File is larger than its declared uncompressed size";
    check_refused(&archive_of(&[listed.clone(), lying], false), larger);
    let said = format!("`acme/mfp.toml` has more than the {} bytes that `manifest.toml` says", RULE.len());
    check_refused(&archive_of(&[listed.clone(), deflated(path, long.as_bytes())], false), &said);
    let honest = deflated(path, &vec![b'#'; 2 << 20]);
    check_refused(
        &archive_of(&[listed.clone(), honest], false),
        "`acme/mfp.toml` claims 2097152 bytes, 1048576 are the most",
    );
    let huge = Forged { claimed: 0, ..deflated(path, &vec![b'#'; 16 << 20]) };
    check_refused(&archive_of(&[listed, huge], false), larger);
    let bytes = vec![b'#'; FILE_BYTES_MAX + 1];
    let listed = manifest_of(&[(path, &bytes)]);
    check_refused(
        &archive_of(&[listed, deflated(path, &bytes)], false),
        "`acme/mfp.toml` has 262145 bytes, 262144 are the most",
    );
    let full = deflated(path, &vec![b'#'; 1 << 20]);
    let named = |n: usize| Forged { name: format!("acme/m{n}.toml").into_bytes(), ..full.clone() };
    let many: Vec<Forged> = (0..100).map(named).collect();
    check_refused(&archive_of(&many, false), "104857600 bytes of files, 67108864 are the most");
    let many: Vec<Forged> = (0..5_002).map(|n| forged(format!("acme/m{n}.toml"), "")).collect();
    check_refused(&archive_of(&many, false), "5002 files, 5000 are the most");
}

#[test]
fn files_that_share_their_bytes_are_refused() {
    let many: Vec<Forged> = (0..9).map(|n| forged(format!("acme/m{n}.toml"), RULE)).collect();
    check_refused(&archive_of(&many, true), "files of the archive overlap");
}

#[test]
fn encrypted_files_and_other_ways_to_pack_are_refused() {
    check_file_refused(Forged { flags: 1, ..forged("acme/x.toml", RULE) }, "`acme/x.toml` is encrypted");
    for (method, name) in [(12, "Bzip2"), (14, "Lzma"), (93, "Zstd"), (99, "Aes"), (1, "Shrink")] {
        let file = Forged { method, ..forged("acme/x.toml", RULE) };
        let manifest = manifest_of(&[("acme/mfp.toml", RULE.as_bytes())]);
        let bytes = archive_of(&[manifest, forged("acme/mfp.toml", RULE), file], false);
        let error = Pack::open(&bytes, &label()).unwrap_err().to_string();
        assert!(
            error.starts_with("`acme/x.toml` is packed as ") || error.starts_with("this is no ZIP"),
            "{name}: {error}"
        );
    }
}

#[test]
fn what_is_no_archive_or_only_part_of_one_is_refused() {
    let (pack, zip) = (pack(), pack().to_zip().unwrap());
    assert!(Pack::open(b"", &label()).is_err() && Pack::open(b"PK\x03\x04", &label()).is_err());
    for length in 0..zip.len() {
        assert!(Archive::open(&zip[..length]).is_err(), "{length}");
    }
    check_refused(&[b"#!/bin/sh\n", zip.as_slice()].concat(), "something stands before the ZIP archive");
    // a byte changed anywhere is seen, or changes nothing that is used
    for at in 0..zip.len() {
        let mut changed = zip.clone();
        changed[at] ^= 0x40;
        let Ok(mut opened) = Archive::open(&changed) else { continue };
        for (path, text) in pack.files() {
            if let Ok(read) = opened.read(path, ENTRY_BYTES_MAX) {
                assert_eq!(read, text.as_bytes(), "{at}");
            }
        }
    }
}

#[test]
fn a_manifest_that_says_something_else_than_what_was_signed_is_refused() {
    let zip = pack().to_zip().unwrap();
    for (comment, says) in [
        ("channel=beta version=12 expires=2026-12-31T00:00:00Z", "channel=beta"),
        ("channel=stable version=13 expires=2026-12-31T00:00:00Z", "version=13"),
        ("channel=stable version=12 expires=2027-12-31T00:00:00Z", "2027"),
    ] {
        let other = Label::parse(&format!("pmd-pack {comment}")).unwrap();
        let error = Pack::open(&zip, &other).unwrap_err().to_string();
        let right = "`manifest.toml` says `pmd-pack channel=stable version=12 expires=2026-12-31T00:00:00Z`, and what was signed is ";
        assert!(error.starts_with(right) && error.contains(says), "{error}");
    }
    let later =
        forged(MANIFEST, "format = 2\nchannel = \"stable\"\nversion = 12\nexpires = \"2026-12-31T00:00:00Z\"\n");
    check_refused(&archive_of(&[later], false), "`manifest.toml`: format 2, and this program understands 1");
    check_refused(
        &archive_of(&[forged(MANIFEST, "version = ")], false),
        "`manifest.toml`: string values must be quoted, expected literal string",
    );
}

/// What is told of a pack with this mapping.
#[track_caller]
fn check_mapping(mapping: &str, expected: &str) {
    let bytes = mapping.as_bytes();
    let manifest = manifest_of(&[("acme/mfp.toml", bytes)]);
    let zip = archive_of(&[manifest, forged("acme/mfp.toml", bytes)], false);
    let error = Pack::open(&zip, &label()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(Pack::of(label(), files(mapping)).unwrap_err().to_string(), error);
}

#[test]
fn a_mapping_with_a_fault_is_refused_with_file_and_line() {
    check_mapping(&RULE.replace("99999.1.7.0", "1347.47.1.1"), "pmd `acme/mfp` line 8: ");
    check_mapping(&RULE.replace("\"1.3.6.1.4.1.99999.1.7.0\"", "\"1.3.6.1.6.3.15.1.2\""), "pmd `acme/mfp` line 8: ");
    check_mapping(&RULE.replace("generic/printer-mib", "acme/mfp"), "`acme/mfp` extends this file: a circle");
    check_mapping(&RULE.replace("generic/printer-mib", "acme/none"), "there is no `acme/none` to extend");
    check_mapping("x", "pmd `acme/mfp` line 1: this is not TOML");
    let bomb = RULE.replace("sys_object_id = [", "model = [\"(a{1000}){1000}\"]\nsys_object_id = [");
    check_mapping(&bomb, "pmd `acme/mfp` line 5: ");
    let many: String =
        (0..1_000).map(|n| format!("\"vendor.n{n}\" = {{ get = \"1.3.6.1.4.1.99999.2.{n}.0\" }}\n")).collect();
    check_mapping(&format!("{RULE}{many}"), "pmd `acme/mfp`");
    assert_eq!(Pack::of(label(), BTreeMap::new()).unwrap_err().to_string(), "there is no mapping file in it");
    let mut words = files(RULE);
    words.insert("words.toml".to_owned(), "[".to_owned());
    assert!(Pack::of(label(), words).unwrap_err().to_string().starts_with("`words.toml`: "));
}

#[test]
fn a_mapping_of_the_pack_has_the_devices_that_one_of_the_program_claimed_under_another_name() {
    let builtin = Library::builtin();
    let plain = |pmd: &&std::sync::Arc<crate::pmd::Pmd>| {
        let m = &pmd.matches;
        !m.sys_object_id.is_empty() && m.description.is_empty() && m.device_id.is_empty() && m.model.is_empty()
    };
    let old = builtin.pmds().find(plain).expect("a mapping without patterns");
    let oid = &old.matches.sys_object_id[0];
    let renamed = RULE.replace("1.3.6.1.4.1.99999.1\"]", &format!("{oid}\"]"));
    let library = Pack::of(label(), files(&renamed)).unwrap().library().unwrap();
    assert!(library.get("acme/mfp").is_some() && library.get(&old.name).is_none());
}
