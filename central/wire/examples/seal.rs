//! Seals and opens tokens on the command line, for trials against other JOSE libraries:
//!
//! ```text
//! seal jwk SECRET-HEX KID ENC          the batch key of an epoch, as a JWK
//! seal seal JWK-FILE IV-HEX < XML      a token
//! seal open JWK-FILE < TOKEN           what is in it
//! ```

use std::io::{Read, Write};
use std::process::ExitCode;

use meterpost_wire::hex;
use meterpost_wire::keys::{ContentKey, Enc, Epoch, Kid};
use meterpost_wire::seal;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["jwk", secret, kid, enc] => jwk(secret, kid, enc),
        ["seal", key, iv] => seal_stdin(key, iv),
        ["open", key] => open_stdin(key),
        _ => Err("usage: seal jwk SECRET-HEX KID ENC | seal JWK-FILE IV-HEX | open JWK-FILE".to_owned()),
    };
    let written = result.and_then(|octets| std::io::stdout().write_all(&octets).map_err(|error| error.to_string()));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn jwk(secret: &str, kid: &str, enc: &str) -> Result<Vec<u8>, String> {
    let secret = hex::decode(secret).and_then(|octets| octets.try_into().ok()).ok_or("the secret is not 32 bytes")?;
    let kid = Kid::parse(kid).map_err(|error| error.to_string())?;
    let enc = Enc::parse(enc).ok_or("no such enc")?;
    let key = Epoch::new(kid.clone(), enc, secret).batch_key();
    Ok(key.to_jwk(&kid).as_bytes().to_vec())
}

fn key_file(path: &str) -> Result<(Kid, ContentKey), String> {
    let json = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let (kid, key) = ContentKey::from_jwk(&json).map_err(|error| format!("{path}: {error}"))?;
    Ok((kid.ok_or(format!("{path}: no kid"))?, key))
}

fn stdin() -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    std::io::stdin().read_to_end(&mut octets).map_err(|error| error.to_string())?;
    Ok(octets)
}

fn seal_stdin(key: &str, iv: &str) -> Result<Vec<u8>, String> {
    let (kid, key) = key_file(key)?;
    let iv = hex::decode(iv).and_then(|octets| octets.try_into().ok()).ok_or("the IV is not 16 bytes")?;
    let token = seal::seal(&stdin()?, &kid, &key, iv).map_err(|error| error.to_string())?;
    Ok(token.into_bytes())
}

fn open_stdin(key: &str) -> Result<Vec<u8>, String> {
    let (kid, key) = key_file(key)?;
    let token = String::from_utf8(stdin()?).map_err(|error| error.to_string())?;
    let opened = seal::open(token.trim_ascii(), Some(kid.site()), |named| (*named == kid).then_some(key));
    opened.map(|opened| opened.xml).map_err(|error| error.to_string())
}
