//! The SNMP that we speak: values, who can be asked, and what can go wrong.
//!
//! Reading only: GET, GETNEXT, GETBULK. Nothing here builds a SET.

pub mod ber;
pub mod context;
pub mod credential;
pub mod oid;
pub mod patience;
pub mod probe;
pub mod question;
pub mod recording;
pub mod session;
pub mod transport;
pub mod value;

use std::future::Future;
use std::time::Duration;

pub use credential::{Credential, Secret};
pub use oid::Oid;
pub use session::{Denial, Network, NetworkOptions, Session};
pub use value::{Absent, Answer, Value};

/// One object of an answer: its OID as the agent wrote it, and its value or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarBind {
    /// The OID in the answer; for GETNEXT and GETBULK the one that was found.
    pub oid: Oid,
    /// Its value.
    pub answer: Answer,
}

/// What of a device's quirks an agent must heed when it cuts requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects in one request, 1 to 60. Devices bear 25; some less.
    pub varbinds_max: usize,
    /// Whether GETBULK may be used; several agents break on it.
    pub bulk: bool,
    /// The longest wait for one answer, 250 ms to 30 s; [`patience::WAIT_MAX`] when not said.
    pub wait_max: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { varbinds_max: 25, bulk: false, wait_max: None }
    }
}

/// Why a device cannot be read on. A single object without an answer is no such thing: see [`Absent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nothing came within all retries.
    #[error("no answer")]
    Silent,
    /// It answers and refuses the credentials.
    #[error("credentials refused")]
    Denied,
    /// The network says that there is no way to it.
    #[error("unreachable")]
    Unreachable,
}

/// Requests and bytes that a reading cost, UDP payload only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams to the device, retransmissions included.
    pub requests: u64,
    /// Datagrams from it that were taken.
    pub responses: u64,
    /// Bytes to it.
    pub bytes_sent: u64,
    /// Bytes from it.
    pub bytes_received: u64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        self.requests += more.requests;
        self.responses += more.responses;
        self.bytes_sent += more.bytes_sent;
        self.bytes_received += more.bytes_received;
    }
}

/// A device that can be asked, one request at a time: a live one, or a recorded walk.
///
/// `context` is the SNMPv3 context name, empty for the default one; below v3 only the empty one has objects. Lists of
/// any length may be asked: the agent cuts them into requests by its [`Limits`], halves what is too big, and isolates
/// an object that never answers. Answers come in the order asked.
pub trait Agent {
    /// Takes the limits of the device's mapping; 25 objects and no GETBULK before that.
    fn limit(&mut self, limits: Limits);

    /// Exact GETs: one answer for each OID.
    fn get(&mut self, context: &str, oids: &[Oid]) -> impl Future<Output = Result<Vec<VarBind>, Unanswered>> + Send;

    /// GETNEXT: for each OID the object behind it.
    fn get_next(
        &mut self,
        context: &str,
        oids: &[Oid],
    ) -> impl Future<Output = Result<Vec<VarBind>, Unanswered>> + Send;

    /// GETBULK: first what lies behind each of the first `single` of the `oids` (the non-repeaters), then the others in
    /// rows as answered: repetition by repetition, each in the order of `oids`; may be cut short. An agent whose limits
    /// forbid GETBULK answers one repetition by GETNEXT.
    fn get_bulk(
        &mut self,
        context: &str,
        oids: &[Oid],
        single: usize,
        repetitions: u16,
    ) -> impl Future<Output = Result<Vec<VarBind>, Unanswered>> + Send;

    /// Why it answers no more: it fell silent within a list, whose answers so far were handed back.
    fn gone(&self) -> Option<Unanswered>;

    /// What was spent so far.
    fn traffic(&self) -> Traffic;

    /// Whether asking costs nobody anything: a recording. Then all is asked at once that a device is asked later.
    fn is_free(&self) -> bool {
        false
    }
}
