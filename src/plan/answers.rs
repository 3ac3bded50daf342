//! What a device said, and how it is kept until the next reading.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::snmp::oid::{self, ARCS_MAX};
use crate::snmp::{self, Absent, Answer, Oid, Value, recording};

/// Everything that a device said, by SNMPv3 context (empty: the default one) and OID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Each in walk order: a sorted list is looked through in a fraction of a tree's time and room, and every field asks.
    contexts: BTreeMap<String, Vec<(Oid, Answer)>>,
}

impl Answers {
    /// Takes answers; a value is never replaced by a missing one.
    pub fn extend(&mut self, context: &str, answers: impl IntoIterator<Item = (Oid, Answer)>) {
        self.merge(context, answers, |newer, older| newer.is_ok() || older.is_err());
    }

    /// Takes one answer, in the same way.
    pub fn insert(&mut self, context: &str, oid: Oid, answer: Answer) {
        self.extend(context, [(oid, answer)]);
    }

    /// What was said of an object; `None` when it was not asked.
    pub fn get(&self, context: &str, oid: &Oid) -> Option<&Answer> {
        self.cell(context, oid.arcs(), &[]).map(|(_, answer)| answer)
    }

    /// The value of an object.
    pub fn value(&self, context: &str, oid: &Oid) -> Option<&Value> {
        self.get(context, oid)?.as_ref().ok()
    }

    /// What was said of the object whose OID is a column's with an index behind it, and that OID.
    pub fn cell(&self, context: &str, column: &[u32], index: &[u32]) -> Option<(&Oid, &Answer)> {
        let objects = self.objects(context)?;
        let mut room = [0; ARCS_MAX];
        let wanted = if index.is_empty() { column } else { oid::joined(column, index, &mut room) };
        find(objects, wanted)
    }

    /// The cells of a column that have a value, with their indexes, in walk order.
    pub fn column<'a>(&'a self, context: &str, column: &'a Oid) -> impl Iterator<Item = (&'a [u32], &'a Value)> + 'a {
        self.under(context, column).filter_map(|(index, answer)| Some((index, answer.as_ref().ok()?)))
    }

    /// The cells of a column that were asked, with or without a value.
    pub fn under<'a>(&'a self, context: &str, column: &'a Oid) -> impl Iterator<Item = (&'a [u32], &'a Answer)> + 'a {
        let objects = self.within(context);
        let from = objects.partition_point(|(oid, _)| oid < column);
        objects[from..].iter().map_while(move |(oid, answer)| Some((oid.behind(column)?, answer)))
    }

    /// The default context is the first of all, and asked for nearly always: see [`snmp::context`].
    fn objects(&self, context: &str) -> Option<&Vec<(Oid, Answer)>> {
        match self.contexts.first_key_value() {
            Some((first, objects)) if first.is_empty() && context.is_empty() => Some(objects),
            _ if context.is_empty() => None,
            _ => self.contexts.get(context),
        }
    }

    /// Everything in a context, in walk order.
    pub fn within(&self, context: &str) -> &[(Oid, Answer)] {
        self.objects(context).map_or(&[], Vec::as_slice)
    }

