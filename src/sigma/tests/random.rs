//! Random detections, asked of random events, against a reading of Sigma that is as plain as its description.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Effect, alerts, one, rules, sigma};

/// Fields of the random events. The first holds words whose case AWS documents, the last numbers or words.
const FIELDS: &[&str] = &["eventName", "userAgent", "requestParameters.x", "requestParameters.n"];

#[derive(Debug, Clone)]
enum Test {
    Plain(String),
    Number(i64),
    Null,
    Exists(bool),
    Less(i64),
    Starts(String),
    Ends(String),
    Contains(String),
}

/// One field, its tests, and whether all of them are asked.
type Entry = (usize, Vec<Test>, bool);

#[derive(Debug, Clone)]
enum Condition {
    Name(usize),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
}

/// Case-sensitive where the event's words have a documented case; there, words of one case only are made.
fn word(field: usize) -> BoxedStrategy<String> {
    match field {
        0 => prop_oneof![Just("Ab"), Just("Abc"), Just("Bc"), Just("Xy")].prop_map(str::to_owned).boxed(),
        2 => "[12]{1,3}".prop_map(|digits| format!("-{digits}")).boxed(),
        _ => "[abAB]{1,3}".boxed(),
    }
}

fn test(field: usize) -> BoxedStrategy<Test> {
    // `contains` without case is out of our patterns' reach, but for words whose case is known and for digits.
    let affix = match field {
        0 | 2 => prop_oneof![
            word(field).prop_map(Test::Starts),
            word(field).prop_map(Test::Contains),
            word(field).prop_map(Test::Ends),
        ]
        .boxed(),
        _ => prop_oneof![word(field).prop_map(Test::Starts), word(field).prop_map(Test::Ends)].boxed(),
    };
    prop_oneof![
        4 => word(field).prop_map(Test::Plain),
        2 => affix,
        1 => Just(Test::Null),
        1 => any::<bool>().prop_map(Test::Exists),
        u32::from(field == 3) * 3 => (0..5_i64).prop_map(Test::Number),
        u32::from(field == 3) * 2 => (0..5_i64).prop_map(Test::Less),
    ]
    .boxed()
}

fn entry() -> impl Strategy<Value = Entry> {
    (0..FIELDS.len())
        .prop_flat_map(|field| (Just(field), prop::collection::vec(test(field), 1..3), prop::bool::weighted(0.2)))
}

fn condition() -> impl Strategy<Value = Condition> {
    (0..3_usize).prop_map(Condition::Name).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|c| Condition::Not(Box::new(c))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner).prop_map(|(a, b)| Condition::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn event() -> impl Strategy<Value = Value> {
    let text = |field: usize| prop::option::of(word(field).prop_map(Value::from));
    let number = prop::option::of(prop_oneof![
        (0..5_i64).prop_map(Value::from),
        (0..5_i64).prop_map(|n| Value::from(n.to_string())),
        word(3).prop_map(Value::from),
        Just(Value::Null),
    ]);
    (text(0), text(1), text(2), number).prop_map(|(name, agent, x, n)| {
        let mut detail = Map::from_iter([("eventSource".to_owned(), json!("s.amazonaws.com"))]);
        let mut parameters = Map::new();
        detail.extend(name.map(|value| ("eventName".to_owned(), value)));
        detail.extend(agent.map(|value| ("userAgent".to_owned(), value)));
        parameters.extend(x.map(|value| ("x".to_owned(), value)));
        parameters.extend(n.map(|value| ("n".to_owned(), value)));
        detail.insert("requestParameters".to_owned(), Value::Object(parameters));
        Value::Object(detail)
    })
}

fn yaml(entries: &[Vec<Entry>], condition: &Condition) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (at, map) in entries.iter().enumerate() {
        writeln!(text, "    s{at}:").unwrap();
        for (field, tests, all) in map {
            // One kind of comparison for each key; several keys of a list of maps would be an "or".
            let (modifier, values) = written(tests);
            let all = if *all && values.len() > 1 { "|all" } else { "" };
            writeln!(text, "        {}{modifier}{all}: [{}]", FIELDS[*field], values.join(", ")).unwrap();
        }
    }
    writeln!(text, "    condition: {}", shown(condition)).unwrap();
    text
}

