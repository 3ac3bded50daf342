//! What is to become of a pack: may it come at all, is it used or held, and is it to be taken back. Decided from what is known;
//! nothing here looks at a disk, a clock or a device.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use meterpost_wire::pack::{Channel, Label};
use serde::{Deserialize, Serialize};

use super::shadow::Shadow;
use super::shelf::Place;
use crate::config::PackPolicy;
use crate::store::{StoreError, Tx};

/// The fact in the store that holds [`State`].
const FACT: &str = "packs";

/// So long after a pack was first used it is watched: one reading of everything is in it.
const WATCHED: SignedDuration = SignedDuration::from_hours(8 * 24);

/// What is remembered of packs, in one row of the store. Never anything about a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The highest version ever used, by channel.
    #[serde(default)]
    highest: BTreeMap<String, u64>,
    /// Up to this version nothing of a channel is used by itself: it was taken back.
    #[serde(default)]
    pinned: BTreeMap<String, u64>,
    /// A pack that waits, as `stable 12`.
    #[serde(default)]
    held: Option<Held>,
    /// What was in use before the present pack; absent = the library inside the program, or it is not known.
    #[serde(default)]
    before: Option<String>,
    /// Since when the present pack is used, as long as it is watched.
    #[serde(default)]
    watched_since: Option<Timestamp>,
    /// What the last download brought.
    #[serde(default)]
    pub seen: Option<Seen>,
    /// The signature file of the pack in use, as it was last served.
    #[serde(default)]
    pub signature: Option<Served>,
}

/// By what a server tells that it still serves the signature of the pack in use: then nothing more need come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// From where, for which keys, and by which program it was read.
    pub asked: String,
    /// The pack, as `stable 12`.
    pub place: String,
    /// `ETag` of the answer.
    pub etag: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    place: String,
    until_read: bool,
}

/// A download whose pack was not taken: the same bytes need not come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// From where, for which keys, and by which program it was judged.
    pub asked: String,
    /// `ETag` of the answer.
    pub etag: Option<String>,
    /// `Last-Modified` of the answer.
    pub modified: Option<String>,
    /// Why it was not taken.
    pub refused: String,
}

/// Why a pack does not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    /// Not the channel that this site follows.
    #[error("it is of channel `{found}`, and this site follows `{followed}`")]
    Channel {
        /// The pack's.
        found: Channel,
        /// The site's.
        followed: Channel,
    },
    /// It would be a step back.
    #[error(
        "version {found} is older than {highest}, which was in use here: `--allow-downgrade` takes it all the same"
    )]
    Older {
        /// The pack's.
        found: u64,
        /// The highest that was ever used.
        highest: u64,
    },
    /// It was taken back.
    #[error("version {found} is not used by itself: {pinned} was taken back here, and a newer one is waited for")]
    Pinned {
        /// The pack's.
        found: u64,
        /// What was taken back.
        pinned: u64,
    },
    /// A newer one ought to be out: whoever offers this one may be holding that one back.
    #[error(
        "version {version} expired at {at}, and a newer one ought to have come: `--allow-downgrade` takes it all the same"
    )]
    Expired {
        /// The pack's.
        version: u64,
        /// When.
        at: Timestamp,
    },
}

/// What is done with a pack that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is used from now on.
    Adopt,
    /// It waits for a person.
    Hold,
    /// It waits until devices were read.
    UntilRead,
}

impl State {
    /// As the store has it, and whether that was so. Of what cannot be read (a newer program wrote it, or the disk changed it)
    /// nothing is left but that the pack in use is the highest: reading printers does not hang on it.
    pub fn load(tx: &Tx<'_>, in_use: Option<&Place>) -> Result<(Self, bool), StoreError> {
        let Some(text) = tx.fact(FACT)? else { return Ok((Self::default(), true)) };
        Ok(match serde_json::from_str(&text) {
            Ok(state) => (state, true),
            Err(_) => {
                let highest = in_use.map(|place| (place.channel.to_string(), place.version));
                (Self { highest: highest.into_iter().collect(), ..Self::default() }, false)
            }
        })
    }

