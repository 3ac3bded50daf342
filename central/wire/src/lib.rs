//! The contract between a meterpost site and its central: what a batch says, how it is sealed, and what is answered.
//!
//! Everything here is a function from values to values. There is no socket, no clock and no database, so that both
//! programs, and anybody's test, can use it alone. The flow:
//!
//! ```text
//! Reading ─► Batch ─► XML ─► JWE token ─► SOAP body, mail   (a site)
//! SOAP body, mail ─► JWE token ─► XML ─► Batch ─► Receipt   (the central)
//! ```

pub mod batch;
pub mod counters;
pub mod enrolment;
pub mod hex;
mod json;
pub mod keys;
pub mod labels;
pub mod mail;
pub mod pack;
pub mod reading;
pub mod receipt;
pub mod resend;
pub mod seal;
pub mod soap;
pub mod xml;

pub use batch::Batch;
pub use counters::CounterKey;
pub use reading::Reading;

/// What a stranger wrote, for a message: short and in one line.
fn quoted(text: &str) -> String {
    format!("`{}`", text.chars().filter(|c| !c.is_control()).take(80).collect::<String>())
}