    /// Everything, context by context.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Oid, &Answer)> {
        self.contexts
            .iter()
            .flat_map(|(context, objects)| objects.iter().map(move |(oid, answer)| (context.as_str(), oid, answer)))
    }

    /// Says of objects that they were not asked, or of columns that they may have rows that nobody saw: the device fell
    /// silent, or there is a row behind which it cannot be asked. What is known already stays.
    pub fn leave_open(&mut self, context: &str, oids: impl IntoIterator<Item = Oid>) {
        let open = oids.into_iter().map(|oid| (oid, Err(Absent::NoAnswer)));
        self.merge(context, open, |_, _| false);
    }

    /// Whether a column may have rows that nobody saw.
    pub fn is_open(&self, context: &str, column: &Oid) -> bool {
        matches!(self.get(context, column), Some(Err(Absent::NoAnswer)))
    }

    /// Whether something was not answered.
    pub fn has_silent(&self) -> bool {
        self.iter().any(|(_, _, answer)| matches!(answer, Err(Absent::NoAnswer)))
    }

    /// Drops what was not answered, as if it had not been asked.
    pub fn forget_silent(&mut self) {
        for objects in self.contexts.values_mut() {
            objects.retain(|(_, answer)| !matches!(answer, Err(Absent::NoAnswer)));
        }
    }

    /// Drops what was said of everything under an OID.
    pub fn forget(&mut self, root: &Oid) {
        for objects in self.contexts.values_mut() {
            objects.retain(|(oid, _)| !oid.is_under(root));
        }
    }

    /// Takes newer answers, missing ones too.
    pub fn overwrite(&mut self, newer: Self) {
        for (context, objects) in newer.contexts {
            self.merge(&context, objects, |_, _| true);
        }
    }

    fn merge(
        &mut self,
        context: &str,
        answers: impl IntoIterator<Item = (Oid, Answer)>,
        replaces: impl Fn(&Answer, &Answer) -> bool,
    ) {
        let mut newer: Vec<(Oid, Answer)> = answers.into_iter().collect();
        if newer.is_empty() {
            return;
        }
        let objects = match self.contexts.get_mut(context) {
            Some(objects) => objects,
            None => self.contexts.entry(context.to_owned()).or_default(),
        };
        newer.sort_by(|(a, _), (b, _)| a.cmp(b));
        // each request brings a few: what is known already is moved as it stands, not looked at again
        let mut older = std::mem::take(objects).into_iter();
        let mut merged: Vec<(Oid, Answer)> = Vec::with_capacity(older.len() + newer.len());
        for (oid, answer) in newer {
            let before = up_to(older.as_slice(), &oid);
            merged.extend(older.by_ref().take(before));
            match merged.last_mut().filter(|(known, _)| *known == oid) {
                Some((_, known)) if replaces(&answer, known) => *known = answer,
                Some(_) => {}
                None => merged.push((oid, answer)),
            }
        }
        merged.extend(older);
        *objects = merged;
    }
}

/// A binary search that does not compare again what both ends of the remaining stretch share with the OID wanted: that is
/// nearly all of it, and every field of every device looks up some.
fn find<'a>(objects: &'a [(Oid, Answer)], wanted: &[u32]) -> Option<(&'a Oid, &'a Answer)> {
    let (mut low, mut high) = (0, objects.len());
    let (mut same_low, mut same_high) = (0, 0);
    while low < high {
        let middle = low + (high - low) / 2;
        let (oid, answer) = &objects[middle];
        let arcs = oid.arcs();
        let shared = same_low.min(same_high);
        let same = shared + arcs[shared..].iter().zip(&wanted[shared..]).take_while(|(a, b)| a == b).count();
        match (arcs.get(same), wanted.get(same)) {
            (None, None) => return Some((oid, answer)),
            (own, other) if own < other => (low, same_low) = (middle + 1, same),
            _ => (high, same_high) = (middle, same),
        }
    }
    None
}

/// How many of the objects are not behind an OID. Looked for near the front first: what comes in is about as dense as what
/// is there.
fn up_to(objects: &[(Oid, Answer)], oid: &Oid) -> usize {
    let (mut at, mut leap) = (0, 1);
    while objects.get(at + leap - 1).is_some_and(|(known, _)| known <= oid) {
        at += leap;
        leap *= 2;
    }
    let behind = objects.len().min(at + leap - 1);
    at + objects[at..behind].partition_point(|(known, _)| known <= oid)
}

/// Stored as lines of `OID|type|value`, the types of a recording and `-` with a reason for what is missing, below a line
/// `@context` where it is not the default one: some kilobytes a device, and readable when something is to be understood.
impl Serialize for Answers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lines = Lines::default();
        for (context, oid, answer) in self.iter() {
            lines.object(context, oid);
            lines.text.push('|');
            recording::push_answer(&mut lines.text, answer);
        }
        serializer.serialize_str(&lines.text)
    }
}

