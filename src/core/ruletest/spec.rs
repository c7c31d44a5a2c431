//! A rule's test as it is written in TOML, and what is wrong with it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_spanned::Spanned;

use super::event::{self, EVENTS_MAX};
use crate::base::diagnostic::Problem;
use crate::base::period::Period;
use crate::core::incident::State;
use crate::core::notification::Kind;
use crate::core::pattern::{Node, NodeKind};
use crate::core::rule::Severity;

/// One `[[rule.test]]` table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestSpec {
    /// What it shows, as a sentence: "a person disables a production key".
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// The one event that happens; only what matters needs to be said.
    pub event: Option<PartialEvent>,
    /// Several events, each with its time: `at`, `repeat`, `every`, `late`.
    #[serde(default)]
    pub events: Vec<PartialEvent>,
    /// Lets this much time pass after the last event.
    #[schemars(with = "Option<Period>")]
    pub after: Option<Spanned<Period>>,
    /// Ids of other rules that are in force during the test, such as those of the same incident family.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub with: Vec<Spanned<String>>,
    /// What must come of it.
    #[schemars(with = "ExpectSpec")]
    pub expect: Spanned<ExpectSpec>,
}

/// `expect` of a test: what must come of its events. At least one is named.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectSpec {
    /// Whether the rule raises an alert at all.
    #[schemars(with = "Option<bool>")]
    pub alert: Option<Spanned<bool>>,
    /// How many alerts it raises.
    #[schemars(with = "Option<u64>")]
    pub alerts: Option<Spanned<u64>>,
    /// The highest severity that its incidents have at the end.
    #[schemars(with = "Option<Severity>")]
    pub severity: Option<Spanned<Severity>>,
    /// The state that every incident has at the end; `none` if there is no incident.
    #[schemars(with = "Option<EndState>")]
    pub incident: Option<Spanned<EndState>>,
    /// How many incidents there are at the end.
    #[schemars(with = "Option<u64>")]
    pub incidents: Option<Spanned<u64>>,
    /// The kinds of all notifications, in order: `trigger`, `update`, `resolve`, `notice`; or `none`.
    #[schemars(with = "Option<Words>")]
    pub notification: Option<Spanned<Words>>,
    /// Texts that stand in the summary, the title, the details or the remarks of a notification.
    #[schemars(with = "Option<Words>")]
    pub text: Option<Spanned<Words>>,
}

/// How incidents stand at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndState {
    None,
    Open,
    Resolved,
}

impl EndState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }

    pub(super) fn holds(self, state: State) -> bool {
        match self {
            Self::None => false,
            Self::Open => state != State::Resolved,
            Self::Resolved => state == State::Resolved,
        }
    }
}

/// One text, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |node: &Node| match &node.kind {
            NodeKind::String(text) => Some(text.clone()),
            _ => None,
        };
        let node = Node::deserialize(deserializer)?;
        let words = match &node.kind {
            NodeKind::Array(items) => items.iter().map(text).collect::<Option<Vec<_>>>(),
            _ => text(&node).map(|text| vec![text]),
        };
        words.map(Self).ok_or_else(|| D::Error::custom("a text or a list of texts is wanted here"))
    }
}

impl JsonSchema for Words {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Words".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "One text, or a list of them.",
            "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    }
}

/// Members of an event document, as far as a test says them; the rest comes from the catalog of events.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct PartialEvent(pub Node);

impl JsonSchema for PartialEvent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PartialEvent".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "Members of the event document, as far as they matter.",
            "minProperties": 1
        })
    }
}

/// Longest time a test plays.
const PLAYED_MAX: Period = Period::from_secs(400 * 24 * 3600);

