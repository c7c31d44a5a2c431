//! A notification as a Slack message: a lead line, then the card in the colour of its severity.
//!
//! Slack's limits are kept by construction: 50 blocks, the length of each text, and 12 000 characters in all (the
//! undocumented bound behind `msg_blocks_too_long` is near 13 200): what does not fit is cut harder and harder.

use serde_json::{Value, json};

use super::super::text::capital;
use super::super::words::{self, Fact, change, facts, headline, status};
use super::block::{self, Mention};
use crate::core::notification::{Kind, Notification};
use crate::core::rule::Severity;

/// A whole card: the members of `chat.postMessage` that say something.
pub(super) fn full(n: &Notification, mentions: &[Mention]) -> Value {
    // A resolve may be a message of its own, or all that is left of one: its first line is the end.
    let line = if n.kind == Kind::Resolve { change(n) } else { n.summary.clone() };
    let card = |room: &Room| message(n, &line, mentions, vec![attachment(n, room)], room);
    ROOMS
        .iter()
        .map(card)
        .find(|message| length(message) <= BUDGET)
        .unwrap_or_else(|| plain(n, mentions))
}

/// The built-in form that always fits: one line and the key facts, without a card.
pub(super) fn plain(n: &Notification, mentions: &[Mention]) -> Value {
    let line = format!("{} · {}", status(n), words::line(n, &n.summary));
    message(n, &line, mentions, vec![], &SMALLEST)
}

/// What changed, for the thread.
pub(super) fn reply(n: &Notification, mentions: &[Mention]) -> Value {
    message(n, &change(n), mentions, vec![], &SMALLEST)
}

/// Several notifications in one message, worst first; `more` is how many are not among them.
pub(super) fn digest(notifications: &[Notification], more: usize, mentions: &[Mention]) -> Value {
    let mut sorted: Vec<&Notification> = notifications.iter().collect();
    sorted.sort_by_key(|n| (n.kind == Kind::Resolve, std::cmp::Reverse(n.incident.severity)));
    let total = notifications.len() + more;
    let shown = &sorted[..sorted.len().min(DIGEST_LINES)];
    let line = |n: &&Notification| vec![block::bold(&headline(n), 120), block::gap("  "), block::text(&n.summary, 200)];
    let mut parts = vec![block::bullets(shown.iter().map(line).collect())];
    let left = total - shown.len();
    if left > 0 {
        parts.push(block::section(vec![block::text(&format!("and {left} more"), 40)]));
    }
    let title = format!("{total} notifications at once");
    let mut lead = lead(sorted.first().and_then(|n| n.banner.as_deref()), mentions);
    lead.push(block::bold(&title, 60));
    let worst = sorted.first().map_or("#6B7280", |n| colour(n));
    envelope(&title, vec![block::rich(vec![block::section(lead)])], vec![json!({"color": worst, "blocks": [block::rich(parts)]})])
}

fn message(n: &Notification, line: &str, mentions: &[Mention], attachments: Vec<Value>, room: &Room) -> Value {
    let mut elements = lead(n.banner.as_deref(), mentions);
    elements.push(block::text(line, room.prose));
    let said = words::line(n, line);
    let spoken = match &n.banner {
        Some(banner) => format!("[{banner}] {} · {said}", status(n)),
        None => format!("{} · {said}", status(n)),
    };
    envelope(&spoken, vec![block::rich(vec![block::section(elements)])], attachments)
}

/// The blocks are what is seen; `text` is what phones and screen readers say, so it is escaped.
fn envelope(spoken: &str, blocks: Vec<Value>, attachments: Vec<Value>) -> Value {
    json!({
        "text": block::escaped(spoken, SPOKEN_MAX),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": Value::Array(blocks),
        "attachments": Value::Array(attachments),
    })
}

/// Banner, then mentions.
fn lead(banner: Option<&str>, mentions: &[Mention]) -> Vec<Value> {
    let mut elements = vec![];
    if let Some(banner) = banner {
        elements.extend([block::bold(banner, 100), block::gap("\n")]);
    }
    for mention in mentions.iter().take(MENTIONS_MAX) {
        elements.extend([mention.element(), block::gap(" ")]);
    }
    elements
}

