//! From the tree as written to the combinations that the matcher walks. Collects every mistake on the way.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::matcher::Branch;
use super::node::{Name, Node, NodeKind};
use super::op::{self, Allowed};
use super::{Clause, Compiled, Pattern, PatternError};

/// How deep tables may stand in each other.
pub const DEPTH_MAX: usize = 32;
/// How many values all lists of a pattern may hold together.
pub const VALUES_MAX: usize = 2_000;
/// How many `*` a wildcard may hold.
pub const STARS_MAX: usize = 64;
/// How many combinations the `$or` of a pattern may make (`EventBridge` has the same bound).
pub const BRANCHES_MAX: usize = 1_000;
/// How many fields one combination may read.
pub const FIELDS_MAX: usize = 64;

const OR: &str = "$or";

/// Names that AWS's engine reserves inside of `$or`: operators, comparisons, and what may become an operator.
const RESERVED_IN_OR: &[&str] = &[
    "exactly",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

/// The mistakes found so far, and what is counted against the bounds.
#[derive(Debug, Default)]
pub(super) struct Errors {
    found: Vec<PatternError>,
    values: usize,
}

impl Errors {
    /// Notes a mistake. Answers `None`, so that a parser can end with it.
    pub(super) fn push<T>(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.found.push(PatternError {
            span: span.clone(),
            inside: None,
            message: message.into(),
            hint: Some(hint.into()),
        });
        None
    }

    pub(super) fn count(&mut self, values: usize) {
        self.values += values;
    }

    pub(super) fn count_stars(&mut self, stars: usize, span: &Range<usize>) {
        if stars > STARS_MAX {
            self.push::<()>(span, format!("{stars} `*` in one wildcard"), format!("use at most {STARS_MAX}"));
        }
    }
}

/// Text of the pattern for a message: bounded, control characters escaped.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

pub(super) fn compile(node: &Node) -> Result<Pattern, Vec<PatternError>> {
    let NodeKind::String(_) = &node.kind else { return compile_tree(node) };
    let inside = |error: PatternError| PatternError { inside: Some(error.span), span: node.span.clone(), ..error };
    match node.opened() {
        Ok(opened) => compile_tree(&opened).map_err(|errors| errors.into_iter().map(inside).collect()),
        Err(fault) => {
            let mut errors = Errors::default();
            let message = format!("the pattern is a text that is no JSON: {}", fault.message);
            let end = fault.at + 1;
            errors.push::<()>(&(fault.at..end), message, "paste the whole object between ''' and '''");
            Err(errors.found.into_iter().map(inside).collect())
        }
    }
}

fn compile_tree(node: &Node) -> Result<Pattern, Vec<PatternError>> {
    let mut compiler = Compiler::default();
    let mut branches = vec![vec![]];
    match &node.kind {
        NodeKind::Table(members) => compiler.table(node, members, &mut branches, false),
        _ => compiler.fail(&node.span, "a pattern is a table", "write { source = [\"aws.kms\"] }"),
    }
    if compiler.errors.values > VALUES_MAX {
        let message = format!("the pattern holds more than {VALUES_MAX} values");
        compiler.fail(&node.span, message, "make it shorter: prefix or wildcard may say the same");
    }
    if compiler.too_many_fields {
        let message = format!("the pattern reads more than {FIELDS_MAX} fields at once");
        compiler.fail(&node.span, message, "make several rules of it");
    }
    let mut found = compiler.errors.found;
    if !found.is_empty() {
        found.sort_by_key(|error| error.span.start);
        return Err(found);
    }
    let clauses: Box<[Clause]> = compiler.clauses.into();
    let branches = branches.into_iter().map(|fields| Branch::new(fields, &clauses)).collect();
    let paths: BTreeSet<_> = clauses.iter().map(|clause| clause.path.clone()).collect();
    Ok(Pattern(Arc::new(Compiled { clauses, branches, paths: paths.into_iter().collect() })))
}

/// A combination of fields: places in [`Compiler::clauses`].
type Fields = Vec<usize>;

#[derive(Default)]
struct Compiler {
    clauses: Vec<Clause>,
    errors: Errors,
    /// Where we are: the names of the tables around.
    steps: Vec<Box<str>>,
    tables: usize,
    too_many_branches: bool,
    too_many_fields: bool,
}

impl Compiler {
    fn fail(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.push::<()>(span, message, hint);
    }

    /// A bound is passed: the rest is not worth expanding, which could take long.
    fn is_beyond(&self) -> bool {
        self.too_many_branches || self.too_many_fields || self.errors.values > VALUES_MAX
    }

    /// Adds a table's fields to each of `branches`, splitting them where there is a `$or`.
    fn table(&mut self, node: &Node, members: &[(Name, Node)], branches: &mut Vec<Fields>, in_or: bool) {
        if members.is_empty() {
            return self.fail(&node.span, "an empty table matches nothing", "name a field in it, or remove it");
        }
        if self.tables == DEPTH_MAX {
            return self.fail(&node.span, "tables nested too deep", format!("use at most {DEPTH_MAX} levels"));
        }
        self.tables += 1;
        for (name, value) in members {
            if self.is_beyond() {
                break;
            }
            if name.text == OR {
                self.or(value, branches);
            } else {
                self.field(name, value, branches, in_or);
            }
        }
        self.tables -= 1;
    }

    fn field(&mut self, name: &Name, value: &Node, branches: &mut Vec<Fields>, in_or: bool) {
        let text = name.text.as_str();
        if in_or && (RESERVED_IN_OR.contains(&text) || op::OPS.iter().any(|op| op.name == text)) {
            let message = format!("{} is the name of an operator, not of a field", quoted(text));
            return self.fail(
                &name.span,
                message,
                "each branch of `$or` is a table of fields; operators stand in their lists",
            );
        }
        if self.steps.is_empty() && text.contains('.') {
            let hint = "no top-level field has a dot in its name: nest tables, or in TOML leave out the quotes";
            return self.fail(&name.span, format!("{} is taken as one name", quoted(text)), hint);
        }
        self.steps.push(text.into());
        match &value.kind {
            NodeKind::Table(members) => self.nested(name, value, members, branches, in_or),
            NodeKind::Array(items) => self.list(name, value, items, branches),
            _ => {
                let hint = format!("write {text} = [{}]", value.to_json());
                self.fail(&value.span, format!("{} takes a list of allowed values", quoted(text)), hint);
            }
        }
        self.steps.pop();
    }

    fn nested(&mut self, name: &Name, node: &Node, members: &[(Name, Node)], branches: &mut Vec<Fields>, in_or: bool) {
        // `source = { prefix = "aws." }`: the brackets were forgotten.
        if let [(only, inner)] = members
            && op::OPS.iter().any(|op| op.name == only.text)
            && !matches!(inner.kind, NodeKind::Table(_) | NodeKind::Array(_))
        {
            let hint = format!("write {} = [{{ {} = {} }}]", name.text, only.text, inner.to_json());
            return self.fail(&node.span, format!("the operator `{}` stands outside of a list", only.text), hint);
        }
        self.table(node, members, branches, in_or);
    }

    fn list(&mut self, name: &Name, node: &Node, items: &[Node], branches: &mut [Fields]) {
        if items.is_empty() {
            self.fail(&node.span, "an empty list matches nothing", "list the allowed values, or remove the field");
        }
        self.errors.count(items.len());
        let path = self.steps.join(".").into_boxed_str();
        let taken = |fields: &Fields| fields.iter().any(|at| self.clauses[*at].steps[..] == self.steps[..]);
        if branches.iter().any(taken) {
            let message = format!("{} is named in a `$or` and again beside it", quoted(&path));
            self.fail(
                &name.span,
                message,
                "AWS's engine would heed only one of them: put it into each branch of the `$or`",
            );
        }
        let mut absent = false;
        let mut tests = vec![];
        // Of more values than there may be, those beyond are only counted.
        for item in items.iter().take(VALUES_MAX) {
            match op::parse_item(item, &mut self.errors) {
                Some(Allowed::Value(test)) => tests.push(test),
                Some(Allowed::Absent) => absent = true,
                None => {}
            }
        }
        for fields in branches {
            fields.push(self.clauses.len());
            self.too_many_fields |= fields.len() > FIELDS_MAX;
        }
        self.clauses.push(Clause {
            path,
            steps: self.steps.as_slice().into(),
            tests: tests.into(),
            absent,
            wanted: node.to_json().to_string().into(),
        });
    }

    /// Replaces `branches` by every combination of one of them with one branch of the `$or`.
    fn or(&mut self, node: &Node, branches: &mut Vec<Fields>) {
        let NodeKind::Array(items) = &node.kind else {
            return self.fail(&node.span, "`$or` takes a list of tables", "write \"$or\" = [{ … }, { … }]");
        };
        if items.len() < 2 {
            return self.fail(
                &node.span,
                "`$or` needs two branches at least",
                "with one branch, write its fields outside",
            );
        }
        let mut all = vec![];
        for item in items {
            if self.is_beyond() {
                break;
            }
            let NodeKind::Table(members) = &item.kind else {
                self.fail(&item.span, "a branch of `$or` is a table of fields", "write { field = [\"value\"] }");
                continue;
            };
            let mut with = branches.clone();
            self.table(item, members, &mut with, true);
            all.append(&mut with);
            if all.len() > BRANCHES_MAX {
                all.truncate(BRANCHES_MAX);
                if !std::mem::replace(&mut self.too_many_branches, true) {
                    let message = format!("`$or` makes more than {BRANCHES_MAX} combinations");
                    self.fail(&node.span, message, "make several rules of it");
                }
            }
        }
        if !all.is_empty() {
            *branches = all;
        }
    }
}
