//! The re-send code: which batches a site should send again, short enough to be read out over the telephone.
//!
//! For sites that hear nothing back, because they deliver by mail or files: the central prints the code, a person reads it to
//! the site's administrator, and `meterpost outbox resend CODE` takes it. It names numbers and nothing else, and is no secret.
//!
//! Digits are Crockford's base 32, without I, L, O and U; hyphens, blanks and case do not count. First comes how many digits
//! the first number has, as a letter, so that a code is never taken for a number; then these digits; then the length of the
//! range less one, four bits a digit, the lowest first, the fifth bit set while more follow. A further range begins with how
//! far it lies above the end of the one before. Four digits of SHA-256 over the site and all this end it: a slip of the tongue
//! passes one time in a million, and another site's code does not pass either.
//!
//! One range of up to 4,096 numbers below 2^35 has at most 19 characters with its hyphens.

use sha2::{Digest, Sha256};

use crate::batch::SEQUENCE_MAX;
use crate::keys::SiteId;

/// Ranges in one code.
pub const RANGES_MAX: usize = 8;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Added to the count of digits, so that a code begins with a letter: 1 digit is `B`.
const COUNT_AS_LETTER: u8 = 10;

/// Digits of a sequence: 2^53 needs eleven.
const NUMBER_DIGITS_MAX: u8 = 11;

/// Digits of the check.
const CHECK_DIGITS: usize = 4;

/// Characters between two hyphens.
const GROUP: usize = 4;

/// Characters that are looked at.
const TEXT_MAX: usize = 256;

/// Why a text is not a re-send code of this site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// Another shape: a character that no code has, or an end too early.
    #[error("it is no re-send code: letters and digits in groups of four, such as `C16B-2V5T`, would be one")]
    Shape,
    /// The check does not fit.
    #[error("it has a mistake in it, or is meant for another site: read it once more, character by character")]
    Check,
}

/// The code for ranges of sequences, both ends included, ascending and apart. `None` when there is none, there are more than
/// [`RANGES_MAX`], or one is no range.
pub fn encode(site: &SiteId, ranges: &[(u64, u64)]) -> Option<String> {
    if ranges.is_empty() || ranges.len() > RANGES_MAX {
        return None;
    }
    let (mut digits, mut last) = (Vec::new(), 0);
    for &(from, to) in ranges {
        if from <= last || to < from || to > SEQUENCE_MAX {
            return None;
        }
        put_number(&mut digits, from - last);
        put_length(&mut digits, to - from);
        last = to;
    }
    let check = check(site, &digits);
    digits.extend(check);
    let groups = digits.chunks(GROUP).map(|group| group.iter().map(|digit| char::from(DIGITS[usize::from(*digit)])));
    Some(groups.map(String::from_iter).collect::<Vec<_>>().join("-"))
}

/// The ranges that a code names, if it is one of this site's.
pub fn decode(site: &SiteId, code: &str) -> Result<Vec<(u64, u64)>, BadCode> {
    if code.len() > TEXT_MAX {
        return Err(BadCode::Shape);
    }
    let spoken = code.chars().filter(|c| *c != '-' && !c.is_whitespace());
    let digits = spoken.map(digit).collect::<Option<Vec<u8>>>().ok_or(BadCode::Shape)?;
    let end = digits.len().checked_sub(CHECK_DIGITS).filter(|end| *end > 0).ok_or(BadCode::Shape)?;
    let (body, found) = digits.split_at(end);
    if check(site, body) != found {
        return Err(BadCode::Check);
    }
    let (mut rest, mut ranges, mut last) = (body.iter().copied(), Vec::new(), 0u64);
    while rest.len() > 0 && ranges.len() < RANGES_MAX {
        let above = take_number(&mut rest).filter(|above| *above > 0).ok_or(BadCode::Shape)?;
        let from = last.checked_add(above).ok_or(BadCode::Shape)?;
        let length = take_length(&mut rest).ok_or(BadCode::Shape)?;
        last = from.checked_add(length).filter(|to| *to <= SEQUENCE_MAX).ok_or(BadCode::Shape)?;
        ranges.push((from, last));
    }
    if rest.len() == 0 { Ok(ranges) } else { Err(BadCode::Shape) }
}

fn put_number(digits: &mut Vec<u8>, number: u64) {
    let count = (64 - number.leading_zeros()).div_ceil(5);
    digits.push(COUNT_AS_LETTER + count as u8);
    digits.extend((0..count).rev().map(|at| (number >> (5 * at) & 31) as u8));
}