impl<'de> Deserialize<'de> for Answers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut answers = Self::default();
        for object in objects(&text) {
            let (context, oid, rest) = object.map_err(D::Error::custom)?;
            let (kind, value) = rest.split_once('|').ok_or_else(|| D::Error::custom("an object without `|`"))?;
            let answer = recording::answer(kind, value).map_err(D::Error::custom)?;
            match answers.contexts.get_mut(context) {
                Some(objects) => objects.push((oid, answer)),
                None => drop(answers.contexts.insert(context.to_owned(), vec![(oid, answer)])),
            }
        }
        // looking up relies on it
        answers.contexts.values_mut().for_each(|objects| objects.sort_by(|(a, _), (b, _)| a.cmp(b)));
        Ok(answers)
    }
}

/// Objects with their contexts, stored in the same way: for `#[serde(with = …)]`.
pub mod named {
    use super::{Deserialize, Deserializer, Lines, Oid, Serializer, objects};
    use serde::de::Error as _;

    /// Writes a list.
    pub fn serialize<S: Serializer>(list: &[(String, Oid)], serializer: S) -> Result<S::Ok, S::Error> {
        let mut lines = Lines::default();
        list.iter().for_each(|(context, oid)| lines.object(context, oid));
        serializer.serialize_str(&lines.text)
    }

    /// Reads it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Oid)>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let named = objects(&text).map(|object| object.map(|(context, oid, _)| (context.to_owned(), oid)));
        named.collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

/// Lines under way. Of each OID only what differs from the one before is written, `<arcs kept>:<other arcs>`: neighbours
/// share nearly all, and what is kept of a device is sealed and stored at every reading.
#[derive(Default)]
struct Lines<'a> {
    text: String,
    context: &'a str,
    before: &'a [u32],
}

impl<'a> Lines<'a> {
    fn object(&mut self, context: &'a str, oid: &'a Oid) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        if !snmp::context::same(context, self.context) {
            self.text.push('@');
            self.text.push_str(context);
            self.text.push('\n');
            self.context = context;
        }
        let arcs = oid.arcs();
        let kept = arcs.iter().zip(self.before).take_while(|(a, b)| a == b).count();
        recording::push_number(&mut self.text, kept as u64);
        for (n, arc) in arcs[kept..].iter().enumerate() {
            self.text.push(if n == 0 { ':' } else { '.' });
            recording::push_number(&mut self.text, u64::from(*arc));
        }
        self.before = arcs;
    }
}

