//! A recorded walk as an agent: `.snmprec` lines `OID|type|value`, as `../shared/walks` has them.

use std::collections::BTreeMap;

use super::{Absent, Agent, Answer, Limits, Oid, Traffic, Unanswered, Value, VarBind};

/// Bytes of a recording; a longer one is refused.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Objects of a recording; more are refused.
pub const OBJECTS_MAX: usize = 200_000;

/// A line that is no object of a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct BadLine {
    /// From 1; 0 is the file as a whole.
    pub line: usize,
    /// What was found and what would be right.
    pub text: String,
}

/// Objects by OID, each context a walk of its own.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    contexts: BTreeMap<String, BTreeMap<Oid, Value>>,
    limits: Limits,
    traffic: Traffic,
}

impl Recording {
    /// Reads a recording; every line that is wrong is named.
    pub fn parse(text: &str) -> Result<Self, Vec<BadLine>> {
        let mut recording = Self::default();
        recording.add_context("", text)?;
        Ok(recording)
    }

    /// A recording of these objects, in the default context.
    pub fn of(objects: impl IntoIterator<Item = (Oid, Value)>) -> Self {
        let contexts = BTreeMap::from([(String::new(), objects.into_iter().collect())]);
        Self { contexts, ..Self::default() }
    }

    /// Adds what the device answers in an SNMPv3 context.
    pub fn add_context(&mut self, context: &str, text: &str) -> Result<(), Vec<BadLine>> {
        if text.len() > BYTES_MAX {
            return Err(vec![BadLine { line: 0, text: format!("{} bytes: {BYTES_MAX} at most", text.len()) }]);
        }
        let mut objects = BTreeMap::new();
        let mut faults = Vec::new();
        for (n, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match object(line) {
                Ok((oid, value)) => {
                    // the first one counts: agents that loop repeat themselves
                    objects.entry(oid).or_insert(value);
                }
                Err(text) => faults.push(BadLine { line: n + 1, text }),
            }
        }
        if objects.len() > OBJECTS_MAX {
            faults.push(BadLine { line: 0, text: format!("{} objects: {OBJECTS_MAX} at most", objects.len()) });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        self.contexts.insert(context.to_owned(), objects);
        Ok(())
    }

    /// All objects of a context, in order.
    pub fn objects(&self, context: &str) -> impl Iterator<Item = (&Oid, &Value)> {
        self.contexts.get(context).into_iter().flatten()
    }

    fn answer(&self, context: &str, oid: &Oid) -> Answer {
        let Some(objects) = self.contexts.get(context) else { return Err(Absent::NoSuchObject) };
        objects.get(oid).cloned().ok_or(Absent::NoSuchInstance)
    }

    fn next(&self, context: &str, oid: &Oid) -> VarBind {
        use std::ops::Bound::{Excluded, Unbounded};
        let objects = self.contexts.get(context);
        match objects.and_then(|objects| objects.range((Excluded(oid.clone()), Unbounded)).next()) {
            Some((oid, value)) => VarBind { oid: oid.clone(), answer: Ok(value.clone()) },
            None => VarBind { oid: oid.clone(), answer: Err(Absent::EndOfMibView) },
        }
    }

    /// One request for each so many objects, as a session cuts them.
    fn count(&mut self, objects: usize) {
        let requests = objects.div_ceil(self.limits.varbinds_max.max(1)) as u64;
        self.traffic.requests += requests;
        self.traffic.responses += requests;
    }
}

impl Agent for Recording {
    fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    async fn get(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        self.count(oids.len());
        Ok(oids.iter().map(|oid| VarBind { oid: oid.clone(), answer: self.answer(context, oid) }).collect())
    }

    async fn get_next(&mut self, context: &str, oids: &[Oid]) -> Result<Vec<VarBind>, Unanswered> {
        self.count(oids.len());
        Ok(oids.iter().map(|oid| self.next(context, oid)).collect())
    }

    async fn get_bulk(
        &mut self,
        context: &str,
        oids: &[Oid],
        single: usize,
        repetitions: u16,
    ) -> Result<Vec<VarBind>, Unanswered> {
        self.count(1);
        let (once, often) = oids.split_at(single.min(oids.len()));
        let mut answers: Vec<VarBind> = once.iter().map(|oid| self.next(context, oid)).collect();
        let mut at = often.to_vec();
        for _ in 0..repetitions {
            for oid in &mut at {
                let next = self.next(context, oid);
                oid.clone_from(&next.oid);
                answers.push(next);
            }
        }
        Ok(answers)
    }

