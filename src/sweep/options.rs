//! What a person may say of a sweep: how fast, how often, how long.

use std::time::Duration;

/// Packets a second when nothing else is said.
pub const RATE_DEFAULT: u32 = 2000;
/// And into a directly attached subnet.
pub const RATE_ATTACHED: u32 = 256;
/// Further rounds over what is silent, when nothing else is said.
pub const RETRIES_DEFAULT: u32 = 2;
/// More are not taken.
pub const RETRIES_MAX: u32 = 10;

/// How fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rate {
    /// 2,000 a second, 256 into a directly attached subnet.
    #[default]
    Default,
    /// So many a second wherever they go.
    PerSecond(u32),
    /// As fast as the socket takes them.
    Unpaced,
}

impl From<u32> for Rate {
    /// As `--rate` takes it: 0 is unpaced.
    fn from(per_second: u32) -> Self {
        if per_second == 0 { Self::Unpaced } else { Self::PerSecond(per_second) }
    }
}

/// How a sweep goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How fast.
    pub rate: Rate,
    /// Further rounds over what is silent, 10 at most.
    pub retries: u32,
    /// The wait behind the last round, when not one second (a slow one keeps its five at least).
    pub timeout: Option<Duration>,
    /// Networks that this host is in itself; see [`attached`](crate::snmp::probe::attached).
    pub attached: Vec<ipnet::IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rate: Rate::Default, retries: RETRIES_DEFAULT, timeout: None, attached: Vec::new() }
    }
}
