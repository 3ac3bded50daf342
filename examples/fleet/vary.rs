//! One recording, many printers: every device of a fleet has a serial, addresses, names, counters and levels of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ber;
use super::manner::Dice;
use super::recording::{Recording, View, arcs};

/// Where serial numbers stand; the first that is there is taken, and replaced wherever else it occurs.
const SERIALS: &[&str] = &[
    "1.3.6.1.2.1.43.5.1.1.17",
    "1.3.6.1.4.1.1347.43.5.1.1.28",
    "1.3.6.1.4.1.11.2.3.9.4.2.1.1.3.3",
    "1.3.6.1.4.1.367.3.2.1.2.1.4",
    "1.3.6.1.4.1.2435.2.3.9.4.2.1.5.5.1",
];
const HARDWARE_ADDRESSES: &str = "1.3.6.1.2.1.2.2.1.6";
const SYSTEM_NAME: &str = "1.3.6.1.2.1.1.5.0";
/// What counts pages. All of a device's are multiplied by one whole number, so that parts still add up to their total.
const COUNTERS: &[&str] = &[
    "1.3.6.1.2.1.43.10.2.1.4",
    "1.3.6.1.4.1.1347.43.10.1.1.12",
    "1.3.6.1.4.1.1347.42.3.1",
    "1.3.6.1.4.1.1347.42.2.1.1.1.6",
    "1.3.6.1.4.1.1347.42.2.1.1.1.7",
    "1.3.6.1.4.1.1347.42.2.1.1.1.8",
    "1.3.6.1.4.1.1347.42.2.5.1.1",
    "1.3.6.1.4.1.1347.46.10.1.1.5",
    "1.3.6.1.4.1.11.2.3.9.4.2.1.4.1.2.5",
    "1.3.6.1.4.1.11.2.3.9.4.2.1.4.1.2.6",
    "1.3.6.1.4.1.11.2.3.9.4.2.1.4.1.2.7",
    "1.3.6.1.4.1.11.2.3.9.4.2.1.4.1.2.22",
    "1.3.6.1.4.1.367.3.2.1.2.19.5.1.9",
];
const CAPACITY: &str = "1.3.6.1.2.1.43.11.1.1.8";
const LEVEL: &str = "1.3.6.1.2.1.43.11.1.1.9";

/// The `number`-th printer of a recording; number 0 is the recording itself. Without `own_names` all have the recording's
/// host name.
pub fn vary(recording: &Arc<Recording>, number: u32, own_names: bool) -> View {
    let mut view = View::of(recording);
    if number == 0 {
        return view;
    }
    let mut dice = Dice::new(u64::from(number));
    let replaced = replaced_texts(recording, number, own_names);
    let factor = 2 + i64::try_from(dice.roll() % 60).unwrap_or(0);
    let parsed = |roots: &[&str]| roots.iter().filter_map(|root| arcs(root)).collect::<Vec<_>>();
    let (names, counters, levels) = (parsed(&[SYSTEM_NAME]), parsed(COUNTERS), parsed(&[LEVEL]));
    let under = |object: &[u32], roots: &[Vec<u32>]| roots.iter().any(|root| object.starts_with(root));
    for (place, object) in recording.objects().iter().enumerate() {
        let own = if under(&object.arcs, &names) {
            text(&object.value)
                .filter(|name| own_names && !name.is_empty())
                .map(|name| ber::group(ber::OCTETS, &[name, format!("-{number}").as_bytes()]))
        } else if under(&object.arcs, &counters) {
            count(&object.value).map(|count| ber::integer(object.value[0], count * factor))
        } else if under(&object.arcs, &levels) {
            level(recording, &object.arcs, &object.value, &mut dice)
        } else {
            let new = replaced.iter().fold(None, |new: Option<Vec<u8>>, (from, to)| {
                replace(new.as_deref().or(text(&object.value))?, from, to).or(new)
            });
            new.map(|text| ber::element(object.value[0], &text))
        };
        if let Some(own) = own {
            view.own.insert(place, own);
        }
    }
    view
}

/// The texts to be replaced: the serial by one with the same beginning, hardware addresses by others of their maker,
/// and with `own_names` the tails of these as they stand in host names.
fn replaced_texts(recording: &Recording, number: u32, own_names: bool) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut replaced = BTreeMap::new();
    let strings = |root: &str| {
        let root = arcs(root).unwrap_or_default();
        let under = recording.objects().iter().filter(move |object| object.arcs.starts_with(&root));
        under.filter_map(|object| text(&object.value)).collect::<Vec<_>>()
    };
    if let Some(serial) = SERIALS.iter().flat_map(|root| strings(root)).find(|serial| serial.len() >= 6) {
        let kept = &serial[..serial.len() - 5];
        // A fleet has fewer than 99,999 printers: that tail is free for the one that would get the recording's own.
        let tails = [format!("{number:05}"), "99999".to_owned()].map(|tail| [kept, tail.as_bytes()].concat());
        let own = tails.into_iter().find(|own| own != serial).unwrap_or_default();
        replaced.insert(serial.to_vec(), own);
    }
    for hardware in strings(HARDWARE_ADDRESSES) {
        let [a, b, c, d, e, f] = *hardware else { continue };
        // Odd, so that no two devices meet: the last byte stays, which tells a device's interfaces apart.
        let [_, _, high, low] = number.wrapping_mul(0x9e37).to_be_bytes();
        let (d2, e2) = (d ^ high, e ^ low);
        replaced.insert(hardware.to_vec(), vec![a, b, c, d2, e2, f]);
        let tail = |d: u8, e: u8| format!("{d:02X}{e:02X}{f:02X}").into_bytes();
        if own_names {
            replaced.insert(tail(d, e), tail(d2, e2));
        }
    }
    replaced
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let at = text.windows(from.len()).position(|window| window == from)?;
    Some([&text[..at], to, &text[at + from.len()..]].concat())
}

/// A level that the capacity allows; −3, −2 and the like stay as they are.
fn level(recording: &Recording, level: &[u32], value: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let row = level.strip_prefix(arcs(LEVEL)?.as_slice())?;
    let capacity = recording.find(&[arcs(CAPACITY)?.as_slice(), row].concat())?;
    let capacity = count(&recording.objects()[capacity].value).filter(|capacity| *capacity > 0)?;
    count(value)
        .filter(|level| *level > 0)
        .map(|_| ber::integer(value[0], 1 + i64::try_from(dice.roll() % capacity.unsigned_abs()).unwrap_or(0)))
}

fn text(value: &[u8]) -> Option<&[u8]> {
    ber::expect(&mut &*value, ber::OCTETS)
}

/// The number of an INTEGER, Counter32, Gauge32 or Counter64.
pub fn count(mut value: &[u8]) -> Option<i64> {
    let (tag, content) = ber::take(&mut value)?;
    [ber::INTEGER, 0x41, 0x42, 0x46]
        .contains(&tag)
        .then(|| ber::expect_integer(&mut &*ber::element(ber::INTEGER, content)))?
}
