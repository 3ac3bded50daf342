//! Gaps in words, for a terminal.

use jiff::{SignedDuration, Timestamp};

use super::{Forked, Jump, Missing, SiteGaps, Void};
use crate::clock::local;

/// Ranges of one kind that are printed; JSON has them all.
const PRINTED_MAX: usize = 20;

/// All about one site, line by line.
pub fn lines(gaps: &SiteGaps, now: Timestamp) -> Vec<String> {
    let mut lines = vec![format!("{} ({}): {}", gaps.site, gaps.site_id, state(gaps))];
    for (kind, texts) in sections(gaps, now) {
        let left = texts.len().saturating_sub(PRINTED_MAX);
        lines.extend(texts.into_iter().take(PRINTED_MAX).map(|text| format!("  {kind:8} {text}")));
        if left > 0 {
            lines.push(format!("  {kind:8} and {left} more: `--format json` has all"));
        }
    }
    lines
}

/// How far a site has come, in one phrase.
pub fn state(gaps: &SiteGaps) -> String {
    match (gaps.highest, gaps.missing.len()) {
        (0, _) => "nothing has come yet".to_owned(),
        (highest, 0) => format!("complete up to {highest}"),
        (highest, _) => {
            let missing: u64 = gaps.missing.iter().map(|missing| missing.to - missing.from + 1).sum();
            let cost = gaps.cost.as_ref().map_or_else(String::new, |cost| format!(": {}", cost.text));
            format!("{missing} missing of {highest}{cost}")
        }
    }
}

/// What there is to say, by kind, without the kinds that there is nothing of.
pub fn sections(gaps: &SiteGaps, now: Timestamp) -> Vec<(&'static str, Vec<String>)> {
    let silent = gaps.silent_since.map(|at| format!("the next batch was promised by {}", local(at)));
    let void = |void: &Void| format!("{} {}", range(void.from, void.to), why(&void.reason));
    let (rotated, jumps): (Vec<&Jump>, Vec<&Jump>) = gaps.jumps.iter().partition(|jump| jump.rotated_to.is_some());
    // what a rotation passes over was never used
    let passed = |void: &Void| rotated.iter().any(|jump| jump.after < void.from && void.to < jump.to);
    let jump = |jump: &&Jump| {
        let declared = if jump.declared { "" } else { ", and the site does not say why" };
        format!("from {} to {}, {}{declared}", jump.after, jump.to, local(jump.received_at))
    };
    let mut sections = vec![
        ("silent", silent.into_iter().collect()),
        ("missing", gaps.missing.iter().map(|missing| self::missing(missing, now)).collect()),
        ("repair", repair(gaps).into_iter().collect()),
        ("late", late(gaps).into_iter().collect()),
        ("void", gaps.void.iter().filter(|void| !passed(void)).map(void).collect()),
        ("forked", gaps.forked.iter().map(forked).collect()),
        ("jump", jumps.iter().map(jump).collect()),
        ("rotated", rotated.iter().filter_map(|jump| rotation(jump)).collect::<Vec<_>>()),
    ];
    sections.retain(|(_, texts)| !texts.is_empty());
    sections
}

fn rotation(jump: &Jump) -> Option<String> {
    let (epoch, at) = (jump.rotated_to?, local(jump.received_at));
    Some(format!("a new token, epoch {epoch}: numbers go on from {} to {}, {at}; nothing is lost", jump.after, jump.to))
}

fn repair(gaps: &SiteGaps) -> Option<String> {
    let code = gaps.resend_code.as_ref().or_else(|| gaps.missing.first()?.resend_code.as_ref())?;
    let by_itself = if gaps.resends_by_itself {
        "the site hears of it over HTTPS and sends again by itself what it still has"
    } else {
        "the site hears nothing back: read the code to its administrator"
    };
    Some(format!("{by_itself}; `meterpost outbox resend {code}` there"))
}

fn late(gaps: &SiteGaps) -> Option<String> {
    let newest = gaps.late.last()?;
    let batches = if gaps.late_batches == 1 { "1 batch".to_owned() } else { format!("{} batches", gaps.late_batches) };
    let behind = span(SignedDuration::from_secs(newest.behind_seconds));
    let (sequence, at) = (newest.sequence, local(newest.received_at));
    Some(format!("{batches} came after later ones; the last was {sequence}, {at}, {behind} behind"))
}

fn missing(missing: &Missing, now: Timestamp) -> String {
    let sealed = match (missing.sealed_after, missing.sealed_before) {
        (Some(after), Some(before)) => format!(", sealed between {} and {}", local(after), local(before)),
        (None, Some(before)) => format!(", sealed before {}", local(before)),
        _ => String::new(),
    };
    let code = missing.resend_code.as_ref().map_or_else(String::new, |code| format!("; re-send code `{code}`"));
    let cost = missing.cost.as_ref().map_or_else(String::new, |cost| format!(": {}", cost.text));
    let known = span(now.duration_since(missing.known_since));
    let alert = if missing.alert { ", too long" } else { "" };
    format!("{}{cost}; known for {known}{alert}{sealed}{code}", range(missing.from, missing.to))
}

fn forked(fork: &Forked) -> String {
    let tokens: Vec<String> = fork
        .tokens
        .iter()
        .map(|token| {
            let arrived = token.received_at.map_or_else(|| "only named by later batches".to_owned(), local);
            format!("{}… ({arrived})", &token.sha256[..8])
        })
        .collect();
    let noted = fork.noted.as_ref().map_or_else(String::new, |noted| {
        let who = if noted.person.is_empty() { String::new() } else { format!(" by {}", noted.person) };
        format!("; taken note of {}{who}: {}", local(noted.at), noted.remark)
    });
    format!("{} stands for {}{noted}", fork.sequence, tokens.join(" and "))
}

/// The reason of a void in words.
pub fn why(reason: &str) -> &str {
    match reason {
        "lost" => "lost: jumped over, or gone with a damaged store",
        "deleted" => "deleted by a person at the site",
        "set_aside" => "set aside at the site, because this central refused it; a person there may send it again",
        "expired" => "expired: kept there for 30 days after it was handed over",
        other => other,
    }
}

/// `38`, or `38–40`.
pub fn range(from: u64, to: u64) -> String {
    if from == to { from.to_string() } else { format!("{from}–{to}") }
}

fn span(length: SignedDuration) -> String {
    match length.as_mins() {
        minutes @ ..120 => format!("{} min", minutes.max(0)),
        minutes @ 120..2_880 => format!("{} h", minutes / 60),
        minutes => format!("{} days", minutes / 1_440),
    }
}
