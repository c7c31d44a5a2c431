//! The cards in the terminal.

use std::io::IsTerminal;

use serde_json::Value;
use tokio::sync::watch;

use super::super::say;
use super::board::Card;
use crate::base::stop::Stop;
use crate::core::render::clean;

/// Widest line of a card.
const WIDTH: usize = 108;
/// What a line with a command begins with.
const COMMAND: &str = "    $ ";

/// A step of the story.
pub(super) fn headline(text: &str) -> String {
    paint(&format!("▸ {text}"), "1")
}

/// Prints cards as they come and as they change, until stopped.
pub(super) async fn print(mut cards: watch::Receiver<Vec<Card>>, stop: Stop) {
    let mut shown: Vec<u32> = Vec::new();
    while let Some(Ok(())) = stop.unless_stopped(cards.changed()).await {
        let now = cards.borrow_and_update().clone();
        for (at, card) in now.iter().enumerate() {
            match shown.get_mut(at) {
                Some(edits) if *edits == card.edits => continue,
                Some(edits) => *edits = card.edits,
                None => shown.push(card.edits),
            }
            for line in lines(card, &now) {
                say(&line);
            }
        }
    }
}

fn lines(card: &Card, all: &[Card]) -> Vec<String> {
    match card.place {
        "slack" => slack(card),
        "thread" => vec![format!("  {} {}", paint("Slack, in the thread:", "2"), text_of(&card.body))],
        "change" => vec![format!("  {} {}", paint("PagerDuty, change event:", "2"), summary(&card.body))],
        _ => page(card, all),
    }
}

fn page(card: &Card, all: &[Card]) -> Vec<String> {
    let action = card.body.get("event_action").and_then(Value::as_str).unwrap_or_default();
    let severity = card.body.pointer("/payload/severity").and_then(Value::as_str).unwrap_or_default();
    // Only a trigger says what it is about; the first one under a key is the incident's title.
    let first = all.iter().find(|other| other.place == card.place && other.id == card.id);
    let opens = first.is_some_and(|first| std::ptr::eq(first, card));
    let (what, colour) = match action {
        "resolve" => ("PagerDuty, resolved:".to_owned(), "32;1"),
        "acknowledge" => ("PagerDuty, acknowledged:".to_owned(), "33;1"),
        _ if opens => (format!("PagerDuty, pages ({severity}):"), "31;1"),
        _ => ("PagerDuty, in the open incident's log:".to_owned(), "2"),
    };
    let said = if action == "trigger" {
        summary(&card.body)
    } else {
        first.map(|first| summary(&first.body)).unwrap_or_default()
    };
    vec![format!("  {} {said}", paint(&what, colour))]
}

fn summary(body: &Value) -> String {
    clean(body.pointer("/payload/summary").and_then(Value::as_str).unwrap_or_default(), 300)
}

fn text_of(body: &Value) -> String {
    let said: Vec<String> = array(body, "blocks").iter().map(flat).collect();
    clean(&said.join(" "), 300)
}

/// A message with its card: its lines, with a bar in the card's colour.
fn slack(card: &Card) -> Vec<String> {
    let verb = if card.edits > 0 { "Slack, message edited" } else { "Slack, new message" };
    let mut lines = vec![format!("  {} {}", paint(&format!("{verb}:"), "2"), text_of(&card.body))];
    for attachment in array(&card.body, "attachments") {
        let colour = attachment.get("color").and_then(Value::as_str).unwrap_or_default();
        let bar = paint("┃", ansi(colour));
        for block in array(attachment, "blocks") {
            for line in flat(block).lines() {
                for part in wrapped(line) {
                    lines.push(format!("  {bar} {part}"));
                }
            }
        }
    }
    lines
}

/// Longest lines first cut at a space; commands are left whole, to be copied.
fn wrapped(line: &str) -> Vec<String> {
    if line.starts_with(COMMAND) {
        return vec![line.to_owned()];
    }
    let mut parts = vec![];
    let mut current = String::new();
    for word in line.split(' ') {
        if !current.is_empty() && current.chars().count() + word.chars().count() >= WIDTH {
            parts.push(std::mem::take(&mut current));
            current.push_str("    ");
        }
        if !current.trim().is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    parts.push(current);
    parts
}

/// A block's text, without its markup.
fn flat(block: &Value) -> String {
    match block.get("type").and_then(Value::as_str).unwrap_or_default() {
        "header" => paint(&clean(block.pointer("/text/text").and_then(Value::as_str).unwrap_or_default(), 200), "1"),
        "context" => {
            let parts: Vec<String> = array(block, "elements").iter().map(leaf).collect();
            paint(&parts.join("  "), "2")
        }
        _ => array(block, "elements").iter().map(element).collect::<Vec<_>>().join("\n"),
    }
}

fn element(element: &Value) -> String {
    let inner: String = array(element, "elements").iter().map(leaf).collect();
    match element.get("type").and_then(Value::as_str).unwrap_or_default() {
        "rich_text_preformatted" => format!("{COMMAND}{inner}"),
        "rich_text_list" => {
            let items = array(element, "elements").iter().map(|item| format!("• {}", self::element(item)));
            items.collect::<Vec<_>>().join("\n")
        }
        _ => inner,
    }
}

fn leaf(leaf: &Value) -> String {
    let text = leaf.get("text").and_then(Value::as_str).or_else(|| leaf.get("url").and_then(Value::as_str));
    // Line ends are ours; everything else is cleaned.
    let lines: Vec<String> = text.unwrap_or_default().split('\n').map(keep_spaces).collect();
    let text = lines.join("\n");
    if leaf.pointer("/style/bold").and_then(Value::as_bool) == Some(true) { paint(&text, "1") } else { text }
}

/// Cleans a piece of a line and keeps the spaces at its ends.
fn keep_spaces(text: &str) -> String {
    let start = if text.starts_with(' ') { " " } else { "" };
    let end = if text.len() > 1 && text.ends_with(' ') { " " } else { "" };
    format!("{start}{}{end}", clean(text, 1000))
}

fn array<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The nearest of the terminal's colours.
fn ansi(colour: &str) -> &'static str {
    let part = |at: usize| colour.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(128);
    match (part(1), part(3), part(5)) {
        (r, g, b) if r > 150 && g < 100 && b < 120 => "31;1",
        (r, g, b) if r > 150 && g >= 100 && b < 120 => "33;1",
        (r, g, b) if g > r && g > b => "32;1",
        (r, g, b) if b > r && b >= g => "34;1",
        _ => "37",
    }
}

#[expect(clippy::disallowed_methods, reason = "NO_COLOR is a matter of the terminal, not of the configuration")]
fn paint(text: &str, code: &str) -> String {
    let plain = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
    if plain || !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
