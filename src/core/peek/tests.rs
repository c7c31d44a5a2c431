use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::core::pattern::tree::{Leaf, Tree, by_name};

fn paths() -> Paths {
    Paths::new([vec!["a"], vec!["a", "b"], vec!["b"], vec!["c", "a", "b"], vec!["c.a"], vec!["é"], vec!["long name"]])
}

/// A document as `paths` see it, whatever it is kept in.
fn seen<'d, T: Tree<'d>>(value: T, paths: &Paths, at: PathId) -> Value {
    if let Some(elements) = value.elements() {
        return elements.map(|element| seen(element, paths, at)).collect();
    }
    match value.leaf() {
        Some(Leaf::Null) => Value::Null,
        Some(Leaf::Boolean(b)) => b.into(),
        Some(Leaf::Number(n)) => n.clone().into(),
        Some(Leaf::String(s)) => s.into(),
        Some(Leaf::OneOf(_)) => unreachable!("nobody said so"),
        None => {
            let mut members = Map::new();
            let mut by_name = Map::new();
            value.each_named(paths, at, &mut |path, member| {
                members.insert(path.index().to_string(), seen(member, paths, path));
            });
            for (name, path) in paths.all_next(at) {
                let member = value.member(name).map(|member| seen(member, paths, path));
                by_name.extend(member.map(|member| (path.index().to_string(), member)));
            }
            assert_eq!(members, by_name);
            members.into()
        }
    }
}

/// Whether the text is taken, and if so, that it reads as the full parser reads it.
fn agrees(text: &str) -> bool {
    let paths = paths();
    let Some(peek) = Peek::read(text, &paths, 64) else { return false };
    let full: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(full.is_object(), "{text}");
    assert_eq!(seen(peek.view(), &paths, PathId::ROOT), seen(&full, &paths, PathId::ROOT), "{text}");
    true
}

#[test]
fn paths_are_found_by_their_names() {
    let paths = paths();
    assert_eq!(paths.count(), 10);
    let found = paths.find(["c", "a", "b"]).unwrap();
    assert_eq!(paths.next(paths.find(["c", "a"]).unwrap(), "b"), Some(found));
    assert_ne!(paths.find(["c.a"]), paths.find(["c", "a"]));
    assert_eq!(paths.find(["b", "a"]), None);
    assert_eq!(paths.find([]), Some(PathId::ROOT));
    assert_eq!(Paths::default().next(PathId::ROOT, "a"), None);
}

#[test]
fn names_that_look_alike_are_told_apart() {
    let mut names: Vec<String> =
        ["abcdefgX12345678", "abcdefgY12345678", "", "\0", "\0\0", "a", "b"].map(String::from).into();
    names.extend((0..20).map(|n| format!("{}{n}{}", "x".repeat(300 + n % 3), "y".repeat(300))));
    names.extend((0..300_u32).filter_map(char::from_u32).map(String::from));
    names.sort();
    names.dedup();
    for absent in 0..names.len() {
        let some = names.iter().enumerate().filter(|(n, _)| *n != absent);
        let paths = Paths::new(some.map(|(_, name)| vec![name.as_str()]));
        assert_eq!(paths.count(), names.len());
        for (n, name) in names.iter().enumerate() {
            let found = paths.next(PathId::ROOT, name);
            assert_eq!(found.is_some(), n != absent, "{name}");
            let listed = paths.all_next(PathId::ROOT).find(|(listed, _)| listed == name);
            assert_eq!(found, listed.map(|(_, path)| path));
        }
    }
}

#[test]
fn plain_objects_are_read() {
    for text in [
        "{}",
        " {\r\n\t\"a\" : [ ] , \"z\" : { } } \n",
        r#"{"a":{"b":[1,-0,1.5e3,"x",null,{"c":1}],"z":[{},[[]]]},"b":false,"c":{"a":[{"b":true},{"b":null}]}}"#,
        r#"{"\u0061":"A\n\ud83d\ude00\"","z":"\u00e9\/\\","é":"é","c.a":18446744073709551615}"#,
        r#"{"z":1,"z":2,"a":12345678901234567890123,"long name":"a text of some length, with a \" in it"}"#,
        r#"{"z":1e-400,"a":1E+2,"zz":123456789012345678901234567890123456789012345678901234567890123456789}"#,
    ] {
        assert!(agrees(text), "{text}");
    }
}

