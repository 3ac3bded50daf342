//! Runs that are stopped, killed, or find another one at work; and the daemon.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use expect_test::expect;
use meterpost::store::{Half, RunLock};
use serde_json::Value;

use super::{at, enroll, enrolled, fleet, office, printer};
use crate::cli::{Said, meterpost, said};
use crate::simulator::manner::Manner;
use crate::simulator::{Running, made};

#[test]
fn a_second_run_at_the_same_time_ends_with_4() {
    let home = enrolled(8, 9);
    let _lock = RunLock::take(&home.path().join("data"), Half::Gathering).unwrap();
    assert_eq!(said(home.path(), &["preview"]).code, 4, "a preview asks printers too");
    let second = said(home.path(), &["run", "--once"]);
    expect![[r#"
        error: another run holds `<home>/data/gather.lock`
          hint: wait for it to end; a lock goes away with its process
    "#]]
    .assert_eq(&second.err.replace(&home.path().display().to_string(), "<home>"));
    assert_eq!((second.out.as_str(), second.code), ("", 4));
}

#[test]
fn a_run_that_is_killed_loses_nothing_and_the_next_one_is_whole() {
    let slow = Manner { delay: Duration::from_millis(150), ..Manner::default() };
    let running =
        fleet(vec![printer(at(9, 7), made::a4_printer(), slow.clone()), printer(at(9, 9), made::typical_mfp(), slow)]);
    let home = enrolled(9, running.port());
    for requests in [1, 4, 9] {
        running.reset();
        let mut child = meterpost(home.path()).args(["run", "--once", "--read-only"]).spawn().unwrap();
        await_requests(&running, requests, &mut child);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(said(home.path(), &["outbox", "list"]).out, "the outbox is empty\n");
    }
    let whole = said(home.path(), &["run", "--once", "--read-only"]);
    assert_eq!(whole.out, "14 addresses asked, 2 answered, 2 printers; 2 devices in batch 1\n", "{}", whole.err);
    assert_eq!(said(home.path(), &["outbox", "check"]).out, "1 item checked: all whole\n");
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    assert!(std::process::Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[cfg(unix)]
fn spawned(home: &Path, arguments: &[&str]) -> Child {
    meterpost(home).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[cfg(unix)]
#[test]
fn a_stop_while_reading_ends_with_3_and_delivers_nothing() {
    let slow = Manner { delay: Duration::from_millis(300), ..Manner::default() };
    let running = fleet(vec![printer(at(15, 9), made::typical_mfp(), slow)]);
    let home = enrolled(15, running.port());
    let mut child = spawned(home.path(), &["run", "--once"]);
    await_requests(&running, 2, &mut child);
    signal(&child, "-INT");
    let run = Said::from(child.wait_with_output().unwrap());
    assert_eq!((run.out.as_str(), run.code), ("stopped before the end; nothing sealed\n", 3), "{}", run.err);

    running.reset();
    let port = running.port().to_string();
    let mut child = spawned(home.path(), &["scan", "127.93.15.0/28", "--port", &port]);
    await_requests(&running, 2, &mut child);
    signal(&child, "-INT");
    let scan = Said::from(child.wait_with_output().unwrap());
    assert!(scan.err.contains("stopped before the end"), "{scan:?}");
    assert_eq!(scan.code, 3);
}

#[cfg(unix)]
#[test]
fn a_stop_while_a_central_never_answers_ends_with_3_and_keeps_the_batch() {
    let running = office(16);
    let home = enrolled(16, running.port());
    assert_eq!(said(home.path(), &["run", "--once", "--read-only"]).code, 0);
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let central = format!("http://{}", silent.local_addr().unwrap());
    enroll(home.path(), &central);
    for command in [&["outbox", "send"][..], &["run", "--once", "--deliver-only"]] {
        let child = spawned(home.path(), command);
        let _taken = silent.accept().unwrap();
        signal(&child, "-TERM");
        let sent = Said::from(child.wait_with_output().unwrap());
        assert!(sent.err.contains("stopped while the central had not answered"), "{sent:?}");
        assert_eq!(sent.code, 3);
    }
    assert_eq!(said(home.path(), &["outbox", "check"]).out, "1 item checked: all whole\n");
}

/// Until the fleet was asked so often, or the program has ended.
fn await_requests(running: &Running, requests: u64, child: &mut Child) {
    let started = Instant::now();
    while running.tally().total().requests < requests && child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(60), "nobody asked");
        std::thread::yield_now();
    }
}

#[cfg(unix)]
#[test]
fn the_daemon_reads_at_once_when_it_never_did_and_ends_when_asked_to() {
    use std::io::{BufRead, BufReader};

    let running = office(10);
    let home = enrolled(10, running.port());
    let mut child = meterpost(home.path())
        .args(["run", "--read-only", "--log-format", "json"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let read = log.find(|line| line.as_ref().unwrap().contains("2 devices in batch 1")).unwrap().unwrap();
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(read["fields"]["message"], "14 addresses asked, 3 answered, 2 printers; 2 devices in batch 1");
    assert!(read["timestamp"].as_str().unwrap().ends_with('Z'));
    // it waits for the next time now
    assert!(log.any(|line| line.unwrap().contains("next reading")));
    let second = said(home.path(), &["run"]);
    assert!(second.err.contains("another run holds `") && second.err.contains("gather-daemon.lock`"), "{second:?}");
    assert_eq!(second.code, 4);
    let ended = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(ended.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
