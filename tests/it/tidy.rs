//! The rules of ARCHITECTURE.md that can be read off sources and manifests.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines at which a file should have become a folder of its name.
const LINES_MAX: usize = 620;

/// Words that must not stand in some files, and why.
struct Rule {
    /// Path prefixes below the repository's root.
    within: &'static [&'static str],
    /// Path prefixes that are excepted.
    except: &'static [&'static str],
    /// The words.
    never: &'static [&'static str],
    /// What the rule protects.
    because: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        within: &[
            "src/targets",
            "src/sweep",
            "src/identify",
            "src/device_id",
            "src/pmd",
            "src/plan",
            "src/normalise",
            "src/batch",
            "src/privacy",
            "src/schedule",
            "src/install",
        ],
        except: &["src/normalise/tests", "src/pmd/tests.rs", "src/sweep/tests"],
        never: &["async fn", "UdpSocket", "TcpStream", "tokio::", "rusqlite", "ureq::", "crate::run", "crate::store"],
        because: "pure modules decide and do not act",
    },
    Rule {
        within: &["src/targets", "src/sweep", "src/identify", "src/device_id"],
        except: &[],
        never: &[
            "crate::pmd::{",
            "crate::pmd::rule",
            "crate::pmd::raw",
            "crate::pmd::resolve",
            "Library",
            "crate::config",
        ],
        because: "who is asked, and what answers, is known before any mapping file is looked at",
    },
    Rule {
        within: &["src/privacy"],
        except: &[],
        never: &["crate::normalise", "crate::pmd", "crate::snmp", "crate::outbox"],
        because: "privacy knows readings and a key for hashing, and nothing else",
    },
    Rule {
        within: &["src/config", "src/install"],
        except: &[],
        never: &["crate::cli", "crate::site", "crate::store", "async fn", "tokio::"],
        because: "what is configured does not know who asks for it",
    },
    Rule {
        within: &["src/deliver"],
        except: &[],
        never: &["crate::snmp", "crate::pmd", "crate::sweep", "crate::read"],
        because: "the delivering half knows neither SNMP nor mapping files",
    },
    Rule {
        within: &["src/snmp", "src/sweep", "src/identify", "src/plan", "src/read", "src/normalise", "src/pmd"],
        except: &[],
        never: &["crate::deliver", "crate::outbox", "ureq::", "rusqlite"],
        because: "the gathering half cannot see the internet or the queue",
    },
    Rule {
        within: &["src/outbox"],
        except: &[],
        never: &["crate::snmp", "crate::pmd", "crate::memory", "ureq::"],
        because: "the outbox holds opaque tokens",
    },
    Rule {
        within: &["src/", "central/src/"],
        except: &["src/store", "src/memory", "src/outbox", "central/src/store"],
        never: &["rusqlite"],
        because: "no database type leaves the modules that store",
    },
    Rule {
        within: &["src/"],
        except: &["src/snmp/session", "src/snmp/transport"],
        never: &["async_snmp"],
        because: "a break of the library's API touches one place",
    },
    Rule {
        within: &["src/"],
        except: &["src/run", "src/main", "src/cli", "src/lib.rs"],
        never: &["crate::run"],
        because: "nothing uses `run` but the command line",
    },
    Rule {
        within: &["src/"],
        except: &["src/clock.rs"],
        never: &["SystemTime::now", "Timestamp::now", "Zoned::now", "getrandom"],
        because: "only the clock reads time and random bytes",
    },
    Rule {
        within: &["src/"],
        except: &[],
        never: &["TcpListener", "set_many(", ".set(&Oid"],
        because: "nothing in the collector listens, and nothing writes to a device",
    },
    Rule {
        within: &["central/src/"],
        // the mailbox that batches are sent to, and who gives the token for it
        except: &["central/src/import/imap/connect.rs"],
        never: &["TcpStream::connect", "ureq", "reqwest", "UdpSocket"],
        because: "the central never connects to a site",
    },
    Rule {
        within: &["central/wire/src/"],
        except: &[],
        never: &[
            "TcpStream",
            "UdpSocket",
            "Timestamp::now",
            "SystemTime",
            "getrandom",
            "rusqlite",
            "std::fs",
            "async fn",
        ],
        because: "the wire has no socket, no clock, no chance, no file and no database",
    },
    Rule {
        within: &["src/", "central/src/", "central/wire/src/"],
        except: &[],
        never: &["mod util", "mod helper", "unsafe {", "todo!(", "unimplemented!(", "dbg!("],
        because: "of the style",
    },
    Rule {
        within: &["src/"],
        except: &["src/show/sample", "src/show/json/tests.rs", "src/pmd/guard.rs"],
        never: &["\"Kyocera", "\"Ricoh", "\"Brother", "\"HP\"", "\"Xerox", "\"Canon", "\"Lexmark", "\"Konica"],
        because: "what is known of a maker is data in mapping files, never Rust",
    },
];

