//! The batch as XML, namespace `urn:meterpost:batch:1`; `batch.xsd` beside this package describes it.
//!
//! Written compactly: no white space between elements, nothing that is a default, so that it seals small. Read
//! leniently, so that an old central takes a new batch: names it does not know are skipped with all that is in them,
//! order does not matter, of a repeated element the first counts. What is odd is counted in `Notes`, a device that
//! cannot be read is set aside with its XML, and only a text that is no batch at all is refused. The schema is never
//! used to read: XSD 1.0 cannot say "ignore what you do not know".
//!
//! | limit | at it |
//! | --- | --- |
//! | depth 32, 16 attributes of an element, 128 namespaces in scope | `BadBatch::NotParsed` |
//! | 2,000 devices | `BadBatch::NotParsed` |
//! | texts: 127, 255, 1,023 or 4,096 characters, by field | cut, both ways; brought to normal form C |
//! | 200 gaps of a device, 15 links, 64 voids, 8 errors | the first are kept, both ways |
//! | times | written in whole seconds |
//! | control characters that XML has not | U+FFFD instead, both ways |

mod chars;
pub(crate) mod cursor;
mod decode;
mod encode;
pub(crate) mod out;
mod words;

use crate::batch::Batch;
use crate::reading::Reading;

/// The namespace; it changes only with an incompatible change.
pub const NAMESPACE: &str = "urn:meterpost:batch:1";

/// What the health block says beside the elements of the first schema, which is fixed: the operating system, the store's size.
pub const HEALTH_NAMESPACE: &str = "urn:meterpost:health:1";

/// Most devices of a batch that are read.
pub const DEVICES_MAX: usize = 2_000;

/// Most gaps of a device.
pub const GAPS_MAX: usize = 200;

/// Most links in a chain.
pub const LINKS_MAX: usize = 15;

/// Most voids in a chain.
pub const VOIDS_MAX: usize = 64;

/// Most errors in the collector's health.
pub const ERRORS_MAX: usize = 8;

pub use decode::{BadBatch, Decoded, Notes, SetAside, decode};

/// Writes a whole batch: what `seal` is fed with, byte for byte.
pub fn encode(batch: &Batch) -> String {
    let devices: Vec<String> = batch.devices.iter().map(encode_device).collect();
    assemble(batch, &devices)
}

/// Writes one `Device` element as it stands in a batch. Its length counts towards `seal::PLAINTEXT_MAX`.
pub fn encode_device(reading: &Reading) -> String {
    let mut out = out::Out::default();
    encode::device(reading, &mut out);
    out.into_text()
}

/// Writes a batch around devices that `encode_device` has written; those in `head` itself are not looked at. With no
/// devices, the length of what comes back is what the head costs.
pub fn assemble<D: AsRef<str>>(head: &Batch, devices: &[D]) -> String {
    let mut out = out::Out::document();
    encode::batch(head, devices, &mut out);
    out.into_text()
}

/// Writes a `Devices` document, what `scan --format xml` prints: a scan has no site, no sequence and so no batch.
pub fn encode_devices<'r>(readings: impl IntoIterator<Item = &'r Reading>) -> String {
    let mut out = out::Out::document();
    out.element("Devices", &[("xmlns", NAMESPACE.into())], |out| {
        readings.into_iter().for_each(|reading| encode::device(reading, out));
    });
    out.into_text()
}
