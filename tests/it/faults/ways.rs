//! The ways without an answer, to their end: real servers, a real mailbox, the central's `import`; and what is lost on them comes
//! again by a code that somebody reads out.

use std::fs;

use meterpost_wire::keys::SiteId;
use serde_json::Value;

use super::bed::{Bed, Row};
use super::mails::over_relay;
use crate::deliver::postfix::Postfix;

/// The code that the central prints for what is missing.
fn code(bed: &Bed) -> String {
    let told: Value = serde_json::from_str(&bed.central(&["gaps", "--format", "json"]).out).unwrap();
    let missing = &told["sites"][0]["missing"];
    assert_eq!((&missing[0]["from"], &missing[0]["to"]), (&3.into(), &4.into()), "{told}");
    let code = missing[0]["resend_code"].as_str().unwrap().to_owned();
    assert!(code.len() <= 20, "somebody reads it out: {code}");
    code
}

/// Collector, Postfix, mailbox, `import`. One message is lost on the way; the code brings it back, over the same way.
pub fn by_mail() -> Vec<Row> {
    let Some(postfix) = Postfix::start("") else { return Vec::new() };
    let bed = Bed::with(&format!("[delivery]\nchannels = [\"mail\"]\n{}", over_relay(postfix.open.port())), "");
    bed.seal(5);
    let sent = bed.said(&["outbox", "send"]);
    assert_eq!((sent.out.as_str(), sent.code), ("0 delivered, 5 handed over\n", 0), "{sent:?}");
    postfix.mailbox(5);
    let mailbox = postfix.dir.path().join("mail/batches");
    let holding = |sequence: u64| {
        let mut files = fs::read_dir(mailbox.join("new")).unwrap().map(|entry| entry.unwrap().path());
        let line = format!("X-Meterpost-Sequence: {sequence}\n");
        files.find(|path| fs::read_to_string(path).unwrap().replace('\r', "").contains(&line)).unwrap()
    };
    for lost in [3, 4] {
        fs::remove_file(holding(lost)).unwrap();
    }
    bed.central(&["import", &mailbox.display().to_string()]);
    assert_eq!(bed.shown().acknowledged_through, 2);
    brought_back(&bed, || {
        postfix.mailbox(2);
        mailbox.display().to_string()
    });
    // twice the same is taken once
    bed.central(&["import", &mailbox.display().to_string()]);
    vec![bed.row("Postfix, mailbox, import; 2 of 5 lost, re-send code", 1)]
}

/// A stick. A file is lost; the code brings it back.
pub fn by_files() -> Vec<Row> {
    let stick = tempfile::tempdir().unwrap();
    let place = stick.path().display().to_string();
    let bed = Bed::with(&format!("[delivery]\nchannels = [\"file\"]\n[delivery.file]\ndirectory = \"{place}\"\n"), "");
    bed.seal(5);
    let sent = bed.said(&["outbox", "send"]);
    assert_eq!((sent.out.as_str(), sent.code), ("0 delivered, 5 handed over\n", 0), "{sent:?}");
    let site = SiteId::parse(&bed.shown().id).unwrap();
    for lost in [3, 4] {
        fs::remove_file(stick.path().join(format!("{site}-{lost}.jwe"))).unwrap();
    }
    bed.central(&["import", &place]);
    assert_eq!(bed.shown().acknowledged_through, 2);
    brought_back(&bed, || place.clone());
    // a person may also carry everything that waits, by another way than the configured one
    bed.seal(2);
    let other = tempfile::tempdir().unwrap();
    let exported = bed.said(&["outbox", "export", &other.path().display().to_string()]);
    assert_eq!(exported.code, 0, "{exported:?}");
    bed.central(&["import", &other.path().display().to_string()]);
    vec![bed.row("files, import; 2 of 5 lost, re-send code; export", 1)]
}

/// The code that the central says, told to the site, brings everything.
#[track_caller]
fn brought_back(bed: &Bed, arrived: impl Fn() -> String) {
    let resent = bed.said(&["outbox", "resend", &code(bed)]);
    assert_eq!(resent.out, "3 waits to be sent\n4 waits to be sent\n", "{resent:?}");
    let sent = bed.said(&["outbox", "send"]);
    assert_eq!((sent.out.as_str(), sent.code), ("0 delivered, 2 handed over\n", 0), "{sent:?}");
    bed.central(&["import", &arrived()]);
    let shown = bed.shown();
    assert_eq!((shown.acknowledged_through, shown.highest), (5, 5), "{:?}", shown.missing);
}
