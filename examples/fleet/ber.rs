//! BER as SNMP uses it (X.690, RFC 3417 section 8): definite lengths, low tag numbers.
//!
//! Written for the simulator alone, so that a fault in the collector's codec cannot hide behind the same fault here.

pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const OID: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;
pub const COUNTER64: u8 = 0x46;

/// Cuts the first element off: its tag and its content. None when the bytes end too early.
pub fn take<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 3 {
            return None;
        }
        let (digits, behind) = rest.split_at_checked(count)?;
        length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length)?;
    *bytes = behind;
    Some((tag, content))
}

/// Like [`take`], for the one tag that may stand here.
pub fn expect<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let (found, content) = take(&mut rest)?;
    (found == tag).then(|| {
        *bytes = rest;
        content
    })
}

/// Cuts off an INTEGER of at most eight bytes.
pub fn expect_integer(bytes: &mut &[u8]) -> Option<i64> {
    let content = expect(bytes, INTEGER)?;
    let sign = i64::from(*content.first()? as i8) >> 7;
    (content.len() <= 8).then(|| content.iter().fold(sign, |sum, byte| sum << 8 | i64::from(*byte)))
}

/// The arcs of an OID's content; None when an arc does not end or is wider than 32 bits.
pub fn arcs(mut content: &[u8]) -> Option<Vec<u32>> {
    let mut arcs = Vec::with_capacity(content.len() + 1);
    while !content.is_empty() {
        let arc = take_arc(&mut content)?;
        if arcs.is_empty() {
            arcs.extend([(arc / 40).min(2), arc - 40 * (arc / 40).min(2)]);
        } else {
            arcs.push(arc);
        }
    }
    Some(arcs)
}

/// Whether [`arcs`] can read them.
pub fn are_arcs(mut content: &[u8]) -> Option<()> {
    while !content.is_empty() {
        take_arc(&mut content)?;
    }
    Some(())
}

fn take_arc(content: &mut &[u8]) -> Option<u32> {
    let mut arc = 0_u32;
    loop {
        let (&byte, rest) = content.split_first()?;
        if arc > u32::MAX >> 7 {
            return None;
        }
        arc = arc << 7 | u32::from(byte & 0x7f);
        *content = rest;
        if byte & 0x80 == 0 {
            return Some(arc);
        }
    }
}

/// One element.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 5);
    push_head(&mut out, tag, content.len());
    out.extend_from_slice(content);
    out
}

/// Tag and length of an element whose content follows.
pub fn push_head(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    match length {
        short @ 0..0x80 => out.push(short as u8),
        middle @ 0x80..0x100 => out.extend([0x81, middle as u8]),
        long @ 0x100..0x1_0000 => out.extend([0x82, (long >> 8) as u8, long as u8]),
        longer => {
            out.push(0x83);
            out.extend(&(longer as u32).to_be_bytes()[1..]);
        }
    }
}

/// An element around others.
pub fn group(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// A signed number in as few bytes as it needs.
pub fn integer(tag: u8, number: i64) -> Vec<u8> {
    let (bytes, length) = shortest(number);
    element(tag, &bytes[8 - length..])
}

/// The bytes of a signed number, and how many of them, from the end, say it.
pub fn shortest(number: i64) -> ([u8; 8], usize) {
    let bytes = number.to_be_bytes();
    let mut from = 0;
    while from < 7 && (bytes[from] == 0 && bytes[from + 1] < 0x80 || bytes[from] == 0xff && bytes[from + 1] >= 0x80) {
        from += 1;
    }
    (bytes, 8 - from)
}

/// An unsigned number: a zero byte in front where the first bit would read as a sign.
pub fn unsigned(tag: u8, number: u64) -> Vec<u8> {
    match i64::try_from(number) {
        Ok(number) => integer(tag, number),
        Err(_) => group(tag, &[&[0], &number.to_be_bytes()]),
    }
}

/// An OID of two arcs or more; a shorter one is filled up with zeros.
pub fn oid(arcs: &[u32]) -> Vec<u8> {
    let at = |n: usize| arcs.get(n).copied().unwrap_or(0);
    let mut content = Vec::with_capacity(arcs.len() + 4);
    push_arc(&mut content, at(0).saturating_mul(40).saturating_add(at(1)));
    for arc in arcs.iter().skip(2) {
        push_arc(&mut content, *arc);
    }
    element(OID, &content)
}

fn push_arc(content: &mut Vec<u8>, arc: u32) {
    for shift in [28, 21, 14, 7] {
        if arc >> shift != 0 {
            content.push((arc >> shift) as u8 | 0x80);
        }
    }
    content.push(arc as u8 & 0x7f);
}