fn take_number(digits: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let count = digits.next()?.checked_sub(COUNT_AS_LETTER).filter(|count| (1..=NUMBER_DIGITS_MAX).contains(count))?;
    (0..count).try_fold(0, |number, _| Some(number << 5 | u64::from(digits.next()?)))
}

fn put_length(digits: &mut Vec<u8>, mut length: u64) {
    while length > 15 {
        digits.push(16 | (length & 15) as u8);
        length >>= 4;
    }
    digits.push(length as u8);
}

fn take_length(digits: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut length = 0;
    for at in 0..14 {
        let digit = digits.next()?;
        length |= u64::from(digit & 15) << (4 * at);
        if digit < 16 {
            return Some(length);
        }
    }
    None
}

fn check(site: &SiteId, digits: &[u8]) -> [u8; CHECK_DIGITS] {
    let hash = Sha256::new().chain_update("meterpost/1\nresend\n").chain_update(site.as_str()).chain_update("\n");
    let hash = hash.chain_update(digits).finalize();
    let bits = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    [27, 22, 17, 12].map(|shift| (bits >> shift & 31) as u8)
}

/// As Crockford reads them: what is easily taken for another digit is that digit.
fn digit(c: char) -> Option<u8> {
    let c = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        c => c,
    };
    DIGITS.iter().position(|digit| char::from(*digit) == c).map(|at| at as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> SiteId {
        SiteId::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f10").expect("a site")
    }

    #[track_caller]
    fn check_round(ranges: &[(u64, u64)]) -> String {
        let code = encode(&site(), ranges).expect("ranges");
        assert_eq!(decode(&site(), &code).as_deref(), Ok(ranges), "{code}");
        code
    }

    #[test]
    fn a_code_brings_back_its_ranges() {
        for ranges in [&[(38, 40)][..], &[(1, 1)], &[(1, SEQUENCE_MAX)], &[(SEQUENCE_MAX, SEQUENCE_MAX)]] {
            check_round(ranges);
        }
        check_round(&[(3, 3), (5, 9), (1_000, 2_000), (70_000, 70_000)]);
        expect_test::expect!["C162-SC62"].assert_eq(&check_round(&[(38, 40)]));
    }

    #[test]
    fn one_range_has_at_most_twenty_characters() {
        for (from, length) in [(1, 0), (38, 2), (40_000, 4_095), ((1 << 35) - 1, 4_095), ((1 << 30) - 1, 65_535)] {
            let code = check_round(&[(from, from + length)]);
            assert!(code.len() <= 20, "{from} {length}: {code}");
        }
    }

    #[test]
    fn it_is_understood_as_people_write_and_say_it() {
        let code = check_round(&[(33, 65)]);
        for written in [code.to_lowercase(), code.replace('-', " "), code.replace('-', ""), code.replace('1', "l")] {
            assert_eq!(decode(&site(), &written), Ok(vec![(33, 65)]), "{written}");
        }
        assert!(code.starts_with(|c: char| c.is_ascii_alphabetic()), "never a number");
    }

    #[test]
    fn every_single_slip_and_swap_is_noticed() {
        let code = check_round(&[(1_234, 1_260)]).replace('-', "");
        for at in 0..code.len() {
            for digit in DIGITS {
                let mut slip = code.clone().into_bytes();
                if std::mem::replace(&mut slip[at], *digit) != *digit {
                    let slip = String::from_utf8(slip).expect("ASCII");
                    assert!(decode(&site(), &slip).is_err(), "{code} as {slip}");
                }
            }
            let mut swapped = code.clone().into_bytes();
            if at > 0 && swapped[at] != swapped[at - 1] {
                swapped.swap(at, at - 1);
                assert!(decode(&site(), &String::from_utf8(swapped).expect("ASCII")).is_err());
            }
        }
    }

    #[test]
    fn another_sites_code_and_what_is_no_code_are_refused() {
        let other = SiteId::parse("6f1c2a52-8a0b-4d0e-9a57-0c8e5d2b7f11").expect("a site");
        assert_eq!(decode(&other, &check_round(&[(38, 40)])), Err(BadCode::Check));
        for text in ["", "----", "C1", "38..40", "C16B-2V5U", &"B".repeat(300)] {
            assert!(decode(&site(), text).is_err(), "{text}");
        }
        assert_eq!(decode(&site(), "C16B-2V5U"), Err(BadCode::Shape), "no code has a U");
    }

    #[test]
    fn what_is_no_range_has_no_code() {
        for ranges in [&[][..], &[(0, 1)], &[(5, 4)], &[(1, 3), (3, 4)], &[(1, SEQUENCE_MAX + 1)], &[(1, 1); 9]] {
            assert_eq!(encode(&site(), ranges), None, "{ranges:?}");
        }
    }
}
