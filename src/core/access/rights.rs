//! What a policy's statements add up to: who is allowed what on which terms, and what is denied to whom.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::action::fits;
use super::action::{Ability, Actions};
use super::condition::{Condition, Terms, are_ours};
use super::mend::beyond_doubt;
use super::notes::Notes;
use super::parse::{KeyPolicy, Statement, Who};
use super::party::{Party, Standing, View};
use crate::core::render::clean;

/// The normal form of a key policy: two policies that mean the same have the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// What is left of the Allows once what is denied without a condition is taken away.
    pub allowed: Allowed,
    pub denied: BTreeMap<(Party, Terms), Actions>,
    /// What the account itself is allowed without a condition, whatever is denied.
    pub root: Actions,
    /// What somebody of the key's account has, also if every Deny holds whose conditions cannot be judged.
    pub beyond_doubt: Actions,
    pub unknown: Notes,
}

pub(super) type Allowed = BTreeMap<Party, BTreeMap<Terms, Actions>>;

/// Different "anybody but" among the Denies that are worked with.
const EXCLUSIONS_MAX: usize = 64;

impl Rights {
    /// `key_arn`: the key that the policy is of, if it is known.
    pub fn of(policy: &KeyPolicy, key_arn: Option<&str>, view: View<'_>) -> Self {
        let mut rights = Self { unknown: policy.unknown.clone(), ..Self::default() };
        let mut denials = Denials::default();
        for statement in &policy.statements {
            if !statement.scope.covers(key_arn) {
                rights.unknown.add("a statement names a resource that is not this key: it gives nothing");
            } else if statement.allow {
                rights.allow(statement, view);
            } else {
                rights.deny(statement, &mut denials, view);
            }
        }
        let root = rights.allowed.iter().filter(|(party, _)| is_account_itself(party, view));
        rights.root =
            root.filter_map(|(_, by_terms)| by_terms.get(&Terms::default())).fold(Actions::NONE, |a, b| a.and(*b));
        if denials.all_but.len() > EXCLUSIONS_MAX {
            rights.unknown.add(&format!("more than {EXCLUSIONS_MAX} different exclusions: the rest was not weighed"));
        }
        rights.allowed = denials.taken_from(rights.allowed, view);
        rights.beyond_doubt = beyond_doubt(policy, key_arn, view);
        rights
    }

    fn allow(&mut self, statement: &Statement, view: View<'_>) {
        let everybody = match &statement.who {
            Who::Only(parties) => parties.iter().cloned().collect(),
            Who::AllBut(few) => vec![Party::AllBut(few.clone())],
        };
        let unbound = Terms::of(statement.conditions.clone(), view);
        for party in everybody {
            // Whoever is meant by "anybody" is what a condition makes of it.
            let bound = if party.is_broad() { bound(&statement.conditions, view) } else { None };
            match bound {
                Some((condition, parties)) => {
                    let mut rest = statement.conditions.clone();
                    rest.remove(&condition);
                    let terms = Terms::of(rest, view);
                    for party in parties {
                        self.put(party, terms.clone(), statement.actions);
                    }
                }
                None => self.put(party, unbound.clone(), statement.actions),
            }
        }
    }

    fn put(&mut self, party: Party, terms: Terms, actions: Actions) {
        if !actions.is_empty() {
            let entry = self.allowed.entry(party).or_default().entry(terms).or_default();
            *entry = entry.and(actions);
        }
    }

    fn deny(&mut self, statement: &Statement, denials: &mut Denials, view: View<'_>) {
        let mut who = statement.who.clone();
        // A condition that holds of every call hides nothing.
        let conditions: BTreeSet<Condition> =
            statement.conditions.iter().filter(|condition| !condition.is_certain()).cloned().collect();
        // "Deny anybody whose account is not X" is "deny anybody but X"; also not Y, "anybody but X and Y".
        let excluded: Option<BTreeSet<Party>> = conditions
            .iter()
            .map(Condition::excludes)
            .try_fold(BTreeSet::new(), |all, few| Some(all.into_iter().chain(few?).collect()));
        let mut terms = Terms::of(conditions, view);
        if let (Who::Only(parties), Some(few)) = (&who, excluded)
            && parties.contains(&Party::Anybody)
            && !few.is_empty()
        {
            (who, terms) = (Who::AllBut(few), Terms::default());
        }
        if terms.is_none() {
            denials.add(&who, statement.actions);
        }
        let parties = match who {
            Who::Only(parties) => parties,
            Who::AllBut(few) => BTreeSet::from([Party::AllBut(few)]),
        };
        for party in parties {
            let entry = self.denied.entry((party, terms.clone())).or_default();
            *entry = entry.and(statement.actions);
        }
    }

