//! Rules on trial: recorded in full, told to nobody.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Rule, RuleSpec};
use crate::base::diagnostic::Problem;

/// Whether a rule's alerts are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Told.
    #[default]
    Live,
    /// On trial: recorded only.
    Shadow,
}

/// A rule on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shadow {
    /// From then on it is live by itself.
    pub live_from: Option<Timestamp>,
}

impl Rule {
    /// Whether its alerts are recorded only.
    pub fn in_shadow(&self, now: Timestamp) -> bool {
        self.shadow.is_some_and(|shadow| shadow.live_from.is_none_or(|from| now < from))
    }

    /// The family that an alert of that time joins: on trial its own, so that it cannot change a live incident.
    pub fn family_at(&self, time: Timestamp) -> &str {
        if self.in_shadow(time) { &self.id } else { &self.family }
    }

    /// The families in which its incidents may be.
    pub fn families(&self) -> impl Iterator<Item = &str> {
        let own = self.shadow.is_some() && self.id != self.family;
        std::iter::once(self.family.as_str()).chain(own.then_some(self.id.as_str()))
    }
}

pub(super) fn compile(spec: &RuleSpec, problems: &mut Vec<Problem>) -> Option<Shadow> {
    let shadow = spec.mode == Some(Mode::Shadow);
    if let Some(from) = spec.live_from.as_ref().filter(|_| !shadow) {
        problems.push(
            Problem::error(from.span(), "a rule that is live already cannot go live")
                .hint("add `mode = \"shadow\"`, or remove `live_from`"),
        );
    }
    shadow.then(|| Shadow { live_from: spec.live_from.as_ref().map(|from| from.get_ref().0) })
}