/// Everything that is wrong with a rule's test, each at its place. What it lacks counts only if it is `whole`: if all of it
/// could be read.
pub fn check(test: &TestSpec, whole: bool, problems: &mut Vec<Problem>) {
    let name = test.name.get_ref();
    if name.trim().is_empty() || name.chars().count() > 200 || name.contains(char::is_control) {
        problems.push(
            Problem::error(test.name.span(), "a test's name has 1 to 200 characters, on one line")
                .hint("say what happens, as a sentence: \"a person disables a production key\""),
        );
    }
    match (&test.event, test.events.as_slice()) {
        (None, []) if whole => problems.push(
            Problem::error(test.name.span(), "the test has no event")
                .hint("write event = { detail.eventName = \"DisableKey\" }"),
        ),
        (Some(event), [_, ..]) => problems.push(
            Problem::error(event.0.span.clone(), "a test has either `event` or `events`")
                .hint("put all of them into `events`"),
        ),
        _ => {}
    }
    let mut played = 0;
    for partial in test.event.iter().chain(&test.events) {
        played += event::check(&partial.0, problems);
    }
    if played > EVENTS_MAX {
        problems.push(
            Problem::error(test.name.span(), format!("the test plays {played} events"))
                .hint(format!("play at most {EVENTS_MAX}")),
        );
    }
    if let Some(after) = test.after.as_ref().filter(|after| *after.get_ref() > PLAYED_MAX) {
        problems.push(
            Problem::error(after.span(), format!("the test lets {} pass", after.get_ref()))
                .hint(format!("let at most {PLAYED_MAX} pass")),
        );
    }
    check_expect(&test.expect, whole, problems);
}

fn check_expect(expect: &Spanned<ExpectSpec>, whole: bool, problems: &mut Vec<Problem>) {
    let ExpectSpec { alert, alerts, severity, incident, incidents, notification, text } = expect.get_ref();
    let anything = alert.is_some()
        || alerts.is_some()
        || severity.is_some()
        || incident.is_some()
        || incidents.is_some()
        || notification.is_some()
        || text.is_some();
    if !anything && whole {
        problems.push(
            Problem::error(expect.span(), "the test expects nothing, so it cannot fail")
                .hint("write expect = { alert = true }, or alert = false"),
        );
    }
    if let (Some(alert), Some(alerts)) = (alert, alerts)
        && *alert.get_ref() != (*alerts.get_ref() > 0)
    {
        problems.push(
            Problem::error(alerts.span(), "`alert` and `alerts` contradict each other").hint("leave one of them out"),
        );
    }
    let none = alert.as_ref().is_some_and(|alert| !alert.get_ref())
        || alerts.as_ref().is_some_and(|alerts| *alerts.get_ref() == 0);
    if none && let Some(severity) = severity {
        problems.push(
            Problem::error(severity.span(), "where no alert is expected there is no severity")
                .hint("leave `severity` out, or expect an alert"),
        );
    }
    for words in [notification, text].into_iter().flatten() {
        if words.get_ref().0.iter().any(|word| word.trim().is_empty()) {
            problems.push(Problem::error(words.span(), "an empty text says nothing").hint("leave it out"));
        }
    }
    if let Some(kinds) = notification {
        let words = &kinds.get_ref().0;
        for word in words.iter().filter(|word| !word.trim().is_empty()) {
            if kind(word).is_none() && !(word == NONE && words.len() == 1) {
                problems.push(
                    Problem::error(kinds.span(), format!("there is no notification `{word}`"))
                        .hint("write `trigger`, `update`, `resolve`, `notice`, or `none` alone"),
                );
            }
        }
    }
}

/// How `notification` says that nothing is told.
pub(super) const NONE: &str = "none";

pub(super) fn kind(word: &str) -> Option<Kind> {
    [Kind::Trigger, Kind::Update, Kind::Resolve, Kind::Notice].into_iter().find(|kind| kind.as_str() == word)
}

impl TestSpec {
    /// Whether it shows that the rule fires; `None` where it does not say.
    pub fn positive(&self) -> Option<bool> {
        let expect = self.expect.get_ref();
        let alerts = expect.alerts.as_ref().map(|alerts| *alerts.get_ref() > 0);
        let end = expect.incident.as_ref().map(|incident| *incident.get_ref() != EndState::None);
        let incidents = expect.incidents.as_ref().map(|incidents| *incidents.get_ref() > 0);
        let told = expect.notification.as_ref().map(|kinds| kinds.get_ref().0.iter().any(|word| word != NONE));
        let shown = (expect.severity.is_some() || expect.text.is_some()).then_some(true);
        expect.alert.as_ref().map(|alert| *alert.get_ref()).or(alerts).or(shown).or(end).or(incidents).or(told)
    }
}
