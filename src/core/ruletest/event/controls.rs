//! The members of a partial event that say when and how it comes, not what it holds.

use std::ops::Range;

use jiff::SignedDuration;

use crate::base::diagnostic::Problem;
use crate::base::period::Period;
use crate::core::pattern::node::Name;
use crate::core::pattern::{Node, NodeKind};

/// Their names and what they say, for the reference.
pub const CONTROLS: &[(&str, &str)] = &[
    ("at", "when it happens, from the start of the test; without it at the time of the event before"),
    ("repeat", "how often it happens"),
    ("every", "the time between two of these"),
    ("late", "how much later than it happens it arrives"),
    ("duplicate", "`true`: it is delivered twice"),
    ("without", "paths of members that it lacks although such events have them"),
    (
        "lookup",
        "what KMS answers when asked for the key: a key state such as `\"Enabled\"`, read when everything has settled; or \
         `\"denied\"`, `\"timed out\"`, `\"failed\"`",
    ),
];

#[derive(Debug, Clone)]
pub(super) struct Controls {
    pub(super) at: Option<SignedDuration>,
    pub(super) repeat: u64,
    pub(super) every: SignedDuration,
    pub(super) late: SignedDuration,
    pub(super) duplicate: bool,
    pub(super) without: Vec<String>,
    pub(super) lookup: Option<KeyLookup>,
}

/// What came of asking KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::core::ruletest) enum KeyLookup {
    /// The key's state now.
    State(String),
    /// Nothing, and why.
    Failed(String),
}

impl Controls {
    /// Of an event that comes once, when it happens.
    pub(super) fn none() -> Self {
        Self {
            at: None,
            repeat: 1,
            every: SignedDuration::ZERO,
            late: SignedDuration::ZERO,
            duplicate: false,
            without: Vec::new(),
            lookup: None,
        }
    }

    pub(super) fn read(members: &[(Name, Node)], problems: &mut Vec<Problem>) -> Self {
        let mut controls = Self::none();
        let mut repeats = None;
        for (name, value) in members {
            match (name.text.as_str(), &value.kind) {
                ("at", _) => controls.at = period(value, problems),
                ("every", _) => controls.every = period(value, problems).unwrap_or_default(),
                ("late", _) => controls.late = period(value, problems).unwrap_or_default(),
                ("repeat", NodeKind::Integer(times @ 1..=10_000)) => {
                    controls.repeat = u64::try_from(*times).unwrap_or(1);
                    repeats = Some(name.span.clone());
                }
                ("repeat", _) => wrong(value, "`repeat` is a number from 1 to 10000", "write repeat = 5", problems),
                ("duplicate", NodeKind::Boolean(twice)) => controls.duplicate = *twice,
                ("duplicate", _) => wrong(value, "`duplicate` is true or false", "write duplicate = true", problems),
                ("without", _) => controls.without = paths(value, problems),
                ("lookup", NodeKind::String(text)) => controls.lookup = lookup(text, &value.span, problems),
                ("lookup", _) => {
                    wrong(value, "`lookup` is a text", "write lookup = \"Enabled\", or \"denied\"", problems);
                }
                _ => {}
            }
        }
        if let Some((name, _)) = members.iter().find(|(name, _)| name.text == "every").filter(|_| repeats.is_none()) {
            problems.push(
                Problem::error(name.span.clone(), "`every` says the time between repeats, and there are none")
                    .hint("add repeat = 5"),
            );
        }
        controls
    }
}

fn wrong(value: &Node, message: &str, hint: &str, problems: &mut Vec<Problem>) {
    problems.push(Problem::error(value.span.clone(), message).hint(hint));
}

/// Longest time one event may be away from the start.
const AWAY_MAX: SignedDuration = SignedDuration::from_hours(400 * 24);

fn period(value: &Node, problems: &mut Vec<Problem>) -> Option<SignedDuration> {
    let NodeKind::String(text) = &value.kind else {
        wrong(value, "a length of time is a text", "write \"0s\", \"30s\", \"2m\" or \"1h 30m\"", problems);
        return None;
    };
    match text.parse::<Period>() {
        Ok(period) if period.signed() <= AWAY_MAX => Some(period.signed()),
        Ok(_) => {
            wrong(value, "a test plays at most 400 days", "shorten it", problems);
            None
        }
        Err(message) => {
            wrong(value, &message, "write \"0s\", \"30s\", \"2m\" or \"1h 30m\"", problems);
            None
        }
    }
}

fn paths(value: &Node, problems: &mut Vec<Problem>) -> Vec<String> {
    let hint = "write without = [\"detail.resources\"]";
    let NodeKind::Array(items) = &value.kind else {
        wrong(value, "`without` is a list of paths", hint, problems);
        return Vec::new();
    };
    let mut paths = Vec::new();
    for item in items {
        match &item.kind {
            NodeKind::String(path) if !path.is_empty() => paths.push(path.clone()),
            _ => wrong(item, "a path is a text", hint, problems),
        }
    }
    paths
}

/// The states of a key (KMS developer guide, "Key states of KMS keys").
const STATES: &[&str] = &[
    "Creating",
    "Enabled",
    "Disabled",
    "PendingImport",
    "PendingDeletion",
    "PendingReplicaDeletion",
    "Unavailable",
    "Updating",
];

fn lookup(text: &str, span: &Range<usize>, problems: &mut Vec<Problem>) -> Option<KeyLookup> {
    if ["denied", "timed out", "failed"].contains(&text) {
        return Some(KeyLookup::Failed(text.to_owned()));
    }
    if STATES.contains(&text) {
        return Some(KeyLookup::State(text.to_owned()));
    }
    let known: Vec<&str> = STATES.iter().copied().chain(["denied", "timed out", "failed"]).collect();
    problems.push(
        Problem::error(span.clone(), format!("KMS does not answer `{}`", text.escape_debug()))
            .hint(crate::base::diagnostic::did_you_mean(text, &known, "possible answers")),
    );
    None
}
