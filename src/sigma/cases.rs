//! From a formula to patterns. A pattern has no general "not" and names each field once, so: what is denied beside everything
//! else becomes an `except`; within an alternative it becomes `anything-but` or `exists = false`; and alternatives that need
//! different exemptions become rules of their own.

use std::collections::BTreeMap;

use super::item::{Both, Item, accepts, both, complement};
use super::lower::{Effect, Low, Note};
use super::names::Path;

/// How many alternatives a rule may come to before it is refused.
const CASES_MAX: usize = 200;

/// Fields that must all match, each with what it may be.
pub(super) type Fields = BTreeMap<Path, Vec<Item>>;

/// What one rule of ours matches.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Patterns {
    /// What every alternative asks.
    pub(super) common: Fields,
    /// Two alternatives or more; or none.
    pub(super) or: Vec<Fields>,
    pub(super) except: Vec<Fields>,
}

/// Fields that must match and fields that must not.
#[derive(Debug, Clone, Default, PartialEq)]
struct Case {
    is: Vec<(Path, Vec<Item>)>,
    is_not: Vec<(Path, Vec<Item>)>,
}

/// A case in which no field is named twice.
#[derive(Debug, Clone, PartialEq)]
struct Plain {
    fields: Fields,
    except: Vec<Fields>,
}

/// The patterns of a formula; several where one rule cannot say it.
pub(super) fn patterns(low: &Low, line: usize, notes: &mut Vec<Note>) -> Result<Vec<Patterns>, String> {
    let mut conjuncts = vec![];
    flatten(low, &mut conjuncts);
    // One denied field is dealt with case by case; a denied combination is an exemption as it stands.
    let (denied, asked): (Vec<&Low>, Vec<&Low>) =
        conjuncts.into_iter().partition(|part| matches!(part, Low::Not(inner) if !matches!(**inner, Low::Is(..))));
    let mut plain = vec![];
    for case in product(&asked, true)? {
        plain.extend(resolve(case, line, notes)?);
    }
    if plain.is_empty() {
        return Err("the condition contradicts itself, so nothing ever matches".into());
    }
    let mut rules = grouped(plain);
    let except = exemptions(&denied, line, notes)?;
    for rule in &mut rules {
        rule.except.extend(except.iter().cloned());
        rule.except.dedup();
    }
    Ok(rules)
}

/// Every alternative of the patterns as a rule of its own.
pub(super) fn apart(rules: &[Patterns]) -> Vec<Patterns> {
    let mut apart = vec![];
    for Patterns { common, or, except } in rules {
        let alone = [Fields::new()];
        for branch in if or.is_empty() { &alone[..] } else { or } {
            let mut fields = common.clone();
            fields.extend(branch.clone());
            apart.push(Patterns { common: fields, or: vec![], except: except.clone() });
        }
    }
    apart
}

fn flatten<'l>(low: &'l Low, into: &mut Vec<&'l Low>) {
    match low {
        Low::All(parts) => parts.iter().for_each(|part| flatten(part, into)),
        Low::Not(inner) => match &**inner {
            Low::Not(inner) => flatten(inner, into),
            _ => into.push(low),
        },
        other => into.push(other),
    }
}

fn too_many() -> String {
    format!("the condition comes to more than {CASES_MAX} alternatives")
}

/// The alternatives of a formula, or of its opposite.
fn cases(low: &Low, positive: bool) -> Result<Vec<Case>, String> {
    match (low, positive) {
        (Low::True, true) | (Low::False, false) => Ok(vec![Case::default()]),
        (Low::True, false) | (Low::False, true) => Ok(vec![]),
        (Low::Not(inner), _) => cases(inner, !positive),
        (Low::Is(path, items), _) => {
            let literal = vec![(path.clone(), items.clone())];
            Ok(vec![match (positive, items.as_slice()) {
                (true, _) => Case { is: literal, is_not: vec![] },
                (false, [Item::Absent]) => Case { is: vec![(path.clone(), vec![Item::Present])], is_not: vec![] },
                (false, [Item::Present]) => Case { is: vec![(path.clone(), vec![Item::Absent])], is_not: vec![] },
                (false, _) => Case { is: vec![], is_not: literal },
            }])
        }
        (Low::All(parts), true) | (Low::Any(parts), false) => product(&parts.iter().collect::<Vec<_>>(), positive),
        (Low::Any(parts), true) | (Low::All(parts), false) => {
            let mut all = vec![];
            for part in parts {
                all.extend(cases(part, positive)?);
                if all.len() > CASES_MAX {
                    return Err(too_many());
                }
            }
            Ok(all)
        }
    }
}

