//! From a key policy's text to its statements. Bounded, and nothing is dropped silently: what is not understood is noted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::action::{Actions, fits};
use super::condition::Condition;
use super::notes::Notes;
use super::party::Party;
use super::twice::twice;

/// A key policy as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPolicy {
    pub statements: Vec<Statement>,
    /// What was not understood, in words.
    pub unknown: Notes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub allow: bool,
    pub who: Who,
    pub actions: Actions,
    pub conditions: BTreeSet<Condition>,
    pub scope: Scope,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    Only(BTreeSet<Party>),
    /// `NotPrincipal`.
    AllBut(BTreeSet<Party>),
}

/// `Resource`, or with `not` `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub not: bool,
    pub patterns: Vec<String>,
}

impl Scope {
    /// Whether it speaks of the key. In a key policy `*` is the key itself; a key whose ARN is not known may be meant.
    pub fn covers(&self, key_arn: Option<&str>) -> bool {
        let Some(arn) = key_arn else { return true };
        self.not != self.patterns.iter().any(|pattern| fits(pattern.as_bytes(), arn.as_bytes()))
    }
}

/// Longest policy that is read; KMS takes 32 KB.
pub(super) const POLICY_BYTES_MAX: usize = 128 * 1024;
/// A statement takes sixty bytes at least.
const STATEMENTS_MAX: usize = 1000;
/// Principals of one policy; also actions, resources and values. More than 32 KB have room for.
const PARTS_MAX: usize = 5_000;

/// Reads a policy: JSON text, or the object that some sources have in its place.
///
/// # Errors
/// It is no policy; says why in words.
pub fn parse(policy: &Value) -> Result<KeyPolicy, String> {
    match policy {
        Value::String(text) if text.len() > POLICY_BYTES_MAX => {
            Err(format!("the policy has {} bytes, more than KMS takes", text.len()))
        }
        Value::String(text) => match serde_json::from_str(text) {
            Ok(Value::Object(members)) => {
                let mut policy = read(&members);
                if let Some(name) = twice(text) {
                    policy.unknown.add(&format!("the element `{name}` is there twice: only the last was read"));
                }
                Ok(policy)
            }
            Ok(_) => Err("the policy is no JSON object".to_owned()),
            Err(error) => Err(format!("the policy is no JSON (line {}, column {})", error.line(), error.column())),
        },
        Value::Object(members) => Ok(read(members)),
        _ => Err("the policy is neither text nor an object".to_owned()),
    }
}

fn read(members: &Map<String, Value>) -> KeyPolicy {
    let mut reader = Reader { unknown: Notes::default(), read: BTreeMap::new() };
    reader.note_strangers(members, &["Version", "Id", "Statement"], "the policy");
    let all = match member(members, "Statement") {
        Some(Value::Array(all)) => all.as_slice(),
        Some(one @ Value::Object(_)) => std::slice::from_ref(one),
        Some(_) => {
            reader.unknown.add("the policy's Statement is neither an object nor a list");
            &[]
        }
        None => {
            reader.unknown.add("the policy has no Statement");
            &[]
        }
    };
    if all.len() > STATEMENTS_MAX {
        reader.unknown.add(&format!("{} statements: only the first {STATEMENTS_MAX} were read", all.len()));
    }
    let mut statements = Vec::new();
    for (at, statement) in all.iter().take(STATEMENTS_MAX).enumerate() {
        match statement {
            Value::Object(members) => statements.extend(reader.statement(members, at + 1)),
            _ => reader.unknown.add(&format!("statement {} is no object", at + 1)),
        }
    }
    KeyPolicy { statements, unknown: reader.unknown }
}

struct Reader {
    unknown: Notes,
    /// How many of each kind were read.
    read: BTreeMap<Part, usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Principal,
    Action,
    Resource,
    Value,
}

/// Texts, and whether they are all that were there.
struct Texts {
    all: Vec<String>,
    whole: bool,
}

impl Reader {
    fn statement(&mut self, members: &Map<String, Value>, number: usize) -> Option<Statement> {
        let place = format!("statement {number}");
        self.note_strangers(members, ELEMENTS, &place);
        let effect = member(members, "Effect").and_then(Value::as_str);
        let allow = match effect {
            Some(effect) if effect.eq_ignore_ascii_case("allow") => true,
            Some(effect) if effect.eq_ignore_ascii_case("deny") => false,
            other => {
                self.unknown.add(&format!("{place}: its Effect is {}", other.unwrap_or("missing")));
                return None;
            }
        };
        let who = self.who(members, allow, &place)?;
        let actions = self.actions(members, allow, &place);
        let scope = self.scope(members, &place);
        let conditions = self.conditions(members, &place);
        Some(Statement { allow, who, actions, conditions, scope })
    }

    /// Where not all principals were read, an Allow for all but those is one for more, and a Deny is not weighed.
    fn who(&mut self, members: &Map<String, Value>, allow: bool, place: &str) -> Option<Who> {
        if let Some(named) = member(members, "Principal") {
            return Some(Who::Only(self.parties(named, place).0));
        }
        let Some(left_out) = member(members, "NotPrincipal") else {
            self.unknown.add(&format!("{place}: it has no Principal"));
            return None;
        };
        let (left_out, whole) = self.parties(left_out, place);
        // "Anybody but anybody" is nobody.
        let nobody = left_out.contains(&Party::Anybody);
        let who = if nobody { Who::Only(BTreeSet::new()) } else { Who::AllBut(left_out) };
        (whole || allow).then_some(who)
    }

