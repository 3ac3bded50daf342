//! The pairs of an IEEE 1284 device id, `MFG:Acme;MDL:Laser 9;SN:12345;`, under all the names that makers have for them.

use crate::normalise::text;

/// IEEE 1284 keys of the serial number: what is read as one, and what the field policy takes out.
pub const SERIAL_KEYS: [&str; 5] = ["SN", "SER", "SERN", "SERIALNUMBER", "SERIAL"];

/// IEEE 1284 keys that mean the same.
const KEYS: [&[&str]; 7] = [
    &["MFG", "MANUFACTURER", "MANUFACTURE"],
    &["MDL", "MODEL"],
    &["CMD", "COMMAND SET"],
    &["CLS", "CLASS"],
    &["DES", "DESCRIPTION"],
    &SERIAL_KEYS,
    &["CID", "COMPATIBLEID"],
];

/// The value of a key in `KEY:value;KEY:value;`.
pub fn pair(text: &str, key: &str) -> Option<String> {
    let wanted = KEYS.iter().find(|keys| keys.iter().any(|k| k.eq_ignore_ascii_case(key)));
    text.split(';').find_map(|item| {
        let (name, value) = item.split_once(':')?;
        let name = name.trim_matches(|c: char| c.is_whitespace() || c.is_control());
        let same = match wanted {
            Some(keys) => keys.iter().any(|k| k.eq_ignore_ascii_case(name)),
            None => name.eq_ignore_ascii_case(key),
        };
        let value = text::clean(value);
        (same && !value.is_empty()).then_some(value)
    })
}
