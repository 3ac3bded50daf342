//! A program of this machine that takes a message on standard input, as `sendmail -t -i` does. No shell is between.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::deliver::{SendError, Sent};

/// How often it is looked whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes of what it says on standard error that are kept.
const SAID_MAX: u64 = 512;

/// Codes of `sysexits.h`, as `sendmail` uses them.
const EX_DATAERR: i32 = 65;
const EX_UNAVAILABLE: i32 = 69;
const EX_OSERR: i32 = 71;
const EX_IOERR: i32 = 74;
const EX_TEMPFAIL: i32 = 75;

/// Runs the program and waits for its end.
pub fn hand_over(words: &[String], message: Vec<u8>, patience: Duration) -> Result<Sent, SendError> {
    let down = |reason: String| SendError::Down { reason, at_least: None };
    let (program, arguments) = words.split_first().ok_or_else(|| down("`command` is empty".to_owned()))?;
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| down(format!("cannot start `{program}`: {error}")))?;
    let said = listen(&mut child);
    if let Some(mut stdin) = child.stdin.take() {
        // one that reads nothing would hold us up; one that ends early says why by its code
        thread::spawn(move || drop(stdin.write_all(&message)));
    }
    let until = Instant::now() + patience;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => thread::sleep(LOOK_EVERY),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(SendError::Unsure(format!("`{program}` took longer than {} s", patience.as_secs())));
            }
            Err(error) => return Err(SendError::Unsure(format!("`{program}`: {error}"))),
        }
    };
    means(program, status, &said.recv_timeout(Duration::from_millis(200)).unwrap_or_default())
}

fn listen(child: &mut Child) -> mpsc::Receiver<String> {
    let (tell, said) = mpsc::channel();
    if let Some(stderr) = child.stderr.take() {
        thread::spawn(move || {
            let (mut text, mut stderr) = (Vec::new(), stderr);
            let _ = stderr.by_ref().take(SAID_MAX).read_to_end(&mut text);
            let _ = tell.send(String::from_utf8_lossy(&text).trim().replace(['\r', '\n'], " "));
            // the rest is read and left, so that the program is not held up
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
        });
    }
    said
}

fn means(program: &str, status: ExitStatus, said: &str) -> Result<Sent, SendError> {
    if status.success() {
        return Ok(Sent::HandedOver);
    }
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let reason = format!("`{program}` ended with {status}{said}");
    Err(match status.code() {
        None => SendError::Unsure(reason),
        Some(EX_DATAERR) => SendError::NotHere(reason),
        Some(EX_TEMPFAIL | EX_UNAVAILABLE | EX_OSERR | EX_IOERR) => SendError::Down { reason, at_least: None },
        // it will say the same of the next one: a wrong argument, an unknown address, no right to send
        Some(_) => SendError::Unauthorized(reason),
    })
}