    fn parties(&mut self, named: &Value, place: &str) -> (BTreeSet<Party>, bool) {
        let mut found = BTreeSet::new();
        let mut whole = true;
        match named {
            Value::String(text) => {
                found.insert(Party::of_aws(text));
            }
            Value::Object(kinds) => {
                for (kind, named) in kinds {
                    let party: fn(&str) -> Party = match kind.to_ascii_lowercase().as_str() {
                        "aws" => Party::of_aws,
                        "service" => |text| Party::Service(text.to_owned()),
                        "federated" => Party::of_provider,
                        _ => {
                            self.unknown.add(&format!("{place}: a principal of the kind `{kind}`"));
                            |text| Party::Other(text.to_owned())
                        }
                    };
                    let texts = self.texts(named, Part::Principal, place);
                    whole &= texts.whole;
                    found.extend(texts.all.iter().map(|text| party(text)));
                }
            }
            _ => {
                self.unknown.add(&format!("{place}: its principal is neither text nor an object"));
                whole = false;
            }
        }
        for party in &found {
            if let Party::Other(text) = party {
                self.unknown.add(&format!("{place}: the principal `{text}`"));
            }
        }
        (found, whole)
    }

    /// Where not all of them were read, an Allow is taken for one of everything.
    fn actions(&mut self, members: &Map<String, Value>, allow: bool, place: &str) -> Actions {
        let (named, not) = match (member(members, "Action"), member(members, "NotAction")) {
            (Some(named), _) => (named, false),
            (None, Some(left_out)) => (left_out, true),
            (None, None) => {
                self.unknown.add(&format!("{place}: it has no Action"));
                return Actions::NONE;
            }
        };
        let texts = self.texts(named, Part::Action, place);
        let mut actions = Actions::NONE;
        for pattern in &texts.all {
            let found = Actions::named(pattern);
            if found.is_empty() {
                self.unknown.add(&format!("{place}: the action `{pattern}`"));
            }
            actions = actions.and(found);
        }
        match (texts.whole, not) {
            (false, _) if allow => Actions::ALL,
            (_, false) => actions,
            (true, true) => Actions::ALL.without(actions),
            (false, true) => Actions::NONE,
        }
    }

    fn scope(&mut self, members: &Map<String, Value>, place: &str) -> Scope {
        let (named, not) = match (member(members, "Resource"), member(members, "NotResource")) {
            (Some(named), _) => (Some(named), false),
            (None, left_out) => (left_out, true),
        };
        if named.is_none() {
            self.unknown.add(&format!("{place}: it has no Resource"));
        }
        match named.map(|named| self.texts(named, Part::Resource, place)) {
            Some(Texts { all, whole: true }) => Scope { not, patterns: all },
            _ => Scope { not: false, patterns: vec!["*".to_owned()] },
        }
    }

    fn conditions(&mut self, members: &Map<String, Value>, place: &str) -> BTreeSet<Condition> {
        let mut found = BTreeSet::new();
        let operators = match member(members, "Condition") {
            Some(Value::Object(operators)) => operators,
            Some(Value::Null) | None => return found,
            Some(_) => {
                self.unknown.add(&format!("{place}: its Condition is no object"));
                return found;
            }
        };
        for (operator, keys) in operators {
            let Value::Object(keys) = keys else {
                self.unknown.add(&format!("{place}: the condition `{operator}` is no object"));
                continue;
            };
            for (key, values) in keys {
                let texts = self.texts(values, Part::Value, place);
                let mut values: BTreeSet<String> = texts.all.into_iter().collect();
                if !texts.whole {
                    // Names nobody, so that the condition binds nobody.
                    values.insert("…".to_owned());
                }
                let condition = Condition::new(operator, key, values);
                if !condition.is_known() {
                    self.unknown.add(&format!("{place}: the condition operator `{operator}`"));
                }
                found.insert(condition);
            }
        }
        found
    }

    /// A value, or a list of values, as texts.
    fn texts(&mut self, value: &Value, part: Part, place: &str) -> Texts {
        let one = std::slice::from_ref(value);
        let items = value.as_array().map_or(one, Vec::as_slice);
        let read = self.read.entry(part).or_default();
        let room = PARTS_MAX.saturating_sub(*read);
        *read += items.len().min(room);
        let mut whole = items.len() <= room;
        if !whole {
            self.unknown.add(&format!("{place}: the policy has too many parts: the rest was not read"));
        }
        let mut all = Vec::new();
        for item in items.iter().take(room) {
            match item {
                Value::String(text) => all.push(text.clone()),
                Value::Number(number) => all.push(number.to_string()),
                Value::Bool(flag) => all.push(flag.to_string()),
                _ => {
                    self.unknown.add(&format!("{place}: a value that is no text"));
                    whole = false;
                }
            }
        }
        Texts { all, whole }
    }

    fn note_strangers(&mut self, members: &Map<String, Value>, known: &[&str], place: &str) {
        for name in members.keys().filter(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name))) {
            self.unknown.add(&format!("{place}: the element `{name}`"));
        }
    }
}

const ELEMENTS: &[&str] =
    &["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

/// The names of elements count in any case.
fn member<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    let found = members.get(name);
    found.or_else(|| members.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}
