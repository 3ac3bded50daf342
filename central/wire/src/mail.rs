//! A batch as an e-mail: one token in one message (`standards.md` 4.1), and what is found in messages that arrive.
//!
//! Only the attachment is encrypted, so neither headers nor text say anything of devices or customers. The reader believes
//! nothing but the token itself: `X-Meterpost-*` and file names are for people.
//!
//! | limit | and then |
//! | --- | --- |
//! | a message of 4 MiB | not looked into: [`Without::TooLarge`] |
//! | 64 messages within one another | not looked into: [`Without::TooDeep`]. Encoded ones are opened three deep |
//! | 100 tokens in one message | the rest is left |

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

use crate::keys::SiteId;

/// The media type of a compact token (RFC 7515, section 9.2.1).
pub const MEDIA_TYPE: &str = "application/jose";

/// What a file with a token ends in.
pub const FILE_SUFFIX: &str = ".jwe";

/// Bytes of a message that is read: a token of the largest size that is accepted, encoded, with room for what relays add.
pub const MESSAGE_MAX: usize = 4 << 20;

/// Messages within messages; dropping them is recursive.
const NESTED_MAX: usize = 64;

/// Tokens that are taken from one message. Ours hold one; a person may forward a folder.
const TOKENS_MAX: usize = 100;

/// Characters of an address (RFC 5321, section 4.5.3.1.3).
const ADDRESS_MAX: usize = 254;

/// Characters of a line of an encoded part, without its CR LF (RFC 2045, section 6.7).
const LINE_MAX: usize = 76;

/// The name of the file that holds a site's token: `<site>-<sequence>.jwe`.
pub fn file_name(site: &SiteId, sequence: u64) -> String {
    format!("{site}-{sequence}{FILE_SUFFIX}")
}

/// One token on its way out by mail.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'m> {
    /// The compact token.
    pub token: &'m str,
    /// Whose it is.
    pub site: &'m SiteId,
    /// `Batch/@sequence`.
    pub sequence: u64,
    /// `Batch/@id`.
    pub batch_id: &'m str,
    /// How often this token has been sent before, and one: several providers drop a second message with a known
    /// Message-ID.
    pub attempt: u32,
    /// A real mailbox, for bounces must reach someone. Also the envelope's sender.
    pub from: &'m str,
    /// The mailbox of the central.
    pub to: &'m str,
    /// Now, by the site's clock.
    pub date: Timestamp,
    /// Some sentences for a person who finds the message, in the customer's language; [`TEXT`] is one.
    pub text: &'m str,
}

/// What a person who opens the message reads, unless the site says something else.
pub const TEXT: &str = "This message was sent by a program that reports the page counters and supplies of printers. The attached \
                        file is encrypted for the company that services them; ask your administrator of printers about it.";

/// An address that no message can carry; the text names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mail address: one such as `printers@customer.example` would be right")]
pub struct BadAddress(String);

/// Makes the message, with CR LF at the ends of lines, none longer than 998 characters (RFC 5322, section 2.1.1) and
/// nothing outside ASCII: no relay needs 8BITMIME.
pub fn message(mail: &Outgoing<'_>) -> Result<Vec<u8>, BadAddress> {
    let Outgoing { site, sequence, batch_id, attempt, .. } = *mail;
    let (from, to) = (address(mail.from)?, address(mail.to)?);
    let date = rfc2822::to_string(&mail.date.to_zoned(TimeZone::UTC)).unwrap_or_default();
    let short = &site.as_str()[..8];
    let file = file_name(site, sequence);
    // `=_` never stands in what is encoded as quoted-printable (RFC 2045, section 6.7).
    let boundary = format!("=_{batch_id}.{attempt}");
    let (text, token) = (quoted_printable(mail.text), quoted_printable(mail.token));
    let lines = [
        format!("From: {from}"),
        format!("To: {to}"),
        format!("Date: {date}"),
        format!("Message-ID: <{batch_id}.{attempt}@{site}.collector.invalid>"),
        format!("Subject: Printer report {short} {sequence}"),
        "Auto-Submitted: auto-generated".to_owned(),
        format!("X-Meterpost-Site: {site}"),
        format!("X-Meterpost-Sequence: {sequence}"),
        format!("X-Meterpost-Batch: {batch_id}"),
        "MIME-Version: 1.0".to_owned(),
        format!("Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\""),
        String::new(),
        format!("--{boundary}"),
        "Content-Type: text/plain; charset=utf-8".to_owned(),
        "Content-Transfer-Encoding: quoted-printable".to_owned(),
        String::new(),
        text,
        format!("--{boundary}"),
        format!("Content-Type: {MEDIA_TYPE}"),
        format!("Content-Disposition: attachment;\r\n filename=\"{file}\""),
        "Content-Transfer-Encoding: quoted-printable".to_owned(),
        String::new(),
        token,
        format!("--{boundary}--"),
        String::new(),
    ];
    Ok(lines.join("\r\n").into_bytes())
}

