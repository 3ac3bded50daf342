//! A value on its way through a rule, and the transforms that it passes.

use std::borrow::Cow;

use meterpost_wire::reading::Coded;

use super::text::{self, Charset};
use crate::device_id::pair;
use crate::pmd::raw::Scalar;
use crate::pmd::rule::{Step, Test, Tlv, TlvPart, Validity};
use crate::snmp::{Oid, Value};

/// A value on its way.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Bytes of unknown meaning.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// An OID.
    Oid(Oid),
    /// A registered label.
    Label(Coded),
}

/// Why a rule gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The device has no such object, or says in its way that it does not support it.
    NotSupported(String),
    /// It did not answer this object.
    NoAnswer(String),
    /// It answered something that fails a transform or a validity rule.
    Rejected(String),
    /// A condition does not hold: the rule is not for this device.
    PassedOver(String),
}

impl From<&Value> for Datum {
    fn from(value: &Value) -> Self {
        match value {
            Value::Integer(n) => Self::Int(*n),
            Value::Counter(n) | Value::Gauge(n) => i64::try_from(*n).map_or(Self::Float(*n as f64), Self::Int),
            Value::TimeTicks(n) => Self::Int(i64::from(*n)),
            Value::Octets(bytes) | Value::Opaque(bytes) => Self::Bytes(bytes.clone()),
            Value::Oid(oid) => Self::Oid(oid.clone()),
            Value::IpAddress([a, b, c, d]) => Self::Text(format!("{a}.{b}.{c}.{d}")),
            Value::Nothing => Self::Bytes(Vec::new()),
        }
    }
}

impl From<&Scalar> for Datum {
    fn from(scalar: &Scalar) -> Self {
        match scalar {
            Scalar::Bool(b) => Self::Int(i64::from(*b)),
            Scalar::Number(n) => Self::Int(*n),
            Scalar::Float(n) => Self::Float(*n),
            Scalar::Text(text) => Self::Text(text.clone()),
        }
    }
}

