//! From what a Sigma rule asks to what our patterns can say. What they cannot say is left out so that the rule matches
//! more, never less; where a comparison without case is out of reach, it matches less, and that is said.

use core::net::IpAddr;

use serde_json::Number;

use super::detection::{Field, Formula, Wanted};
use super::item::{Case, Item, caseless};
use super::names::{Path, documented};
use super::value::{Glob, Shape};

/// What an import changed about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The rule matches more than its original.
    Wider,
    /// The rule may miss what its original matches.
    Narrower,
    /// Good to know; what it matches is the same.
    Remark,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wider => "wider",
            Self::Narrower => "narrower",
            Self::Remark => "remark",
        }
    }
}

/// One thing to know about an imported rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub effect: Effect,
    /// The line of the Sigma file it is about.
    pub line: usize,
    pub text: String,
}

/// A formula in the words of our patterns.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Low {
    True,
    False,
    All(Vec<Low>),
    Any(Vec<Low>),
    Not(Box<Low>),
    Is(Path, Vec<Item>),
}

/// Translates a formula.
pub(super) fn lower(formula: &Formula, notes: &mut Vec<Note>) -> Low {
    Lowering { notes }.formula(formula, true)
}

struct Lowering<'n> {
    notes: &'n mut Vec<Note>,
}

impl Lowering<'_> {
    fn note(&mut self, effect: Effect, line: usize, text: String) {
        let note = Note { effect, line, text };
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// `positive`: whether the rule matches more when this does.
    fn formula(&mut self, formula: &Formula, positive: bool) -> Low {
        match formula {
            Formula::All(parts) => {
                let parts: Vec<Low> = parts.iter().map(|part| self.formula(part, positive)).collect();
                flat(parts, &Low::True, &Low::False, Low::All)
            }
            Formula::Any(parts) => {
                let parts: Vec<Low> = parts.iter().map(|part| self.formula(part, positive)).collect();
                flat(parts, &Low::False, &Low::True, Low::Any)
            }
            Formula::Not(inner) => match self.formula(inner, !positive) {
                Low::True => Low::False,
                Low::False => Low::True,
                Low::Not(inner) => *inner,
                other => Low::Not(Box::new(other)),
            },
            Formula::Unknown { line, why } => {
                self.note(Effect::Wider, *line, format!("left out: {why}"));
                if positive { Low::True } else { Low::False }
            }
            Formula::Field(field) => self.field(field, positive),
        }
    }

    fn field(&mut self, field: &Field, positive: bool) -> Low {
        let Field { line, path, wanted } = field;
        if path.is_table() {
            self.note(
                Effect::Wider,
                *line,
                format!("left out: `{path}` holds a table, and patterns compare only the values in it"),
            );
            return if positive { Low::True } else { Low::False };
        }
        let mut items = vec![];
        for one in wanted {
            for item in self.wanted(path, one, *line, positive) {
                if !items.contains(&item) {
                    items.push(item);
                }
            }
        }
        if items.is_empty() { Low::False } else { Low::Is(path.clone(), items) }
    }

    fn wanted(&mut self, path: &Path, wanted: &Wanted, line: usize, positive: bool) -> Vec<Item> {
        match wanted {
            Wanted::Null => vec![Item::Absent, Item::Null],
            Wanted::Exists(true) => vec![Item::Present],
            Wanted::Exists(false) => vec![Item::Absent],
            Wanted::Range(range) => vec![Item::Range(range.clone())],
            Wanted::Network(network) => vec![Item::Network(network.clone())],
            Wanted::Bool(value) if path.is_boolean() => vec![Item::Bool(*value)],
            Wanted::Bool(value) => vec![Item::Bool(*value), Item::Folded(value.to_string())],
            Wanted::Number(text, _) if path.is_text() => vec![Item::Text(text.clone())],
            Wanted::Number(text, number) => vec![Item::Number(number.clone()), Item::Text(text.clone())],
            Wanted::Glob { glob, cased } => self.glob(path, glob, *cased, line, positive),
        }
    }

    fn glob(&mut self, path: &Path, glob: &Glob, cased: bool, line: usize, positive: bool) -> Vec<Item> {
        let (glob, spelling) = spelled(path, glob, cased);
        let case = if spelling == Spelling::Any { Case::Folded } else { Case::Exact };
        match glob.shape() {
            Shape::Equal(text) => {
                let boolean = text.to_ascii_lowercase().parse::<bool>().ok();
                let number = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
                match boolean {
                    Some(value) if path.is_boolean() => return vec![Item::Bool(value)],
                    Some(value) if !path.is_text() => return vec![Item::Folded(text), Item::Bool(value)],
                    _ => {}
                }
                let number = number.filter(|_| !path.is_text()).map(|n| Item::Number(Number::from(n)));
                let address = text.parse::<IpAddr>().is_ok();
                let plain = case == Case::Exact || address || caseless(&text);
                let item = if plain { Item::Text(text) } else { Item::Folded(text) };
                std::iter::once(item).chain(number).collect()
            }
            Shape::Starts(text) => vec![Item::Prefix(text.clone(), affix_case(case, &text))],
            Shape::Ends(text) => {
                // `DisableKey` and `Monkey` end alike: a documented case says nothing of how a part is written.
                let case = if spelling == Spelling::AsWritten { Case::Exact } else { Case::Folded };
                vec![Item::Suffix(text.clone(), affix_case(case, &text))]
            }
            Shape::Anything => vec![Item::Present],
            Shape::Mixed { wildcard, loose } => {
                if loose {
                    let what = if positive { "stands for any characters" } else { "is left out" };
                    self.note(Effect::Wider, line, format!("a single character (`?`) of `{path}` {what}"));
                    if !positive {
                        return vec![];
                    }
                }
                if spelling == Spelling::AsWritten || glob.texts().all(caseless) {
                    return vec![Item::Wildcard(wildcard)];
                }
                if spelling == Spelling::Any {
                    let effect = if positive { Effect::Narrower } else { Effect::Wider };
                    let text = format!("`{path}` is compared with case; Sigma would take `{wildcard}` in any case");
                    self.note(effect, line, text);
                }
                variants(&glob).into_iter().map(Item::Wildcard).collect()
            }
        }
    }
}