/// The first test's kind decides; see [`kin`].
fn written(tests: &[Test]) -> (&'static str, Vec<String>) {
    let kin = kin(tests);
    let values = kin.iter().map(|test| match test {
        Test::Plain(w) | Test::Starts(w) | Test::Ends(w) | Test::Contains(w) => format!("'{w}'"),
        Test::Number(n) | Test::Less(n) => n.to_string(),
        Test::Null => "null".to_owned(),
        Test::Exists(is) => is.to_string(),
    });
    let modifier = match tests[0] {
        Test::Plain(_) | Test::Number(_) | Test::Null => "",
        Test::Exists(_) => "|exists",
        Test::Less(_) => "|lt",
        Test::Starts(_) => "|startswith",
        Test::Ends(_) => "|endswith",
        Test::Contains(_) => "|contains",
    };
    (modifier, values.collect())
}

/// Those tests that can stand under one key with the first.
fn kin(tests: &[Test]) -> Vec<Test> {
    let class = |test: &Test| match test {
        Test::Plain(_) | Test::Number(_) | Test::Null => 0,
        Test::Exists(_) => 1,
        Test::Less(_) => 2,
        Test::Starts(_) => 3,
        Test::Ends(_) => 4,
        Test::Contains(_) => 5,
    };
    tests.iter().filter(|test| class(test) == class(&tests[0])).cloned().collect()
}

fn shown(condition: &Condition) -> String {
    match condition {
        Condition::Name(at) => format!("s{at}"),
        Condition::Not(inner) => format!("not ({})", shown(inner)),
        Condition::And(a, b) => format!("({} and {})", shown(a), shown(b)),
        Condition::Or(a, b) => format!("({} or {})", shown(a), shown(b)),
    }
}

fn holds(condition: &Condition, entries: &[Vec<Entry>], event: &Value) -> bool {
    match condition {
        Condition::Name(at) => entries[*at].iter().all(|(field, tests, all)| {
            let value = event.pointer(&format!("/{}", FIELDS[*field].replace('.', "/")));
            let tests = kin(tests);
            if *all { tests.iter().all(|t| passes(t, value)) } else { tests.iter().any(|t| passes(t, value)) }
        }),
        Condition::Not(inner) => !holds(inner, entries, event),
        Condition::And(a, b) => holds(a, entries, event) && holds(b, entries, event),
        Condition::Or(a, b) => holds(a, entries, event) || holds(b, entries, event),
    }
}

fn passes(test: &Test, value: Option<&Value>) -> bool {
    let loose = value.and_then(|value| match value {
        Value::String(word) => Some(word.to_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    // Ours compares the ends of strings only, and AWS's numbers are numbers.
    let strict = value.and_then(Value::as_str).map(str::to_lowercase);
    let fits = |fit: &dyn Fn(&str) -> bool, found: &Option<String>| found.as_deref().is_some_and(fit);
    match test {
        Test::Plain(w) => fits(&|word| word == w.to_lowercase(), &loose),
        Test::Number(n) => fits(&|word| word == n.to_string(), &loose),
        Test::Null => value.is_none_or(Value::is_null),
        Test::Exists(is) => value.is_some() == *is,
        Test::Less(n) => value.and_then(Value::as_i64).is_some_and(|value| value < *n),
        Test::Starts(w) => fits(&|word| word.starts_with(&w.to_lowercase()), &strict),
        Test::Ends(w) => fits(&|word| word.ends_with(&w.to_lowercase()), &strict),
        Test::Contains(w) => fits(&|word| word.contains(&w.to_lowercase()), &strict),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn imported_rules_answer_as_sigma_does(
        entries in prop::collection::vec(prop::collection::vec(entry(), 1..3), 3),
        condition in condition(),
        events in prop::collection::vec(event(), 8),
    ) {
        // Two entries for one field of one map cannot be written.
        let mut entries = entries;
        for map in &mut entries {
            map.dedup_by_key(|entry| (entry.0, written(&entry.1).0));
            if map.len() == 2 && map[0].0 == map[1].0 && written(&map[0].1).0 == written(&map[1].1).0 {
                map.truncate(1);
            }
        }
        let text = sigma(&yaml(&entries, &condition));
        let import = one(&text);
        if let Some(refused) = import.refused.first() {
            if refused.why.contains("every event") {
                return Ok(());
            }
            // Otherwise only where nothing can match.
            prop_assert!(refused.why.contains("contradicts"), "{}\n{}", refused.why, text);
            for event in &events {
                prop_assert!(!holds(&condition, &entries, event), "{text}\n{event}");
            }
            return Ok(());
        }
        let found = rules(&import);
        let notes = &import.rules[0].notes;
        let exact = notes.iter().all(|note| note.effect == Effect::Remark);
        for event in &events {
            let (expected, got) = (holds(&condition, &entries, event), alerts(&found, event));
            // What is said to be wider may match more, and never less.
            let fine = expected == got || (!exact && got);
            prop_assert!(fine, "sigma {expected}, ours {got}\n{event}\n{text}\n{}", import.rules[0].toml);
        }
    }
}
