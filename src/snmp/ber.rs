//! As much of BER (X.690, as RFC 3417 section 8 narrows it) as the sweep and the way out need: heads of elements, the
//! place of the request id, and the type of the PDU. Values of answers are decoded by the SNMP library, not here.

/// GET.
pub const GET: u8 = 0xa0;
/// GETNEXT.
pub const GET_NEXT: u8 = 0xa1;
/// The answer.
pub const RESPONSE: u8 = 0xa2;
/// GETBULK.
pub const GET_BULK: u8 = 0xa5;
/// A report of SNMPv3.
pub const REPORT: u8 = 0xa8;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The outside of a message: what can be told without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// 0 for v1, 1 for v2c, 3 for v3, or whatever stood there.
    pub version: i64,
    /// request-id, or msgID in v3.
    pub id: i64,
    /// The tag of the PDU; none when it is encrypted.
    pub pdu: Option<u8>,
    /// The content of the PDU (behind its tag and length); empty when encrypted.
    pub body: &'a [u8],
}

/// One element after the other out of a buffer. Lengths beyond the buffer give nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: its tag and its content.
    pub fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            // Four length octets are more than any datagram needs; the indefinite form (0x80) is not allowed in SNMP.
            let octets = usize::from(first & 0x7f);
            if octets == 0 || octets > 4 || rest.len() < octets {
                return None;
            }
            length = rest[..octets].iter().fold(0, |sum, &octet| (sum << 8) | usize::from(octet));
            rest = &rest[octets..];
        }
        if length > rest.len() {
            return None;
        }
        self.0 = &rest[length..];
        Some((tag, &rest[..length]))
    }

    /// The content of the next element when it has this tag.
    pub fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.element().and_then(|(tag, content)| (tag == wanted).then_some(content))
    }

    /// The next element as a whole number of at most eight octets.
    pub fn integer(&mut self) -> Option<i64> {
        let content = self.expect(INTEGER)?;
        let negative = content.first()? & 0x80 != 0;
        (content.len() <= 8)
            .then(|| content.iter().fold(if negative { -1 } else { 0 }, |sum, &octet| (sum << 8) | i64::from(octet)))
    }
}

/// Reads the outside of a message of any version; nothing when it is none. Bytes behind the message are ignored, as
/// some agents pad their answers.
pub fn envelope(message: &[u8]) -> Option<Envelope<'_>> {
    let mut message = Reader(Reader(message).expect(SEQUENCE)?);
    let version = message.integer()?;
    if version == 3 {
        let mut header = Reader(message.expect(SEQUENCE)?);
        let id = header.integer()?;
        let _size = header.integer()?;
        let encrypted = header.expect(OCTET_STRING)?.first().is_some_and(|flags| flags & 0x02 != 0);
        let _security_parameters = message.expect(OCTET_STRING)?;
        if encrypted {
            return Some(Envelope { version, id, pdu: None, body: &[] });
        }
        let mut scoped = Reader(message.expect(SEQUENCE)?);
        let (_engine, _context) = (scoped.expect(OCTET_STRING)?, scoped.expect(OCTET_STRING)?);
        let (pdu, body) = scoped.element()?;
        return Some(Envelope { version, id, pdu: Some(pdu), body });
    }
    let _community = message.expect(OCTET_STRING)?;
    let (pdu, body) = message.element()?;
    Some(Envelope { version, id: Reader(body).integer()?, pdu: Some(pdu), body })
}

/// Whether a message may leave: GET, GETNEXT, GETBULK or the library's empty v3 discovery; nothing else ever
/// (DESIGN invariant 2). What is encrypted cannot be looked into: that it is one of the three is seen to where it is
/// built, `session.rs` having no call for any other.
pub fn only_reads(message: &[u8]) -> bool {
    matches!(
        envelope(message),
        Some(
            Envelope { version: 3, pdu: None | Some(REPORT), .. }
                | Envelope { pdu: Some(GET | GET_NEXT | GET_BULK), .. }
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A v2c message with a given PDU type, request id 0x4001, one varbind sysDescr.0.
    fn message(pdu: u8) -> Vec<u8> {
        let mut bytes = vec![0x30, 0x2a, 2, 1, 1, 4, 6];
        bytes.extend(b"public");
        bytes.extend([pdu, 0x1d, 2, 2, 0x40, 1, 2, 1, 0, 2, 1, 0, 0x30, 0x11, 0x30, 0x0f, 6, 8]);
        bytes.extend([0x2b, 6, 1, 2, 1, 1, 1, 0, 4, 3, b'a', b'b', b'c']);
        bytes
    }

    #[test]
    fn the_request_id_is_found_and_only_reads_may_leave() {
        for (pdu, leaves) in
            [(GET, true), (GET_NEXT, true), (GET_BULK, true), (0xa3, false), (0xa4, false), (0xa6, false)]
        {
            let message = message(pdu);
            let seen = envelope(&message).map(|envelope| (envelope.version, envelope.id, envelope.pdu));
            assert_eq!(seen, Some((1, 0x4001, Some(pdu))));
            assert_eq!(only_reads(&message), leaves, "{pdu:#x}");
        }
        assert!(!only_reads(b""));
        assert!(!only_reads(b"garbage"));
    }

    #[test]
    fn lengths_beyond_the_datagram_and_cut_messages_are_no_message() {
        let whole = message(RESPONSE);
        for cut in 0..whole.len() {
            assert_eq!(envelope(&whole[..cut]), None, "{cut}");
        }
        let mut long = whole.clone();
        long[1] = 0x7f;
        assert_eq!(envelope(&long), None);
        let mut padded = whole;
        padded.extend([0xff; 9]);
        assert!(envelope(&padded).is_some());
        assert_eq!(Reader(&[4, 0x80, 1]).element(), None);
        assert_eq!(Reader(&[4, 0x85, 0, 0, 0, 0, 1, 1]).element(), None);
    }
}
