//! Event patterns answer as AWS's own engine does: a file of cases, and a second implementation to disagree with.

#![cfg(test)]
use std::collections::BTreeSet;

use kmswatch::core::pattern::{Node, Pattern};
use kmswatch::core::peek::{Paths, Peek};
use kmswatch::core::rule::index::Index;
use serde::Deserialize;
use serde_json::Value;

/// One line of a case file.
#[derive(Deserialize)]
struct Case {
    id: String,
    /// The documented behaviour that the case holds us to.
    pins: Option<String>,
    pattern: Value,
    event: Value,
    /// What the documentation says: `true`, `false`, or `"invalid"`.
    expect: Value,
    /// What AWS's engine says, where that differs.
    expect_event_ruler: Option<Value>,
}

fn cases(text: &str) -> Vec<Case> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// The answer to a case, which must be the same whichever way an event takes.
fn answer(case: &Case) -> Value {
    let Ok(pattern) = Pattern::compile(&Node::from_json(&case.pattern)) else { return "invalid".into() };
    let matches = pattern.matches(&case.event);
    let index = Index::new([(0, &pattern)]);
    assert_eq!(!index.matching(&case.event).is_empty(), matches, "{}: by the index", case.id);
    assert_eq!(by_bytes(&pattern, &case.event.to_string()), Some(matches), "{}: from bytes", case.id);
    matches.into()
}

/// The answer without a parsed event; `None` where the bytes are left to the parser.
fn by_bytes(pattern: &Pattern, event: &str) -> Option<bool> {
    let paths = Paths::new(pattern.clauses().map(|clause| clause.steps().collect()));
    let peek = Peek::read(event, &paths, 64)?;
    Some((0..pattern.combinations().count()).any(|place| pattern.admits(place, peek.view())))
}

