//! The command line as a person meets it: exact words on stdout and stderr, and the exit codes of CONTRACT 1.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use expect_test::{Expect, expect};

/// The program with nothing of the tester's own configuration.
pub fn meterpost(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meterpost"));
    command
        .env_clear()
        .env("METERPOST_CONFIG", home.join("etc/meterpost.toml"))
        .env("METERPOST_DATA_DIR", home.join("data"))
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// What a program said, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: i32,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

/// Runs `meterpost` with these words.
pub fn said(home: &Path, arguments: &[&str]) -> Said {
    meterpost(home).args(arguments).output().unwrap().into()
}

#[track_caller]
fn check_error(arguments: &[&str], code: i32, expected: &Expect) {
    let home = tempfile::tempdir().unwrap();
    let said = said(home.path(), arguments);
    assert_eq!(said.out, "", "{arguments:?}");
    expected.assert_eq(&said.err.replace(&home.path().display().to_string(), "<home>"));
    assert_eq!(said.code, code, "{arguments:?}");
}

#[test]
fn help_is_on_every_level_and_has_an_example() {
    let home = tempfile::tempdir().unwrap();
    for level in [
        &[][..],
        &["scan"],
        &["run"],
        &["enroll"],
        &["preview"],
        &["pmd"],
        &["pmd", "list"],
        &["pmd", "show"],
        &["pmd", "why"],
        &["pmd", "lint"],
        &["pmd", "test"],
        &["pmd", "draft"],
        &["record"],
        &["outbox"],
        &["outbox", "list"],
        &["outbox", "show"],
        &["outbox", "send"],
        &["outbox", "resend"],
        &["outbox", "retry"],
        &["outbox", "delete"],
        &["outbox", "check"],
        &["outbox", "export"],
        &["outbox", "age"],
        &["status"],
        &["open"],
        &["key"],
        &["key", "export"],
        &["install"],
        &["config"],
        &["config", "example"],
        &["config", "check"],
    ] {
        let said = said(home.path(), &[level, &["--help"]].concat());
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{level:?}");
        assert!(said.out.contains("Example"), "{level:?}: {}", said.out);
        assert!(said.out.lines().all(|line| line.chars().count() <= 110), "{level:?}: {}", said.out);
        let lines = said.out.lines().map(|line| line.trim().trim_start_matches("Example: "));
        for example in lines.filter(|line| line.starts_with("meterpost ")) {
            let command = example.split(['<', '>', '|']).next().unwrap().split_whitespace();
            if let Err(error) = meterpost::cli::parse(command.map(std::ffi::OsString::from)) {
                panic!("`{example}`: {error:?}");
            }
        }
    }
}

#[test]
fn verdicts_are_refused_where_a_format_has_no_place_for_them() {
    let expected = expect![[r#"
        error: `--verdicts` has no place in this `--format`: it has a row for each printer alone
          hint: `table` and `json` list the silent addresses, and with `--sweep-only` `csv` does too
    "#]];
    for format in ["csv", "xml"] {
        check_error(&["scan", "127.0.0.1", "--verdicts", "--format", format], 2, &expected);
    }
    let home = tempfile::tempdir().unwrap();
    for more in [&["--format", "json"][..], &["--format", "csv", "--sweep-only"]] {
        let plan = said(home.path(), &[&["scan", "127.0.0.1", "--verdicts", "--plan"], more].concat());
        assert_eq!((plan.err.as_str(), plan.code), ("", 0));
    }
}

#[test]
fn the_first_help_names_every_command() {
    let home = tempfile::tempdir().unwrap();
    expect![[r#"
        Reads printer fleets over SNMP and pushes sealed readings outbound only

        Usage: meterpost [OPTIONS] <COMMAND>

        Commands:
          scan     Sweep and read now, without any configuration, and print what was found
          run      The scheduled job: read, seal, and deliver; stays and keeps the schedule unless told
                   `--once`
          pmd      Mapping files: which objects of a printer hold which number
          record   Record a device to a file, for `pmd draft` and `pmd test`; serial numbers, names and
                   addresses are replaced
          enroll   Take the central's address and the site's keys from an enrolment token; needs no network
          preview  Read now and print the XML that the next batch would carry, after the field policy;
                   nothing is sent or kept
          status   How the queue and its channels stand, and what to look at
          outbox   Look into the queue of sealed batches and act on it
          open     Print what is inside a captured batch, byte for byte
          key      The site's keys
          install  Print what to register, so that meterpost runs by itself
          config   The configuration file

        Options:
          -h, --help     Print help (see more with '--help')
          -V, --version  Print version

        Everywhere:
              --config <FILE>        The configuration file [env: METERPOST_CONFIG]
              --data-dir <DIR>       The folder of store and outbox [env: METERPOST_DATA_DIR]
              --key-file <FILE>      The machine key, made at first need beside the configuration [env:
                                     METERPOST_KEY_FILE]
              --log-format <FORMAT>  How the log on stderr is written [default: text] [possible values:
                                     text, json]
          -q, --quiet                Only errors, and no progress bar
          -v, --verbose...           Say more; twice for debugging

        Example: meterpost scan 192.168.1.0/24
    "#]]
    .assert_eq(&said(home.path(), &["-h"]).out);
}

#[test]
fn the_version_is_told_on_the_top_level_only() {
    let home = tempfile::tempdir().unwrap();
    let told = said(home.path(), &["--version"]);
    assert_eq!((told.out.as_str(), told.code), (concat!("meterpost ", env!("CARGO_PKG_VERSION"), "\n"), 0));
    assert_eq!(said(home.path(), &["run", "--version"]).code, 2);
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_would_be_right() {
    check_error(
        &["scan"],
        2,
        &expect![[r#"
        error: the following required arguments were not provided:
          <TARGET>...

        Usage: meterpost scan --config <FILE> --data-dir <DIR> <TARGET>...

        For more information, try '--help'.
    "#]],
    );
    check_error(
        &["scna"],
        2,
        &expect![[r#"
        error: unrecognized subcommand 'scna'

          tip: a similar subcommand exists: 'scan'

        Usage: meterpost [OPTIONS] <COMMAND>

        For more information, try '--help'.
    "#]],
    );
    check_error(
        &["scan", "10.0.0.300"],
        2,
        &expect![[r#"
        error: `10.0.0.300` is no target: an address, `10.0.0.0/24`, `10.0.0.1-10.0.0.50`, `10.0.0.1-50`, a host name or `@file` would be
    "#]],
    );
    check_error(
        &["scan", "10.0.0.0/8"],
        2,
        &expect![[r#"
        error: `10.0.0.0/8` has 16777214 addresses, more than the 65,536 (a /16) of one target; split it
    "#]],
    );
    check_error(
        &["scan", "@nowhere"],
        2,
        &expect![[r#"
        error: `@nowhere` cannot be read: No such file or directory (os error 2)
    "#]],
    );
    check_error(
        &["scan", "10.0.0.1", "--v3", "ann:SHA:short"],
        2,
        &expect![[r#"
        error: `--v3`: the authentication secret is shorter than 8 characters, which no SNMPv3 agent takes
    "#]],
    );
    check_error(
        &["scan", "10.0.0.1", "--version", "3"],
        2,
        &expect![[r#"
        error: `--version 3` needs a user
          hint: name it with `--v3` or `--credentials`
    "#]],
    );
    check_error(
        &["scan", "10.0.0.1", "--version", "3", "--community", "x"],
        2,
        &expect![[r#"
        error: `--version 3` knows no community
          hint: name the user with `--v3`
    "#]],
    );
    check_error(
        &["scan", "10.0.0.1", "--timeout", "soon"],
        2,
        &expect![[r#"
        error: invalid value 'soon' for '--timeout <TIME>': `2`, `1.5s` or `500ms` would be right, 60 seconds at most

        For more information, try '--help'.
    "#]],
    );
    check_error(
        &["scan", "10.0.0.1", "--credentials", "office"],
        2,
        &expect![[r#"
        error: cannot read configuration `<home>/etc/meterpost.toml`: No such file or directory (os error 2)
          hint: `meterpost config example` prints one to start from; `--config` names another place
    "#]],
    );
    check_error(
        &["run", "--due"],
        2,
        &expect![[r#"
        error: the following required arguments were not provided:
          --once

        Usage: meterpost run --once --due --config <FILE> --data-dir <DIR>

        For more information, try '--help'.
    "#]],
    );
    check_error(
        &["run", "--once", "--read-only", "--deliver-only"],
        2,
        &expect![[r#"
        error: the argument '--read-only' cannot be used with '--deliver-only'

        Usage: meterpost run --once --read-only --config <FILE> --data-dir <DIR>

        For more information, try '--help'.
    "#]],
    );
    check_error(
        &["outbox", "resend", "9..3"],
        2,
        &expect![[r#"
        error: invalid value '9..3' for '<A..B|CODE>': `38..40`, `41` or a re-send code would be right

        For more information, try '--help'.
    "#]],
    );
}

#[test]
fn what_is_missing_is_named_with_the_next_step() {
    check_error(
        &["run", "--once"],
        2,
        &expect![[r#"
        error: cannot read configuration `<home>/etc/meterpost.toml`: No such file or directory (os error 2)
          hint: `meterpost config example` prints one to start from; `--config` names another place
    "#]],
    );
    check_error(
        &["outbox", "list"],
        2,
        &expect![[r#"
        error: the data directory `<home>/data` belongs to no site
          hint: take the central's token with `meterpost enroll`, or name another directory with `--data-dir`
    "#]],
    );
    check_error(
        &["config", "check"],
        2,
        &expect![[r#"
            error: cannot read configuration `<home>/etc/meterpost.toml`: No such file or directory (os error 2)
              hint: `meterpost config example` prints one to start from; `--config` names another place
        "#]],
    );
    check_error(
        &["enroll", "--file", "nowhere"],
        2,
        &expect![[r#"
        error: cannot read `nowhere`: No such file or directory (os error 2)
    "#]],
    );
    check_error(
        &["enroll", "mp1.nonsense"],
        2,
        &expect![[r#"
        error: enrolment token: damaged after `mp1.`: paste the whole line, without breaks
    "#]],
    );
    check_error(
        &["open", "nowhere"],
        2,
        &expect![[r#"
        error: cannot read `nowhere`: No such file or directory (os error 2)
    "#]],
    );
}

#[test]
fn a_command_of_a_later_version_is_no_typing_error() {
    for word in ["doctor", "bundle"] {
        let text = format!(
            "error: this version has no `{word}` yet\n  hint: a later one has it; `--help` lists what there is\n"
        );
        let home = tempfile::tempdir().unwrap();
        let said = said(home.path(), &[word]);
        assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("", text.as_str(), 2));
    }
}

#[test]
fn a_secret_on_the_command_line_is_in_no_message() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["scan", "10.0.0.1", "--v3", "ann:SHA:hidden"][..],
        &["scan", "10.0.0.1", "--v3", "ann:SHA:hidden-1:RC4:hidden-2"],
        &["scan", "10.0.0.1", "--v3", "ann:hidden-1:SHA"],
        &["scan", "10.0.0.1", "--v3", "ann:SHA:hidden-1:hidden-2:AES"],
        &["scan", "10.0.0.300", "--community", "hidden"],
        &["enroll", "mp1.hidden"],
    ] {
        let said = said(home.path(), arguments);
        assert_eq!(said.code, 2);
        assert!(!said.err.contains("hidden"), "{}", said.err);
    }
}

#[test]
fn the_example_configuration_is_printed_and_is_right() {
    let home = tempfile::tempdir().unwrap();
    let example = said(home.path(), &["config", "example"]);
    assert_eq!(example.out, include_str!("../../examples/meterpost.toml"));
    std::fs::create_dir(home.path().join("etc")).unwrap();
    std::fs::write(home.path().join("etc/meterpost.toml"), example.out).unwrap();
    let checked = said(home.path(), &["config", "check"]);
    assert_eq!(
        checked.out.replace(&home.path().display().to_string(), "<home>"),
        "`<home>/etc/meterpost.toml` is right\n"
    );
    assert_eq!((checked.err.as_str(), checked.code), ("", 0));
}

#[test]
fn a_bad_configuration_is_told_with_its_lines() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("etc")).unwrap();
    let text = "[schedule]\nread = \"0 6 31 2 *\"\n\n[limits]\nrun_minutes = 0\n";
    std::fs::write(home.path().join("etc/meterpost.toml"), text).unwrap();
    let said = said(home.path(), &["config", "check"]);
    expect![[r#"
        error: `<home>/etc/meterpost.toml` line 2: `read`: `0 6 31 2 *` never comes: no month has such a day
        `<home>/etc/meterpost.toml` line 5: `run_minutes`: 1 to 10080 would be right, not 0
    "#]]
    .assert_eq(&said.err.replace(&home.path().display().to_string(), "<home>"));
    assert_eq!((said.out.as_str(), said.code), ("", 2));
}

#[test]
fn units_are_the_files_of_the_examples() {
    let home = tempfile::tempdir().unwrap();
    for (kind, file) in
        [("systemd", "meterpost.service"), ("cron", "meterpost.cron"), ("windows-task", "meterpost-task.xml")]
    {
        let said = said(home.path(), &["install", "--print", kind]);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
        assert_eq!((said.out, said.code), (std::fs::read_to_string(path).unwrap(), 0));
    }
}

/// systemd itself is the judge; a program that is not installed here is the only thing it may miss.
#[cfg(target_os = "linux")]
#[test]
fn systemd_takes_the_units_as_they_are() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED: `systemd-analyze` is not installed; `apt-get install systemd` has it");
        assert!(std::env::var_os("CI").is_none(), "`systemd-analyze` is missing, and CI tests everything");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for name in ["meterpost", "meterpost-central"] {
        let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/{name}.service"));
        let unit = std::fs::read_to_string(unit).unwrap();
        assert!(unit.contains(&format!("ExecStart=/usr/bin/{name} ")), "{unit}");
        let here = home.path().join(format!("{name}.service"));
        std::fs::write(&here, unit.replace(&format!("/usr/bin/{name}"), env!("CARGO_BIN_EXE_meterpost"))).unwrap();
        let judged = Command::new("systemd-analyze").arg("verify").arg(&here).output().unwrap();
        let said = String::from_utf8_lossy(&judged.stderr).into_owned();
        let ours: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert_eq!((ours, judged.status.success()), (Vec::new(), true), "{said}");
    }
}

#[test]
fn a_plan_sends_nothing_and_says_what_a_scan_would_take() {
    let home = tempfile::tempdir().unwrap();
    let plan = said(home.path(), &["scan", "192.0.2.0/24", "--plan", "--retries", "0"]);
    expect![[r#"
        254 addresses: 254 packets in 3 seconds if nobody answers
        who answers is not asked again; reading a printer takes about 13 packets more
        nothing was sent
    "#]]
    .assert_eq(&plan.out);
    assert_eq!((plan.err.as_str(), plan.code), ("", 0));
    let json = said(home.path(), &["scan", "192.0.2.0/24", "--plan", "--retries", "0", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["packets"], 254);
}