fn attachment(n: &Notification, room: &Room) -> Value {
    let mut blocks = vec![block::header(&headline(n))];
    let rows: Vec<Value> = facts(n).iter().take(room.rows).enumerate().flat_map(|(at, fact)| row(at, fact, room)).collect();
    blocks.push(block::rich(vec![block::section(rows)]));
    let prose = prose(n, room);
    if !prose.is_empty() {
        blocks.push(block::rich(prose));
    }
    let links: Vec<Value> = n.links.iter().filter_map(|link| block::link(&capital(&link.text), &link.href)).take(room.links).collect();
    if !links.is_empty() {
        let spaced = links.into_iter().enumerate().flat_map(|(at, link)| (at > 0).then(|| block::gap("  ·  ")).into_iter().chain([link]));
        blocks.push(block::rich(vec![block::section(spaced.collect())]));
    }
    let mut remarks = vec![format!("Rule {} · incident {} · {}", n.incident.rule, n.incident.id, n.reason.as_str().replace('_', " "))];
    // How late it is stands beside the time.
    remarks.extend(n.marks.iter().filter(|mark| Some(*mark) != n.event.late.as_ref()).map(|mark| capital(mark)));
    blocks.push(block::context(&remarks, room.value));
    json!({"color": colour(n), "blocks": blocks})
}

fn row(at: usize, fact: &Fact, room: &Room) -> Vec<Value> {
    let mut elements = vec![];
    if at > 0 {
        elements.push(block::gap("\n"));
    }
    elements.extend([block::bold(&fact.label, 40), block::gap("  "), block::text(&fact.value, room.value)]);
    elements
}

/// What it means, what to do, and the command that undoes it; nothing of it once the incident is over.
fn prose(n: &Notification, room: &Room) -> Vec<Value> {
    let mut parts = vec![];
    // Over is over: what it meant, and what was to be done, would read as if it still stood.
    let said = [("What it means", &n.meaning), ("What to do", &n.action)];
    for (label, text) in said.into_iter().filter(|_| n.kind != Kind::Resolve) {
        if let Some(text) = text {
            parts.push(block::section(vec![block::bold(label, 40), block::gap("  "), block::text(text, room.prose)]));
        }
    }
    if let Some(undo) = &n.undo {
        if undo.encode_utf16().count() <= UNDO_MAX {
            parts.push(block::section(vec![block::bold("Undo", 40)]));
            parts.push(block::code(undo));
        } else {
            parts.push(block::section(vec![block::text("The command that undoes it is too long for this card.", 100)]));
        }
    }
    parts
}

fn colour(n: &Notification) -> &'static str {
    match (n.kind, n.incident.severity) {
        (Kind::Resolve, _) => "#2E7D32",
        (Kind::Notice, _) | (_, Severity::Info) => "#6B7280",
        (_, Severity::Critical) => "#B3261E",
        (_, Severity::High) => "#E8710A",
        (_, Severity::Medium) => "#F2C037",
        (_, Severity::Low) => "#3B82F6",
    }
}

/// How much is said of each thing.
struct Room {
    /// One value, in UTF-16 units.
    value: usize,
    /// A sentence or two.
    prose: usize,
    rows: usize,
    links: usize,
}

const ROOMS: [Room; 4] = [
    Room { value: 600, prose: 900, rows: 20, links: 6 },
    Room { value: 300, prose: 500, rows: 18, links: 4 },
    Room { value: 120, prose: 300, rows: 14, links: 2 },
    SMALLEST,
];
const SMALLEST: Room = Room { value: 80, prose: 300, rows: 10, links: 0 };

/// Characters of blocks and attachments, as JSON.
const BUDGET: usize = 12_000;
const SPOKEN_MAX: usize = 400;
const UNDO_MAX: usize = 1_000;
pub(super) const MENTIONS_MAX: usize = 10;
const DIGEST_LINES: usize = 15;

fn length(message: &Value) -> usize {
    ["blocks", "attachments"].iter().map(|part| message[part].to_string().chars().count()).sum()
}

#[cfg(test)]
#[path = "card_tests.rs"]
mod tests;