#[test]
fn whatever_is_in_doubt_is_left_to_the_full_parser() {
    for text in [
        "",
        "[]",
        "null",
        "{",
        "{}x",
        "\u{feff}{}",
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"c":{"a":[{"b":1,"b":1}]}}"#,
        r#"{"a":1,}"#,
        r#"{"z":[1,]}"#,
        r#"{"z":[,1]}"#,
        r#"{"z" 1}"#,
        r#"{"z":1 "a":2}"#,
        r"{z:1}",
        r#"{"a":1e999}"#,
        r#"{"z":1e999}"#,
        r#"{"z":01}"#,
        r#"{"z":1.}"#,
        r#"{"z":.5}"#,
        r#"{"z":-}"#,
        r#"{"z":+1}"#,
        r#"{"z":1e}"#,
        r#"{"z":0x10}"#,
        r#"{"z":NaN}"#,
        r#"{"z":nul}"#,
        r#"{"z":"\x"}"#,
        r#"{"z":"\u00g0"}"#,
        r#"{"z":"\ud800"}"#,
        r#"{"z":"\udc00\ud800"}"#,
        r#"{"a":"\ud83d\u0041"}"#,
        r#"{"z":"\ud83d"#,
        "{\"z\":\"line\nbreak\"}",
        "{\"z\":\"0123456789\u{1f}\"}",
        "{\u{1}}",
        r#"{"z":'a'}"#,
        r#"{"$serde_json::private::RawValue":"1"}"#,
        r#"{"z":{"\u0024serde_json::private::RawValue":"1"}}"#,
    ] {
        assert!(Peek::read(text, &paths(), 64).is_none(), "{text}");
    }
    let digits = format!("{{\"z\":{}}}", "9".repeat(400));
    assert!(Peek::read(&digits, &paths(), 64).is_none(), "beyond any float");
}

#[test]
fn depth_is_counted_wherever_it_is() {
    let nested = |name: &str, levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!("{{\"{name}\":{open}{close}}}")
    };
    for name in ["a", "z"] {
        assert!(Peek::read(&nested(name, 64), &paths(), 64).is_some());
        assert!(Peek::read(&nested(name, 65), &paths(), 64).is_none());
    }
    assert!(Peek::read("{}", &paths(), 0).is_none());
}

