//! The library's words in ours.

use std::fmt;
use std::io;

use async_snmp::v3::ReportStatus;

use crate::snmp::{Absent, Oid, Value, VarBind};

/// Why a device does not let us in; the reason behind [`Unanswered::Denied`](crate::snmp::Unanswered::Denied).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// usmStatsUnknownUserNames.
    UnknownUser,
    /// usmStatsWrongDigests: authentication secret or protocol.
    WrongDigest,
    /// usmStatsNotInTimeWindows, and again after the clock was corrected.
    NotInTimeWindow,
    /// usmStatsUnsupportedSecLevels: the user has no such authentication or privacy there.
    UnsupportedSecurityLevel,
    /// usmStatsDecryptionErrors: privacy secret or protocol.
    Decryption,
    /// It answers discovery and never this user: some agents send no reports; also a wrong privacy secret looks so.
    Ignored,
    /// noAccess or authorizationError for everything asked.
    NoAccess,
    /// A credential that the library cannot use.
    Unusable,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownUser => "unknown user name",
            Self::WrongDigest => "wrong authentication secret or protocol",
            Self::NotInTimeWindow => "not in time window",
            Self::UnsupportedSecurityLevel => "security level not supported for this user",
            Self::Decryption => "wrong privacy secret or protocol",
            Self::Ignored => "answers discovery but not this user",
            Self::NoAccess => "no access",
            Self::Unusable => "credential cannot be used",
        })
    }
}

/// snmpUnknownContexts and snmpUnavailableContexts.
pub fn is_unknown_context(oid: &async_snmp::Oid) -> bool {
    oid.arcs().starts_with(&[1, 3, 6, 1, 6, 3, 12, 1, 5]) || oid.arcs().starts_with(&[1, 3, 6, 1, 6, 3, 12, 1, 4])
}

/// What a REPORT says about us.
pub fn denial(status: &ReportStatus) -> Denial {
    match status {
        ReportStatus::UnknownUserName { .. } => Denial::UnknownUser,
        ReportStatus::WrongDigest { .. } => Denial::WrongDigest,
        ReportStatus::NotInTimeWindow { .. } => Denial::NotInTimeWindow,
        ReportStatus::UnsupportedSecurityLevel { .. } => Denial::UnsupportedSecurityLevel,
        ReportStatus::DecryptionError { .. } => Denial::Decryption,
        _ => Denial::Ignored,
    }
}

/// Whether the host itself knows that there is no way. (An ICMP error is not told to a socket that serves many.)
pub fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkDown, NetworkUnreachable, PermissionDenied};
    matches!(error.kind(), HostUnreachable | NetworkUnreachable | NetworkDown | PermissionDenied | AddrNotAvailable)
}

/// The library's varbind in our words.
pub fn ours(varbind: async_snmp::VarBind, asked: Option<&Oid>) -> VarBind {
    use async_snmp::Value as Theirs;
    let answer = match varbind.value {
        Theirs::Integer(n) => Ok(Value::Integer(i64::from(n))),
        Theirs::OctetString(bytes) | Theirs::Nsap(bytes) => Ok(Value::Octets(bytes.to_vec())),
        Theirs::ObjectIdentifier(oid) => Ok(Value::Oid(Oid::new(oid.arcs()))),
        Theirs::IpAddress(address) => Ok(Value::IpAddress(address)),
        Theirs::Counter32(n) => Ok(Value::Counter(u64::from(n))),
        Theirs::Counter64(n) => Ok(Value::Counter(n)),
        Theirs::Gauge32(n) | Theirs::UInteger32(n) => Ok(Value::Gauge(u64::from(n))),
        Theirs::TimeTicks(n) => Ok(Value::TimeTicks(n)),
        Theirs::Opaque(bytes) => Ok(Value::Opaque(bytes.to_vec())),
        Theirs::NoSuchObject => Err(Absent::NoSuchObject),
        Theirs::NoSuchInstance => Err(Absent::NoSuchInstance),
        Theirs::EndOfMibView => Err(Absent::EndOfMibView),
        _ => Ok(Value::Nothing),
    };
    let asked = asked.filter(|asked| asked.arcs() == varbind.oid.arcs());
    VarBind { oid: asked.cloned().unwrap_or_else(|| Oid::common(varbind.oid.arcs())), answer }
}