fn product(parts: &[&Low], positive: bool) -> Result<Vec<Case>, String> {
    let mut all = vec![Case::default()];
    for part in parts {
        let more = cases(part, positive)?;
        if all.len().saturating_mul(more.len()) > CASES_MAX {
            return Err(too_many());
        }
        all = all
            .iter()
            .flat_map(|case| {
                more.iter().map(|other| {
                    let mut case = case.clone();
                    case.is.extend(other.is.iter().cloned());
                    case.is_not.extend(other.is_not.iter().cloned());
                    case
                })
            })
            .collect();
    }
    Ok(all)
}

/// The case with each field named once; `None` if it contradicts itself.
fn resolve(case: Case, line: usize, notes: &mut Vec<Note>) -> Result<Option<Plain>, String> {
    let mut fields = Fields::new();
    let mut except: Vec<Fields> = vec![];
    for (path, items) in case.is {
        let Some(known) = fields.get_mut(&path) else {
            fields.insert(path, items);
            continue;
        };
        match both(known, &items) {
            Both::List(list) => *known = list,
            Both::Never => return Ok(None),
            Both::Two => {
                if let Some(others) = others(&items, known) {
                    except.push(Fields::from([(path, others)]));
                } else if let Some(others) = others(known, &items) {
                    *known = items;
                    except.push(Fields::from([(path, others)]));
                } else {
                    let text = format!("left out: one of two conditions on `{path}`, which cannot be joined");
                    notes.push(Note { effect: Effect::Wider, line, text });
                }
            }
        }
    }
    for (path, items) in case.is_not {
        match fields.get_mut(&path) {
            Some(known) if known.iter().all(|item| matches!(item, Item::Text(_) | Item::Number(_) | Item::Bool(_))) => {
                known.retain(|item| !accepts(&items, &item.json()));
                if known.is_empty() {
                    return Ok(None);
                }
            }
            _ => {
                let fields = Fields::from([(path, items)]);
                if !except.contains(&fields) {
                    except.push(fields);
                }
            }
        }
    }
    if let Some((a, b)) = clash(&fields) {
        return Err(format!("`{a}` is asked for a value while `{b}` lies inside of it"));
    }
    if fields.is_empty() {
        // Every record of CloudTrail has it.
        fields.insert(Path::of("eventSource"), vec![Item::Present]);
    }
    Ok(Some(Plain { fields, except }))
}

fn clash(fields: &Fields) -> Option<(&Path, &Path)> {
    fields
        .keys()
        .find_map(|a| fields.keys().find(|b| a.clashes(b) && a.steps().len() < b.steps().len()).map(|b| (a, b)))
}

/// What a field may be so that it is none of `items`; `beside` says what else is asked of it.
fn others(items: &[Item], beside: &[Item]) -> Option<Vec<Item>> {
    let values: Vec<Item> = items.iter().filter(|item| **item != Item::Absent).cloned().collect();
    if values.is_empty() {
        return Some(vec![Item::Present]);
    }
    let mut others = complement(&values)?;
    if !items.contains(&Item::Absent) && (beside.is_empty() || beside.contains(&Item::Absent)) {
        others.insert(0, Item::Absent);
    }
    Some(others)
}