    /// Everybody who has an ability, on whatever terms.
    pub fn who_can(&self, ability: Ability) -> impl Iterator<Item = &Party> {
        let wanted = ability.actions();
        self.allowed
            .iter()
            .filter(move |(_, by_terms)| by_terms.values().any(|actions| !actions.within(wanted).is_empty()))
            .map(|(party, _)| party)
    }

    /// Whether somebody of the key's account has an ability. For what mends a key, only terms count that are easy to meet.
    pub fn own_can(&self, ability: Ability, view: View<'_>) -> bool {
        let any_terms = matches!(ability, Ability::Use | Ability::Grant | Ability::Read);
        self.allowed
            .iter()
            .filter(|(party, _)| is_own(party, view))
            .flat_map(|(_, by_terms)| by_terms)
            .any(|(terms, actions)| !actions.within(ability.actions()).is_empty() && (any_terms || terms.are_easy()))
    }

    /// Whether somebody of the key's account has an ability that mends it, whatever Denies on conditions may hold.
    pub fn own_can_beyond_doubt(&self, ability: Ability) -> bool {
        !self.beyond_doubt.within(ability.actions()).is_empty()
    }

    /// Anybody in any account may do something.
    pub fn is_public(&self) -> bool {
        self.allowed.iter().any(|(party, by_terms)| party.is_broad() && !by_terms.is_empty())
    }

    /// Who may do something and is not of ours.
    pub fn external(&self, view: View<'_>) -> BTreeSet<&Party> {
        let outside = self.allowed.iter().filter(|(party, by_terms)| {
            !party.is_broad() && view.standing(party) == Standing::External && !by_terms.keys().all(Terms::are_for_ours)
        });
        outside.map(|(party, _)| party).collect()
    }

    /// Who has what, a line each.
    pub fn lines(&self, view: View<'_>) -> Vec<String> {
        let each = self.allowed.iter().flat_map(|(party, by_terms)| by_terms.iter().map(move |entry| (party, entry)));
        bounded(each.map(|(party, (terms, actions))| line(&view.words(party), "has", *actions, terms)))
    }

    /// What is denied to whom, a line each.
    pub fn denied_lines(&self, view: View<'_>) -> Vec<String> {
        bounded(
            self.denied.iter().map(|((party, terms), actions)| line(&view.words(party), "is denied", *actions, terms)),
        )
    }
}

/// `account 444455556666 (external) gained use, grant if …`, clean and bounded.
pub(super) fn line(who: &str, verb: &str, actions: Actions, terms: &Terms) -> String {
    clean(&format!("{who} {verb} {}{}", actions.words(), terms.words()), LINE_CHARS_MAX)
}

const LINE_CHARS_MAX: usize = 600;
pub(super) const LINES_MAX: usize = 50;

/// The first so many, and how many more there are.
pub(super) fn bounded(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines = lines;
    let mut kept: Vec<String> = lines.by_ref().take(LINES_MAX).collect();
    let more = lines.count();
    if more > 0 {
        kept.push(format!("and {more} more"));
    }
    kept
}

/// The condition that says whom "anybody" is: one that lets in nobody but ours if there is one, else the first.
fn bound(conditions: &BTreeSet<Condition>, view: View<'_>) -> Option<(Condition, BTreeSet<Party>)> {
    let all = || conditions.iter().filter_map(|condition| Some((condition, condition.binds()?)));
    let best = all().find(|(_, parties)| are_ours(parties, view)).or_else(|| all().next());
    best.map(|(condition, parties)| (condition.clone(), parties))
}

fn is_account_itself(party: &Party, view: View<'_>) -> bool {
    matches!(party, Party::Account(account) if view.is_home(account))
}

/// Whether somebody of the key's account is meant, or may be.
fn is_own(party: &Party, view: View<'_>) -> bool {
    match party {
        Party::Anybody => true,
        Party::AllBut(few) => !few.iter().any(|party| is_account_itself(party, view)),
        Party::Organization(_) => view.standing(party) == Standing::Ours,
        other => other.account().is_some_and(|account| view.is_home(account)),
    }
}

/// What is denied without a condition.
#[derive(Default)]
struct Denials {
    to_anybody: Actions,
    only: HashMap<Party, Actions>,
    all_but: BTreeMap<BTreeSet<Party>, Actions>,
}

