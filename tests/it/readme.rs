//! What the README shows is what happens.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use meterpost::pmd::Library;
use meterpost::read;
use meterpost::snmp::recording::Recording;
use meterpost_wire::xml;

#[test]
fn the_four_lines_of_the_readme_make_the_xml_beside_them() {
    let pmd = block("toml");
    let words = fs::read_to_string(root().join("pmd/words.toml")).unwrap();
    let generic = fs::read_to_string(root().join("pmd/generic/printer-mib.toml")).unwrap();
    let files = BTreeMap::from([("generic/printer-mib".to_owned(), generic), ("kyocera/ecosys".to_owned(), pmd)]);
    let library = Library::of(&words, files);
    assert!(library.faults.is_empty(), "{:?}", library.faults);
    let mut walk = Recording::parse(&block("snmprec")).unwrap();
    let at: Timestamp = "2026-11-20T06:01:44Z".parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut device = runtime.block_on(read::device(&mut walk, &library, None, "192.0.2.41", at)).unwrap();
    assert!(!device.reading.gaps.is_empty(), "most of what the generic mapping knows is not in four lines");
    device.reading.gaps.clear();
    assert_eq!(lines(&xml::encode_device(&device.reading)), lines(&block("xml")));
}

/// The sections of the configuration that the README writes, and every command of the collector in it.
#[test]
fn what_the_readme_tells_to_type_can_be_typed() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let commands: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("$ meterpost ")).collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let words = command.split(" #").next().unwrap().split(" >").next().unwrap().split_whitespace();
        let words = std::iter::once("meterpost").chain(words).map(std::ffi::OsString::from);
        if let Err(error) = meterpost::cli::parse(words) {
            panic!("`meterpost {command}`: {error:?}");
        }
    }
    let config = readme.split("<<'END'\n").nth(1).unwrap().split("END\n").next().unwrap();
    let config = format!("{}\n{config}", meterpost::config::EXAMPLE);
    let config = meterpost::config::Config::parse(&config, root(), &|_| None).unwrap();
    assert_eq!((config.sweeps.len(), config.credentials.len()), (1, 1));
}

/// The first fenced block of a language.
fn block(language: &str) -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let opening = format!("```{language}\n");
    let from = readme.find(&opening).unwrap_or_else(|| panic!("README.md has a `{language}` block")) + opening.len();
    let length = readme[from..].find("```").unwrap();
    readme[from..from + length].to_owned()
}

/// An element a line, without indentation: how XML is broken into lines means nothing.
fn lines(xml: &str) -> String {
    xml.replace("><", ">\n<").lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