/// An address that may stand in a header as it is: printable ASCII without the characters that end or fold one.
pub fn address(text: &str) -> Result<&str, BadAddress> {
    let plain = |c: char| c.is_ascii_graphic() && !"<>()[],;:\\\"".contains(c);
    let right = text.len() <= ADDRESS_MAX
        && text.chars().all(plain)
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !local.contains('@') && !domain.is_empty() && !domain.starts_with('.')
        });
    if right { Ok(text) } else { Err(BadAddress(text.chars().take(64).filter(|c| !c.is_control()).collect())) }
}

/// RFC 2045, section 6.7. A point at the start of a line is encoded too: some relays lose one.
fn quoted_printable(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + text.len() / 30);
    let mut column = 0;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' && bytes.peek() == Some(&b'\n') {
            continue;
        }
        if byte == b'\n' {
            encoded.push_str("\r\n");
            column = 0;
            continue;
        }
        let ends_line = matches!(bytes.peek(), None | Some(b'\n' | b'\r'));
        let plain = match byte {
            b'.' => column > 0 && column < LINE_MAX - 1,
            b' ' => !ends_line,
            b'=' => false,
            _ => byte.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        if column + width > LINE_MAX - 1 {
            encoded.push_str("=\r\n");
            column = 0;
        }
        if plain && (byte != b'.' || column > 0) {
            encoded.push(char::from(byte));
            column += 1;
        } else {
            encoded.push_str(&format!("={byte:02X}"));
            column += 3;
        }
    }
    encoded
}

/// What is in a message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The bytes of what should be compact tokens, white space taken out: relays wrap lines. One at least.
    Tokens(Vec<Vec<u8>>),
    /// No token.
    Without(Without),
}

/// Why a message holds no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Without {
    /// A relay says that a message was not delivered (`multipart/report`, or a null return path).
    #[error("it is a delivery report")]
    Bounce,
    /// Somebody's mailbox answers by itself (`Auto-Submitted: auto-replied`, RFC 3834).
    #[error("it is an automatic reply")]
    AutoReply,
    /// A message like any other.
    #[error("no part of it is `application/jose` or a file `*.jwe`")]
    Nothing,
    /// Bytes without a header.
    #[error("it is no mail message")]
    NoMessage,
    /// Longer than [`MESSAGE_MAX`].
    #[error("it is longer than 4 MiB")]
    TooLarge,
    /// More messages within one another than anybody forwards.
    #[error("more than 64 messages lie within one another")]
    TooDeep,
}

/// Looks for parts of type `application/jose`, at any depth; where there is none, for parts named `*.jwe`. A delivery report
/// that brings a token back is taken for what it brings.
pub fn read(message: &[u8]) -> Incoming {
    if message.len() > MESSAGE_MAX {
        return Incoming::Without(Without::TooLarge);
    }
    if nested(message) > NESTED_MAX {
        return Incoming::Without(Without::TooDeep);
    }
    let Some(parsed) = MessageParser::default().parse(message) else {
        return Incoming::Without(Without::NoMessage);
    };
    if parsed.headers().is_empty() {
        return Incoming::Without(Without::NoMessage);
    }
    for wanted in [is_jose, is_named] {
        let mut tokens = Vec::new();
        collect(&parsed, wanted, &mut tokens);
        if !tokens.is_empty() {
            return Incoming::Tokens(tokens);
        }
    }
    Incoming::Without(without(&parsed))
}

/// A token as it lies in a file or part, without the white space around and within it.
pub fn stripped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

type Part<'x> = mail_parser::MessagePart<'x>;

fn collect(message: &Message<'_>, wanted: fn(&Part<'_>) -> bool, tokens: &mut Vec<Vec<u8>>) {
    for part in &message.parts {
        match &part.body {
            PartType::Message(inner) => collect(inner, wanted, tokens),
            PartType::Multipart(_) => {}
            _ if wanted(part) && tokens.len() < TOKENS_MAX => {
                let token = stripped(part.contents());
                if !token.is_empty() && !tokens.contains(&token) {
                    tokens.push(token);
                }
            }
            _ => {}
        }
    }
}

fn is_jose(part: &Part<'_>) -> bool {
    part.is_content_type("application", "jose")
}

fn is_named(part: &Part<'_>) -> bool {
    part.attachment_name().is_some_and(|name| name.trim().to_ascii_lowercase().ends_with(FILE_SUFFIX))
}

fn without(message: &Message<'_>) -> Without {
    let raw = |name: &str| message.header_raw(name.to_owned()).map(|value| value.trim().to_ascii_lowercase());
    let report = message.root_part().is_content_type("multipart", "report");
    if report || raw("Return-Path").is_some_and(|path| path == "<>") {
        return Without::Bounce;
    }
    match raw("Auto-Submitted") {
        Some(how) if how.starts_with("auto-replied") || how.starts_with("auto-notified") => Without::AutoReply,
        _ => Without::Nothing,
    }
}

/// At least as many as messages lie within one another: each level needs one of these words.
fn nested(message: &[u8]) -> usize {
    let words: [&[u8]; 3] = [b"/rfc822", b"/global", b"/digest"];
    let starts = message.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &message[at..]);
    starts.filter(|rest| words.iter().any(|word| starts_with(rest, word))).count()
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