fn hold(cases: Vec<Case>) {
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|case| {
            let answer = answer(&case);
            let expected = case.expect_event_ruler.unwrap_or(case.expect);
            let pinned = case.pins.unwrap_or_default();
            (answer != expected).then(|| format!("{}: {answer}, but {expected} is right. {pinned}", case.id))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_cases_of_the_documentation_and_the_engine() {
    let cases = cases(include_str!("data/eventpattern-cases.jsonl"));
    assert_eq!(cases.len(), 109);
    hold(cases);
}

#[test]
fn each_documented_behaviour() {
    let cases = cases(include_str!("data/eventpattern-documented.jsonl"));
    assert_eq!(cases.len(), 292);
    assert!(cases.iter().all(|case| case.pins.as_ref().is_some_and(|pins| pins.len() > 20)));
    let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids.len(), cases.len(), "an id stands twice");
    hold(cases);
}

mod naive {
    //! The definition, as AWS's engine has it: spread the event into fields, each with its place in the arrays around
    //! it, spread the pattern into its combinations, and try every choice of fields. Slow, and shares no code with ours.

    use std::collections::BTreeMap;

    use serde_json::Value;

    /// Array (numbered as met) to the place in it.
    type Places = BTreeMap<usize, usize>;

    struct Field<'e> {
        path: String,
        value: &'e Value,
        places: Places,
    }

    type Combination<'p> = BTreeMap<String, &'p [Value]>;

    pub(super) fn matches(pattern: &Value, event: &Value) -> bool {
        let mut fields = vec![];
        spread(event, "", &Places::new(), &mut 0, &mut fields);
        let mut combinations = vec![Combination::new()];
        combine(pattern, "", &mut combinations);
        combinations.iter().any(|combination| {
            let wanted: Vec<(&str, &[Value])> = combination.iter().map(|(path, list)| (path.as_str(), *list)).collect();
            choose(&wanted, &fields, &Places::new())
        })
    }

    fn join(path: &str, name: &str) -> String {
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    }

    fn spread<'e>(value: &'e Value, path: &str, places: &Places, arrays: &mut usize, fields: &mut Vec<Field<'e>>) {
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, v)| spread(v, &join(path, name), places, arrays, fields));
            }
            Value::Array(elements) => {
                let array = *arrays;
                *arrays += 1;
                for (place, element) in elements.iter().enumerate() {
                    let mut places = places.clone();
                    if element.is_object() || element.is_array() {
                        places.insert(array, place);
                    }
                    spread(element, path, &places, arrays, fields);
                }
            }
            leaf => fields.push(Field { path: path.to_owned(), value: leaf, places: places.clone() }),
        }
    }

    fn combine<'p>(pattern: &'p Value, path: &str, combinations: &mut Vec<Combination<'p>>) {
        for (name, value) in pattern.as_object().unwrap() {
            match value {
                Value::Array(branches) if name == "$or" => {
                    let before = std::mem::take(combinations);
                    for branch in branches {
                        let mut with = before.clone();
                        combine(branch, path, &mut with);
                        combinations.append(&mut with);
                    }
                }
                Value::Array(list) => combinations.iter_mut().for_each(|combination| {
                    combination.insert(join(path, name), list);
                }),
                _ => combine(value, &join(path, name), combinations),
            }
        }
    }

    fn together(a: &Places, b: &Places) -> Option<Places> {
        let agree = a.iter().all(|(array, place)| b.get(array).is_none_or(|other| other == place));
        agree.then(|| a.iter().chain(b).map(|(k, v)| (*k, *v)).collect())
    }

    /// Whether the paths from the first on can be given fields that fit `places`.
    fn choose(wanted: &[(&str, &[Value])], fields: &[Field<'_>], places: &Places) -> bool {
        let Some(((path, list), rest)) = wanted.split_first() else { return true };
        let mut at: Vec<(&Value, Places)> = vec![];
        for field in fields.iter().filter(|field| field.path == *path) {
            at.extend(together(places, &field.places).map(|places| (field.value, places)));
        }
        let absent_allowed = list.iter().any(|item| item.get("exists") == Some(&Value::Bool(false)));
        (absent_allowed && at.is_empty() && choose(rest, fields, places))
            || at
                .iter()
                .any(|(value, places)| list.iter().any(|item| passes(item, value)) && choose(rest, fields, places))
    }

    fn passes(item: &Value, value: &Value) -> bool {
        let Value::Object(operator) = item else { return same(item, value) };
        let (name, operand) = operator.iter().next().unwrap();
        let text = value.as_str();
        let lower = |v: &Value| v.as_str().unwrap().to_lowercase();
        match name.as_str() {
            "exists" => operand == &Value::Bool(true),
            "is-null" => value.is_null(),
            "prefix" => match operand.get("equals-ignore-case") {
                Some(folded) => text.is_some_and(|t| t.to_lowercase().starts_with(&lower(folded))),
                None => text.is_some_and(|t| t.starts_with(operand.as_str().unwrap())),
            },
            "suffix" => match operand.get("equals-ignore-case") {
                Some(folded) => text.is_some_and(|t| t.to_lowercase().ends_with(&lower(folded))),
                None => text.is_some_and(|t| t.ends_with(operand.as_str().unwrap())),
            },
            "equals-ignore-case" => text.is_some_and(|t| t.to_lowercase() == lower(operand)),
            "wildcard" => {
                let wildcard: Vec<char> = operand.as_str().unwrap().chars().collect();
                text.is_some_and(|t| fits(&wildcard, &t.chars().collect::<Vec<_>>()))
            }
            "numeric" => value.as_f64().is_some_and(|n| {
                operand.as_array().unwrap().chunks(2).all(|pair| {
                    let bound = pair[1].as_f64().unwrap();
                    match pair[0].as_str().unwrap() {
                        "=" => n.total_cmp(&bound).is_eq(),
                        "<" => n < bound,
                        "<=" => n <= bound,
                        ">" => n > bound,
                        _ => n >= bound,
                    }
                })
            }),
            "cidr" => text.and_then(|t| t.parse().ok()).is_some_and(|ip: std::net::IpAddr| in_network(operand, ip)),
            _ => match operand {
                Value::Object(nested) => {
                    let (op, values) = nested.iter().next().unwrap();
                    !many(values).iter().any(|v| passes(&serde_json::json!({ op: v }), value))
                }
                values => !many(values).iter().any(|v| same(v, value)),
            },
        }
    }

    fn many(values: &Value) -> &[Value] {
        values.as_array().map_or(std::slice::from_ref(values), Vec::as_slice)
    }

    fn same(a: &Value, b: &Value) -> bool {
        a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
    }

    fn fits(wildcard: &[char], text: &[char]) -> bool {
        match wildcard.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skipped| fits(rest, &text[skipped..])),
            Some((c, rest)) => text.split_first().is_some_and(|(t, left)| t == c && fits(rest, left)),
        }
    }

    fn in_network(cidr: &Value, ip: std::net::IpAddr) -> bool {
        let (network, bits) = cidr.as_str().unwrap().split_once('/').unwrap();
        let bits: u32 = bits.parse().unwrap();
        match (network.parse().unwrap(), ip) {
            (std::net::IpAddr::V4(n), std::net::IpAddr::V4(ip)) => {
                bits == 0 || (n.to_bits() ^ ip.to_bits()) >> (32 - bits) == 0
            }
            (std::net::IpAddr::V6(n), std::net::IpAddr::V6(ip)) => {
                bits == 0 || (n.to_bits() ^ ip.to_bits()) >> (128 - bits) == 0
            }
            _ => false,
        }
    }
}

