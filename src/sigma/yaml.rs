//! YAML as a bounded tree that knows its lines. Aliases are refused: they are how a small file becomes a huge one.

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::Number;

/// The largest text that is read.
pub const SIZE_MAX: usize = 1024 * 1024;
/// How deep lists and maps may stand in each other.
const DEPTH_MAX: usize = 32;
/// How many values all documents of a text may hold together.
const NODES_MAX: usize = 50_000;

/// One value and the line on which it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Yaml {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// As written, and as a number.
    Number(String, Number),
    Text(String),
    List(Vec<Yaml>),
    /// Members in the order written; no name comes twice.
    Map(Vec<(String, Yaml)>),
}

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl Yaml {
    /// The member of that name, if this is a map that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The members of a map; none of anything else.
    pub(super) fn members(&self) -> &[(String, Self)] {
        match &self.kind {
            Kind::Map(members) => members,
            _ => &[],
        }
    }

    /// The items of a list; of anything else but null, the value itself.
    pub(super) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// A plain value as text.
    pub(super) fn text(&self) -> Option<String> {
        match &self.kind {
            Kind::Text(text) | Kind::Number(text, _) => Some(text.clone()),
            Kind::Bool(value) => Some(value.to_string()),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }
}

/// The documents of a text, up to the first fault.
pub(super) fn documents(text: &str) -> (Vec<Yaml>, Option<Fault>) {
    if text.len() > SIZE_MAX {
        return (vec![], Some(Fault::at(1, format!("the file is larger than {} KiB", SIZE_MAX / 1024))));
    }
    let mut tree = Tree::default();
    let mut parser = Parser::new_from_str(text);
    loop {
        let (event, span) = match parser.next_event() {
            None => return (tree.documents, None),
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                let fault = Fault::at(error.marker().line().max(1), format!("this is not YAML: {}", error.info()));
                return (tree.documents, Some(fault));
            }
        };
        if let Err(fault) = tree.take(event, span.start.line().max(1)) {
            return (tree.documents, Some(fault));
        }
    }
}

/// A list or map that is not yet closed.
struct Open {
    line: usize,
    items: Items,
}

enum Items {
    List(Vec<Yaml>),
    /// The members so far, and the name that waits for its value.
    Map(Vec<(String, Yaml)>, Option<String>),
}

#[derive(Default)]
struct Tree {
    documents: Vec<Yaml>,
    open: Vec<Open>,
    nodes: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, _, tag) => self.put(Yaml { line, kind: scalar(&text, style, tag.as_deref()) }),
            Event::SequenceStart(..) => self.start(line, Items::List(vec![])),
            Event::MappingStart(..) => self.start(line, Items::Map(vec![], None)),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(_) => Err(Fault::at(line, "an alias (`*name`) is not followed; write the value out")),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    fn start(&mut self, line: usize, items: Items) -> Result<(), Fault> {
        if self.open.len() == DEPTH_MAX {
            return Err(Fault::at(line, format!("lists and maps are nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(Open { line, items });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(Open { line, items }) = self.open.pop() else { return Ok(()) };
        let kind = match items {
            Items::List(items) => Kind::List(items),
            Items::Map(members, _) => Kind::Map(members),
        };
        self.put(Yaml { line, kind })
    }

    fn put(&mut self, value: Yaml) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Fault::at(value.line, format!("the file holds more than {NODES_MAX} values")));
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            // A document of nothing is what two `---` in a row make.
            None if value.kind == Kind::Null => {}
            None => self.documents.push(value),
            Some(Items::List(items)) => items.push(value),
            Some(Items::Map(members, waiting)) => {
                if let Some(name) = waiting.take() {
                    members.push((name, value));
                    return Ok(());
                }
                let Some(name) = value.text() else {
                    return Err(Fault::at(value.line, "the name of a member must be plain text"));
                };
                if members.iter().any(|(known, _)| *known == name) {
                    return Err(Fault::at(value.line, format!("`{}` is there twice", shortened(&name))));
                }
                *waiting = Some(name);
            }
        }
        Ok(())
    }
}

/// The value of a scalar, by YAML 1.2's core schema. `yes` and `No` are text: that is what `CloudTrail` writes.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Kind {
    if style != ScalarStyle::Plain || tag.is_some() {
        return Kind::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ => number(text).map_or_else(|| Kind::Text(text.to_owned()), |number| Kind::Number(text.to_owned(), number)),
    }
}

/// Decimal numbers only; `007` is an account's or a person's number and no amount.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if leading_zero || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<i64>().ok().map(Number::from);
    }
    let plausible = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    plausible.then(|| text.parse::<f64>().ok()).flatten().and_then(Number::from_f64)
}

/// Text of the file for a message: bounded, on one line.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Yaml {
        let (mut documents, fault) = documents(text);
        assert_eq!(fault, None);
        assert_eq!(documents.len(), 1);
        documents.pop().unwrap()
    }

    fn fault(text: &str) -> Fault {
        documents(text).1.unwrap()
    }

    #[test]
    fn values_are_what_they_look_like() {
        let read =
            one("a: 7\nb: '7'\nc: 007\nd: null\ne: true\nf: No\ng: 1.5\nh: 2024-01-02\ni:\nj: 1.2.3.4\nk: !!str 5");
        let kind = |name: &str| &read.get(name).unwrap().kind;
        assert_eq!(*kind("a"), Kind::Number("7".into(), 7.into()));
        for (name, text) in [("b", "7"), ("c", "007"), ("f", "No"), ("h", "2024-01-02"), ("j", "1.2.3.4"), ("k", "5")] {
            assert_eq!(*kind(name), Kind::Text(text.into()), "{name}");
        }
        assert_eq!((kind("d"), kind("i"), kind("e")), (&Kind::Null, &Kind::Null, &Kind::Bool(true)));
        assert_eq!(*kind("g"), Kind::Number("1.5".into(), Number::from_f64(1.5).unwrap()));
    }

    #[test]
    fn lines_are_known() {
        let read = one("# note\na:\n  - b: 1\n    c: 2\n");
        assert_eq!(read.get("a").unwrap().items()[0].get("c").unwrap().line, 4);
        assert_eq!(fault("a: 1\na: 2\n"), Fault::at(2, "`a` is there twice"));
        assert_eq!(fault("a: [1, 2\nb: }").line, 2);
    }

    #[test]
    fn documents_before_a_fault_are_kept() {
        let (read, fault) = documents("a: 1\n---\n---\nb: 2\n---\nc: [\n");
        assert_eq!(read.len(), 2);
        assert!(fault.unwrap().message.starts_with("this is not YAML"));
    }

    #[test]
    fn what_could_grow_is_refused() {
        assert!(fault("a: &x [1]\nb: *x\n").message.contains("alias"));
        assert!(fault(&"[".repeat(40)).message.contains("deeper"));
        assert_eq!(fault(&"[".repeat(100_000)).line, 1);
        assert!(fault(&"- 1\n".repeat(60_000)).message.contains("more than"));
        assert!(fault(&" ".repeat(SIZE_MAX + 1)).message.contains("larger"));
    }
}