/// Joins parts: `neutral` ones fall away, one `deciding` part decides.
fn flat(parts: Vec<Low>, neutral: &Low, deciding: &Low, join: fn(Vec<Low>) -> Low) -> Low {
    if parts.contains(deciding) {
        return deciding.clone();
    }
    let mut parts: Vec<Low> = parts.into_iter().filter(|part| part != neutral).collect();
    match parts.len() {
        0 => neutral.clone(),
        1 => parts.remove(0),
        _ => join(parts),
    }
}

/// How a text may be written in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// The rule heeds case.
    AsWritten,
    /// AWS documents the case of such words.
    Documented,
    Any,
}

/// The glob as AWS spells it, and how it may be written.
fn spelled(path: &Path, glob: &Glob, cased: bool) -> (Glob, Spelling) {
    if cased {
        return (glob.clone(), Spelling::AsWritten);
    }
    let whole = matches!(glob.shape(), Shape::Equal(_));
    if glob.texts().next().is_some() && glob.texts().all(|text| documented(path, text, whole).is_some()) {
        let spelled = glob.map(|text| documented(path, text, whole).unwrap_or_default());
        return (spelled, Spelling::Documented);
    }
    (glob.clone(), Spelling::Any)
}

fn affix_case(case: Case, text: &str) -> Case {
    if caseless(text) { Case::Exact } else { case }
}

/// The spellings that are likely: as written, in lower case, with a capital first letter.
fn variants(glob: &Glob) -> Vec<String> {
    let capital = |text: &str| {
        let mut chars = text.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
    };
    let mut found: Vec<String> = vec![];
    for glob in [glob.clone(), glob.map(str::to_lowercase), glob.map(capital)] {
        if let Shape::Mixed { wildcard, .. } = glob.shape()
            && !found.contains(&wildcard)
        {
            found.push(wildcard);
        }
    }
    found
}
