//! Takes a text apart into its JSON values: values one after the other (lines, or anything else between them), the items of
//! a list, and the items of the lists `Records` and `Events` of an object. Works on windows of the text; a window has to
//! hold one whole value at a time.

use super::{Fault, Piece, What};
use crate::core::decode::{Scan, scan};

/// The lists whose items are values of their own: CloudTrail's log files, and the answer of `LookupEvents`.
const LISTS: &[&[u8]] = &[b"\"Records\"", b"\"Events\""];

/// Members before such a list that are looked over, at most.
const MEMBERS_BEFORE: usize = 8;

/// Where in the text the window begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// Before a value, or the end.
    Between,
    /// After something that was no JSON: before a line that begins with an object or a list.
    Lost,
    /// In a list; before an item or the end of the list if `first`, else before a comma or the end.
    Items {
        first: bool,
        object: bool,
    },
    /// In an object, after its list.
    Members,
}

/// Keeps its place from window to window.
#[derive(Debug)]
pub(super) struct Splitter {
    at: At,
    /// Bytes of the text before the window.
    before: u64,
    number: u64,
    /// A value too long for any window, being passed over.
    over: Option<Over>,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { at: At::Start, before: 0, number: 0, over: None }
    }
}

/// What a step did.
enum Step {
    /// The text goes on at this place of the window.
    On(usize),
    /// The window does not hold enough.
    Wait,
    /// Nothing is left in the window.
    Dry,
}

impl Splitter {
    /// Takes as much as it can from the beginning of the window and says how much that was. `end`: nothing comes after it.
    ///
    /// # Errors
    /// The text ends too early, or is not what it began as.
    pub(super) fn feed(&mut self, window: &[u8], end: bool, take: &mut dyn FnMut(Piece<'_>)) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let rest = window.get(used..).unwrap_or_default();
            let step =
                if self.over.is_some() { self.over(rest, used, take) } else { self.step(rest, used, end, take)? };
            match step {
                Step::On(more) => used += more,
                Step::Wait if !end => break,
                Step::Dry if !end => {
                    used = window.len();
                    break;
                }
                Step::Dry if matches!(self.at, At::Start | At::Between | At::Lost) && self.over.is_none() => {
                    used = window.len();
                    break;
                }
                Step::Wait | Step::Dry => return Err(self.short(used, rest)),
            }
        }
        self.before += used as u64;
        Ok(used)
    }

    /// The value that the window begins with is longer than any window may be.
    pub(super) fn pass_over(&mut self) {
        self.over = Some(Over::default());
    }

    fn short(&self, used: usize, rest: &[u8]) -> Fault {
        let length = self.before + used as u64 + rest.len() as u64;
        Fault::Damaged(format!("it ends too early, after {length} bytes of text and {} whole values", self.number))
    }

    fn wrong(&self, at: usize, wanted: &str) -> Fault {
        Fault::Damaged(format!("at byte {} of the text {wanted} should stand", self.before + at as u64 + 1))
    }

