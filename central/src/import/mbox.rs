//! A mailbox in one file: messages that begin with a line `From `, and lines of that kind inside a message with a `>` before
//! them (mboxrd).

use std::io::{self, BufRead};

use super::PIECE_MAX;

/// What such a file begins with.
pub const START: &[u8] = b"From ";

/// The messages of an mbox, one after the other; only one is in memory.
pub struct Mbox<R> {
    reader: R,
    /// The separating line of the next message has been read.
    begun: bool,
    ended: bool,
}

impl<R: BufRead> Mbox<R> {
    /// Over a file that begins with [`START`].
    pub fn new(reader: R) -> Self {
        Self { reader, begun: false, ended: false }
    }

    /// Reads a line with its end, of at most this many bytes; the rest of a longer one is dropped.
    fn line(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                return Ok((!line.is_empty()).then_some(line));
            }
            let end = buffer.iter().position(|byte| *byte == b'\n').map_or(buffer.len(), |at| at + 1);
            let ends = buffer[end - 1] == b'\n';
            let room = max.saturating_sub(line.len()).min(end);
            line.extend_from_slice(&buffer[..room]);
            self.reader.consume(end);
            if ends {
                return Ok(Some(line));
            }
        }
    }
}

impl<R: BufRead> Iterator for Mbox<R> {
    type Item = io::Result<Vec<u8>>;

    /// The next message, without its separating line; one that is longer than a piece may be is cut one byte above that.
    fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        if self.ended {
            return None;
        }
        let (mut message, mut after_blank) = (Vec::new(), true);
        loop {
            let line = match self.line(PIECE_MAX + 1) {
                Ok(Some(line)) => line,
                Ok(None) => {
                    self.ended = true;
                    return self.begun.then_some(Ok(message));
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            };
            if after_blank && line.starts_with(START) {
                if self.begun {
                    return Some(Ok(message));
                }
                self.begun = true;
                continue;
            }
            after_blank = line.trim_ascii().is_empty();
            let room = (PIECE_MAX + 1).saturating_sub(message.len()).min(line.len());
            message.extend_from_slice(&unquoted(&line)[..room.min(unquoted(&line).len())]);
        }
    }
}

/// `>From ` is `From `, and `>>From ` is `>From `.
fn unquoted(line: &[u8]) -> &[u8] {
    let quotes = line.iter().take_while(|byte| **byte == b'>').count();
    if quotes > 0 && line[quotes..].starts_with(START) { &line[1..] } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mbox: &str, expected: &[&str]) {
        // a reader that gives three bytes at a time
        let reader = io::BufReader::with_capacity(3, mbox.as_bytes());
        let found: Vec<String> =
            Mbox::new(reader).map(|message| String::from_utf8(message.expect("read")).expect("text")).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn messages_are_parted_by_from_lines_after_a_blank_one() {
        check(
            "From a Fri\nSubject: 1\n\none\n\nFrom b Fri\nSubject: 2\n\ntwo\n",
            &["Subject: 1\n\none\n\n", "Subject: 2\n\ntwo\n"],
        );
        check("From a Fri\r\nSubject: 1\r\n\r\nFrom now on\r\n", &["Subject: 1\r\n\r\n", ""]);
        check("From a Fri\nSubject: 1\n\ntext\nFrom now on\n", &["Subject: 1\n\ntext\nFrom now on\n"]);
        check("", &[]);
    }

    #[test]
    fn quoted_from_lines_lose_one_quote() {
        check("From a Fri\n\n>From here\n>>From there\n>other\n", &["\nFrom here\n>From there\n>other\n"]);
    }

    #[test]
    fn a_message_without_an_end_is_cut_and_the_next_is_read() {
        let long = "x".repeat(PIECE_MAX + 10);
        let mbox = format!("From a\n{long}\n{long}\n\nFrom b\nshort\n");
        let sizes: Vec<usize> = Mbox::new(mbox.as_bytes()).map(|message| message.expect("read").len()).collect();
        assert_eq!(sizes, [PIECE_MAX + 1, 6]);
    }
}