impl Denials {
    fn add(&mut self, who: &Who, actions: Actions) {
        match who {
            Who::Only(parties) if parties.contains(&Party::Anybody) => self.to_anybody = self.to_anybody.and(actions),
            Who::Only(parties) => {
                for party in parties {
                    let entry = self.only.entry(party.clone()).or_default();
                    *entry = entry.and(actions);
                }
            }
            Who::AllBut(few) => {
                let entry = self.all_but.entry(few.clone()).or_default();
                *entry = entry.and(actions);
            }
        }
    }

    /// What is left of `allowed`.
    fn taken_from(&self, allowed: Allowed, view: View<'_>) -> Allowed {
        let parts = self.parts(view);
        let mut left = Allowed::new();
        let mut keep = |party: &Party, terms: Terms, actions: Actions| {
            if !actions.is_empty() {
                let entry = left.entry(party.clone()).or_default().entry(terms).or_default();
                *entry = entry.and(actions);
            }
        };
        for (party, by_terms) in allowed {
            let denied = if party.is_broad() { Actions::NONE } else { self.but(&party, &parts, view) };
            let denied = denied.and(self.plainly(&party));
            for (terms, actions) in by_terms {
                let mut actions = actions.without(denied);
                if party.is_broad() {
                    // "Anybody" without all but a few is the few.
                    let parts: Vec<_> = parts.iter().filter(|(part, _)| !is_left_out(part, &party)).copied().collect();
                    for (few, taken) in self.all_but.iter().take(EXCLUSIONS_MAX) {
                        let narrowed = actions.within(*taken);
                        for one in few.iter().filter(|one| !is_left_out(one, &party)) {
                            let denied = self.plainly(one).and(self.but(one, &parts, view));
                            keep(one, terms.clone(), narrowed.without(denied));
                        }
                    }
                    let taken = self.all_but.values().take(EXCLUSIONS_MAX).fold(Actions::NONE, |a, b| a.and(*b));
                    actions = actions.without(taken);
                }
                keep(&party, terms, actions);
            }
        }
        left
    }

    /// Denied to a party by name, or to its account, or to anybody.
    fn plainly(&self, party: &Party) -> Actions {
        let named = self.only.get(party).copied().unwrap_or_default();
        let account = party.account().map(|account| Party::Account(account.to_owned()));
        let as_account = account.and_then(|account| self.only.get(&account).copied()).unwrap_or_default();
        self.to_anybody.and(named).and(as_account)
    }

    /// Denied to a party because it is not among those left out. An account keeps what one of its principals keeps.
    fn but(&self, party: &Party, left_out: &[(&Party, Actions)], view: View<'_>) -> Actions {
        let whole = self.but_as_a_whole(party, view);
        let Party::Account(account) = party else { return whole };
        let of_it = left_out.iter().filter(|(part, _)| part.account() == Some(account));
        of_it.fold(whole, |denied, (_, to_part)| denied.within(*to_part))
    }

    fn but_as_a_whole(&self, party: &Party, view: View<'_>) -> Actions {
        let all = self.all_but.iter().take(EXCLUSIONS_MAX);
        all.filter(|(few, _)| !may_be_among(party, few, view)).fold(Actions::NONE, |a, (_, b)| a.and(*b))
    }

    /// The principals that are left out somewhere, by their accounts, with all that is denied to each.
    fn parts(&self, view: View<'_>) -> Vec<(&Party, Actions)> {
        let left_out: BTreeSet<&Party> = self.all_but.keys().take(EXCLUSIONS_MAX).flatten().collect();
        let principals = left_out.into_iter().filter(|one| matches!(one, Party::Principal(_)));
        principals.map(|one| (one, self.plainly(one).and(self.but_as_a_whole(one, view)))).collect()
    }
}

/// Whether nothing of `one` is meant by "anybody but …". An account of which one role is left out is still there.
fn is_left_out(one: &Party, broad: &Party) -> bool {
    let Party::AllBut(few) = broad else { return false };
    let account = one.account().map(|account| Party::Account(account.to_owned()));
    few.contains(one) || account.is_some_and(|account| few.contains(&account))
}

/// Whether a party as a whole may be one of `few`.
pub(super) fn may_be_among(party: &Party, few: &BTreeSet<Party>, view: View<'_>) -> bool {
    let account = party.account();
    few.iter().any(|one| match (one, party) {
        (one, party) if one == party => true,
        (Party::Organization(_), party) => {
            // Whether somebody is of an organization cannot be seen; ours are not of a stranger's.
            !(view.standing(party) == Standing::Ours && view.standing(one) == Standing::External)
        }
        (Party::Account(own), _) => {
            account == Some(own) || (view.is_home(own) && account.is_some_and(|a| view.is_home(a)))
        }
        (Party::Principal(pattern), Party::Principal(arn)) => fits(pattern.as_bytes(), arn.as_bytes()),
        _ => false,
    })
}
