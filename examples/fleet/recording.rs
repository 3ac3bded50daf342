//! A recorded walk: lines `OID|TAG|VALUE` as snmpsim writes them, and how one recording serves many printers.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::ber;

/// One object, encoded already: an agent copies it into its answer.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its arcs, for comparing.
    pub arcs: Vec<u32>,
    /// Its OID as a BER element.
    pub name: Vec<u8>,
    /// Its value as a BER element.
    pub value: Vec<u8>,
}

/// The objects of a device in the order of a walk, each OID once (of two lines with one OID the first counts).
#[derive(Clone, Debug, Default)]
pub struct Recording {
    objects: Vec<Object>,
    /// Their places by the content of their OID elements: most requests name objects that are there.
    places: HashMap<Box<[u8]>, usize>,
}

impl Recording {
    /// Reads a `.snmprec` file.
    pub fn load(path: &Path) -> Result<Arc<Self>, String> {
        let text = fs::read_to_string(path).map_err(|why| format!("recording `{}`: {why}", path.display()))?;
        Self::parse(&text).map(Arc::new).map_err(|why| format!("recording `{}` {why}", path.display()))
    }

    /// Reads lines `OID|TAG|VALUE`; blank lines and those that begin with `#` are passed over.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut objects = Vec::new();
        for (n, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            objects.push(object(line).ok_or_else(|| format!("line {}: `{line}` is not `OID|TAG|VALUE`", n + 1))?);
        }
        Ok(Self::new(objects))
    }

    /// Takes objects in any order.
    pub fn new(mut objects: Vec<Object>) -> Self {
        objects.sort_by(|a, b| a.arcs.cmp(&b.arcs));
        objects.dedup_by(|later, earlier| later.arcs == earlier.arcs);
        let content = |object: &Object| ber::expect(&mut &*object.name, ber::OID).map(Into::into);
        let places = objects.iter().enumerate().filter_map(|(place, object)| Some((content(object)?, place))).collect();
        Self { objects, places }
    }

    /// All objects, in the order of a walk.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The place of the first object behind `arcs`.
    pub fn after(&self, arcs: &[u32]) -> usize {
        self.objects.partition_point(|object| object.arcs.as_slice() <= arcs)
    }

    /// The place of the object with this OID, by the content of its element; None also for an OID that was encoded in
    /// more bytes than it needs.
    pub fn named(&self, content: &[u8]) -> Option<usize> {
        self.places.get(content).copied()
    }

    /// The place of this object.
    pub fn find(&self, arcs: &[u32]) -> Option<usize> {
        self.objects.binary_search_by(|object| object.arcs.as_slice().cmp(arcs)).ok()
    }
}

/// What one device answers in one context: a recording that it shares with others, and its own values in it.
#[derive(Clone, Debug)]
pub struct View {
    /// The objects.
    pub recording: Arc<Recording>,
    /// This device's own values (BER elements) by place in the recording.
    pub own: BTreeMap<usize, Vec<u8>>,
}

impl View {
    /// A device that answers the recording as it is.
    pub fn of(recording: &Arc<Recording>) -> Self {
        Self { recording: Arc::clone(recording), own: BTreeMap::new() }
    }

    /// The object at a place: its arcs, its OID element and this device's value.
    pub fn at(&self, place: usize) -> Option<(&[u32], &[u8], &[u8])> {
        let object = self.recording.objects.get(place)?;
        Some((&object.arcs, &object.name, self.own.get(&place).unwrap_or(&object.value)))
    }
}

fn object(line: &str) -> Option<Object> {
    let mut parts = line.splitn(3, '|');
    let arcs = arcs(parts.next()?)?;
    let (tag, text) = (parts.next()?, parts.next()?);
    let name = ber::oid(&arcs);
    Some(Object { name, value: value(tag, text)?, arcs })
}

/// The arcs of a dotted OID.
pub fn arcs(text: &str) -> Option<Vec<u32>> {
    text.trim_start_matches('.').split('.').map(|arc| arc.parse().ok()).collect()
}

/// The value of a line as a BER element. An `x` behind the tag's number means that the text is hex.
fn value(tag: &str, text: &str) -> Option<Vec<u8>> {
    let (number, hex) = match tag.strip_suffix('x') {
        Some(number) => (number, true),
        None => (tag, false),
    };
    let tag: u8 = number.parse().ok()?;
    if hex {
        return Some(ber::element(tag, &bytes(text)?));
    }
    Some(match tag {
        2 => ber::integer(tag, text.trim().parse().ok()?),
        5 => ber::element(tag, &[]),
        6 => ber::oid(&arcs(text.trim())?),
        64 => {
            let address: std::net::Ipv4Addr = text.trim().parse().ok()?;
            ber::element(tag, &address.octets())
        }
        65 | 66 | 67 | 70 => ber::unsigned(tag, text.trim().parse().ok()?),
        _ => ber::element(tag, text.as_bytes()),
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let hex = hex.trim();
    (hex.len().is_multiple_of(2) && hex.is_ascii())
        .then(|| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect())
        .flatten()
}
