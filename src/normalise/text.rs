//! Bytes of a device as text (trap T9): strict UTF-8 first, because a single-byte charset accepts everything; then the
//! charset that the mapping or the device declares; then Latin-1. Then NULs, outer blanks and control characters go.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// How bytes are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// One that the Encoding Standard knows.
    Known(&'static Encoding),
    /// One byte each, with our own table for 80 to FF.
    Table(&'static [char; 128]),
}

impl Charset {
    /// By IANA name, or `cp437` `cp850` `cp852` `hp-roman8`.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "cp437" | "ibm437" => Some(Self::Table(&CP437)),
            "cp850" | "ibm850" => Some(Self::Table(&CP850)),
            "cp852" | "ibm852" => Some(Self::Table(&CP852)),
            "hp-roman8" | "roman8" => Some(Self::Table(&ROMAN8)),
            other => Encoding::for_label(other.as_bytes()).map(Self::Known),
        }
    }

    /// By IANA number (prtLocalizationCharacterSet), as far as devices use them.
    pub fn numbered(number: i64) -> Option<Self> {
        let name = match number {
            3 | 4 => "iso-8859-1",
            5 => "iso-8859-2",
            6 => "iso-8859-3",
            7 => "iso-8859-4",
            8 => "iso-8859-5",
            9 => "iso-8859-6",
            10 => "iso-8859-7",
            11 => "iso-8859-8",
            12 | 2014 => "iso-8859-9",
            13 => "iso-8859-10",
            17 | 2024 => "shift_jis",
            18 => "euc-jp",
            38 => "euc-kr",
            106 => "utf-8",
            109 => "iso-8859-13",
            111 => "iso-8859-15",
            113 | 2025 => "gbk",
            114 => "gb18030",
            1000 | 1015 => "utf-16be",
            2004 => "hp-roman8",
            2009 => "cp850",
            2010 => "cp852",
            2011 => "cp437",
            2026 => "big5",
            2250 => "windows-1250",
            2251 => "windows-1251",
            2252 => "windows-1252",
            2253 => "windows-1253",
            2254 => "windows-1254",
            2255 => "windows-1255",
            2256 => "windows-1256",
            2257 => "windows-1257",
            2258 => "windows-1258",
            2259 => "windows-874",
            _ => return None,
        };
        Self::named(name)
    }

    fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Known(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Self::Table(table) => single(bytes, |high| table[usize::from(high - 0x80)]),
        }
    }
}

/// The text as the device means it, control characters still in it. `forced` is the mapping's word, `declared` the
/// device's.
pub fn decode(bytes: &[u8], forced: Option<Charset>, declared: Option<Charset>) -> String {
    if let Some(charset) = forced {
        return charset.decode(bytes);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // a sequence that the device cut at the end of its field
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        Err(_) => match declared {
            Some(Charset::Known(encoding)) if encoding == encoding_rs::UTF_8 => single(bytes, char::from),
            Some(charset) => charset.decode(bytes),
            None => single(bytes, char::from),
        },
    }
}

/// One line of text without NULs, control characters and outer blanks; runs of blanks become one.
pub fn clean(text: &str) -> String {
    cleaned(text).into_owned()
}

/// The same, borrowed where nothing is to be cleaned.
pub fn cleaned(text: &str) -> Cow<'_, str> {
    if is_clean(text.as_bytes()) { Cow::Borrowed(text) } else { Cow::Owned(without_dirt(text)) }
}

/// Whether these are printable ASCII with single blanks between the words, as nearly all texts are.
fn is_clean(bytes: &[u8]) -> bool {
    let mut before = b' ';
    let fits = |byte: &u8| {
        let fits = matches!(byte, b'!'..=b'~') || (*byte == b' ' && before != b' ');
        before = *byte;
        fits
    };
    bytes.iter().all(fits) && bytes.last() != Some(&b' ')
}