mod random {
    use kmswatch::core::pattern::{Node, Pattern};
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Value, json};

    use super::{by_bytes, naive};
    use kmswatch::core::rule::index::Index;

    fn name() -> impl Strategy<Value = String> {
        select(&["a", "b", "c"][..]).prop_map(str::to_owned)
    }

    fn text() -> impl Strategy<Value = String> {
        select(&["", "x", "X", "xy", "yx", "xyx", "10.0.0.1", "2001:db8::1"][..]).prop_map(str::to_owned)
    }

    fn number() -> impl Strategy<Value = Value> {
        select(vec![json!(0), json!(1), json!(1.0), json!(2.5), json!(-1), json!(3)])
    }

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![4 => text().prop_map(Value::from), 3 => number(), 1 => any::<bool>().prop_map(Value::from), 1 => Just(Value::Null)]
    }

    fn event() -> impl Strategy<Value = Value> {
        let inner = leaf().prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name(), inner, 0..4).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        });
        prop::collection::btree_map(name(), inner, 1..4).prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    fn wildcard() -> impl Strategy<Value = Value> {
        select(&["*", "x*", "*x", "*y*", "x*x", "xy"][..]).prop_map(Value::from)
    }

    fn item() -> impl Strategy<Value = Value> {
        // A plain string that is an address has a test of its own: the definition here compares text.
        let plain = || select(&["", "x", "X", "xy", "yx"][..]).prop_map(Value::from);
        prop_oneof![
            4 => plain(),
            2 => number(),
            1 => any::<bool>().prop_map(Value::from),
            1 => Just(Value::Null),
            3 => any::<bool>().prop_map(|b| json!({ "exists": b })),
            1 => Just(json!({ "is-null": true })),
            1 => text().prop_map(|t| json!({ "prefix": t })),
            1 => text().prop_map(|t| json!({ "suffix": t })),
            1 => text().prop_map(|t| json!({ "equals-ignore-case": t })),
            1 => text().prop_map(|t| json!({ "prefix": { "equals-ignore-case": t } })),
            1 => text().prop_map(|t| json!({ "suffix": { "equals-ignore-case": t } })),
            1 => wildcard().prop_map(|w| json!({ "wildcard": w })),
            1 => (select(&["=", "<", "<=", ">", ">="][..]), number()).prop_map(|(op, n)| json!({ "numeric": [op, n] })),
            1 => Just(json!({ "numeric": [">", 0, "<=", 2.5] })),
            1 => select(&["10.0.0.0/8", "10.0.0.2/31", "0.0.0.0/0", "2001:db8::/32", "::/0"][..])
                .prop_map(|c| json!({ "cidr": c })),
            1 => prop::collection::vec(plain(), 1..3).prop_map(|l| json!({ "anything-but": l })),
            1 => number().prop_map(|n| json!({ "anything-but": n })),
            1 => select(&["prefix", "suffix", "equals-ignore-case"][..])
                .prop_map(|op| json!({ "anything-but": { op: ["x", "y"] } })),
            1 => wildcard().prop_map(|w| json!({ "anything-but": { "wildcard": w } })),
        ]
    }

    fn list() -> impl Strategy<Value = Value> {
        prop::collection::vec(item(), 1..3).prop_map(Value::from)
    }

    fn fields(depth: u32) -> BoxedStrategy<Value> {
        let value = if depth == 0 { list().boxed() } else { prop_oneof![2 => list(), 1 => fields(depth - 1)].boxed() };
        prop::collection::btree_map(name(), value, 1..4).prop_map(|m| Value::Object(m.into_iter().collect())).boxed()
    }

    fn pattern() -> impl Strategy<Value = Value> {
        prop_oneof![
            3 => fields(2),
            1 => (fields(1), fields(1)).prop_map(|(a, b)| json!({ "$or": [a, b] })),
            1 => (fields(1), fields(1), list())
                .prop_map(|(a, b, d)| json!({ "a": { "$or": [a, b], "d": d }, "b": { "$or": [{ "d": d }, { "a": d }] } })),
        ]
    }

    /// The event as JSON, in one of the many ways to write it: with spaces, with escapes, with a member that stands
    /// there twice (told by an "again" in its first value).
    fn written(value: &Value, choices: &mut impl Iterator<Item = u8>) -> String {
        let choice = choices.next().unwrap();
        let space = if choice.is_multiple_of(5) { " \n" } else { "" };
        match value {
            Value::Object(members) => {
                let mut all = vec![];
                for (name, value) in members {
                    let name = spelled(name, choices.next().unwrap());
                    if choices.next().unwrap() > 250 {
                        all.push(format!("{name}:[\"again\"]"));
                    }
                    all.push(format!("{space}{name}{space}:{}", written(value, choices)));
                }
                format!("{{{}{space}}}{space}", all.join(","))
            }
            Value::Array(elements) => {
                let all: Vec<String> = elements.iter().map(|element| written(element, choices)).collect();
                format!("[{space}{}]{space}", all.join(","))
            }
            Value::String(text) => spelled(text, choice),
            other => format!("{space}{other}{space}"),
        }
    }

    fn spelled(text: &str, choice: u8) -> String {
        if choice.is_multiple_of(3) {
            let escaped: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            return format!("\"{}\"", escaped.concat());
        }
        Value::from(text).to_string()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn agrees_with_the_definition(pattern in pattern(), events in prop::collection::vec(event(), 1..6)) {
            let compiled = Pattern::compile(&Node::from_json(&pattern)).unwrap();
            for event in events {
                prop_assert_eq!(compiled.matches(&event), naive::matches(&pattern, &event), "{} on {}", pattern, event);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn so_do_the_index_and_the_bytes(
            patterns in prop::collection::vec(pattern(), 1..6),
            event in event(),
            choices in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let compiled: Vec<Pattern> =
                patterns.iter().map(|pattern| Pattern::compile(&Node::from_json(pattern)).unwrap()).collect();
            let text = written(&event, &mut choices.iter().copied().cycle());
            // Of members that stand there twice, the parser takes the last.
            prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &event, "{}", text);
            let right: Vec<usize> =
                patterns.iter().enumerate().filter(|(_, p)| naive::matches(p, &event)).map(|(n, _)| n).collect();
            prop_assert_eq!(&Index::new(compiled.iter().enumerate()).matching(&event), &right);
            for (number, pattern) in compiled.iter().enumerate() {
                let answer = by_bytes(pattern, &text);
                prop_assert!(answer.is_none_or(|answer| answer == right.contains(&number)), "{} on {}", patterns[number], text);
                prop_assert!(answer.is_some() || text.contains("\"again\""), "{} should be read", text);
            }
        }
    }
}
