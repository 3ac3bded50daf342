//! What an agent can say about an object: our own value model, lenient and typed, nothing of a library's.

use super::oid::Oid;

/// A value as it came over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// INTEGER, as wide as devices send it.
    Integer(i64),
    /// OCTET STRING; bytes, never assumed to be text.
    Octets(Vec<u8>),
    /// OBJECT IDENTIFIER.
    Oid(Oid),
    /// IpAddress.
    IpAddress([u8; 4]),
    /// Counter32 and Counter64.
    Counter(u64),
    /// Gauge32 / Unsigned32.
    Gauge(u64),
    /// TimeTicks, 1/100 s.
    TimeTicks(u32),
    /// Opaque.
    Opaque(Vec<u8>),
    /// NULL or a tag that no RFC names: there was an answer, and it says nothing.
    Nothing,
}

impl Value {
    /// The number in any of the numeric types.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(n) => Some(*n),
            Self::Counter(n) | Self::Gauge(n) => i64::try_from(*n).ok(),
            Self::TimeTicks(n) => Some(i64::from(*n)),
            _ => None,
        }
    }

    /// The bytes of a string type.
    pub fn as_octets(&self) -> Option<&[u8]> {
        match self {
            Self::Octets(bytes) | Self::Opaque(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Why an object has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Absent {
    /// The agent does not know the object (noSuchObject; noSuchName in v1).
    NoSuchObject,
    /// It knows the object and has no such row.
    NoSuchInstance,
    /// Nothing lies behind it.
    EndOfMibView,
    /// The agent answered an error for this object (genErr, authorizationError…).
    Refused,
    /// This object alone never got an answer, however the request was cut.
    NoAnswer,
}

/// A value, or why there is none.
pub type Answer = Result<Value, Absent>;