#[test]
fn what_nobody_asked_about_is_unknown() {
    let paths = paths();
    let mut peek = Peek::read(r#"{"a":{"b":1},"b":"x","zz":1}"#, &paths, 64).unwrap();
    assert!(peek.view().member("zz").unwrap().is_unknown());
    assert!(peek.view().member("a").unwrap().member("zz").unwrap().is_unknown());
    assert!(peek.view().member("b").unwrap().member("zz").is_none(), "a string has no members");
    assert!(peek.view().member("c").is_none());
    let b = paths.find(["b"]).unwrap();
    peek.forget(b);
    assert!(peek.view().member("b").unwrap().is_unknown());
    peek.expect(b, &[Outcome::Denied, Outcome::Failed]);
    let strings: Vec<&str> = peek.view().member("b").unwrap().leaf().unwrap().strings().collect();
    assert_eq!(strings, ["denied", "failed"]);
}

#[test]
fn members_are_shown_as_they_are_found_by_name() {
    fn shown<'d, T: Tree<'d>>(
        view: T,
        show: impl FnOnce(T, &mut dyn FnMut(PathId, T)),
    ) -> Vec<(PathId, bool, Vec<&'d str>)> {
        let mut members = vec![];
        show(view, &mut |path, member: T| {
            members.push((path, member.is_unknown(), member.leaf().into_iter().flat_map(Leaf::strings).collect()));
        });
        members.sort();
        members
    }
    let paths = paths();
    let mut peek = Peek::read(r#"{"a":{"b":1},"b":"x","c.a":"y","zz":1}"#, &paths, 64).unwrap();
    peek.forget(paths.find(["a"]).unwrap());
    peek.forget(paths.find(["c"]).unwrap());
    peek.expect(paths.find(["b"]).unwrap(), &[Outcome::Denied, Outcome::Failed]);
    let other = paths.clone();
    let views = [peek.view(), peek.view().member("a").unwrap()];
    for (view, at) in views.into_iter().zip([PathId::ROOT, paths.find(["a"]).unwrap()]) {
        let by_name = shown(view, |view, mut show| by_name(view, &paths, at, &mut show));
        assert_eq!(shown(view, |view, mut show| view.each_named(&paths, at, &mut show)), by_name);
        assert_eq!(shown(view, |view, mut show| view.each_named(&other, at, &mut show)), by_name);
    }
}

#[test]
fn every_place_of_a_quote_is_seen() {
    for length in 0..40 {
        for odd in ["\"", "\\\"", "\u{1}", "é", "\u{7f}", "!", "#", "[", "]"] {
            let text = format!("{{\"z\":\"{}{odd}{}\",\"a\":\"{0}\"}}", "x".repeat(length), "y".repeat(9));
            assert_eq!(agrees(&text), !matches!(odd, "\"" | "\u{1}"), "{text}");
        }
    }
}

/// JSON with the names that are asked about, and others.
fn document() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["a", "b", "c", "c.a", "z", "é", "long name", "\"", "\\", "\u{1}"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |f| Number::from_f64(f).map(Value::from)),
        any::<String>().prop_map(Value::from),
        "[ -~]{0,40}".prop_map(Value::from),
    ];
    let object = move |inner| {
        prop::collection::btree_map(name(), inner, 0..5)
            .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
    };
    let inner = leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from), object(inner)]
    });
    prop::collection::btree_map(name(), inner, 0..6)
        .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
}

/// Text that is nearly JSON.
fn nearly() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"a\"",
        "\"b\"",
        "\"z\"",
        "\"c\":{\"a\":",
        "1",
        "-",
        ".5",
        "e9",
        "0",
        "true",
        "nul",
        "\"",
        "\\",
        "\\u0061",
        "\\ud800",
        "\\udc00",
        " ",
        "\n",
        "\"a\":",
        "\"z\":",
        "{\"a\":",
        "\"é\":",
        "1e400",
        "\u{0}",
    ]);
    prop::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn sound_json_is_read(document in document()) {
        prop_assert!(agrees(&document.to_string()));
        prop_assert!(agrees(&serde_json::to_string_pretty(&document).unwrap()));
    }

    #[test]
    fn never_more_than_the_full_parser(nearly in nearly(), text in any::<String>()) {
        agrees(&nearly);
        agrees(&format!("{{{nearly}}}"));
        agrees(&format!("{{\"a\":{nearly}}}"));
        agrees(&text);
    }

    #[test]
    fn damaged_json_is_never_read_otherwise(document in document(), at in any::<prop::sample::Index>(), with in any::<char>(), cut in any::<bool>()) {
        let mut chars: Vec<char> = document.to_string().chars().collect();
        let at = at.index(chars.len());
        if cut { chars.truncate(at) } else { chars[at] = with }
        agrees(&chars.into_iter().collect::<String>());
    }
}

#[test]
fn a_wide_object_takes_no_longer_for_each_member() {
    let names: Vec<String> = (0..20_000).map(|n| format!("name{n}")).collect();
    let paths = Paths::new(names.iter().map(|name| vec![name.as_str()]));
    let members: Map<String, Value> = names.iter().map(|name| (name.clone(), json!(1))).collect();
    let text = Value::Object(members).to_string();
    let peek = Peek::read(&text, &paths, 64).unwrap();
    assert!(names.iter().all(|name| peek.view().member(name).is_some()));
}
