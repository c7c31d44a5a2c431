//! What a pattern asks of the few members that can be read without building the event.

use crate::core::decode::Peek;
use crate::core::event::Outcome;

use super::op::{Leaf, Test};
use super::{Clause, Pattern};

/// One combination's demands on a [`Peek`]. Sound: what does not meet them cannot match the combination.
#[derive(Debug, Clone, Default)]
pub struct Need {
    source: Want,
    detail_type: Want,
    event_name: Want,
    error_code: Want,
    outcome: Want,
}

/// What one member may be. The default allows everything.
#[derive(Debug, Clone, Default)]
struct Want(Option<Box<Allowed>>);

#[derive(Debug, Clone)]
struct Allowed {
    tests: Box<[Test]>,
    absent: bool,
}

/// The member that is worth a look-up, with the values it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector<'n> {
    EventName(Vec<&'n str>),
    DetailType(Vec<&'n str>),
    Source(Vec<&'n str>),
    /// No member is bound to a list of plain values.
    None,
}

impl Pattern {
    /// What each combination asks; an event that meets none of them does not match.
    pub fn needs(&self) -> Vec<Need> {
        self.branches.iter().map(|branch| Need::of(branch.clauses(&self.clauses))).collect()
    }
}

impl Need {
    fn of<'c>(clauses: impl Iterator<Item = &'c Clause>) -> Self {
        let mut need = Self::default();
        for clause in clauses {
            // By steps, not by the dotted path: a name may hold a dot.
            let steps: Vec<&str> = clause.steps.iter().map(AsRef::as_ref).collect();
            let want = match steps.as_slice() {
                ["source"] => &mut need.source,
                ["detail-type"] => &mut need.detail_type,
                ["detail", "eventName"] => &mut need.event_name,
                ["detail", "errorCode"] => &mut need.error_code,
                ["outcome"] => &mut need.outcome,
                _ => continue,
            };
            *want = Want(Some(Box::new(Allowed { tests: clause.tests.clone(), absent: clause.absent })));
        }
        need
    }

    /// Whether an event that peeks so can match. An empty `source` or `detail_type` counts as not known.
    pub fn admits(&self, peek: &Peek<'_>) -> bool {
        self.event_name.admits(peek.event_name.as_deref())
            && self.error_code.admits(peek.error_code.as_deref())
            && (peek.source.is_empty() || self.source.admits(Some(&peek.source)))
            && (peek.detail_type.is_empty() || self.detail_type.admits(Some(&peek.detail_type)))
            && outcomes(peek).iter().any(|outcome| self.outcome.admits(Some(outcome.as_str())))
    }

    /// The most telling member that must be one of a few plain values.
    pub fn selector(&self) -> Selector<'_> {
        let event_name = self.event_name.plain().map(Selector::EventName);
        let detail_type = || self.detail_type.plain().map(Selector::DetailType);
        let source = || self.source.plain().map(Selector::Source);
        event_name.or_else(detail_type).or_else(source).unwrap_or(Selector::None)
    }
}

impl Want {
    /// `None` means that the member is absent, null or empty: peeking does not tell these apart.
    fn admits(&self, member: Option<&str>) -> bool {
        let Some(allowed) = &self.0 else { return true };
        let passes = |leaf| allowed.tests.iter().any(|test| test.matches(leaf));
        match member {
            Some(text) => passes(Leaf::String(text)),
            None => allowed.absent || passes(Leaf::Null) || passes(Leaf::String("")),
        }
    }

    /// The values, where they are all plain strings and the member must be there and filled.
    fn plain(&self) -> Option<Vec<&str>> {
        let allowed = self.0.as_ref().filter(|allowed| !allowed.absent)?;
        allowed.tests.iter().map(|test| test.only_text().filter(|text| !text.is_empty())).collect()
    }
}

/// The outcomes that decoding may derive. What `CloudTrail` recorded tells its outcome by its `errorCode`; of anything
/// else nothing is assumed.
fn outcomes(peek: &Peek<'_>) -> &'static [Outcome] {
    let recorded = peek.event_name.is_some() && peek.detail_type.ends_with(" via CloudTrail");
    match peek.error_code {
        None if recorded => &[Outcome::Success],
        Some(_) if recorded => &[Outcome::Denied, Outcome::Failed],
        _ => &[Outcome::Success, Outcome::Denied, Outcome::Failed],
    }
}