impl Datum {
    /// As text, in the charset that the device declares.
    pub fn text(&self, declared: Option<Charset>) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            Self::Float(n) => n.to_string(),
            Self::Bytes(bytes) => text::decode(bytes, None, declared),
            Self::Text(text) => text.clone(),
            Self::Oid(oid) => oid.to_string(),
            Self::Label(coded) => coded.label.clone(),
        }
    }

    /// As one clean line of that text, borrowed where it is one already.
    pub fn line(&self, declared: Option<Charset>) -> Cow<'_, str> {
        match self {
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text::cleaned(text),
                Err(_) => Cow::Owned(text::clean(&text::decode(bytes, None, declared))),
            },
            Self::Text(text) => text::cleaned(text),
            Self::Label(coded) => text::cleaned(&coded.label),
            other => Cow::Owned(other.text(declared)),
        }
    }

    /// As a number: any numeric type, and text that is nothing but a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Float(n) => n.is_finite().then_some(*n),
            Self::Bytes(bytes) => number_in(std::str::from_utf8(bytes).ok()?),
            Self::Text(text) => number_in(text),
            Self::Oid(_) => None,
            Self::Label(coded) => coded.code.map(|n| n as f64),
        }
    }

    /// Whether it is that constant: numbers as numbers, texts without case and outer blanks.
    pub fn is(&self, scalar: &Scalar, declared: Option<Charset>) -> bool {
        match scalar {
            Scalar::Bool(b) => self.number() == Some(f64::from(u8::from(*b))),
            Scalar::Number(n) => self.number() == Some(*n as f64),
            Scalar::Float(n) => self.number() == Some(*n),
            Scalar::Text(wanted) => {
                let (own, wanted) = (self.line(declared), wanted.trim());
                // the same letters, or the same ones of a script that is dearer to fold
                let folds = || !(own.is_ascii() && wanted.is_ascii()) && own.to_lowercase() == wanted.to_lowercase();
                own.eq_ignore_ascii_case(wanted) || folds()
            }
        }
    }

    /// Whether it passes a test; a value that is there is present.
    pub fn passes(&self, test: &Test, declared: Option<Charset>) -> bool {
        match test {
            Test::Is(list) => list.iter().any(|one| self.is(one, declared)),
            Test::Not(list) => !list.iter().any(|one| self.is(one, declared)),
            Test::Match(pattern) => pattern.is_match(&self.line(declared)),
            Test::Present(present) => *present,
        }
    }

    /// Passes a transform.
    pub fn step(self, step: &Step, declared: Option<Charset>) -> Result<Self, Lost> {
        let text = |datum: &Self| datum.text(declared);
        Ok(match step {
            Step::Strip(prefix) => match self {
                Self::Bytes(bytes) => Self::Bytes(bytes.strip_prefix(prefix.as_slice()).unwrap_or(&bytes).to_vec()),
                other => other,
            },
            Step::Hex => Self::Bytes(hex(&text(&self)).ok_or_else(|| rejected("no text of hex digits", &self))?),
            Step::Arcs(before) => {
                Self::Text(arcs(&self, before).ok_or_else(|| rejected("no text in the arcs", &self))?)
            }
            Step::Int => match &self {
                Self::Bytes(bytes) if (1..=8).contains(&bytes.len()) => Self::Int(big_endian(bytes)),
                _ => return Err(rejected("not 1 to 8 bytes", &self)),
            },
            Step::Float => Self::Float(float(&self).ok_or_else(|| rejected("no IEEE 754 number", &self))?),
            Step::Bcd => Self::Int(bcd(&self).ok_or_else(|| rejected("no packed decimal digits", &self))?),
            Step::Mac => Self::Text(mac(&self).ok_or_else(|| rejected("no address of 6 bytes", &self))?),
            Step::Tlv(tlv) => Self::Int(tagged(&self, *tlv)?),
            Step::Bits(from, count) => match &self {
                Self::Bytes(bytes) => Self::Int(bits(bytes, *from, *count)),
                _ => return Err(rejected("no bytes", &self)),
            },
            Step::Mask(mask) => match &self {
                Self::Int(n) => Self::Int(((n.cast_unsigned() & mask) >> mask.trailing_zeros()).cast_signed()),
                _ => return Err(rejected("no whole number", &self)),
            },
            Step::Charset(charset) => match &self {
                Self::Bytes(bytes) => Self::Text(text::decode(bytes, Some(*charset), None)),
                _ => self,
            },
            Step::Pair(key) => {
                Self::Text(pair(&text(&self), key).ok_or_else(|| Lost::NotSupported(format!("no `{key}` in it")))?)
            }
            Step::Match(pattern) => {
                let text = self.line(declared);
                let found =
                    pattern.captures(&text).ok_or_else(|| Lost::NotSupported(format!("no `{pattern}` in it")))?;
                let part =
                    if pattern.captures_len() > 1 { found.iter().skip(1).flatten().next() } else { found.get(0) };
                Self::Text(part.map(|part| part.as_str().to_owned()).unwrap_or_default())
            }
            Step::Cut(patterns) => {
                let mut text = self.line(declared).into_owned();
                for pattern in patterns {
                    text = pattern.replace_all(&text, "").into_owned();
                }
                Self::Text(text)
            }
            Step::Words(list) => {
                let text = self.line(declared);
                let word =
                    list.find(&text).ok_or_else(|| Lost::NotSupported(format!("no word of `{}` in it", list.name)))?;
                Self::Text(word.to_owned())
            }
            Step::Labels(table) => match self.number() {
                Some(n) if n.fract() == 0.0 => Self::Label(Coded::from_code(*table, n as i64)),
                _ => return Err(rejected("no number", &self)),
            },
            Step::Map(pairs, otherwise) => {
                let (own, number) = (self.line(declared).to_lowercase(), self.number());
                let hit = pairs.iter().find(|pair| own == pair.from || (number.is_some() && number == pair.number));
                match (hit.map(|pair| &pair.to), otherwise) {
                    (Some(to), _) | (None, Some(to)) => Self::from(to),
                    (None, None) => self,
                }
            }
            Step::Scale(factor) => Self::Float(self.number().ok_or_else(|| rejected("no number", &self))? * factor),
        })
    }

    /// Checks a validity rule.
    pub fn valid(&self, rule: &Validity, declared: Option<Charset>) -> Result<(), Lost> {
        let fail = |what: String| Err(Lost::Rejected(format!("{} {what}", self.shown(declared))));
        match rule {
            Validity::Min(bound) if self.number().is_none_or(|n| n < *bound) => fail(format!("is below {bound}")),
            Validity::Max(bound) if self.number().is_none_or(|n| n > *bound) => fail(format!("is above {bound}")),
            Validity::Not(list) if list.iter().any(|one| self.is(one, declared)) => {
                Err(Lost::NotSupported(format!("{} means not supported", self.shown(declared))))
            }
            Validity::Accept(pattern) if !pattern.is_match(&self.text(declared)) => {
                fail(format!("has not `{pattern}`"))
            }
            Validity::Reject(pattern) if pattern.is_match(&self.text(declared)) => fail(format!("has `{pattern}`")),
            _ => Ok(()),
        }
    }

    /// For people, at most 80 characters.
    pub fn shown(&self, declared: Option<Charset>) -> String {
        let text = match self {
            Self::Bytes(bytes)
                if !bytes.iter().all(|b| (0x20..0x7f).contains(b)) && std::str::from_utf8(bytes).is_err() =>
            {
                bytes.iter().map(|b| format!("{b:02x}")).collect()
            }
            other => other.line(declared).into_owned(),
        };
        let cut: String = text.chars().take(80).collect();
        format!("`{cut}`")
    }
}