/// The objects of such lines: context, OID, and what stands behind its `|`.
fn objects(text: &str) -> impl Iterator<Item = Result<(&str, Oid, &str), String>> {
    let mut context = "";
    let mut arcs: Vec<u32> = Vec::new();
    text.split('\n').filter(|line| !line.is_empty()).filter_map(move |line| {
        if let Some(named) = line.strip_prefix('@') {
            context = named;
            return None;
        }
        let (oid, rest) = line.split_once('|').unwrap_or((line, ""));
        let (kept, others) = oid.split_once(':').unwrap_or((oid, ""));
        let bad = || format!("`{oid}` is no OID behind another");
        let Some(kept) = kept.parse().ok().filter(|kept| *kept <= arcs.len()) else { return Some(Err(bad())) };
        arcs.truncate(kept);
        for arc in others.split('.').filter(|arc| !arc.is_empty()) {
            match arc.parse() {
                Ok(arc) if arcs.len() < ARCS_MAX => arcs.push(arc),
                _ => return Some(Err(bad())),
            }
        }
        Some(Ok((context, Oid::new(&arcs), rest)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snmp::Absent;

    fn oid(text: &str) -> Oid {
        text.parse().unwrap()
    }

    #[test]
    fn a_value_stays_when_the_object_is_missing_later_and_goes_when_all_newer_ones_count() {
        let (object, mut answers) = (oid("1.3.6.1.2.1.1.1.0"), Answers::default());
        answers.insert("", object.clone(), Err(Absent::NoAnswer));
        answers.insert("", object.clone(), Ok(Value::Integer(1)));
        answers.insert("", object.clone(), Err(Absent::NoAnswer));
        assert_eq!(answers.get("", &object), Some(&Ok(Value::Integer(1))));
        answers.insert("", object.clone(), Ok(Value::Integer(2)));
        assert_eq!(answers.get("", &object), Some(&Ok(Value::Integer(2))));
        let mut newer = Answers::default();
        newer.insert("", object.clone(), Err(Absent::NoSuchInstance));
        answers.overwrite(newer);
        assert_eq!(answers.get("", &object), Some(&Err(Absent::NoSuchInstance)));
    }

    #[test]
    fn a_cell_is_found_by_column_and_index_and_a_column_in_walk_order() {
        let mut answers = Answers::default();
        for (n, object) in ["1.3.6.10.2", "1.3.6.1", "1.3.6.10.1", "1.3.6.10", "1.3.7"].into_iter().enumerate() {
            answers.insert("", oid(object), Ok(Value::Integer(n as i64)));
        }
        let column = oid("1.3.6.10");
        assert_eq!(answers.cell("", column.arcs(), &[2]).map(|(oid, _)| oid.clone()), Some(oid("1.3.6.10.2")));
        assert_eq!(answers.cell("", column.arcs(), &[3]), None);
        assert_eq!(answers.cell("", &[1, 3, 6, 1, 9], &[]), None);
        let all: Vec<Oid> = answers.iter().map(|(_, oid, _)| oid.clone()).collect();
        for known in &all {
            assert_eq!(
                answers.get("", known),
                answers.iter().find(|(_, oid, _)| *oid == known).map(|(.., answer)| answer)
            );
            for near in [known.join(&[0]), Oid::new(&known.arcs()[1..])] {
                assert_eq!(answers.get("", &near).is_some(), all.contains(&near));
            }
        }
        let indexes: Vec<&[u32]> = answers.column("", &column).map(|(index, _)| index).collect();
        assert_eq!(indexes, [&[][..], &[1], &[2]]);
    }

    #[track_caller]
    fn check_lines(answers: &Answers, expected: &str) {
        let text = serde_json::to_string(answers).unwrap();
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Answers>(&text).unwrap(), *answers);
    }

    #[test]
    fn a_stored_answer_reads_back_as_it_was_and_takes_little_room() {
        let mut answers = Answers::default();
        for (object, value) in [
            ("1.3.6.1.2.1.1.1.0", Value::Octets(vec![0, 0xff, 0x7c])),
            ("1.3.6.1.2.1.1.2.0", Value::Oid(oid("1.3.6"))),
            ("1.3.6.1.2.1.1.3.0", Value::TimeTicks(5)),
            ("1.3.6.1.2.1.1.5.0", Value::Octets(b" Tray 1, A4".to_vec())),
            ("1.3.6.1.2.1.1.6.0", Value::Octets(b"a|b\\".to_vec())),
            ("1.3.6.1.2.1.1.8.0", Value::Octets(Vec::new())),
            ("1.3.6.1.2.1.1.9.0", Value::IpAddress([10, 0, 0, 1])),
            ("1.3.6.1.2.1.2", Value::Integer(i64::MIN)),
        ] {
            answers.insert("Jetdirect", oid(object), Ok(value));
        }
        answers.insert("", oid("1.3.6.1.2.1.1.7.0"), Err(Absent::NoAnswer));
        check_lines(
            &answers,
            "0:1.3.6.1.2.1.1.7.0|-|silent\n@Jetdirect\n7:1.0|4x|00ff7c\n7:2.0|6|1.3.6\n7:3.0|67|5\n7:5.0|4| Tray 1, A4\n\
             7:6.0|4x|617c625c\n7:8.0|4|\n7:9.0|64|10.0.0.1\n6:2|2|-9223372036854775808",
        );
    }

    #[test]
    fn lines_that_are_none_are_refused() {
        for bad in ["1:3|2|1", "x|2|1", "0:1.3|2|x", "0:1.3", "0:1.4294967296|2|1"] {
            assert!(serde_json::from_str::<Answers>(&serde_json::to_string(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
