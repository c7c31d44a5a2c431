//! The operators: one row of [`OPS`] each, with its name, what it does, examples that run as tests, and its parser.
//! To add one, add a row, a variant of [`Test`] and its line in [`Test::matches`]; nothing outside this file knows them.

use core::net::IpAddr;

use ipnet::IpNet;

use super::compile::{Errors, quoted};
use super::node::{Name, Node, NodeKind};
use super::number::Number;
use super::suggest::nearest;
use super::text::Folded;
use super::tree::Leaf;
use super::wildcard::{Fault, Wildcard};

/// One operator of the pattern language.
pub struct Op {
    /// How it is written: the only member of a table in a field's list.
    pub name: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
    pub examples: &'static [Example],
    parse: fn(&Node, &mut Errors) -> Option<Allowed>,
}

/// An example in the documentation, which also runs as a test.
pub struct Example {
    /// A field's list of allowed values, as JSON.
    pub list: &'static str,
    /// The field's value in the event, as JSON; empty where the event lacks the field.
    pub value: &'static str,
    pub matches: bool,
}

const fn yes(list: &'static str, value: &'static str) -> Example {
    Example { list, value, matches: true }
}

const fn no(list: &'static str, value: &'static str) -> Example {
    Example { list, value, matches: false }
}

/// Values that stand in a list without an operator.
pub const PLAIN: Op = Op {
    name: "",
    doc: "A plain string, number or boolean matches the same value. Numbers are compared by value (`300` is `300.0`), \
          strings with case. A string that is an IP address matches every spelling of that address. JSON's `null` \
          matches `null`; in TOML write `{ is-null = true }`. An array in the event matches if one of its elements does.",
    examples: &[
        yes(r#"["DisableKey", "EnableKey"]"#, r#""EnableKey""#),
        no(r#"["DisableKey"]"#, r#""disablekey""#),
        yes(r#"["b"]"#, r#"["a", "b"]"#),
        yes("[300]", "300.0"),
        no("[300]", r#""300""#),
        no(r#"["true"]"#, "true"),
        yes(r#"["2001:db8::1"]"#, r#""2001:db8:0:0::1""#),
        no("[null]", ""),
    ],
    parse: plain,
};

/// Every operator, in the order of the reference.
pub const OPS: &[Op] = &[
    Op {
        name: "prefix",
        doc: "The string starts with this. `{ prefix = { equals-ignore-case = \"…\" } }` ignores case.",
        examples: &[
            yes(r#"[{"prefix": "alias/prod-"}]"#, r#""alias/prod-ebs""#),
            no(r#"[{"prefix": "alias/prod-"}]"#, r#""alias/Prod-ebs""#),
            yes(r#"[{"prefix": {"equals-ignore-case": "alias/prod-"}}]"#, r#""alias/Prod-ebs""#),
            no(r#"[{"prefix": "3"}]"#, "300"),
        ],
        parse: |value, errors| affix("prefix", value, errors, Test::Prefix, Test::PrefixFolded),
    },
    Op {
        name: "suffix",
        doc: "The string ends with this. `{ suffix = { equals-ignore-case = \"…\" } }` ignores case.",
        examples: &[
            yes(r#"[{"suffix": ".amazonaws.com"}]"#, r#""ec2.amazonaws.com""#),
            no(r#"[{"suffix": ".amazonaws.com"}]"#, r#""192.0.2.1""#),
            yes(r#"[{"suffix": {"equals-ignore-case": ".PNG"}}]"#, r#""a.Png""#),
        ],
        parse: |value, errors| affix("suffix", value, errors, Test::Suffix, Test::SuffixFolded),
    },
    Op {
        name: "equals-ignore-case",
        doc: "The string is this, in any case.",
        examples: &[
            yes(r#"[{"equals-ignore-case": "alice"}]"#, r#""ALICE""#),
            no(r#"[{"equals-ignore-case": "alice"}]"#, r#""alicea""#),
        ],
        parse: |value, errors| {
            Some(Allowed::Value(Test::Folded(Folded::new(string("equals-ignore-case", value, errors)?))))
        },
    },
    Op {
        name: "anything-but",
        doc: "The value is there and is none of these: a string, a number, a list of strings or of numbers, or one of \
              `prefix`, `suffix`, `equals-ignore-case`, `wildcard` with a string or a list of strings. Of an array in \
              the event, one element that differs is enough. A field that is absent does not match.",
        examples: &[
            yes(r#"[{"anything-but": "AWSService"}]"#, r#""IAMUser""#),
            no(r#"[{"anything-but": ["a", "b"]}]"#, r#""b""#),
            no(r#"[{"anything-but": 300}]"#, "300.0"),
            yes(r#"[{"anything-but": "a"}]"#, "5"),
            yes(r#"[{"anything-but": "a"}]"#, r#"["a", "b"]"#),
            no(r#"[{"anything-but": "a"}]"#, ""),
            no(r#"[{"anything-but": {"prefix": ["us-", "eu-"]}}]"#, r#""eu-west-1""#),
            no(r#"[{"anything-but": {"suffix": ".amazonaws.com"}}]"#, r#""s3.amazonaws.com""#),
            no(r#"[{"anything-but": {"equals-ignore-case": "root"}}]"#, r#""Root""#),
            yes(r#"[{"anything-but": {"wildcard": "*/terraform-*"}}]"#, r#""role/admin""#),
        ],
        parse: anything_but,
    },
    Op {
        name: "numeric",
        doc: "The number is in this range: `[\"=\", n]`, or one or two of `<`, `<=`, `>`, `>=` with a number each, the \
              lower bound first. Strings never match. Six decimals, between ±500,000,000,000.",
        examples: &[
            yes(r#"[{"numeric": ["<", 14]}]"#, "7"),
            no(r#"[{"numeric": [">", 0, "<=", 5]}]"#, "0"),
            yes(r#"[{"numeric": [">", 0, "<=", 5]}]"#, "5.0"),
            yes(r#"[{"numeric": ["=", 301.8]}]"#, "3.018e2"),
            no(r#"[{"numeric": ["<", 10]}]"#, r#""5""#),
        ],
        parse: numeric,
    },
    Op {
        name: "cidr",
        doc: "The string is an IPv4 or IPv6 address of this network. Names, such as `kms.amazonaws.com`, never match.",
        examples: &[
            yes(r#"[{"cidr": "10.0.0.0/24"}]"#, r#""10.0.0.255""#),
            no(r#"[{"cidr": "10.0.0.0/24"}]"#, r#""10.0.1.0""#),
            yes(r#"[{"cidr": "2001:db8::/32"}]"#, r#""2001:DB8:1::5""#),
            no(r#"[{"cidr": "0.0.0.0/0"}]"#, r#""kms.amazonaws.com""#),
        ],
        parse: cidr,
    },
    Op {
        name: "exists",
        doc: "Whether the field is there with a value, be it `null`. Tables and empty arrays are no values. Below an \
              array of tables `false` means: in none of them, unless an earlier field (by name) settled on one of them.",
        examples: &[
            yes(r#"[{"exists": true}]"#, r#""AccessDenied""#),
            yes(r#"[{"exists": true}]"#, "null"),
            no(r#"[{"exists": true}]"#, r#"{"a": 1}"#),
            yes(r#"[{"exists": false}]"#, ""),
            no(r#"[{"exists": false}]"#, "null"),
            yes(r#"[{"exists": false}, "a"]"#, r#""a""#),
        ],
        parse: |value, errors| match value.kind {
            NodeKind::Boolean(true) => Some(Allowed::Value(Test::Any)),
            NodeKind::Boolean(false) => Some(Allowed::Absent),
            _ => errors.push(&value.span, "`exists` is either true or false", "write true or false without quotes"),
        },
    },
    Op {
        name: "wildcard",
        doc: "The string fits, `*` standing for any characters, also none. `\\*` is the star itself, `\\\\` the backslash.",
        examples: &[
            yes(
                r#"[{"wildcard": "arn:aws:iam::*:role/terraform-*"}]"#,
                r#""arn:aws:iam::111122223333:role/terraform-ci""#,
            ),
            no(r#"[{"wildcard": "dir/*.png"}]"#, r#""x/dir/a.png""#),
            yes(r#"[{"wildcard": "a\\*b"}]"#, r#""a*b""#),
            no(r#"[{"wildcard": "*"}]"#, "5"),
        ],
        parse: |value, errors| {
            Some(Allowed::Value(Test::Wildcard(parse_wildcard(string("wildcard", value, errors)?, value, errors)?)))
        },
    },
    Op {
        name: "is-null",
        doc: "The value is JSON's `null`: TOML's way to write the plain value `null` of JSON. It is always `true`.",
        examples: &[
            yes(r#"[{"is-null": true}]"#, "null"),
            no(r#"[{"is-null": true}]"#, r#""""#),
            no(r#"[{"is-null": true}]"#, ""),
        ],
        parse: |value, errors| match value.kind {
            NodeKind::Boolean(true) => Some(Allowed::Value(Test::Null)),
            _ => errors.push(
                &value.span,
                "`is-null` is always true",
                "for \"anything but null\" list what the value may be instead",
            ),
        },
    },
];

/// What one item of a list allows.
#[derive(Debug, Clone)]
pub(super) enum Allowed {
    Value(Test),
    /// The field may be absent.
    Absent,
}

/// A compiled comparison with one value.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Text(Box<str>),
    /// A plain string that is an IP address.
    Address(IpAddr),
    Number(Number),
    Boolean(bool),
    Null,
    Any,
    Prefix(Box<str>),
    PrefixFolded(Folded),
    Suffix(Box<str>),
    SuffixFolded(Folded),
    Folded(Folded),
    Wildcard(Wildcard),
    /// Millionths.
    Between(std::ops::RangeInclusive<i64>),
    Network(IpNet),
    NoneOf(Box<[Test]>),
}

impl Test {
    pub(super) fn matches(&self, leaf: Leaf<'_>) -> bool {
        match (self, leaf) {
            (Self::Any, _) | (Self::Null, Leaf::Null) => true,
            (Self::NoneOf(tests), leaf) => !tests.iter().any(|test| test.matches(leaf)),
            (Self::Boolean(wanted), Leaf::Boolean(b)) => *wanted == b,
            (Self::Number(wanted), Leaf::Number(n)) => *wanted == Number::from(n),
            (Self::Between(range), Leaf::Number(n)) => {
                Number::from(n).millionths().is_some_and(|value| range.contains(&value))
            }
            (Self::Text(wanted), Leaf::String(s)) => **wanted == *s,
            (Self::Address(wanted), Leaf::String(s)) => address(s) == Some(*wanted),
            (Self::Prefix(prefix), Leaf::String(s)) => s.starts_with(&**prefix),
            (Self::PrefixFolded(prefix), Leaf::String(s)) => prefix.starts(s),
            (Self::Suffix(suffix), Leaf::String(s)) => s.ends_with(&**suffix),
            (Self::SuffixFolded(suffix), Leaf::String(s)) => suffix.ends(s),
            (Self::Folded(wanted), Leaf::String(s)) => wanted.equals(s),
            (Self::Wildcard(wildcard), Leaf::String(s)) => wildcard.matches(s),
            (Self::Network(network), Leaf::String(s)) => address(s).is_some_and(|ip| network.contains(&ip)),
            _ => false,
        }
    }
}

/// Reads one item of a field's list.
pub(super) fn parse_item(item: &Node, errors: &mut Errors) -> Option<Allowed> {
    let NodeKind::Table(members) = &item.kind else { return (PLAIN.parse)(item, errors) };
    match members.as_slice() {
        [] => errors.push(&item.span, "an empty table is no value", "write a value, or an operator in the table"),
        [(name, value)] => match OPS.iter().find(|op| op.name == name.text) {
            Some(op) => (op.parse)(value, errors),
            None => errors.push(
                &name.span,
                format!("{} is not an operator", quoted(&name.text)),
                unknown_hint(name, OPS.iter().map(|op| op.name)),
            ),
        },
        [_, (second, _), ..] => errors.push(
            &second.span,
            "one table holds one operator",
            "give each operator a table of its own in the list; the field then matches if one of them does",
        ),
    }
}

fn unknown_hint<'a>(name: &Name, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(&name.text, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the operators are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

fn plain(item: &Node, errors: &mut Errors) -> Option<Allowed> {
    let test = match &item.kind {
        NodeKind::String(s) => address(s).map_or_else(|| Test::Text(s.as_str().into()), Test::Address),
        NodeKind::Integer(_) | NodeKind::Float(_) => Test::Number(number(item, errors)?),
        NodeKind::Boolean(b) => Test::Boolean(*b),
        NodeKind::Null => Test::Null,
        NodeKind::Array(_) | NodeKind::Table(_) => {
            return errors.push(&item.span, "a list inside the list of values", "put its values into the outer list");
        }
    };
    Some(Allowed::Value(test))
}

fn affix(
    op: &str,
    value: &Node,
    errors: &mut Errors,
    exact: fn(Box<str>) -> Test,
    folded: fn(Folded) -> Test,
) -> Option<Allowed> {
    let NodeKind::Table(members) = &value.kind else {
        return Some(Allowed::Value(exact(string(op, value, errors)?.into())));
    };
    match members.as_slice() {
        [(name, inner)] if name.text == "equals-ignore-case" => {
            Some(Allowed::Value(folded(Folded::new(string(&name.text, inner, errors)?))))
        }
        _ => errors.push(
            &members.first().map_or(&value.span, |(name, _)| &name.span).clone(),
            format!("`{op}` takes a string or `equals-ignore-case`"),
            format!("write {{ {op} = \"…\" }} or {{ {op} = {{ equals-ignore-case = \"…\" }} }}"),
        ),
    }
}

fn anything_but(value: &Node, errors: &mut Errors) -> Option<Allowed> {
    let tests = if let NodeKind::Table(members) = &value.kind {
        excluded_by_operator(value, members, errors)
    } else {
        excluded_values(value, errors)
    };
    Some(Allowed::Value(Test::NoneOf(tests?.into())))
}

/// `{ anything-but = { op = … } }`
fn excluded_by_operator(value: &Node, members: &[(Name, Node)], errors: &mut Errors) -> Option<Vec<Test>> {
    const NESTED: [&str; 4] = ["prefix", "suffix", "equals-ignore-case", "wildcard"];
    let [(name, inner)] = members else {
        let span = members.get(1).map_or(&value.span, |(name, _)| &name.span);
        return errors.push(span, "`anything-but` takes one operator", format!("use one of {}", NESTED.join(", ")));
    };
    if !NESTED.contains(&name.text.as_str()) {
        let message = format!("{} does not go with `anything-but`", quoted(&name.text));
        return errors.push(&name.span, message, unknown_hint(name, NESTED.into_iter()));
    }
    each(one_or_many(inner, errors)?, errors, |item, errors| excluded(&name.text, item, errors))
}

/// `{ anything-but = … }` with a value or a list of them.
fn excluded_values(value: &Node, errors: &mut Errors) -> Option<Vec<Test>> {
    let items = one_or_many(value, errors)?;
    let is_text = |item: &Node| matches!(item.kind, NodeKind::String(_));
    if let Some(odd) = items.iter().find(|item| is_text(item) != items.first().is_some_and(is_text)) {
        return errors.push(
            &odd.span,
            "`anything-but` takes strings or numbers, not both in one list",
            "strings and numbers differ anyway: exclude the one kind that the field has",
        );
    }
    each(items, errors, |item, errors| match &item.kind {
        NodeKind::String(s) => Some(Test::Text(s.as_str().into())),
        NodeKind::Integer(_) | NodeKind::Float(_) => {
            let number = number(item, errors)?;
            within(number, item, errors)?;
            Some(Test::Number(number))
        }
        _ => errors.push(
            &item.span,
            "`anything-but` takes strings and numbers only",
            "for a boolean or null, list the values that are allowed",
        ),
    })
}

/// One value that `{ anything-but = { op = … } }` excludes.
fn excluded(op: &str, item: &Node, errors: &mut Errors) -> Option<Test> {
    let text = string(op, item, errors)?;
    if text.is_empty() && (op == "prefix" || op == "suffix") {
        return errors.push(&item.span, format!("an empty {op} excludes every string"), "remove it");
    }
    Some(match op {
        "prefix" => Test::Prefix(text.into()),
        "suffix" => Test::Suffix(text.into()),
        "wildcard" => Test::Wildcard(parse_wildcard(text, item, errors)?),
        _ => Test::Folded(Folded::new(text)),
    })
}

/// All results, or `None` after every item has told its mistake.
fn each(items: &[Node], errors: &mut Errors, read: impl Fn(&Node, &mut Errors) -> Option<Test>) -> Option<Vec<Test>> {
    let tests: Vec<Option<Test>> = items.iter().map(|item| read(item, errors)).collect();
    tests.into_iter().collect()
}

fn one_or_many<'n>(value: &'n Node, errors: &mut Errors) -> Option<&'n [Node]> {
    let NodeKind::Array(items) = &value.kind else { return Some(std::slice::from_ref(value)) };
    if items.is_empty() {
        return errors.push(&value.span, "an empty list excludes nothing", "list what is excluded");
    }
    errors.count(items.len());
    Some(items)
}

fn numeric(value: &Node, errors: &mut Errors) -> Option<Allowed> {
    const HINT: &str = "write [\"=\", 5], [\">\", 0] or [\">\", 0, \"<=\", 5]";
    let NodeKind::Array(items) = &value.kind else {
        return errors.push(&value.span, "`numeric` takes a list of comparisons", HINT);
    };
    if items.is_empty() || items.len() % 2 == 1 || items.len() > 4 {
        return errors.push(&value.span, "`numeric` takes one or two pairs of comparison and number", HINT);
    }
    let (mut low, mut high) = (None, None);
    for pair in items.chunks_exact(2) {
        let [sign, bound] = pair else { continue };
        let NodeKind::String(text) = &sign.kind else {
            return errors.push(&sign.span, "a comparison is one of =, <, <=, > and >=, in quotes", HINT);
        };
        let at = within(number(bound, errors)?, bound, errors)?;
        // In whole millionths, "more than n" is "n + 1 or more".
        match (text.as_str(), low, high, items.len()) {
            ("=", None, None, 2) => (low, high) = (Some(at), Some(at)),
            (">", None, None, _) => low = Some(at + 1),
            (">=", None, None, _) => low = Some(at),
            ("<", _, None, _) if low.is_some() || items.len() == 2 => high = Some(at - 1),
            ("<=", _, None, _) if low.is_some() || items.len() == 2 => high = Some(at),
            ("=" | "<" | "<=" | ">" | ">=", ..) => {
                return errors.push(&sign.span, format!("`{text}` cannot stand here"), "the lower bound comes first");
            }
            _ => {
                let message = format!("{} is no comparison", quoted(text));
                return errors.push(&sign.span, message, "use one of =, <, <=, > and >=");
            }
        }
    }
    let (low, high) = (low.unwrap_or(i64::MIN), high.unwrap_or(i64::MAX));
    // As the engine: the bounds themselves must differ, so `>= 5, <= 5` is wrong and `= 5` right.
    let same_bounds = items.len() == 4 && low == high;
    if low > high || same_bounds {
        return errors.push(&value.span, "no number is in this range", "the lower bound must be less than the upper");
    }
    Some(Allowed::Value(Test::Between(low..=high)))
}

fn cidr(value: &Node, errors: &mut Errors) -> Option<Allowed> {
    let text = string("cidr", value, errors)?;
    let Ok(network) = text.parse::<IpNet>() else {
        let message = format!("{} is no network", quoted(text));
        return errors.push(&value.span, message, "write an address and its mask bits, such as \"10.0.0.0/24\"");
    };
    if network.prefix_len() == network.max_prefix_len() {
        let hint = format!("write the address itself, without `cidr`: \"{}\"", network.addr());
        return errors.push(&value.span, "a network of one address", hint);
    }
    if network.addr() != network.network() {
        let message = format!("{} has bits set outside of its mask", quoted(text));
        return errors.push(&value.span, message, format!("write \"{}\"", network.trunc()));
    }
    Some(Allowed::Value(Test::Network(network)))
}

fn parse_wildcard(text: &str, node: &Node, errors: &mut Errors) -> Option<Wildcard> {
    match Wildcard::parse(text) {
        Ok(wildcard) => {
            errors.count_stars(wildcard.stars(), &node.span);
            Some(wildcard)
        }
        Err(Fault::DoubleStar) => errors.push(&node.span, "two `*` in a row", "one `*` already stands for any characters"),
        Err(Fault::Escape) => errors.push(
            &node.span,
            "a backslash before something else than `*` or `\\`",
            "write `\\\\` for the backslash itself (within TOML's \"…\" each backslash is doubled once more; '…' spares that)",
        ),
    }
}

fn string<'n>(op: &str, value: &'n Node, errors: &mut Errors) -> Option<&'n str> {
    match &value.kind {
        NodeKind::String(s) => Some(s),
        _ => errors.push(&value.span, format!("`{op}` takes a string"), "put the value in quotes"),
    }
}

fn number(node: &Node, errors: &mut Errors) -> Option<Number> {
    match node.kind {
        NodeKind::Integer(i) => Some(Number::whole(i)),
        NodeKind::Float(f) if f.is_finite() => Some(Number::fraction(f)),
        NodeKind::Float(_) => errors.push(&node.span, "events hold no such number", "write a finite number"),
        _ => errors.push(&node.span, "this must be a number", "write it without quotes"),
    }
}

/// The number in millionths, an error where the engine would not compare it by value.
fn within(number: Number, node: &Node, errors: &mut Errors) -> Option<i64> {
    let hint = "at most six decimals, between -500000000000 and 500000000000";
    number.millionths().or_else(|| errors.push(&node.span, "a number that cannot be compared", hint))
}

/// The address that a string spells; IPv4 written as IPv6 is IPv4.
fn address(text: &str) -> Option<IpAddr> {
    // Hex digits, colons and dots only; spares the parser the usual names and ARNs.
    let plausible = text.len() <= 45 && text.bytes().next().is_some_and(|b| b.is_ascii_hexdigit() || b == b':');
    plausible.then(|| text.parse::<IpAddr>().ok()).flatten().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Pattern;
    use super::*;

    #[test]
    fn every_example_holds() {
        for op in OPS.iter().chain([&PLAIN]) {
            assert!(op.examples.iter().any(|e| e.matches) && op.examples.iter().any(|e| !e.matches), "{}", op.name);
            assert!(op.doc.ends_with('.') && op.doc.len() > 30, "{}", op.name);
            for example in op.examples {
                let list: Value = serde_json::from_str(example.list).unwrap();
                let pattern = Pattern::compile(&Node::from_json(&json!({ "f": list }))).unwrap();
                let document = match example.value {
                    "" => json!({ "other": 1 }),
                    value => json!({ "f": serde_json::from_str::<Value>(value).unwrap() }),
                };
                assert_eq!(pattern.matches(&document), example.matches, "{} on {}", example.list, example.value);
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = OPS.iter().map(|op| op.name).collect();
        assert_eq!(names.len(), OPS.len());
    }

    #[test]
    fn addresses() {
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert!(address("2001:db8::1").is_some());
        assert_eq!(address("arn:aws:kms"), None);
        assert_eq!(address("1234"), None);
        assert_eq!(address(""), None);
    }
}
