//! What a rule asks of several events together: as it is written, and compiled.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use crate::base::diagnostic::Problem;
use crate::base::period::Period;
use crate::core::pattern::{Node, Pattern};

/// Longest time that a window may look back.
pub const WITHIN_MAX: Period = Period::from_secs(90 * 86_400);
/// Most events that a threshold may ask for.
pub const COUNT_MAX: u32 = 500;
/// Most steps that a sequence may have before the last one.
pub const STEPS_MAX: usize = 8;

/// So many events within a time.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdSpec {
    /// How many events of one group make an alert, from 2 to 500; then each of them is one.
    #[schemars(with = "u32")]
    pub count: Spanned<u32>,
    /// How close together, by event time.
    #[schemars(with = "Period")]
    pub within: Spanned<Period>,
    /// Counts the different values at this path, not the events.
    #[schemars(with = "Option<String>")]
    pub distinct: Option<Spanned<String>>,
}

/// Other events before this one, in order.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequenceSpec {
    /// Patterns of the events that must have come before, in this order, in the same group.
    #[schemars(with = "Vec<Node>")]
    pub after: Spanned<Vec<Node>>,
    /// The longest time from the first of them to the event that `match` names.
    #[schemars(with = "Period")]
    pub within: Spanned<Period>,
}

/// An event that must follow and does not.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AbsentSpec {
    /// What should follow in the same group; coming late, it ends the danger.
    pub expect: Node,
    /// How long to wait for it, by event time.
    #[schemars(with = "Period")]
    pub within: Spanned<Period>,
}

/// A value that the group has not shown for long.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewValueSpec {
    /// Path of the value, such as `actor.principal`.
    #[schemars(with = "String")]
    pub of: Spanned<String>,
    /// A value not seen for so long is new again.
    #[schemars(with = "Period")]
    pub within: Spanned<Period>,
    /// From a group's first event on, so long nothing is new: it learns.
    #[serde(default = "a_week")]
    #[schemars(with = "Period")]
    pub learn: Period,
}

fn a_week() -> Period {
    Period::from_secs(7 * 86_400)
}

/// What a rule asks of the events of one group together.
#[derive(Debug)]
pub enum Window {
    Threshold { count: usize, within: SignedDuration, distinct: Option<String> },
    Sequence { after: Vec<Pattern>, within: SignedDuration },
    Absent { expect: Pattern, within: SignedDuration },
    NewValue { of: String, within: SignedDuration, learn: SignedDuration },
}

impl Window {
    /// How far back an event may lie and still matter to one that comes now, by event time.
    pub fn within(&self) -> SignedDuration {
        match self {
            Self::Threshold { within, .. }
            | Self::Sequence { within, .. }
            | Self::Absent { within, .. }
            | Self::NewValue { within, .. } => *within,
        }
    }

    /// Patterns beside `match` whose events the window remembers, each with the place it has in the window.
    pub fn steps(&self) -> impl Iterator<Item = (u8, &Pattern)> {
        let patterns = match self {
            Self::Sequence { after, .. } => after.as_slice(),
            Self::Absent { expect, .. } => std::slice::from_ref(expect),
            Self::Threshold { .. } | Self::NewValue { .. } => &[],
        };
        (0..).zip(patterns)
    }

    /// Path of the value that the window compares.
    pub fn value_path(&self) -> Option<&str> {
        match self {
            Self::Threshold { distinct, .. } => distinct.as_deref(),
            Self::NewValue { of, .. } => Some(of),
            Self::Sequence { .. } | Self::Absent { .. } => None,
        }
    }

    /// What it asks, in words.
    pub fn in_words(&self) -> String {
        let shown = |length: &SignedDuration| Period::from_secs(length.as_secs()).to_string();
        match self {
            Self::Threshold { count, within, distinct: None } => format!("{count} of these within {}", shown(within)),
            Self::Threshold { count, within, distinct: Some(path) } => {
                format!("{count} different values of `{path}` within {}", shown(within))
            }
            Self::Sequence { after, within } => {
                let (number, events) = (after.len(), if after.len() == 1 { "event" } else { "events" });
                format!("{number} other {events} before it, within {}", shown(within))
            }
            Self::Absent { within, .. } => format!("an expected event not coming within {}", shown(within)),
            Self::NewValue { of, within, .. } => format!("a value of `{of}` not seen for {}", shown(within)),
        }
    }
}

