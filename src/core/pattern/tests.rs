use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

fn compile(json: &Value) -> Result<Pattern, Vec<PatternError>> {
    Pattern::compile(&Node::from_json(json))
}

fn hit(pattern: &Value, document: &Value) -> bool {
    compile(pattern).unwrap_or_else(|errors| panic!("{pattern}: {errors:?}")).matches(document)
}

/// Compiles `match = …` of a TOML file; each error as the text it points at, its message and its hint.
fn toml_errors(toml: &str) -> Vec<(String, String, String)> {
    #[derive(Deserialize)]
    struct File {
        r#match: Node,
    }
    let file: File = toml::from_str(toml).unwrap();
    let errors = Pattern::compile(&file.r#match).expect_err("it must not compile");
    errors.into_iter().map(|e| (toml.get(e.span).unwrap().to_owned(), e.message, e.hint.unwrap_or_default())).collect()
}

#[test]
fn a_pattern_pasted_as_json_is_read() {
    #[derive(serde::Deserialize)]
    struct Holder {
        pattern: Node,
    }
    let compiled = |text: &str| Pattern::compile(&toml::from_str::<Holder>(text).unwrap().pattern);
    let pasted = "pattern = '''\n{ \"source\": [\"aws.kms\"], \"detail\": { \"errorCode\": [null, { \"prefix\": \"Access\" }] } }'''";
    let pattern = compiled(pasted).unwrap();
    assert!(pattern.matches(&serde_json::json!({ "source": "aws.kms", "detail": { "errorCode": null } })));
    assert!(!pattern.matches(&serde_json::json!({ "source": "aws.kms", "detail": { "errorCode": "x" } })));
    for (text, said) in [
        ("pattern = '{ \"source\": [ }'", "no JSON"),
        ("pattern = '[1]'", "a pattern is a table"),
        ("pattern = '\"x\"'", "a pattern is a table"),
        ("pattern = '{ \"source\": [{ \"prefx\": \"a\" }] }'", "`prefx` is not an operator"),
    ] {
        let errors = compiled(text).unwrap_err();
        assert!(errors[0].message.contains(said) && errors[0].span.start >= 10, "{text}: {errors:?}");
    }
}

#[test]
fn a_mistake_in_pasted_json_has_its_place_in_it() {
    let found = |text: &str| {
        let node = Node { span: 3..9, kind: NodeKind::String(text.to_owned()) };
        let errors = Pattern::compile(&node).unwrap_err();
        assert!(errors.iter().all(|error| error.span == (3..9)), "{errors:?}");
        let place = |error: &PatternError| text.get(error.inside.clone().unwrap()).unwrap().to_owned();
        errors.iter().map(|error| format!("{} is wrong: {}", place(error), error.message)).collect::<Vec<_>>()
    };
    assert_eq!(
        found(
            "{\n  \"\\u0061\" : [{ \"prefx\": \"ö\" }],\n \"b\": \"x\",\n \"c\": { \"d\": [] },\n \"e\": [1, { \"cidr\": \"x\" }], \"f.g\": [1] }"
        ),
        [
            "\"prefx\" is wrong: `prefx` is not an operator",
            "\"x\" is wrong: `b` takes a list of allowed values",
            "[] is wrong: an empty list matches nothing",
            "\"x\" is wrong: `x` is no network",
            "\"f.g\" is wrong: `f.g` is taken as one name",
        ]
    );
    let broken = found("{\n \"a\": [1 2] }");
    assert!(broken[0].starts_with("2 is wrong: the pattern is a text that is no JSON: expected `,`"), "{broken:?}");
    assert!(!broken[0].contains("line"), "{broken:?}");
    let deep = found(&format!("{{ \"a\": {}1{} }}", "[".repeat(300), "]".repeat(300)));
    assert!(deep[0].contains("recursion limit exceeded"), "{deep:?}");
    assert!(found(" ")[0].contains("no JSON"));
    // Of two members with one name the last counts.
    let twice = Node { span: 0..0, kind: NodeKind::String("{ \"a\": [1], \"b\": [1], \"a\": [2] }".to_owned()) };
    let twice = Pattern::compile(&twice).unwrap();
    assert!(twice.matches(&json!({ "a": 2, "b": 1 })) && !twice.matches(&json!({ "a": 1, "b": 1 })));
}

#[test]
fn whole_numbers_of_any_size_that_json_has_are_compared() {
    for number in [json!(9_223_372_036_854_775_808_u64), json!(u64::MAX), json!(i64::MIN), json!(7)] {
        for text in
            [format!("{{ \"a\": [{number}] }}"), format!("{{ \"a\": [{{ \"anything-but\": [1] }}, {number}] }}")]
        {
            let written: Value = serde_json::from_str(&text).unwrap();
            let node = Node { span: 0..0, kind: NodeKind::String(text) };
            let pattern = Pattern::compile(&node).unwrap();
            assert!(pattern.matches(&json!({ "a": number })), "{number}");
            assert_eq!(node.opened().unwrap().to_json(), written, "what an incident keeps");
        }
        let pattern = compile(&json!({ "a": [number] })).unwrap();
        assert!(pattern.matches(&json!({ "a": number })), "{number}");
        assert!(!pattern.matches(&json!({ "a": 9_223_372_036_854_775_809_u64 })), "{number}");
        assert_eq!(Node::from_json(&json!([number])).to_json(), json!([number]), "what an incident keeps");
    }
}

#[test]
fn what_is_beyond_a_bound_is_not_expanded() {
    let names = |from: usize, to: usize| (from..to).map(|n| json!({ format!("f{n}"): ["x"] })).collect::<Vec<_>>();
    for (pattern, said) in [
        (json!({ "a": [1], "$or": names(0, 1000), "b": { "$or": names(0, 30_000) } }), "more than 1000 combinations"),
        (json!({ "$or": names(0, 30_000) }), "more than 1000 combinations"),
        (
            json!({ "$or": names(0, 1000), "b": (0..30_000).map(|n| (format!("g{n}"), json!(["x"]))).collect::<serde_json::Map<_, _>>() }),
            "more than 64 fields",
        ),
        (
            json!({ "$or": names(0, 1000), "b": (0..30_000).map(|n| (format!("g{n}"), json!([]))).collect::<serde_json::Map<_, _>>() }),
            "more than 64 fields",
        ),
        (json!({ "a": vec!["x"; 30_000] }), "more than 2000 values"),
    ] {
        let errors = compile(&pattern).unwrap_err();
        assert!(errors.iter().any(|error| error.message.contains(said)), "{said}: {:?}", errors.first());
    }
}

#[test]
fn all_errors_at_once_each_at_its_place() {
    let errors = toml_errors(
        r#"
[match]
source = [{ prefx = "aws." }]
region = "eu-west-1"
account = []
detail.eventName = [{ prefix = "A", suffix = "B" }]
detail.sourceIPAddress = [{ cidr = "10.0.0.0/99" }]
detail.size = [{ numeric = [">", 0, "<=", "5"] }]
"detail.errorCode" = ["AccessDenied"]
"#,
    );
    let short: Vec<(&str, &str)> = errors.iter().map(|(at, message, _)| (at.as_str(), message.as_str())).collect();
    assert_eq!(
        short,
        [
            ("prefx", "`prefx` is not an operator"),
            ("\"eu-west-1\"", "`region` takes a list of allowed values"),
            ("[]", "an empty list matches nothing"),
            ("suffix", "one table holds one operator"),
            ("\"10.0.0.0/99\"", "`10.0.0.0/99` is no network"),
            ("\"5\"", "this must be a number"),
            ("\"detail.errorCode\"", "`detail.errorCode` is taken as one name"),
        ]
    );
    assert_eq!(errors[0].2, "did you mean `prefix`?");
    assert_eq!(errors[1].2, "write region = [\"eu-west-1\"]");
}

#[test]
fn a_date_is_refused_in_words() {
    let error = toml::from_str::<Node>("a = [2026-01-01]").unwrap_err();
    assert!(error.message().contains("write it as a string"), "{error}");
    assert_eq!(error.span(), Some(5..15));
}

#[test]
fn every_kind_of_mistake_is_refused_with_a_hint() {
    let cases = [
        (json!([]), "a pattern is a table"),
        (json!({}), "an empty table matches nothing"),
        (json!({ "a": {} }), "an empty table matches nothing"),
        (json!({ "a": [{}] }), "an empty table is no value"),
        (json!({ "a": [["b"]] }), "a list inside the list of values"),
        (json!({ "a": null }), "takes a list of allowed values"),
        (json!({ "a": { "prefix": "b" } }), "the operator `prefix` stands outside of a list"),
        (json!({ "a": [{ "regex": "b" }] }), "`regex` is not an operator"),
        (json!({ "a": [{ "prefix": 1 }] }), "`prefix` takes a string"),
        (json!({ "a": [{ "prefix": ["b"] }] }), "`prefix` takes a string"),
        (json!({ "a": [{ "suffix": { "wildcard": "b" } }] }), "`suffix` takes a string or `equals-ignore-case`"),
        (json!({ "a": [{ "prefix": {} }] }), "`prefix` takes a string or `equals-ignore-case`"),
        (json!({ "a": [{ "equals-ignore-case": ["b"] }] }), "`equals-ignore-case` takes a string"),
        (json!({ "a": [{ "anything-but": ["b", 1] }] }), "strings or numbers, not both"),
        (json!({ "a": [{ "anything-but": [] }] }), "an empty list excludes nothing"),
        (json!({ "a": [{ "anything-but": true }] }), "strings and numbers only"),
        (json!({ "a": [{ "anything-but": [null] }] }), "strings and numbers only"),
        (json!({ "a": [{ "anything-but": 0.000_000_1 }] }), "a number that cannot be compared"),
        (json!({ "a": [{ "anything-but": { "cidr": "10.0.0.0/8" } }] }), "`cidr` does not go with `anything-but`"),
        (json!({ "a": [{ "anything-but": { "prefix": "" } }] }), "an empty prefix excludes every string"),
        (json!({ "a": [{ "anything-but": { "prefix": [1] } }] }), "`prefix` takes a string"),
        (json!({ "a": [{ "anything-but": { "prefix": "b", "suffix": "c" } }] }), "`anything-but` takes one operator"),
        (json!({ "a": [{ "anything-but": { "wildcard": "b**" } }] }), "two `*` in a row"),
        (json!({ "a": [{ "numeric": 5 }] }), "`numeric` takes a list of comparisons"),
        (json!({ "a": [{ "numeric": [] }] }), "one or two pairs"),
        (json!({ "a": [{ "numeric": ["="] }] }), "one or two pairs"),
        (json!({ "a": [{ "numeric": ["~", 1] }] }), "`~` is no comparison"),
        (json!({ "a": [{ "numeric": [1, 1] }] }), "a comparison is one of"),
        (json!({ "a": [{ "numeric": ["<", 1, ">", 0] }] }), "cannot stand here"),
        (json!({ "a": [{ "numeric": [">", 1, "=", 2] }] }), "cannot stand here"),
        (json!({ "a": [{ "numeric": [">", 10, "<", 5] }] }), "no number is in this range"),
        (json!({ "a": [{ "numeric": [">=", 5, "<=", 5] }] }), "no number is in this range"),
        (json!({ "a": [{ "numeric": ["<", 1e12] }] }), "a number that cannot be compared"),
        (json!({ "a": [{ "cidr": "10.0.0.1" }] }), "is no network"),
        (json!({ "a": [{ "cidr": "10.0.0.1/32" }] }), "a network of one address"),
        (json!({ "a": [{ "cidr": "10.0.0.1/24" }] }), "bits set outside of its mask"),
        (json!({ "a": [{ "exists": "true" }] }), "`exists` is either true or false"),
        (json!({ "a": [{ "wildcard": "a**b" }] }), "two `*` in a row"),
        (json!({ "a": [{ "wildcard": r"a\b" }] }), "a backslash before something else"),
        (json!({ "a": [{ "is-null": false }] }), "`is-null` is always true"),
        (json!({ "$or": { "a": [1] } }), "`$or` takes a list of tables"),
        (json!({ "$or": [{ "a": [1] }] }), "`$or` needs two branches"),
        (json!({ "$or": [{ "a": [1] }, "b"] }), "a branch of `$or` is a table"),
        (json!({ "$or": [{ "a": [1] }, { "prefix": ["b"] }] }), "is the name of an operator"),
        (json!({ "$or": [{ "a": [1] }, { "b": [1] }], "a": [2] }), "`a` is named in a `$or` and again beside it"),
        (json!({ "a": { "$or": [{ "b": [1] }, { "c": [1] }], "c": [2] } }), "`a.c` is named in a `$or`"),
    ];
    for (pattern, expected) in cases {
        let errors = compile(&pattern).expect_err(&pattern.to_string());
        assert!(errors.iter().any(|e| e.message.contains(expected)), "{pattern}: {errors:?}");
        for error in errors {
            assert!(error.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{pattern}: {error:?}");
            assert!(!error.message.ends_with('.') && !error.message.starts_with(char::is_uppercase), "{error:?}");
        }
    }
}

#[test]
fn bounds_are_kept() {
    let nested = |levels| (1..levels).fold(json!({ "a": [1] }), |inner, _| json!({ "a": inner }));
    assert!(compile(&nested(DEPTH_MAX)).is_ok());
    assert!(compile(&nested(DEPTH_MAX + 1)).is_err());

    let values = |count| json!({ "a": vec![json!(1); count] });
    assert!(compile(&values(VALUES_MAX)).is_ok());
    assert!(compile(&values(VALUES_MAX + 1)).is_err());
    assert!(compile(&json!({ "a": [{ "anything-but": vec![json!(1); VALUES_MAX] }] })).is_err());

    let stars = |count| json!({ "a": [{ "wildcard": "*a".repeat(count) }] });
    assert!(compile(&stars(STARS_MAX)).is_ok());
    assert!(compile(&stars(STARS_MAX + 1)).is_err());

    let fields = |count| Value::Object((0..count).map(|i| (format!("f{i}"), json!([1]))).collect());
    assert!(compile(&fields(FIELDS_MAX)).is_ok());
    assert!(compile(&fields(FIELDS_MAX + 1)).is_err());
    let all: serde_json::Map<_, _> = (0..FIELDS_MAX).map(|i| (format!("f{i}"), json!(1))).collect();
    assert!(hit(&fields(FIELDS_MAX), &all.into()));

    let ways = |name: &str| json!({ "$or": [{ format!("{name}1"): [1] }, { format!("{name}2"): [1] }] });
    let product = |n: u8| Value::Object((0..n).map(|i| (format!("t{i}"), ways("f"))).collect());
    assert!(compile(&product(9)).is_ok(), "512 combinations");
    let errors = compile(&product(20)).unwrap_err();
    assert_eq!(errors.len(), 1, "told once: {errors:?}");
    assert!(errors[0].message.contains("more than 1000 combinations"));
}

#[test]
fn hostile_text_in_a_message_is_short_and_tame() {
    let errors = compile(&json!({ "a": [{ format!("\u{1b}[31m{}", "x".repeat(5_000)): 1 }] })).unwrap_err();
    assert!(errors[0].message.len() < 200 && !errors[0].message.contains('\u{1b}'));
}

#[test]
fn fields_below_an_array_meet_in_one_element() {
    let people = json!({ "people": [{ "first": "Anna", "last": "Doe" }, { "first": "John", "last": "Smith" }] });
    assert!(hit(&json!({ "people": { "first": ["John"], "last": ["Smith"] } }), &people));
    assert!(!hit(&json!({ "people": { "first": ["Anna"], "last": ["Smith"] } }), &people));
    // The inner array's choice must go with the outer one's.
    let nested =
        json!({ "a": [{ "x": 1, "b": [{ "y": 1 }, { "y": 2, "z": 2 }] }, { "x": 2, "b": { "y": 3, "z": 1 } }] });
    assert!(hit(&json!({ "a": { "x": [1], "b": { "y": [2], "z": [2] } } }), &nested));
    assert!(!hit(&json!({ "a": { "x": [1], "b": { "y": [1], "z": [2] } } }), &nested));
    assert!(hit(&json!({ "a": { "x": [2], "b": { "y": [3], "z": [1] } } }), &nested));
    assert!(!hit(&json!({ "a": { "x": [2], "b": { "y": [2] } } }), &nested));
    assert!(hit(&json!({ "a": { "x": ["c"] } }), &json!({ "a": [[{ "x": "b" }], [[{ "x": ["c"] }]]] })));
}

#[test]
fn absence_below_an_array_follows_the_order_of_names() {
    let document = json!({ "a": [{ "k": 1 }, { "k": 2, "m": 3 }] });
    // `k` comes first and settles on an element; there `m` is absent.
    assert!(hit(&json!({ "a": { "k": [1], "m": [{ "exists": false }] } }), &document));
    assert!(!hit(&json!({ "a": { "k": [2], "m": [{ "exists": false }] } }), &document));
    // `b` comes before anything settled: absent means in the whole array.
    let document = json!({ "a": [{ "k": 1 }, { "k": 2, "b": 3 }] });
    assert!(!hit(&json!({ "a": { "b": [{ "exists": false }], "k": [1] } }), &document));
    // Absent or a value: the value settles on its element.
    assert!(hit(&json!({ "a": { "b": [{ "exists": false }, 3], "k": [2] } }), &document));
    assert!(!hit(&json!({ "a": { "b": [{ "exists": false }, 3], "k": [1] } }), &document));
    assert!(hit(&json!({ "a": { "b": [{ "exists": false }, 4], "k": [1] } }), &json!({ "a": [{ "k": 1 }] })));
}

#[test]
fn names_are_members_and_dots_in_them_are_dots() {
    let document = json!({ "key": { "tags": { "example.com/team": "db" } } });
    assert!(hit(&json!({ "key": { "tags": { "example.com/team": ["db"] } } }), &document));
}

#[test]
fn paths_and_combinations() {
    let pattern = compile(&json!({
        "source": ["aws.kms"],
        "$or": [{ "detail": { "eventName": ["A"] } }, { "detail": { "eventName": ["B"], "errorCode": [{ "exists": true }] } }]
    }))
    .unwrap();
    let paths: Vec<&str> = pattern.paths().iter().map(AsRef::as_ref).collect();
    assert_eq!(paths, ["detail.errorCode", "detail.eventName", "source"]);
    let combinations: Vec<Vec<&str>> = pattern
        .combinations()
        .map(|fields| fields.iter().map(|field| pattern.clauses().nth(*field).unwrap().path()).collect())
        .collect();
    assert_eq!(
        combinations,
        [vec!["detail.eventName", "source"], vec!["detail.errorCode", "detail.eventName", "source"]]
    );
    assert!(!Pattern::never().matches(&json!({})) && Pattern::never().combinations().next().is_none());
}

#[test]
fn marks_are_what_every_match_has() {
    use marks::Mark::{End, Start, Whole, Within};
    let marks = |item: Value| {
        let pattern = compile(&json!({ "a": [item] })).unwrap();
        let clause = pattern.clauses().next().unwrap().clone();
        clause.marks().map(|marks| format!("{marks:?}"))
    };
    for (item, expected) in [
        (json!("x"), vec![Whole("x")]),
        (json!({ "prefix": "abc" }), vec![Start("abc")]),
        (json!({ "suffix": "abc" }), vec![End("abc")]),
        (json!({ "wildcard": "abc" }), vec![Whole("abc")]),
        (json!({ "wildcard": "abc*xyz" }), vec![Start("abc"), End("xyz")]),
        (json!({ "wildcard": "ab*12345*z" }), vec![Within(*b"1234"), Within(*b"2345")]),
    ] {
        assert_eq!(marks(item.clone()), Some(format!("{:?}", [expected])), "{item}");
    }
    for item in [
        json!({ "prefix": "ab" }),
        json!({ "wildcard": "*abc*" }),
        json!({ "exists": true }),
        json!({ "exists": false }),
        json!({ "anything-but": "x" }),
        json!({ "equals-ignore-case": "x" }),
        json!({ "numeric": ["=", 1] }),
        json!("10.0.0.1"),
        json!(1),
        json!(true),
        Value::Null,
    ] {
        assert_eq!(marks(item.clone()), None, "{item}");
    }
    let either = compile(&json!({ "a": ["x", { "exists": false }] })).unwrap();
    assert_eq!(either.clauses().next().unwrap().marks(), None, "it may be absent");
}

#[test]
fn a_trace_sees_path_wanted_and_got() {
    #[derive(Default)]
    struct Recorder(Vec<String>);
    impl Trace for Recorder {
        fn compared(&mut self, clause: &Clause, got: &Value, passed: bool) {
            self.0.push(format!("{} wants {} got {got}: {passed}", clause.path(), clause.wanted()));
        }
        fn absent(&mut self, clause: &Clause, passed: bool) {
            self.0.push(format!("{} absent: {passed}", clause.path()));
        }
    }
    let pattern = compile(&json!({ "a": [1], "b": [{ "exists": false }], "c": { "d": ["x"] } })).unwrap();
    let mut recorder = Recorder::default();
    assert!(!pattern.matches_traced(&json!({ "a": 1.0, "c": { "d": ["y"] } }), &mut recorder));
    assert_eq!(recorder.0, ["a wants [1] got 1.0: true", "b absent: true", "c.d wants [\"x\"] got \"y\": false"]);
}

#[test]
fn an_error_becomes_a_problem() {
    let error = PatternError { span: 3..5, inside: None, message: "m".into(), hint: Some("h".into()) };
    assert_eq!(error.to_string(), "m (h)");
    assert_eq!(Problem::from(error), Problem::error(3..5, "m").hint("h"));
}

#[test]
fn a_plain_element_is_there_even_if_it_is_not_wanted() {
    let pattern = json!({ "a": [{ "exists": false }, "x"] });
    assert!(!hit(&pattern, &json!({ "a": ["y", ["z"]] })));
    assert!(hit(&pattern, &json!({ "a": ["y", ["x"]] })));
    assert!(hit(&pattern, &json!({ "a": [[], {}] })));
}