    fn step(&mut self, rest: &[u8], used: usize, end: bool, take: &mut dyn FnMut(Piece<'_>)) -> Result<Step, Fault> {
        if self.at == At::Start {
            // A byte order mark may begin the text.
            const MARK: &[u8] = &[0xef, 0xbb, 0xbf];
            if rest.len() < MARK.len() && !end {
                return Ok(Step::Wait);
            }
            self.at = At::Between;
            return Ok(Step::On(if rest.starts_with(MARK) { MARK.len() } else { 0 }));
        }
        if self.at == At::Lost {
            return Ok(self.find_line(rest, end));
        }
        let Some(blank) = rest.iter().position(|byte| !byte.is_ascii_whitespace()) else { return Ok(Step::Dry) };
        let (here, place) = (rest.get(blank..).unwrap_or_default(), used + blank);
        let first = here.first().copied().unwrap_or_default();
        let on = |more: usize| Ok(Step::On(blank + more));
        match self.at {
            At::Between => match first {
                b'[' => {
                    self.at = At::Items { first: true, object: false };
                    on(1)
                }
                b'{' => match list_in(here) {
                    List::At(length) => {
                        self.at = At::Items { first: true, object: true };
                        on(length)
                    }
                    List::Unknown if !end => Ok(Step::Wait),
                    List::None | List::Unknown => Ok(self.value(here, blank, place, end, take)),
                },
                _ => Ok(self.value(here, blank, place, end, take)),
            },
            At::Items { object, .. } if first == b']' => {
                self.at = if object { At::Members } else { At::Between };
                on(1)
            }
            At::Items { first: true, .. } => self.item(here, blank, place, end, take),
            At::Items { first: false, .. } => {
                if first != b',' {
                    return Err(self.wrong(place, "a comma or the end of the list"));
                }
                let Some(more) = here.iter().skip(1).position(|byte| !byte.is_ascii_whitespace()) else {
                    return Ok(Step::Wait);
                };
                let skipped = 1 + more;
                self.item(here.get(skipped..).unwrap_or_default(), blank + skipped, place + skipped, end, take)
            }
            At::Members if first == b'}' => {
                self.at = At::Between;
                on(1)
            }
            At::Members if first == b',' => self.member(here, blank, place),
            At::Members => Err(self.wrong(place, "a comma or the end of the object")),
            At::Start | At::Lost => on(0),
        }
    }

    /// A value that stands by itself.
    fn value(&mut self, here: &[u8], blank: usize, place: usize, end: bool, take: &mut dyn FnMut(Piece<'_>)) -> Step {
        match scan(here) {
            // A number may go on in the next window.
            Scan::Value { length, .. } if length == here.len() && !end && !closes(here) => Step::Wait,
            Scan::Value { length, event } => {
                let bytes = here.get(..length).unwrap_or_default();
                self.give(place, false, What::Value { bytes, event }, take);
                Step::On(blank + length)
            }
            Scan::Short if !end => Step::Wait,
            Scan::Short => {
                self.at = At::Lost;
                self.give(place, false, What::Broken("the text ends in the middle of a value".to_owned()), take);
                Step::On(blank + here.iter().position(|byte| *byte == b'\n').unwrap_or(here.len()))
            }
            Scan::Broken { why, .. } => {
                self.at = At::Lost;
                self.give(place, false, What::Broken(why), take);
                // The line feed stays: what follows it is at the beginning of a line.
                Step::On(blank + here.iter().position(|byte| *byte == b'\n').unwrap_or(here.len()))
            }
        }
    }

    fn item(
        &mut self,
        here: &[u8],
        blank: usize,
        place: usize,
        end: bool,
        take: &mut dyn FnMut(Piece<'_>),
    ) -> Result<Step, Fault> {
        let At::Items { object, .. } = self.at else { return Ok(Step::Wait) };
        match scan(here) {
            Scan::Value { length, .. } if length == here.len() && !end && !closes(here) => Ok(Step::Wait),
            Scan::Value { length, event } => {
                self.at = At::Items { first: false, object };
                let bytes = here.get(..length).unwrap_or_default();
                self.give(place, object, What::Value { bytes, event }, take);
                Ok(Step::On(blank + length))
            }
            Scan::Short => Ok(Step::Wait),
            Scan::Broken { at, why } => {
                let byte = self.before + (place + at) as u64 + 1;
                Err(Fault::Damaged(format!("no JSON at byte {byte} of the text, in value {}: {why}", self.number + 1)))
            }
        }
    }

    /// What comes after the list: members that nobody needs, or another list.
    fn member(&mut self, here: &[u8], blank: usize, place: usize) -> Result<Step, Fault> {
        match name(here.get(1..).unwrap_or_default()) {
            Name::Short => Ok(Step::Wait),
            Name::Wrong => Err(self.wrong(place + 1, "a member's name and its value")),
            Name::Is { listed: true, length } if here.get(1 + length) == Some(&b'[') => {
                self.at = At::Items { first: true, object: true };
                Ok(Step::On(blank + 1 + length + 1))
            }
            Name::Is { length, .. } => match scan(here.get(1 + length..).unwrap_or_default()) {
                Scan::Value { length: value, .. } if 1 + length + value < here.len() => {
                    Ok(Step::On(blank + 1 + length + value))
                }
                Scan::Value { .. } | Scan::Short => Ok(Step::Wait),
                Scan::Broken { at, .. } => Err(self.wrong(place + 1 + length + at, "JSON")),
            },
        }
    }

    fn find_line(&mut self, rest: &[u8], end: bool) -> Step {
        for at in memchr::memchr_iter(b'\n', rest) {
            match rest.get(at + 1) {
                Some(b'{' | b'[') => {
                    self.at = At::Between;
                    return Step::On(at + 1);
                }
                // The line feed stays in the window, with whatever comes after it.
                None if at > 0 && !end => return Step::On(at),
                None if !end => return Step::Wait,
                None | Some(_) => {}
            }
        }
        Step::Dry
    }

    fn over(&mut self, rest: &[u8], used: usize, take: &mut dyn FnMut(Piece<'_>)) -> Step {
        let Some(over) = &mut self.over else { return Step::Wait };
        let begins = !over.begun;
        // Between items a comma comes first.
        let lead = if begins { rest.iter().take_while(|b| b.is_ascii_whitespace() || **b == b',').count() } else { 0 };
        let ends = over.find_end(rest.get(lead..).unwrap_or_default());
        if begins && over.begun {
            let listed = matches!(self.at, At::Items { object: true, .. });
            self.give(used + lead, listed, What::TooLong, take);
        }
        let Some(ends) = ends else { return Step::Dry };
        self.over = None;
        if let At::Items { object, .. } = self.at {
            self.at = At::Items { first: false, object };
        }
        Step::On(lead + ends)
    }

    fn give(&mut self, place: usize, listed: bool, what: What<'_>, take: &mut dyn FnMut(Piece<'_>)) {
        self.number += 1;
        take(Piece { number: self.number, offset: self.before + place as u64, listed, what });
    }
}

/// Whether a value ends with its last byte whatever comes after it.
fn closes(value: &[u8]) -> bool {
    matches!(value.last(), Some(b'}' | b']' | b'"'))
}

/// Whether an object's first members are plain and one of the known lists comes after them.
enum List {
    /// Its items begin here.
    At(usize),
    None,
    /// The window ends before it is known.
    Unknown,
}

fn list_in(object: &[u8]) -> List {
    let mut at = 1;
    for _ in 0..MEMBERS_BEFORE {
        let length = match name(object.get(at..).unwrap_or_default()) {
            Name::Is { listed: true, length } if object.get(at + length) == Some(&b'[') => {
                return List::At(at + length + 1);
            }
            Name::Is { length, .. } => length,
            Name::Short => return List::Unknown,
            Name::Wrong => return List::None,
        };
        at += length;
        if matches!(object.get(at), Some(b'{' | b'[')) {
            return List::None;
        }
        match scan(object.get(at..).unwrap_or_default()) {
            Scan::Value { length, .. } => at += length,
            Scan::Short => return List::Unknown,
            Scan::Broken { .. } => return List::None,
        }
        let rest = object.get(at..).unwrap_or_default();
        match rest.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(blank) if rest.get(blank) == Some(&b',') => at += blank + 1,
            Some(_) => return List::None,
            None => return List::Unknown,
        }
    }
    List::None
}

/// A member's name with the colon after it.
enum Name {
    /// The value begins `length` bytes on; it may be one of the known lists.
    Is {
        listed: bool,
        length: usize,
    },
    Short,
    Wrong,
}

fn name(text: &[u8]) -> Name {
    let blank =
        |from: usize| text.iter().skip(from).position(|byte| !byte.is_ascii_whitespace()).map(|more| from + more);
    let Some(start) = blank(0) else { return Name::Short };
    if text.get(start) != Some(&b'"') {
        return Name::Wrong;
    }
    let length = match scan(text.get(start..).unwrap_or_default()) {
        Scan::Value { length, .. } => length,
        Scan::Short => return Name::Short,
        Scan::Broken { .. } => return Name::Wrong,
    };
    let written = text.get(start..start + length).unwrap_or_default();
    let Some(colon) = blank(start + length) else { return Name::Short };
    if text.get(colon) != Some(&b':') {
        return Name::Wrong;
    }
    match blank(colon + 1) {
        Some(value) => Name::Is { listed: LISTS.contains(&written), length: value },
        None => Name::Short,
    }
}

/// Finds the end of a value without holding it.
#[derive(Debug, Default)]
struct Over {
    begun: bool,
    depth: usize,
    inside: bool,
    escaped: bool,
}

impl Over {
    /// How many bytes still belong to it; `None`: all of these and more.
    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            self.begun = true;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.inside => self.escaped = true,
                b'"' => {
                    self.inside = !self.inside;
                    if !self.inside && self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ if self.inside => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                // A number or a word without end is no JSON; its line is passed over with it.
                b'\n' if self.depth == 0 => return Some(at),
                _ => {}
            }
        }
        None
    }
}