fn without_dirt(text: &str) -> String {
    let text = text.split('\0').next().unwrap_or_default();
    let is_blank = |c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}' || c == '\u{fffd}';
    let mut line = String::with_capacity(text.len());
    for word in text.split(is_blank).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Letters and digits alone, in lower case: two spellings of one name are equal by that.
pub fn folded(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Lines of a display: CR and LF separate, empty ones are dropped.
pub fn lines(text: &str) -> Vec<String> {
    text.split(['\r', '\n']).map(clean).filter(|line| !line.is_empty()).collect()
}

fn single(bytes: &[u8], high: impl Fn(u8) -> char) -> String {
    bytes.iter().map(|byte| if *byte < 0x80 { char::from(*byte) } else { high(*byte) }).collect()
}

/// Turns 128 characters into a table.
const fn table(text: &str) -> [char; 128] {
    let bytes = text.as_bytes();
    let mut out = ['\u{fffd}'; 128];
    let (mut at, mut n) = (0, 0);
    while at < bytes.len() && n < 128 {
        let first = bytes[at];
        let (mut code, more) = match first {
            0..0x80 => (first as u32, 0),
            0x80..0xe0 => ((first & 0x1f) as u32, 1),
            0xe0..0xf0 => ((first & 0x0f) as u32, 2),
            _ => ((first & 0x07) as u32, 3),
        };
        let mut k = 0;
        while k < more {
            k += 1;
            code = (code << 6) | (bytes[at + k] & 0x3f) as u32;
        }
        at += more + 1;
        if let Some(c) = char::from_u32(code) {
            out[n] = c;
        }
        n += 1;
    }
    out
}

/// IBM code page 437, 80 to FF.
static CP437: [char; 128] = table(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
);

/// IBM code page 850, 80 to FF.
static CP850: [char; 128] = table(
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}",
);

/// IBM code page 852, 80 to FF.
static CP852: [char; 128] = table(
    "ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×čáíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐└┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀ÓßÔŃńňŠšŔÚŕŰýÝţ´\u{ad}˝˛ˇ˘§÷¸°¨˙űŘř■\u{a0}",
);

/// HP Roman-8, 80 to FF; 80 to 9F are control characters there.
static ROMAN8: [char; 128] = table(
    "                                \u{a0}ÀÂÈÊËÎÏ´ˋˆ¨˜ÙÛ₤¯Ýý°ÇçÑñ¡¿¤£¥§ƒ¢âêôûáéóúàèòùäëöüÅîØÆåíøæÄìÖÜÉïßÔÁÃãÐðÍÌÓÒÕõŠšÚŸÿÞþ·µ¶¾—¼½ªº«■»±\u{fffd}",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], declared: Option<i64>, expected: &str) {
        assert_eq!(clean(&decode(bytes, None, declared.and_then(Charset::numbered))), expected);
    }

    #[test]
    fn utf8_wins_over_what_the_device_declares() {
        check("Schwarz für Österreich".as_bytes(), Some(2009), "Schwarz für Österreich");
    }

    #[test]
    fn a_sequence_cut_at_the_end_is_dropped() {
        check(b"Byt tonerkassett f\xc3", Some(2009), "Byt tonerkassett f");
    }

    #[test]
    fn the_declared_charset_decides_where_it_is_not_utf8() {
        check(b"Schwarz f\xfcr", Some(4), "Schwarz für");
        check(b"\x81ber", Some(2009), "über");
        check(b"Einzugsf\xcfhrung", Some(2004), "Einzugsführung");
        check(b"\x8d\x95", Some(17), "黒");
    }

    #[test]
    fn latin_1_is_the_last_resort() {
        check(b"f\xfcr", None, "für");
        check(b"f\xfcr", Some(106), "für");
    }

    #[test]
    fn nuls_blanks_and_controls_go() {
        check(b" Black\x07 Toner \0\0junk", None, "Black Toner");
        assert_eq!(lines("Sleep  \rPage 2\r\n \r"), ["Sleep", "Page 2"]);
    }
}