#[test]
fn sources_keep_to_the_table_of_who_may_know_whom() {
    let mut found = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for rule in RULES {
            let name = path.as_str();
            let concerned =
                rule.within.iter().any(|p| name.starts_with(p)) && !rule.except.iter().any(|p| name.starts_with(p));
            if !concerned {
                continue;
            }
            for (number, line) in code_lines(&text) {
                for word in rule.never.iter().filter(|word| line.contains(**word)) {
                    found.push(format!("{name}:{number}: `{word}`: {}", rule.because));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_a_screenful_of_ideas() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(root().join(&path)).unwrap().lines().count();
            (lines > LINES_MAX).then(|| format!("{path}: {lines} lines"))
        })
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines, asking for a folder of their name:\n{}", long.join("\n"));
}

#[test]
fn packages_depend_only_in_the_direction_of_the_contract() {
    let depends = |manifest: &str, section: &str| -> Vec<String> {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let table: toml::Table = text.parse().unwrap();
        table.get(section).and_then(|t| t.as_table()).map(|t| t.keys().cloned().collect()).unwrap_or_default()
    };
    let collector = depends("Cargo.toml", "dependencies");
    let central = depends("central/Cargo.toml", "dependencies");
    let wire = depends("central/wire/Cargo.toml", "dependencies");
    assert!(!collector.contains(&"meterpost-central".to_owned()), "the collector never links the central");
    for word in ["async-snmp", "csnmp", "meterpost", "ureq"] {
        assert!(!central.contains(&word.to_owned()), "the central never links `{word}`");
    }
    for word in ["tokio", "rusqlite", "ureq", "axum", "getrandom"] {
        assert!(!wire.contains(&word.to_owned()), "the wire is pure: `{word}`");
    }
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let mut found = Vec::new();
    for path in files(
        &["src", "central", "examples", "tests", "pmd", "benches", ".ci"],
        &["rs", "toml", "md", "html", "sql", "sh", ""],
    ) {
        if path == "tests/it/tidy.rs" {
            continue;
        }
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if ["/work/", "/root/"].iter().any(|place| line.contains(place)) {
                found.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Lines with code in them: without comments, and without the tests at a file's end. Tests that have a file of their own
/// are declared anywhere, and the code goes on behind them.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let own_tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].ends_with('{'));
    lines
        .into_iter()
        .take(own_tests.unwrap_or(usize::MAX))
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(number, line)| (number + 1, line))
}

#[test]
fn code_behind_the_name_of_a_file_of_tests_is_looked_at() {
    let text = "#[cfg(test)]\nmod tests;\nuse rusqlite;\n// tokio::\n#[cfg(test)]\nmod inline {\nasync fn t() {}\n}\n";
    let lines: Vec<_> = code_lines(text).map(|(number, _)| number).collect();
    assert_eq!(lines, [1, 2, 3]);
}

fn sources() -> Vec<String> {
    let found = files(&["src", "central/src", "central/wire/src", "examples", "tests/it"], &["rs"]);
    assert!(found.len() > 40, "the sources were not found: {found:?}");
    found
}

fn files(folders: &[&str], extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
                open.push(path);
            } else if extensions.contains(&extension.as_str()) {
                found.push(path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
