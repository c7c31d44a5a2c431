//! What has to hold beside `match`: an exemption or an escalation that asks for the opposite never applies.

use super::walk::{Branch, branches, disjoint};
use super::{contradicts, facts, paths};
use crate::base::diagnostic::Problem;
use crate::core::pattern::Node;

/// Says it once for the pattern, at its first field that can never be so; what its own fields lack is said as well.
pub(super) fn check(matches: &Node, further: &Node, so: &str, problems: &mut Vec<Problem>) {
    let (asked, besides) = (branches(matches), branches(further));
    let mut conflict = None;
    let mut lacking = None;
    for besides in &besides {
        for asked in &asked {
            let joined: Branch<'_> = asked.iter().chain(besides).cloned().collect();
            if let Some(found) = apart(asked, besides, &joined) {
                conflict = conflict.or(Some(found));
                continue;
            }
            let mut lacks = vec![];
            paths::check(&joined, besides, &mut lacks);
            if lacks.is_empty() {
                // It may apply to this.
                return;
            }
            lacking = lacking.or(Some(lacks));
        }
    }
    if let Some(lacking) = lacking {
        problems.extend(lacking);
        return;
    }
    if let Some((span, path)) = conflict {
        problems.push(
            Problem::warning(span, format!("`match` and this `{path}` exclude each other, so {so}"))
                .hint("compare it with `match`; take it out, or widen one of the two"),
        );
    }
}

/// Where a combination of the one and a combination of the other exclude each other, if they do.
fn apart(asked: &Branch<'_>, besides: &Branch<'_>, joined: &Branch<'_>) -> Option<(std::ops::Range<usize>, String)> {
    let same = besides.iter().find(|clause| {
        let list = clause.list.to_json();
        asked.iter().any(|other| other.path == clause.path && disjoint(&other.list.to_json(), &list))
    });
    let place = |clause: &super::walk::Clause<'_>| (clause.list.span.clone(), clause.path.clone());
    if let Some(clause) = same {
        return Some(place(clause));
    }
    // What follows from the one may contradict the other.
    let names = super::clause(asked, "detail.eventName").or_else(|| super::clause(besides, "detail.eventName"));
    let names: Vec<&str> = names.and_then(super::walk::Clause::words).unwrap_or_default();
    let of_branch = facts::of_branch(joined);
    besides.iter().chain(asked).find_map(|clause| {
        let only = vec![clause.clone()];
        let broken = |facts: &[facts::Fact]| contradicts(&only, facts, None, &mut vec![]);
        let by_name = !names.is_empty() && names.iter().all(|name| broken(&facts::of_name(name, joined, false)));
        (broken(&of_branch) || by_name).then(|| {
            let here = besides.iter().find(|own| own.path == clause.path).or(besides.first()).unwrap_or(clause);
            place(here)
        })
    })
}
