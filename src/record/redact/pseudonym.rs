//! What stands in place of an original: the same length, digits for digits, letters for letters; the same for the same
//! original, upper and lower case alike.

use super::Kind;

/// A keyed hash: hex digits.
pub type Digest<'a> = &'a dyn Fn(&str) -> String;

/// Numbers that follow from an original and the key alone.
struct Stream<'a> {
    digest: Digest<'a>,
    text: String,
    block: usize,
    bytes: Vec<u8>,
}

impl<'a> Stream<'a> {
    fn new(kind: Kind, text: &str, digest: Digest<'a>) -> Self {
        let text = format!("record {} {}", kind.words().0, text.to_lowercase());
        Self { digest, text, block: 0, bytes: Vec::new() }
    }

    fn next(&mut self, below: u8) -> u8 {
        if self.bytes.is_empty() {
            let hex = (self.digest)(&format!("{} {}", self.block, self.text));
            self.block += 1;
            self.bytes =
                (0..hex.len() / 2).filter_map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()).collect();
        }
        self.bytes.pop().unwrap_or_default() % below.max(1)
    }
}

/// In place of bytes that are text in some charset.
pub fn bytes(kind: Kind, original: &[u8], digest: Digest<'_>) -> Vec<u8> {
    match std::str::from_utf8(original) {
        Ok(original) => text(kind, original, digest).into_bytes(),
        // a charset of one byte for each letter: those above ASCII stand for letters
        Err(_) => {
            let mut stream = Stream::new(kind, &String::from_utf8_lossy(original), digest);
            original
                .iter()
                .map(|byte| letter(*byte, &mut stream).unwrap_or(if *byte < 0xc0 { *byte } else { 0xe4 }))
                .collect()
        }
    }
}

/// In place of a text.
pub fn text(kind: Kind, original: &str, digest: Digest<'_>) -> String {
    match kind {
        Kind::PhysicalAddress => hex(kind, original, 6, digest),
        Kind::Uuid => hex(kind, original, 0, digest),
        Kind::Address => match original.parse::<std::net::Ipv4Addr>() {
            Ok(v4) => std::net::Ipv4Addr::from(address(v4.octets(), digest)).to_string(),
            // the first group tells what kind of address it is
            Err(_) => hex(kind, original, original.find(':').unwrap_or(0), digest),
        },
        _ => {
            let mut stream = Stream::new(kind, original, digest);
            original.chars().map(|c| like(c, &mut stream)).collect()
        }
    }
}

/// Each number of an address by one of as many digits; the first stays.
pub fn address(original: [u8; 4], digest: Digest<'_>) -> [u8; 4] {
    let mut stream = Stream::new(Kind::Address, &std::net::Ipv4Addr::from(original).to_string(), digest);
    let mut out = original;
    for octet in &mut out[1..] {
        *octet = match *octet {
            0..=9 => stream.next(10),
            10..=99 => 10 + stream.next(90),
            100..=255 => 100 + stream.next(155),
        };
    }
    out
}

/// Hex digits by hex digits, the first so many of them kept: of a MAC address they name the maker.
fn hex(kind: Kind, original: &str, kept: usize, digest: Digest<'_>) -> String {
    let plain: String = original.chars().filter(char::is_ascii_hexdigit).collect();
    let mut stream = Stream::new(kind, &plain, digest);
    let mut seen = 0;
    let digit = |c: char| {
        if !c.is_ascii_hexdigit() {
            return c;
        }
        seen += 1;
        if seen <= kept {
            return c;
        }
        let digit = char::from_digit(u32::from(stream.next(16)), 16).unwrap_or('0');
        if c.is_ascii_uppercase() || original.chars().any(|c| c.is_ascii_uppercase()) {
            digit.to_ascii_uppercase()
        } else {
            digit
        }
    };
    original.chars().map(digit).collect()
}

/// A MAC address in six bytes.
pub fn mac(original: [u8; 6], digest: Digest<'_>) -> [u8; 6] {
    let plain: String = original.iter().map(|byte| format!("{byte:02x}")).collect();
    let changed = hex(Kind::PhysicalAddress, &plain, 6, digest);
    let mut out = original;
    for (place, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&changed[2 * place..2 * place + 2], 16).unwrap_or(*byte);
    }
    out
}

/// A digit for a digit, a letter for a letter; blanks and punctuation stay.
fn like(c: char, stream: &mut Stream<'_>) -> char {
    if let Ok(byte) = u8::try_from(c)
        && c.is_ascii()
    {
        return letter(byte, stream).map_or(c, char::from);
    }
    if !c.is_alphabetic() {
        return c;
    }
    // as many bytes long
    let like = match c.len_utf8() {
        2 => ['ä', 'ö', 'ü', 'é'],
        3 => ['一', '丁', '七', '三'],
        _ => return c,
    };
    like[usize::from(stream.next(4))]
}

fn letter(byte: u8, stream: &mut Stream<'_>) -> Option<u8> {
    match byte {
        b'0' => Some(b'0' + stream.next(10)),
        // a number that begins with a digit above 0 goes on doing so
        b'1'..=b'9' => Some(b'1' + stream.next(9)),
        b'a'..=b'z' => Some(b'a' + stream.next(26)),
        b'A'..=b'Z' => Some(b'A' + stream.next(26)),
        _ => None,
    }
}