/// The window keys of a rule, as written.
pub(super) struct Written<'s> {
    pub(super) id: &'s Spanned<String>,
    pub(super) threshold: Option<&'s ThresholdSpec>,
    pub(super) sequence: Option<&'s SequenceSpec>,
    pub(super) absent: Option<&'s AbsentSpec>,
    pub(super) new_value: Option<&'s NewValueSpec>,
}

/// Compiles a rule's window; `None` also when something is wrong with it, which `problems` then names.
pub(super) fn compile(written: &Written<'_>, problems: &mut Vec<Problem>) -> Option<Window> {
    let named = [
        ("threshold", written.threshold.is_some()),
        ("sequence", written.sequence.is_some()),
        ("absent", written.absent.is_some()),
        ("new_value", written.new_value.is_some()),
    ];
    let named: Vec<&str> = named.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect();
    if let [first, second, ..] = named.as_slice() {
        problems.push(
            Problem::error(written.id.span(), format!("a rule has one window, and this has `{first}` and `{second}`"))
                .hint("make two rules of it, and let them share an `incident` family"),
        );
        return None;
    }
    if let Some(spec) = written.threshold {
        return threshold(spec, problems);
    }
    if let Some(spec) = written.sequence {
        return sequence(spec, problems);
    }
    if let Some(spec) = written.absent {
        let within = within(&spec.within, problems);
        let expect = super::spec::pattern(&spec.expect, problems)?;
        return Some(Window::Absent { expect, within });
    }
    let spec = written.new_value?;
    super::spec::check_path(&spec.of, problems);
    let within = within(&spec.within, problems);
    Some(Window::NewValue { of: spec.of.get_ref().clone(), within, learn: spec.learn.signed() })
}

fn threshold(spec: &ThresholdSpec, problems: &mut Vec<Problem>) -> Option<Window> {
    if let Some(path) = &spec.distinct {
        super::spec::check_path(path, problems);
    }
    let within = within(&spec.within, problems);
    let count = *spec.count.get_ref();
    if !(2..=COUNT_MAX).contains(&count) {
        let hint = if count < 2 {
            "without a threshold every event is an alert: remove it".to_owned()
        } else {
            format!("a burst is clear long before that: ask for {COUNT_MAX} at most")
        };
        problems.push(Problem::error(spec.count.span(), format!("a threshold of {count}")).hint(hint));
        return None;
    }
    let distinct = spec.distinct.as_ref().map(|path| path.get_ref().clone());
    Some(Window::Threshold { count: usize::try_from(count).unwrap_or(usize::MAX), within, distinct })
}

fn sequence(spec: &SequenceSpec, problems: &mut Vec<Problem>) -> Option<Window> {
    let within = within(&spec.within, problems);
    let steps = spec.after.get_ref();
    if steps.is_empty() || steps.len() > STEPS_MAX {
        problems.push(
            Problem::error(spec.after.span(), format!("a sequence with {} events before the last", steps.len()))
                .hint(format!("list 1 to {STEPS_MAX} patterns of what must have come before")),
        );
        return None;
    }
    let after: Vec<_> = steps.iter().filter_map(|node| super::spec::pattern(node, problems)).collect();
    (after.len() == steps.len()).then_some(Window::Sequence { after, within })
}

fn within(within: &Spanned<Period>, problems: &mut Vec<Problem>) -> SignedDuration {
    let length = *within.get_ref();
    if length < Period::from_secs(1) || length > WITHIN_MAX {
        problems.push(
            Problem::error(within.span(), format!("a window of {length}"))
                .hint(format!("choose a time between 1s and {WITHIN_MAX}")),
        );
    }
    length.signed()
}
