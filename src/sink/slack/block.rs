//! Block Kit pieces that hold untrusted text safely: `plain_text` and `rich_text` only, never mrkdwn.
//!
//! Slack parses no markup, mention or link inside these; a mention or link is an element of its own, made only
//! from the configuration and from checked links.

use serde_json::{Value, json};

use super::super::text::{clean_lines, fit};

/// A mention from the configuration, checked by grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mention {
    /// `here`, `channel` or `everyone`.
    Broadcast(&'static str),
    User(String),
    Group(String),
}

impl Mention {
    /// Reads `<!here>`, `<!channel>`, `<!everyone>`, `<@U…>`, `<@W…>` and `<!subteam^S…>`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let id = |id: &str, first: &[char]| {
            (id.starts_with(first) && (3..=20).contains(&id.len()) && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
                .then(|| id.to_owned())
        };
        let inner = text.strip_prefix('<')?.strip_suffix('>')?;
        match inner {
            "!here" => Some(Self::Broadcast("here")),
            "!channel" => Some(Self::Broadcast("channel")),
            "!everyone" => Some(Self::Broadcast("everyone")),
            _ => match (inner.strip_prefix('@'), inner.strip_prefix("!subteam^")) {
                (Some(user), _) => id(user, &['U', 'W']).map(Self::User),
                (_, Some(group)) => id(group, &['S']).map(Self::Group),
                _ => None,
            },
        }
    }

    pub(super) fn element(&self) -> Value {
        match self {
            Self::Broadcast(range) => json!({"type": "broadcast", "range": range}),
            Self::User(id) => json!({"type": "user", "user_id": id}),
            Self::Group(id) => json!({"type": "usergroup", "usergroup_id": id}),
        }
    }
}

/// A large line; Slack takes 150 characters.
pub(super) fn header(line: &str) -> Value {
    json!({"type": "header", "text": plain(line, 150)})
}

/// Small grey remarks; Slack takes 10.
pub(super) fn context(remarks: &[String], max: usize) -> Value {
    let elements: Vec<Value> = remarks.iter().take(10).map(|remark| plain(remark, max)).collect();
    json!({"type": "context", "elements": elements})
}

pub(super) fn rich(parts: Vec<Value>) -> Value {
    json!({"type": "rich_text", "elements": Value::Array(parts)})
}

pub(super) fn section(elements: Vec<Value>) -> Value {
    json!({"type": "rich_text_section", "elements": Value::Array(elements)})
}

pub(super) fn bullets(items: Vec<Vec<Value>>) -> Value {
    let items: Vec<Value> = items.into_iter().map(section).collect();
    json!({"type": "rich_text_list", "style": "bullet", "elements": items})
}

/// A block of code, whole: half a command is a trap.
pub(super) fn code(text: &str) -> Value {
    json!({"type": "rich_text_preformatted", "elements": [{"type": "text", "text": clean_lines(text)}]})
}

pub(super) fn text(value: &str, max: usize) -> Value {
    json!({"type": "text", "text": filled(fit(value, max))})
}

pub(super) fn bold(value: &str, max: usize) -> Value {
    json!({"type": "text", "text": filled(fit(value, max)), "style": {"bold": true}})
}

/// White space between elements, line breaks included; our own, so it is not cleaned.
pub(super) fn gap(white: &str) -> Value {
    json!({"type": "text", "text": white})
}

/// A link, if it is one that people may follow: http(s), without spaces, at most 3000 characters.
pub(super) fn link(label: &str, href: &str) -> Option<Value> {
    let web = href.starts_with("https://") || href.starts_with("http://");
    let whole = href.len() <= 3000 && href.chars().all(|c| c.is_ascii_graphic());
    (web && whole).then(|| json!({"type": "link", "url": href, "text": filled(fit(label, 75))}))
}

/// For the top-level `text`, which Slack reads as mrkdwn: escaped first, measured after, cut between entities.
pub(super) fn escaped(value: &str, max: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in fit(value, max).chars() {
        let piece = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            _ => "",
        };
        let width = if piece.is_empty() { c.len_utf16() } else { piece.len() };
        if used + width >= max {
            out.push('…');
            break;
        }
        used += width;
        if piece.is_empty() { out.push(c) } else { out.push_str(piece) }
    }
    out
}

fn plain(value: &str, max: usize) -> Value {
    json!({"type": "plain_text", "text": filled(fit(value, max)), "emoji": false})
}

/// Slack refuses empty texts.
fn filled(text: String) -> String {
    if text.is_empty() { "–".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_read_by_grammar() {
        assert_eq!(Mention::parse("<!here>"), Some(Mention::Broadcast("here")));
        assert_eq!(Mention::parse("<@U012AB3CD>"), Some(Mention::User("U012AB3CD".into())));
        assert_eq!(Mention::parse("<!subteam^S012AB3CD>"), Some(Mention::Group("S012AB3CD".into())));
        for wrong in ["@here", "<!here|x>", "<@u012>", "<@U012|bob>", "<!subteam^U012>", "<https://x>", "", "<@U>", "<!date^1^x|y>"] {
            assert_eq!(Mention::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn escaping_is_measured_and_never_cut_inside_an_entity() {
        assert_eq!(escaped("a<!channel>&b", 100), "a&lt;!channel&gt;&amp;b");
        for max in 1..30 {
            let cut = escaped("&&&&<<<<>>>>", max);
            assert!(cut.encode_utf16().count() <= max, "{max}: {cut}");
            let rest = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").replace('…', "");
            assert!(rest.is_empty(), "{max}: half an entity in {cut}");
        }
    }

    #[test]
    fn only_web_links_become_links() {
        assert!(link("Runbook", "https://example.org/a?b=c").is_some());
        for wrong in ["javascript:alert(1)", "https://a b", "https://ex\u{202E}ample.org", "slack://x", ""] {
            assert!(link("x", wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn empty_text_is_never_sent() {
        assert_eq!(text("", 10)["text"], "–");
        assert_eq!(header("")["text"]["text"], "–");
    }
}
