//! Walks JSON once, keeps what is asked about and passes over the rest. It accepts less than the full parser, never
//! more: whoever gets `None` asks the full parser.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Number;

use super::{Kind, Node, PathId, Paths};
use crate::base::plain::plain_length;

/// What stands at `paths` in the object `body`, which itself stands at `from`: all nodes, and which of them are the
/// object's own members.
pub(super) fn read<'b>(
    body: &'b str,
    paths: &Paths,
    from: PathId,
    depth: usize,
) -> Option<(Vec<Node<'b>>, Range<usize>)> {
    let mut scan = Scan { text: body, bytes: body.as_bytes(), at: 0, paths, nodes: Vec::new(), open: Vec::new() };
    scan.nodes.reserve(NODES_USUAL);
    scan.open.reserve(NODES_USUAL);
    scan.space();
    scan.literal(b"{")?;
    let root = scan.object(from, depth.checked_sub(1)?)?;
    scan.space();
    (scan.at == scan.bytes.len()).then_some((scan.nodes, root))
}

const NODES_USUAL: usize = 32;

/// A longer number is parsed even where nobody asks about it: it may be too large.
const DIGITS_SAFE: usize = 64;

/// The full parser takes an object with such a name for something else.
const RESERVED: &str = "$serde_json::private::";

struct Scan<'b, 'p> {
    text: &'b str,
    bytes: &'b [u8],
    at: usize,
    paths: &'p Paths,
    nodes: Vec<Node<'b>>,
    /// Members and elements of objects and arrays that have not ended yet.
    open: Vec<Node<'b>>,
}

/// A string as it stands between its quotes.
struct Raw<'b> {
    text: &'b str,
    escaped: bool,
}

