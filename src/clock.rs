//! The only reader of time and of random bytes. Everything else is told.

use jiff::Timestamp;

/// The wall clock, cut to whole seconds, as batches and stores keep it.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
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
