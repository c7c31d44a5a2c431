//! What changed between two policies, in words: who gained what, who lost what.

use std::collections::BTreeSet;

use super::action::Actions;
use super::condition::Terms;
use super::party::{Party, View};
use super::rights::{Allowed, Rights, bounded, line};

/// Lines in a stable order: what anybody gained or lost, then everybody else by kind and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    pub gained: Vec<String>,
    pub lost: Vec<String>,
}

/// What `after` has that `before` had not, and the other way round.
pub fn diff(before: &Rights, after: &Rights, view: View<'_>) -> Change {
    let allowed = |from: &Allowed, to: &Allowed, verb: &'static str, rest: &'static str| -> Vec<String> {
        more(from, to)
            .map(|(party, terms, actions)| {
                let text = line(&view.words(party), verb, actions, terms);
                let on_terms = from.get(party).is_some_and(|known| {
                    terms.is_none()
                        && known.iter().any(|(terms, have)| !terms.is_none() && !have.within(actions).is_empty())
                });
                if on_terms { format!("{text}{rest}") } else { text }
            })
            .collect()
    };
    let denied = |from: &Rights, to: &Rights, verb: &'static str| -> Vec<String> {
        let now = to.denied.iter().map(|(who, actions)| {
            let known = from.denied.get(who).copied().unwrap_or_default();
            (who, actions.without(known))
        });
        now.filter(|(_, actions)| !actions.is_empty())
            .map(|((party, terms), actions)| line(&view.words(party), verb, actions, terms))
            .collect()
    };
    let mut gained = allowed(&before.allowed, &after.allowed, "gained", " (so far on conditions)");
    gained.extend(denied(after, before, "is no longer denied"));
    let mut lost = allowed(&after.allowed, &before.allowed, "lost", " (and keeps it on conditions)");
    lost.extend(denied(before, after, "is now denied"));
    Change { gained: bounded(gained.into_iter()), lost: bounded(lost.into_iter()) }
}

/// Strangers who were let in before and may do more now, and all that they gained together.
pub(super) fn strengthened<'r>(
    before: &'r Rights,
    after: &'r Rights,
    view: View<'_>,
) -> (BTreeSet<&'r Party>, Actions) {
    let (known, now) = (before.external(view), after.external(view));
    let mut all = (BTreeSet::new(), Actions::NONE);
    for (party, terms, actions) in more(&before.allowed, &after.allowed) {
        if known.contains(party) && now.contains(party) && !terms.are_for_ours() {
            all.0.insert(party);
            all.1 = all.1.and(actions);
        }
    }
    all
}

/// What somebody has in `to` and not in `from`. What is had on some terms is had on these and more.
fn more<'r>(from: &'r Allowed, to: &'r Allowed) -> impl Iterator<Item = (&'r Party, &'r Terms, Actions)> {
    to.iter().flat_map(move |(party, by_terms)| {
        let known = from.get(party);
        by_terms.iter().filter_map(move |(terms, actions)| {
            let before = known.into_iter().flatten().filter(|(before, _)| before.ask_no_more_than(terms));
            let new = before.fold(*actions, |new, (_, have)| new.without(*have));
            (!new.is_empty()).then_some((party, terms, new))
        })
    })
}