    /// Keeps it.
    pub fn save(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let text = serde_json::to_string(self).map_err(|error| StoreError::Failed(error.to_string()))?;
        tx.set_fact(FACT, &text)
    }

    /// Whether a pack may come. A person may insist on an older one, on one that was taken back, and on one that has expired.
    pub fn admits(&self, label: &Label, followed: &Channel, downgrade: bool, now: Timestamp) -> Result<(), Barred> {
        if label.channel != *followed {
            return Err(Barred::Channel { found: label.channel.clone(), followed: followed.clone() });
        }
        let of = |map: &BTreeMap<String, u64>| map.get(followed.as_str()).copied().unwrap_or(0);
        let (found, highest, pinned) = (label.version, of(&self.highest), of(&self.pinned));
        match () {
            () if downgrade => Ok(()),
            () if found < highest => Err(Barred::Older { found, highest }),
            () if found <= pinned => Err(Barred::Pinned { found, pinned }),
            () if label.is_expired(now) => Err(Barred::Expired { version: found, at: label.expires }),
            () => Ok(()),
        }
    }

    /// A pack is about to be used. Kept before it is: a crash between the two leaves it waiting to be used again.
    pub fn adopting(&mut self, place: &Place, before: Option<&Place>, now: Timestamp) {
        self.before = before.map(Place::to_string);
        let highest = self.highest.entry(place.channel.to_string()).or_default();
        *highest = place.version.max(*highest);
        self.watched_since = Some(now);
        self.held = None;
    }

    /// A pack waits.
    pub fn hold(&mut self, place: &Place, until_read: bool) {
        self.held = Some(Held { place: place.to_string(), until_read });
    }

    /// A pack is taken back, and neither it nor an older one comes by itself.
    pub fn take_back(&mut self, place: &Place) {
        let pinned = self.pinned.entry(place.channel.to_string()).or_default();
        *pinned = place.version.max(*pinned);
        self.watched_since = None;
        self.held = None;
        self.before = None;
    }

    /// What was in use before the present pack.
    pub fn before(&self) -> Option<Place> {
        self.before.as_deref().and_then(Place::parse)
    }

    /// A person used what was taken back: it comes by itself again.
    pub fn forgive(&mut self, channel: &Channel) {
        self.pinned.remove(channel.as_str());
    }

    /// The pack that waits, and whether that is for devices to be read.
    pub fn waits(&self) -> Option<(Place, bool)> {
        self.held.as_ref().and_then(|held| Some((Place::parse(&held.place)?, held.until_read)))
    }

    /// The pack that waits.
    pub fn held(&self) -> Option<Place> {
        self.waits().map(|(place, _)| place)
    }

    /// The pack that waits until devices were read.
    pub fn on_trial(&self) -> Option<Place> {
        self.waits().filter(|(_, until_read)| *until_read).map(|(place, _)| place)
    }

    /// Whether the present pack is watched.
    pub fn watches(&self, now: Timestamp) -> bool {
        self.watched_since.is_some_and(|since| now.duration_since(since) < WATCHED)
    }
}

/// What is done with a pack, by what it would change here.
pub fn course(policy: PackPolicy, shadow: &Shadow) -> Course {
    match policy {
        PackPolicy::Adopt => Course::Adopt,
        PackPolicy::Ask => Course::Hold,
        PackPolicy::Hold if !shadow.is_harmless() => Course::Hold,
        PackPolicy::Hold if shadow.until_read > 0 => Course::UntilRead,
        PackPolicy::Hold => Course::Adopt,
    }
}

/// Whether a pack is to be taken back: of the devices that the pack before read completely, more than a fifth are not any more.
pub fn does_harm(complete_before: u32, no_longer: u32) -> bool {
    u64::from(no_longer) * 5 > u64::from(complete_before)
}

#[cfg(test)]
mod tests {
    use super::super::shadow::Change;
    use super::*;

    fn place(version: u64) -> Place {
        Place::parse(&format!("stable {version}")).unwrap()
    }

