//! `SiteId` and `Kid`: parsing is the constructor.

use std::fmt;

/// A site's UUID as enrolment gave it: 36 characters, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(String);

/// A text that is no site.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no site: a lower-case UUID would be")]
pub struct BadSiteId(pub String);

impl SiteId {
    /// Takes a lower-case UUID of any version.
    pub fn parse(text: &str) -> Result<Self, BadSiteId> {
        if is_uuid(text) { Ok(Self(text.to_owned())) } else { Err(BadSiteId(shortened(text))) }
    }

    /// The UUID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a UUID as the contract writes one: 8-4-4-4-12 lower-case hex digits.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == b'-',
            _ => c.is_ascii_digit() || (b'a'..=b'f').contains(&c),
        })
}

/// Names a key: `<site>.<epoch>`, the `kid` of every token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kid {
    site: SiteId,
    epoch: u32,
}

/// A text that names no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no key: `<site>.<epoch>` would, the epoch from 1 on and without leading zeros")]
pub struct BadKid(pub String);

impl Kid {
    /// The key of an epoch; epochs count from 1.
    pub fn new(site: SiteId, epoch: u32) -> Option<Self> {
        (epoch > 0).then_some(Self { site, epoch })
    }

    /// Takes the text in its one canonical form.
    pub fn parse(text: &str) -> Result<Self, BadKid> {
        let parse = || {
            let (site, epoch) = text.split_once('.')?;
            let canonical = epoch.bytes().all(|c| c.is_ascii_digit()) && !epoch.starts_with('0');
            Self::new(SiteId::parse(site).ok()?, epoch.parse().ok().filter(|_| canonical)?)
        };
        parse().ok_or_else(|| BadKid(shortened(text)))
    }

    /// The site.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// The epoch, from 1 on.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The same site's next epoch.
    ///
    /// # Panics
    /// After 4,294,967,295 epochs.
    pub fn next(&self) -> Self {
        Self { site: self.site.clone(), epoch: self.epoch.checked_add(1).expect("more epochs than days since ever") }
    }
}

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.site, self.epoch)
    }
}

/// For errors: what strangers send may be long.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10";

    #[test]
    fn a_kid_has_one_form() {
        assert_eq!(Kid::parse(&format!("{SITE}.12")).map(|kid| kid.to_string()), Ok(format!("{SITE}.12")));
        for bad in ["", ".", ".1", "0", "01", "+1", "-1", "1.", "1.1", "4294967296", "１"] {
            let text = format!("{SITE}.{bad}");
            assert_eq!(Kid::parse(&text), Err(BadKid(text.clone())), "{text}");
        }
        for bad in ["6F1C2A52-8a0b-4d0e-9a57-0c8e5d2b7f10.1", "6f1c2a528a0b4d0e9a570c8e5d2b7f10.1", "x.1"] {
            assert!(Kid::parse(bad).is_err(), "{bad}");
        }
    }
}
