//! Mail servers that are no help: what they took and lost is sent again as soon as a receipt names it.

use super::bed::{Bed, Row};
use crate::deliver::mail::{Answer, FINE, Script, relay, usual};
use crate::relay::Way;

/// The lines of a configuration for a mail server on this port of loopback.
pub fn over_relay(port: u16) -> String {
    format!(
        "[delivery.mail]\nfrom = \"printers@customer.example\"\nto = \"batches@central.example\"\n\
         server = \"127.0.0.1\"\nport = {port}\nsecurity = \"none\"\n"
    )
}

/// A batch goes over this relay while the central is busy; then HTTPS is back, and the mail of this relay never arrives.
fn over(fault: &str, script: Script, handed_over: bool) -> Row {
    let server = relay(script);
    let mail = over_relay(server.address.port());
    let config = format!("[delivery]\nchannels = [\"https\", \"mail\"]\n{mail}");
    let bed = Bed::with(&config, "");
    bed.seal(1);
    bed.settle();
    bed.relay.lead(Way::busy());
    let mut runs = 0;
    for _ in 0..3 {
        bed.seal(1);
        let sent = bed.said(&["outbox", "send"]);
        assert!(sent.out.starts_with("0 delivered"), "{fault}: {sent:?}");
        bed.note();
        runs += 1;
    }
    let list = bed.said(&["outbox", "list"]).out;
    assert_eq!(list.contains("handed_over"), handed_over, "{fault}: {list}");
    bed.relay.lead(Way::To(bed.address()));
    // the central sees a gap by what comes after it
    bed.seal(1);
    bed.settle();
    let row = bed.row(fault, runs);
    assert_eq!(row.queued, row.arrived, "{fault}");
    row
}

pub fn strange_relays() -> Vec<Row> {
    let scripts: [(&str, Script, bool); 6] = [
        ("relay that takes and loses", |step, _| usual(step), true),
        ("relay that greylists", |step, nth| if step == "RCPT" && nth == 0 { GREY } else { usual(step) }, false),
        (
            "relay that takes nothing of this size",
            |step, _| if step == "content" { TOO_LARGE } else { usual(step) },
            false,
        ),
        (
            "relay that vanishes in the message",
            |step, _| if step == "content" { Answer::Drops } else { usual(step) },
            false,
        ),
        ("relay that refuses the sender", |step, _| if step == "MAIL" { NOT_YOU } else { usual(step) }, false),
        (
            "relay that stalls (tarpit)",
            |step, nth| if step == "EHLO" && nth == 0 { Answer::Hangs } else { FINE },
            false,
        ),
    ];
    scripts.into_iter().map(|(fault, script, handed_over)| over(fault, script, handed_over)).collect()
}

const GREY: Answer = Answer::Says("451 4.7.1 greylisted, try again");
const TOO_LARGE: Answer = Answer::Says("552 5.3.4 too large");
const NOT_YOU: Answer = Answer::Says("550 5.7.1 not from you");