fn rejected(what: &str, datum: &Datum) -> Lost {
    Lost::Rejected(format!("{what}: {}", datum.shown(None)))
}

fn number_in(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let plain = text.strip_prefix('-').unwrap_or(text);
    let digits = !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_digit() || b == b'.') && plain.len() <= 20;
    if digits { text.parse().ok() } else { None }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != 0).collect();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
}

/// `<before>.<length>.<character>…`
fn arcs(datum: &Datum, before: &Oid) -> Option<String> {
    // `device.sys_object_id` is a text already
    let oid: Oid = match datum {
        Datum::Oid(oid) => oid.clone(),
        Datum::Text(text) => text.parse().ok()?,
        _ => return None,
    };
    let (length, rest) = oid.behind(before)?.split_first()?;
    let characters = rest.get(..usize::try_from(*length).ok()?)?;
    let bytes: Option<Vec<u8>> = characters.iter().map(|arc| u8::try_from(*arc).ok()).collect();
    String::from_utf8(bytes?).ok()
}

fn big_endian(bytes: &[u8]) -> i64 {
    bytes.iter().fold(0_u64, |n, byte| (n << 8) | u64::from(*byte)).cast_signed()
}

fn float(datum: &Datum) -> Option<f64> {
    let Datum::Bytes(bytes) = datum else { return None };
    let number = match bytes.len() {
        4 => f64::from(f32::from_be_bytes(bytes.as_slice().try_into().ok()?)),
        8 => f64::from_be_bytes(bytes.as_slice().try_into().ok()?),
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn bcd(datum: &Datum) -> Option<i64> {
    let Datum::Bytes(bytes) = datum else { return None };
    if bytes.is_empty() || bytes.len() > 9 {
        return None;
    }
    bytes.iter().try_fold(0_i64, |n, byte| {
        let (high, low) = (i64::from(byte >> 4), i64::from(byte & 0x0f));
        (high < 10 && low < 10).then_some(n * 100 + high * 10 + low)
    })
}

fn mac(datum: &Datum) -> Option<String> {
    let Datum::Bytes(bytes) = datum else { return None };
    // an address of a group (the lowest bit of the first byte) is nobody's own
    if bytes.len() != 6 || bytes.iter().all(|byte| *byte == 0) || bytes[0] & 1 == 1 {
        return None;
    }
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

/// Bit 0 is the highest of the first byte; what lies behind the end is 0.
fn bits(bytes: &[u8], from: usize, count: usize) -> i64 {
    (from..from + count).fold(0, |n, bit| {
        let set = bytes.get(bit / 8).is_some_and(|byte| byte & (0x80 >> (bit % 8)) != 0);
        (n << 1) | i64::from(set)
    })
}

/// One entry of a list {tag, 01, length, value}, ended by FF: the first with this tag, and this length where one is due.
fn tagged(datum: &Datum, tlv: Tlv) -> Result<i64, Lost> {
    let Datum::Bytes(bytes) = datum else { return Err(rejected("no bytes", datum)) };
    let mut rest = bytes.as_slice();
    while let Some((tag, tail)) = rest.split_first() {
        if *tag == 0xff {
            break;
        }
        let tail = if tlv.marker { tail.get(1..).unwrap_or_default() } else { tail };
        let Some((length, tail)) = tail.split_first() else { break };
        let Some((value, tail)) = tail.split_at_checked(usize::from(*length)) else { break };
        rest = tail;
        if *tag == tlv.tag && tlv.length.is_none_or(|length| length == value.len()) {
            let half = value.len() / 2;
            let part = match tlv.part {
                TlvPart::Whole => value,
                TlvPart::Value => &value[..half],
                TlvPart::Maximum => &value[half..],
            };
            return match part.len() {
                1..=8 => Ok(big_endian(part)),
                n => Err(Lost::Rejected(format!("entry {:02x} has {n} bytes", tlv.tag))),
            };
        }
    }
    Err(Lost::NotSupported(format!("no entry {:02x} in it", tlv.tag)))
}
