//! Lower-case hex digits, the form of every digest in the contract.

const DIGITS: [u8; 16] = *b"0123456789abcdef";

/// Two lower-case digits for each octet.
pub fn encode(octets: &[u8]) -> String {
    let digits = octets.iter().flat_map(|octet| [octet >> 4, octet & 0xf]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// Octets from digits of either case; `None` when the number of digits is odd or one is no digit.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Whether a text is a SHA-256 as the contract writes it: 64 lower-case digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_and_digits_lead_to_each_other() {
        assert_eq!(encode(&[0, 0x7f, 0xff]), "007fff");
        assert_eq!(decode("007FfF"), Some(vec![0, 0x7f, 0xff]));
        for bad in ["0", "0g", "é0", " 00"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
