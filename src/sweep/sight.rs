//! Whether a scope's keys can be seen at all. A sweep that gets no answers protects nobody, and somebody may want it so.

use crate::core::decide::OwnSubject;
use crate::core::inspection::Inspection;
use crate::engine::Engine;
use crate::keys::Scope;

/// Rounds after each other that saw too little, until it is told: KMS may not answer for a moment.
const ROUNDS: u32 = 2;
/// One key in so many may keep to itself,
const SHARE: usize = 10;
/// and so many in any case, if there are others.
const FEW: usize = 2;

/// Keys that were asked about, and of how many KMS did not say in which state they are.
#[derive(Debug, Default)]
pub(super) struct Seen {
    asked: usize,
    unseen: usize,
    why: String,
}

impl Seen {
    pub(super) fn take(&mut self, inspection: &Inspection) {
        self.asked += 1;
        if inspection.details.known().is_none() && !inspection.is_gone() {
            self.unseen += 1;
            inspection.details.gap().unwrap_or("not asked").clone_into(&mut self.why);
        }
    }

    pub(super) fn unseen(&self) -> usize {
        self.unseen
    }

    /// What there is to be said of it, if it was too little.
    pub(super) fn too_little(&self) -> Option<String> {
        let Self { asked, unseen, why } = self;
        let all = *unseen > 0 && unseen == asked;
        let many = *unseen > FEW && *unseen > asked / SHARE;
        (all || many).then(|| {
            format!("of {unseen} of {asked} keys KMS did not say in which state they are: kms:DescribeKey: {why}")
        })
    }
}

/// What was said of a scope.
#[derive(Debug)]
pub(super) struct Sight {
    subject: OwnSubject,
    /// Rounds after each other that saw too little.
    in_a_row: u32,
    /// Whether it was last told as trouble. What an earlier life of the daemon told is taken back after the first good round.
    told: Option<bool>,
}

impl Sight {
    pub(super) fn of(scope: &Scope) -> Self {
        Self { subject: OwnSubject::KeysUnseen { place: scope.to_string() }, in_a_row: 0, told: None }
    }

    /// Tells how a round ended, where that is news.
    pub(super) async fn ended(&mut self, engine: &Engine, trouble: Option<&str>) {
        let Some(why) = trouble else {
            self.in_a_row = 0;
            if self.told != Some(false) && engine.retract(&self.subject, "KMS answers for the keys").await {
                self.told = Some(false);
            }
            return;
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row >= ROUNDS && self.told != Some(true) {
            engine.report(&self.subject, why).await;
            self.told = Some(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::inspection::{Details, Part};

    #[test]
    fn a_few_locked_keys_are_no_trouble_and_many_are() {
        for (asked, unseen, trouble) in [
            (1, 1, true),
            (3, 2, false),
            (3, 3, true),
            (4, 3, true),
            (60, 6, false),
            (60, 7, true),
            (60, 0, false),
            (0, 0, false),
        ] {
            let mut seen = Seen::default();
            for number in 0..asked {
                let details = if number < unseen { Part::Denied } else { Part::Known(Details::default()) };
                seen.take(&Inspection { details, ..Inspection::default() });
            }
            seen.take(&Inspection { details: Part::NotFound, ..Inspection::default() });
            seen.asked -= 1;
            assert_eq!(seen.too_little().is_some(), trouble, "{unseen} of {asked}");
        }
    }
}
