//! A central that is killed: nothing acknowledged is lost, nothing counts twice.

use super::*;

#[test]
fn kill_9_between_requests_loses_nothing_acknowledged_and_doubles_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let mut sequence = 0;
    for round in 0..3 {
        let served = Served::start(dir.path());
        for _ in 0..4 {
            sequence += 1;
            let batch = site.batch(sequence, vec![printer("A1", sequence, "2026-11-20T06:01:44Z")]);
            let token = site.seal(&batch);
            let receipt = receipt_of(&served.submit(&site, &batch, &token), &site, &batch, &token);
            assert_eq!(receipt.claims.acknowledged_through, sequence, "round {round}");
        }
        // A request whose answer nobody waits for: it may be stored or not, and is sent again either way.
        let batch = site.batch(sequence + 1, vec![]);
        let body = soap::submit_batch(site.epoch.kid().site(), &batch.id, batch.sequence, &site.seal(&batch));
        let mut stream = std::net::TcpStream::connect(served.address).expect("a connection");
        let head = format!(
            "POST /soap/v1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            *site.epoch.submit_token(),
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        served.kill();
    }
    let served = Served::start(dir.path());
    for again in 1..=sequence {
        let batch = site.batch(again, vec![printer("A1", again, "2026-11-20T06:01:44Z")]);
        let token = site.seal(&batch);
        let receipt = receipt_of(&served.submit(&site, &batch, &token), &site, &batch, &token);
        assert_eq!(receipt.disposition, Disposition::Duplicate, "{again}");
    }
    served.kill();
    let config = config_in(dir.path());
    let stored = counted(&config, "SELECT count(*) FROM batch");
    let distinct = counted(&config, "SELECT count(DISTINCT sha256) FROM batch");
    assert_eq!(stored, distinct);
    assert!(stored >= i64::try_from(sequence).expect("a small number"), "{stored}");
    let out = check(dir.path(), &["check"], 0, "");
    assert!(out.starts_with(&format!("{stored} tokens")), "{out}");
}

/// One request, which may end in the middle: the receipt that came, if one did.
fn try_submit(address: SocketAddr, site: &Site, batch: &Batch, token: &str) -> Option<()> {
    let body = soap::submit_batch(site.epoch.kid().site(), &batch.id, batch.sequence, token);
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    let head = format!(
        "POST /soap/v1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        *site.epoch.submit_token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let answer = crate::bed::read_answer(&mut stream);
    // cut in the middle it proves nothing, and the batch is sent again
    if !answer.body.ends_with("Envelope>") {
        return None;
    }
    receipt_of(&answer, site, batch, token);
    Some(())
}

#[test]
fn kill_9_at_any_moment_of_a_submission_keeps_what_was_acknowledged_and_doubles_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::enrolled(&check(dir.path(), &["site", "add", "North"], 0, ""));
    let submission = |sequence: u64| {
        let batch = site.batch(sequence, vec![printer("A1", sequence, "2026-11-20T06:01:44Z")]);
        let token = site.seal(&batch);
        (batch, token)
    };
    let mut dice = 2026_u64;
    let mut below = |most: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % most
    };
    let acknowledged = AtomicU64::new(0);
    for _ in 0..40 {
        let served = Served::start(dir.path());
        let (address, before) = (served.address, acknowledged.load(Ordering::SeqCst));
        let (site, submission, acknowledged) = (&site, &submission, &acknowledged);
        std::thread::scope(|scope| {
            // a site that sends one batch after the other until nobody answers any more
            let sender = scope.spawn(move || {
                loop {
                    let (batch, token) = submission(acknowledged.load(Ordering::SeqCst) + 1);
                    match try_submit(address, site, &batch, &token) {
                        Some(()) => acknowledged.fetch_add(1, Ordering::SeqCst),
                        None => return,
                    };
                }
            });
            let enough = before + below(4);
            while acknowledged.load(Ordering::SeqCst) < enough && !sender.is_finished() {
                std::thread::yield_now();
            }
            // not a wait for anything: it only moves the blow to another instruction
            let (struck, later) = (std::time::Instant::now(), u128::from(below(20_000)));
            while struck.elapsed().as_micros() < later {
                std::hint::spin_loop();
            }
            served.kill();
        });
    }
    let acknowledged = acknowledged.into_inner();
    assert!(acknowledged > 20, "it has worked between the blows: {acknowledged}");
    let served = Served::start(dir.path());
    for sequence in 1..=acknowledged {
        let (batch, token) = submission(sequence);
        let receipt = receipt_of(&served.submit(&site, &batch, &token), &site, &batch, &token);
        assert_eq!(receipt.disposition, Disposition::Duplicate, "{sequence} was acknowledged");
    }
    served.kill();
    let stored = counted(&config_in(dir.path()), "SELECT count(*) FROM batch");
    let distinct = counted(&config_in(dir.path()), "SELECT count(DISTINCT sha256) FROM batch");
    assert_eq!(stored, distinct);
    // the one that was on its way at the last blow may have been stored
    assert!((0..=1).contains(&(stored - i64::try_from(acknowledged).expect("a small number"))), "{stored}");
    let out = check(dir.path(), &["check"], 0, "");
    assert!(out.starts_with(&format!("{stored} tokens")), "{out}");
}