/// Moves exemptions of one field into the fields, where that says the same.
fn pushed_down(plain: Plain) -> Plain {
    let Plain { mut fields, except } = plain;
    let mut kept = vec![];
    for exemption in except {
        let one = exemption.iter().next().filter(|(path, _)| {
            exemption.len() == 1 && !fields.contains_key(*path) && !fields.keys().any(|known| known.clashes(path))
        });
        match one.and_then(|(path, items)| Some((path.clone(), others(items, &[])?))) {
            Some((path, others)) => {
                fields.insert(path, others);
            }
            None => kept.push(exemption),
        }
    }
    Plain { fields, except: kept }
}

/// One rule for each set of exemptions.
fn grouped(plain: Vec<Plain>) -> Vec<Patterns> {
    let same = plain.windows(2).all(|pair| matches!(pair, [a, b] if a.except == b.except));
    let plain = if same { plain } else { plain.into_iter().map(pushed_down).collect() };
    let mut groups: Vec<(Vec<Fields>, Vec<Fields>)> = vec![];
    for Plain { fields, except } in plain {
        match groups.iter_mut().find(|(known, _)| *known == except) {
            Some((_, all)) => all.push(fields),
            None => groups.push((except, vec![fields])),
        }
    }
    groups
        .into_iter()
        .map(|(except, all)| {
            let (common, or) = factored(compressed(all));
            Patterns { common, or, except }
        })
        .collect()
}

/// The exemptions that denied combinations come to.
fn exemptions(denied: &[&Low], line: usize, notes: &mut Vec<Note>) -> Result<Vec<Fields>, String> {
    let mut all = vec![];
    for part in denied {
        for case in cases(part, false)? {
            let Some(plain) = resolve(case, line, notes)? else { continue };
            let plain = pushed_down(plain);
            if plain.except.is_empty() {
                all.push(plain.fields);
            } else {
                let text = "left out: an exemption that itself has an exemption".to_owned();
                notes.push(Note { effect: Effect::Wider, line, text });
            }
        }
    }
    Ok(compressed(all))
}

/// Leaves out cases that another one contains, and joins those that differ in one field.
fn compressed(mut cases: Vec<Fields>) -> Vec<Fields> {
    let contains = |wide: &Fields, narrow: &Fields| {
        wide.iter()
            .all(|(path, items)| narrow.get(path).is_some_and(|others| others.iter().all(|item| items.contains(item))))
    };
    let mut at = 0;
    while at < cases.len() {
        let redundant = cases.iter().enumerate().any(|(other, wide)| {
            // Of two equal ones the first stays.
            other != at && contains(wide, &cases[at]) && (other < at || !contains(&cases[at], wide))
        });
        if redundant {
            cases.remove(at);
        } else {
            at += 1;
        }
    }
    while let Some((first, second, joined)) = joinable(&cases) {
        cases[first] = joined;
        cases.remove(second);
    }
    cases
}

/// Two cases that ask the same but of one field, and what they come to.
fn joinable(cases: &[Fields]) -> Option<(usize, usize, Fields)> {
    for (first, a) in cases.iter().enumerate() {
        for (second, b) in cases.iter().enumerate().skip(first + 1) {
            if !a.keys().eq(b.keys()) {
                continue;
            }
            let mut different = a.iter().filter(|(path, items)| b.get(*path) != Some(*items));
            if let (Some((path, items)), None) = (different.next(), different.next()) {
                let mut items = items.clone();
                for item in b.get(path).into_iter().flatten() {
                    if !items.contains(item) {
                        items.push(item.clone());
                    }
                }
                let mut joined = a.clone();
                joined.insert(path.clone(), items);
                return Some((first, second, joined));
            }
        }
    }
    None
}

/// What all cases ask, and what is left of each.
fn factored(mut cases: Vec<Fields>) -> (Fields, Vec<Fields>) {
    if cases.len() < 2 {
        return (cases.pop().unwrap_or_default(), vec![]);
    }
    let (first, rest) = cases.split_at(1);
    let mut common = first.first().cloned().unwrap_or_default();
    common.retain(|path, items| rest.iter().all(|case| case.get(path) == Some(items)));
    for case in &mut cases {
        case.retain(|path, _| !common.contains_key(path));
    }
    (common, cases)
}
