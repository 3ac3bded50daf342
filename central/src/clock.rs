//! The only reader of time, of the zone it is told in, and of random bytes. Everything else is told.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The wall clock, cut to whole seconds, as batches and the store keep it.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// A time for people: this machine's, to the minute, with the zone's name.
pub fn local(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M %Z").to_string()
}

/// Bytes from the operating system's generator.
///
/// # Panics
/// When the operating system has no random bytes: nothing that needs them may go on then.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap_or_else(|error| panic!("the operating system gives no random bytes: {error}"));
    bytes
}

/// A random UUID (version 4), lower case.
pub fn random_uuid() -> String {
    let mut bytes = random_bytes::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