impl<'b> Scan<'b, '_> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte behind white space, which is passed over with that.
    fn take(&mut self) -> Option<u8> {
        let mut byte = self.byte()?;
        if byte <= b' ' {
            self.space();
            byte = self.byte()?;
        }
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn literal(&mut self, rest: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(rest).then(|| self.at += rest.len())
    }

    /// The members of an object whose `{` is behind us.
    fn object(&mut self, path: PathId, depth: usize) -> Option<Range<usize>> {
        let start = self.open.len();
        let mut byte = self.take()?;
        while byte != b'}' {
            if byte != b'"' {
                return None;
            }
            let name = self.string()?;
            (self.take()? == b':').then_some(())?;
            let asked = if name.escaped || name.text.starts_with('$') {
                let name = decoded(&name)?;
                if name.starts_with(RESERVED) {
                    return None;
                }
                self.paths.next(path, &name)
            } else {
                self.paths.next(path, name.text)
            };
            byte = self.take()?;
            match asked {
                Some(at) => {
                    let kind = self.value(byte, at, depth)?;
                    self.open.push(Node { at, kind });
                }
                None => self.pass(byte, depth)?,
            }
            byte = self.more(b'}')?;
        }
        let members = self.open.get_mut(start..)?;
        members.sort_unstable_by_key(|member| member.at);
        let twice = members.windows(2).any(|pair| matches!(pair, [a, b] if a.at == b.at));
        (!twice).then(|| self.close(start))
    }

    /// Behind a member or an element: the first byte of the next one, or `end`.
    fn more(&mut self, end: u8) -> Option<u8> {
        match self.take()? {
            // A comma must be followed by something.
            b',' => self.take().filter(|byte| *byte != end),
            byte => (byte == end).then_some(end),
        }
    }

    fn array(&mut self, at: PathId, depth: usize) -> Option<Range<usize>> {
        let start = self.open.len();
        let mut byte = self.take()?;
        while byte != b']' {
            let kind = self.value(byte, at, depth)?;
            self.open.push(Node { at, kind });
            byte = self.more(b']')?;
        }
        Some(self.close(start))
    }

    /// Moves what was found since `start` to its place.
    fn close(&mut self, start: usize) -> Range<usize> {
        let from = self.nodes.len();
        self.nodes.extend(self.open.drain(start..));
        from..self.nodes.len()
    }

    /// A value somebody asks about; its first byte is behind us.
    fn value(&mut self, first: u8, at: PathId, depth: usize) -> Option<Kind<'b>> {
        Some(match first {
            b'"' => Kind::String(decoded(&self.string()?)?),
            // Nobody asks what is in it.
            b'{' if self.paths.all_next(at).len() == 0 => self.pass(first, depth).map(|()| Kind::Object(0..0))?,
            b'{' => Kind::Object(self.object(at, depth.checked_sub(1)?)?),
            b'[' => Kind::Array(self.array(at, depth.checked_sub(1)?)?),
            b'-' | b'0'..=b'9' => Kind::Number(number(self.number(first)?)?),
            b't' => self.literal(b"rue").map(|()| Kind::Boolean(true))?,
            b'f' => self.literal(b"alse").map(|()| Kind::Boolean(false))?,
            b'n' => self.literal(b"ull").map(|()| Kind::Null)?,
            _ => return None,
        })
    }

    /// A value nobody asks about; its first byte is behind us.
    fn pass(&mut self, first: u8, depth: usize) -> Option<()> {
        match first {
            b'"' => self.pass_string().map(drop),
            b'{' => {
                let depth = depth.checked_sub(1)?;
                let mut byte = self.take()?;
                while byte != b'}' {
                    if byte != b'"' {
                        return None;
                    }
                    self.pass_name()?;
                    (self.take()? == b':').then_some(())?;
                    byte = self.take()?;
                    self.pass(byte, depth)?;
                    byte = self.more(b'}')?;
                }
                Some(())
            }
            b'[' => {
                let depth = depth.checked_sub(1)?;
                let mut byte = self.take()?;
                while byte != b']' {
                    self.pass(byte, depth)?;
                    byte = self.more(b']')?;
                }
                Some(())
            }
            b'-' | b'0'..=b'9' => {
                let text = self.number(first)?;
                let tame = text.len() <= DIGITS_SAFE && !text.bytes().any(|b| matches!(b, b'e' | b'E'));
                (tame || number(text).is_some()).then_some(())
            }
            b't' => self.literal(b"rue"),
            b'f' => self.literal(b"alse"),
            b'n' => self.literal(b"ull"),
            _ => None,
        }
    }

    /// The name of a member nobody asks about; its opening quote is behind us.
    fn pass_name(&mut self) -> Option<()> {
        if matches!(self.byte()?, b'$' | b'\\') {
            let name = decoded(&self.string()?)?;
            return (!name.starts_with(RESERVED)).then_some(());
        }
        self.pass_string().map(drop)
    }

    /// A string whose opening quote is behind us.
    fn string(&mut self) -> Option<Raw<'b>> {
        let from = self.at;
        let escaped = self.pass_string()?;
        self.text.get(from..self.at.checked_sub(1)?).map(|text| Raw { text, escaped })
    }

    /// Passes over the rest of a string; gives whether there are escapes in it.
    fn pass_string(&mut self) -> Option<bool> {
        let mut escaped = false;
        loop {
            self.at += plain_length(self.bytes.get(self.at..)?);
            let byte = self.byte()?;
            self.at += 1;
            match byte {
                b'"' => return Some(escaped),
                b'\\' => self.escape()?,
                _ => return None,
            }
            escaped = true;
        }
    }

    /// An escape whose backslash is behind us. Half a surrogate pair is no escape.
    fn escape(&mut self) -> Option<()> {
        let byte = self.byte()?;
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.unit()? {
                0xDC00..=0xDFFF => None,
                0xD800..=0xDBFF => {
                    self.literal(b"\\u")?;
                    matches!(self.unit()?, 0xDC00..=0xDFFF).then_some(())
                }
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    }

    /// A number whose first byte is behind us, checked for its form.
    fn number(&mut self, first: u8) -> Option<&'b str> {
        let from = self.at.checked_sub(1)?;
        let mut digit = first;
        if first == b'-' {
            digit = self.byte()?;
            self.at += 1;
        }
        match digit {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        self.text.get(from..self.at)
    }

    fn digits(&mut self) {
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Option<()> {
        let from = self.at;
        self.digits();
        (self.at > from).then_some(())
    }
}

/// The string itself.
fn decoded<'b>(raw: &Raw<'b>) -> Option<Cow<'b, str>> {
    if !raw.escaped {
        return Some(Cow::Borrowed(raw.text));
    }
    serde_json::from_str(&format!("\"{}\"", raw.text)).ok().map(Cow::Owned)
}

/// As the full parser reads it. `None` where the number is too large for it.
fn number(text: &str) -> Option<Number> {
    serde_json::from_str(text).ok()
}
