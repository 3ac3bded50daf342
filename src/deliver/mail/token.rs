//! Access tokens by client credentials (RFC 6749, section 4.4), as Exchange Online wants them for XOAUTH2.

use std::io::Read;

use serde_json::Value;
use ureq::Agent;
use zeroize::Zeroizing;

use super::Login;
use crate::deliver::SendError;

/// Bytes of an answer that are read; a token has some thousands.
const ANSWER_MAX: u64 = 64 << 10;

/// Fetches a token for a [`Login::Token`]; nothing for another login.
pub fn fetch(agent: &Agent, login: &Login) -> Result<Zeroizing<String>, SendError> {
    let Login::Token { url, client_id, client_secret, scope, .. } = login else { return Ok(Zeroizing::default()) };
    let down = |reason: String| SendError::Down { reason, at_least: None };
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("client_secret", client_secret),
        ("scope", scope),
    ];
    let response = agent.post(url).send_form(form).map_err(|error| down(format!("no access token: {error}")))?;
    let status = response.status().as_u16();
    let mut body = Zeroizing::new(Vec::new());
    let read = response.into_body().into_reader().take(ANSWER_MAX).read_to_end(&mut body);
    read.map_err(|error| down(format!("no access token: {error}")))?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let word = |name: &str| answer.get(name).and_then(Value::as_str);
    match (status, word("access_token").filter(|token| token.chars().all(|c| c.is_ascii_graphic()))) {
        (200, Some(token)) => Ok(Zeroizing::new(token.to_owned())),
        (400..=403, _) => {
            let why = word("error").unwrap_or("no reason given").chars().filter(|c| !c.is_control()).take(60);
            Err(SendError::Unauthorized(format!(
                "no access token: status {status}, `{}`; `client_id`, `client_secret` and `scope` are what it depends on",
                why.collect::<String>()
            )))
        }
        _ => Err(down(format!("no access token: status {status} without one"))),
    }
}