    fn gone(&self) -> Option<Unanswered> {
        None
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn is_free(&self) -> bool {
        true
    }
}

fn object(line: &str) -> Result<(Oid, Value), String> {
    let mut parts = line.splitn(3, '|');
    let (Some(oid), Some(kind), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("not an object: `OID|type|value` would be".to_owned());
    };
    Ok((oid.trim().parse().map_err(|error: super::oid::BadOid| error.to_string())?, value(kind, text)?))
}

fn value(kind: &str, value: &str) -> Result<Value, String> {
    let number =
        |what: &str| -> Result<u64, String> { value.trim().parse().map_err(|_| format!("`{value}` is no {what}")) };
    let bytes = || hex(value).ok_or_else(|| format!("`{value}` is not pairs of hex digits"));
    Ok(match kind {
        "2" => Value::Integer(value.trim().parse().map_err(|_| format!("`{value}` is no INTEGER"))?),
        "4" => Value::Octets(value.as_bytes().to_vec()),
        "4x" => Value::Octets(bytes()?),
        "5" => Value::Nothing,
        "6" => Value::Oid(value.trim().parse().map_err(|error: super::oid::BadOid| error.to_string())?),
        "64" => Value::IpAddress(address(value).ok_or_else(|| format!("`{value}` is no IpAddress"))?),
        "64x" => {
            let four: Result<[u8; 4], _> = bytes()?.try_into();
            Value::IpAddress(four.map_err(|_| format!("`{value}` is no IpAddress"))?)
        }
        "65" | "70" => Value::Counter(number("counter")?),
        "66" => Value::Gauge(number("gauge")?),
        "67" => {
            Value::TimeTicks(u32::try_from(number("TimeTicks")?).map_err(|_| format!("`{value}` is no TimeTicks"))?)
        }
        "68" => Value::Opaque(value.as_bytes().to_vec()),
        "68x" => Value::Opaque(bytes()?),
        other => return Err(format!("type `{other}`: 2 4 4x 5 6 64 65 66 67 68 70 are known")),
    })
}

/// Appends `type|value`, also of an object without one: `-|reason`. A string is hex unless it is plain ASCII.
pub fn push_answer(text: &mut String, answer: &Answer) {
    match answer {
        Ok(Value::Integer(n)) => {
            text.push_str(if *n < 0 { "2|-" } else { "2|" });
            push_number(text, n.unsigned_abs());
        }
        Ok(Value::Octets(bytes)) => match std::str::from_utf8(bytes) {
            Ok(plain)
                if bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'|' | b'"' | b'\\')) =>
            {
                text.push_str("4|");
                text.push_str(plain);
            }
            _ => {
                text.push_str("4x|");
                push_hex(text, bytes);
            }
        },
        Ok(Value::Nothing) => text.push_str("5|"),
        Ok(Value::Oid(value)) => text.push_str(&format!("6|{value}")),
        Ok(Value::IpAddress([a, b, c, d])) => text.push_str(&format!("64|{a}.{b}.{c}.{d}")),
        Ok(Value::Counter(n)) => {
            text.push_str("70|");
            push_number(text, *n);
        }
        Ok(Value::Gauge(n)) => {
            text.push_str("66|");
            push_number(text, *n);
        }
        Ok(Value::TimeTicks(n)) => {
            text.push_str("67|");
            push_number(text, u64::from(*n));
        }
        Ok(Value::Opaque(bytes)) => {
            text.push_str("68x|");
            push_hex(text, bytes);
        }
        Err(absent) => {
            text.push_str("-|");
            text.push_str(ABSENT.iter().find(|(_, known)| known == absent).map_or("refused", |(word, _)| word));
        }
    }
}

/// Reads what [`push_answer`] wrote.
pub fn answer(kind: &str, text: &str) -> Result<Answer, String> {
    if kind != "-" {
        return value(kind, text).map(Ok);
    }
    let absent = ABSENT.iter().find(|(known, _)| *known == text).map(|(_, absent)| Err(*absent));
    absent.ok_or_else(|| format!("`{text}` is no reason"))
}

/// Appends a number. By hand, because a device's answers are a thousand of them, and formatting takes four times as long.
pub fn push_number(text: &mut String, number: u64) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |half: u8| char::from(if half < 10 { b'0' + half } else { b'a' + half - 10 });
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
}

const ABSENT: [(&str, Absent); 5] = [
    ("object", Absent::NoSuchObject),
    ("instance", Absent::NoSuchInstance),
    ("end", Absent::EndOfMibView),
    ("refused", Absent::Refused),
    ("silent", Absent::NoAnswer),
];

fn hex(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn address(text: &str) -> Option<[u8; 4]> {
    text.trim().parse::<std::net::Ipv4Addr>().ok().map(|address| address.octets())
}