    /// What is said of version `found` after these were used, the last of them taken back where `back`.
    #[track_caller]
    fn check(used: &[u64], back: bool, found: u64, downgrade: bool, expected: Option<&str>) {
        let (mut state, now) = (State::default(), Timestamp::UNIX_EPOCH);
        used.iter().for_each(|version| state.adopting(&place(*version), None, now));
        if back {
            state.take_back(&place(*used.last().unwrap()));
        }
        let label = format!("pmd-pack channel=stable version={found} expires=2026-12-31T00:00:00Z");
        let (label, channel) = (Label::parse(&label).unwrap(), Channel::parse("stable").unwrap());
        let barred = state.admits(&label, &channel, downgrade, now).err().map(|barred| barred.to_string());
        assert_eq!(barred.as_deref(), expected);
    }

    #[test]
    fn a_pack_that_has_expired_comes_only_when_a_person_insists() {
        let label = Label::parse("pmd-pack channel=stable version=9 expires=2026-12-31T00:00:00Z").unwrap();
        let channel = Channel::parse("stable").unwrap();
        let admits = |at: &str, downgrade| State::default().admits(&label, &channel, downgrade, at.parse().unwrap());
        assert_eq!(admits("2026-12-30T23:59:59Z", false), Ok(()));
        assert_eq!(admits("2026-12-31T00:00:00Z", true), Ok(()));
        assert_eq!(
            admits("2026-12-31T00:00:00Z", false).unwrap_err().to_string(),
            "version 9 expired at 2026-12-31T00:00:00Z, and a newer one ought to have come: `--allow-downgrade` takes it all \
             the same"
        );
    }

    #[test]
    fn only_a_person_brings_an_older_pack_or_one_that_was_taken_back() {
        check(&[], false, 1, false, None);
        check(&[3, 5], false, 5, false, None);
        check(&[3, 5], false, 6, false, None);
        let older = "version 4 is older than 5, which was in use here: `--allow-downgrade` takes it all the same";
        check(&[3, 5], false, 4, false, Some(older));
        check(&[5, 3], false, 4, false, Some(older));
        check(&[3, 5], false, 4, true, None);
        let taken_back = "version 5 is not used by itself: 5 was taken back here, and a newer one is waited for";
        check(&[3, 5], true, 5, false, Some(taken_back));
        check(&[3, 5], true, 5, true, None);
        check(&[3, 5], true, 6, false, None);
    }

    #[test]
    fn a_pack_of_another_channel_never_comes() {
        let label = Label::parse("pmd-pack channel=beta version=9 expires=2026-12-31T00:00:00Z").unwrap();
        let barred = State::default().admits(&label, &Channel::parse("stable").unwrap(), true, Timestamp::UNIX_EPOCH);
        assert_eq!(barred.unwrap_err().to_string(), "it is of channel `beta`, and this site follows `stable`");
    }

    #[test]
    fn what_changes_a_billed_value_is_held_and_what_cannot_be_told_waits_for_a_reading() {
        let harmless = Shadow { tried: 9, other_texts: 9, unheard: 1, ..Shadow::default() };
        let unread = Shadow { until_read: 1, ..harmless.clone() };
        let change = Change { devices: 1, before: "1".to_owned(), after: "2".to_owned() };
        let mut harmful = unread.clone();
        harmful.changes.insert(("Acme".to_owned(), "system.impressions".to_owned()), change);
        for (policy, expected) in [
            (PackPolicy::Hold, [Course::Adopt, Course::UntilRead, Course::Hold]),
            (PackPolicy::Adopt, [Course::Adopt; 3]),
            (PackPolicy::Ask, [Course::Hold; 3]),
        ] {
            let found = [&harmless, &unread, &harmful].map(|shadow| course(policy, shadow));
            assert_eq!(found, expected, "{policy:?}");
        }
    }

    #[test]
    fn more_than_a_fifth_is_harm() {
        for (before, no_longer, expected) in [(0, 0, false), (10, 2, false), (10, 3, true), (1, 1, true), (5, 1, false)]
        {
            assert_eq!(does_harm(before, no_longer), expected, "{no_longer} of {before}");
        }
    }
}
