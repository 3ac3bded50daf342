//! Object identifiers: parsed once, compared and prefixed often.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// At most this many arcs (RFC 3416 section 4.1).
pub const ARCS_MAX: usize = 128;

/// OIDs that devices may have in common, at most; further ones are each a device's own. About 2 MB.
const COMMON_MAX: usize = 16_384;

thread_local! {
    /// Hashed with a seed of its own run, for devices say what stands in here.
    static COMMON: RefCell<HashSet<Arc<[u32]>, foldhash::fast::RandomState>> = RefCell::default();
}

/// An object identifier of 1 to 128 arcs. Clones share them: plans, answers and traces repeat the same few hundred.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Oid(Arc<[u32]>);

/// A text that is not an object identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an OID: numbers with dots between them, 128 at most, would be")]
pub struct BadOid(pub String);

impl Oid {
    /// Takes the arcs as they are; more than 128 are cut off.
    pub fn new(arcs: &[u32]) -> Self {
        Self(arcs[..arcs.len().min(ARCS_MAX)].into())
    }

    /// The same, shared with whoever named it on this thread before. Hundreds of devices are read at one time and nearly all
    /// are asked the same cells: with a copy for each, the time goes to waiting for memory.
    pub fn common(arcs: &[u32]) -> Self {
        COMMON.with_borrow_mut(|common| {
            if let Some(known) = common.get(arcs) {
                return Self(Arc::clone(known));
            }
            let oid = Self::new(arcs);
            if common.len() < COMMON_MAX {
                common.insert(Arc::clone(&oid.0));
            }
            oid
        })
    }

    /// The arcs.
    pub fn arcs(&self) -> &[u32] {
        &self.0
    }

    /// This OID with more arcs behind it, shared like [`Oid::common`].
    pub fn common_join(&self, more: &[u32]) -> Self {
        Self::common(joined(&self.0, more, &mut [0; ARCS_MAX]))
    }

    /// This OID with more arcs behind it.
    pub fn join(&self, more: &[u32]) -> Self {
        Self(self.0.iter().chain(more).take(ARCS_MAX).copied().collect())
    }

    /// Whether `self` is `root` or lies under it.
    pub fn is_under(&self, root: &Self) -> bool {
        starts_with(&self.0, &root.0)
    }

    /// The arcs behind `root`, when `self` lies under it.
    pub fn behind(&self, root: &Self) -> Option<&[u32]> {
        self.0.strip_prefix(&*root.0)
    }

    /// Whether `other` is the next one of the same stem: columns that lie side by side.
    pub fn is_right_before(&self, other: &Self) -> bool {
        match (self.0.split_last(), other.0.split_last()) {
            (Some((own, stem)), Some((other, other_stem))) => stem == other_stem && own.checked_add(1) == Some(*other),
            _ => false,
        }
    }
}

/// Arcs with more behind them, 128 at most, in room that the caller has.
pub fn joined<'r>(front: &[u32], back: &[u32], room: &'r mut [u32; ARCS_MAX]) -> &'r [u32] {
    let own = front.len().min(ARCS_MAX);
    let length = (own + back.len()).min(ARCS_MAX);
    room[..own].copy_from_slice(&front[..own]);
    room[own..length].copy_from_slice(&back[..length - own]);
    &room[..length]
}

/// Walk order. Four arcs at a time: what is sorted and looked up here has the first seven to ten in common.
pub fn order(a: &[u32], b: &[u32]) -> Ordering {
    let fours = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
    let same = 4 * fours.take_while(|(a, b)| a == b).count();
    a[same..].cmp(&b[same..])
}

impl Ord for Oid {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.0, &other.0)
    }
}

impl PartialOrd for Oid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether arcs begin with those of a root. Looked at from its end: whatever is compared here begins with 1.3.6.1, and it is
/// asked so often that this shows in a reading's time.
pub fn starts_with(arcs: &[u32], root: &[u32]) -> bool {
    arcs.get(..root.len()).is_some_and(|front| front.iter().rev().eq(root.iter().rev()))
}

impl FromStr for Oid {
    type Err = BadOid;

    /// Takes `1.3.6.1` and `.1.3.6.1`.
    fn from_str(text: &str) -> Result<Self, BadOid> {
        let bad = || BadOid(text.to_owned());
        let arcs: Vec<u32> = text
            .strip_prefix('.')
            .unwrap_or(text)
            .split('.')
            .map(
                |arc| if arc.bytes().all(|b| b.is_ascii_digit()) { arc.parse().map_err(|_| bad()) } else { Err(bad()) },
            )
            .collect::<Result<_, _>>()?;
        if arcs.len() > ARCS_MAX { Err(bad()) } else { Ok(Self(arcs.into())) }
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written by hand, back to front: OIDs are printed by the hundred for every device that is read.
        let mut text = [0; 11 * ARCS_MAX];
        let mut at = text.len();
        for arc in self.0.iter().rev() {
            let mut rest = *arc;
            loop {
                at -= 1;
                text[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
                if rest == 0 {
                    break;
                }
            }
            at -= 1;
            text[at] = b'.';
        }
        let text = text.get(at + 1..).unwrap_or_default();
        f.write_str(std::str::from_utf8(text).unwrap_or_default())
    }
}

impl serde::Serialize for Oid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Oid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oid_reads_back_as_it_was_written_and_a_leading_dot_is_forgiven() {
        for (text, shown) in [("1.3.6.1", "1.3.6.1"), (".1.3.6.1.0", "1.3.6.1.0"), ("1", "1")] {
            assert_eq!(text.parse::<Oid>().map(|oid| oid.to_string()), Ok(shown.to_owned()));
        }
        for bad in ["", ".", "1..3", "1.3.x", "1.+3", "1.4294967296", "1.3."] {
            assert_eq!(bad.parse::<Oid>(), Err(BadOid(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn order_is_that_of_a_walk() {
        let of = |text: &str| text.parse::<Oid>().unwrap();
        assert!(of("1.3.6.2") < of("1.3.6.10"));
        assert!(of("1.3.6") < of("1.3.6.0"));
        assert!(of("1.3.6.1") < of("1.3.6.1.0"));
        assert!(of("1.3.6.1.2.1.43.9") < of("1.3.6.1.2.1.43.10"));
        assert!(of("1.3.7") > of("1.3.6.1.2"));
        assert_eq!(of("1.3.6.1.5").behind(&of("1.3.6")), Some(&[1, 5][..]));
        assert!(!of("1.3.60").is_under(&of("1.3.6")));
    }
}
