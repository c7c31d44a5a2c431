//! The quick way through one plain object. Whatever is not quite plain (an escape in a member that is read, deep nesting, a
//! mistake, an end too early) gives `None`, and the parser decides: so this must never say yes where the parser says no.

use std::borrow::Cow;
use std::str::from_utf8;

use super::{Loose, Record, Seen};
use crate::base::plain::plain_length;

/// Nesting that is followed: one bit of a word for each level.
const DEPTH_MAX: u32 = 60;

/// The length of the object that the bytes begin with, and what is seen in it.
pub(super) fn object(bytes: &[u8]) -> Option<(usize, Seen<'_>)> {
    let text = Text(bytes);
    if text.byte(0)? != b'{' {
        return None;
    }
    let (mut record, mut envelope) = (Record::default(), false);
    let mut at = text.blank(1);
    if text.byte(at)? == b'}' {
        return Some((at + 1, Seen { record: Some(record), envelope }));
    }
    loop {
        let name_at = at;
        let (name_end, plain) = text.string(name_at)?;
        // An escaped name may be any name, and one that is no UTF-8 is none.
        let name = bytes.get(name_at + 1..name_end - 1).filter(|name| plain && name.is_ascii())?;
        let colon = text.blank(name_end);
        if text.byte(colon)? != b':' {
            return None;
        }
        let value_at = text.blank(colon + 1);
        let slot = match name {
            b"eventSource" => Some(&mut record.source),
            b"eventName" => Some(&mut record.name),
            b"eventTime" => Some(&mut record.time),
            b"eventType" => Some(&mut record.kind),
            b"readOnly" => Some(&mut record.read_only),
            b"errorCode" => Some(&mut record.code),
            b"errorMessage" => {
                record.message = true;
                None
            }
            b"detail" => {
                envelope = true;
                None
            }
            _ => None,
        };
        at = match slot {
            None => text.value(value_at)?,
            Some(Loose::Absent) if text.byte(value_at)? == b'"' => {
                let (end, plain) = text.string(value_at)?;
                let value = bytes.get(value_at + 1..end - 1).filter(|_| plain)?;
                *slot? = Loose::Text(Cow::Borrowed(from_utf8(value).ok()?));
                end
            }
            Some(Loose::Absent) => {
                let end = text.value(value_at)?;
                *slot? = match bytes.get(value_at..end)? {
                    b"true" => Loose::True,
                    b"null" => Loose::Null,
                    _ => Loose::Other,
                };
                end
            }
            // A member twice.
            Some(_) => return None,
        };
        at = text.blank(at);
        match text.byte(at)? {
            b',' => at = text.blank(at + 1),
            b'}' => return Some((at + 1, Seen { record: Some(record), envelope })),
            _ => return None,
        }
    }
}

#[derive(Clone, Copy)]
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn byte(self, at: usize) -> Option<u8> {
        self.0.get(at).copied()
    }

    /// The next place that is not white space.
    fn blank(self, mut at: usize) -> usize {
        while matches!(self.byte(at), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            at += 1;
        }
        at
    }

    /// Behind the string that begins here, and whether it has no escapes.
    fn string(self, at: usize) -> Option<(usize, bool)> {
        if self.byte(at)? != b'"' {
            return None;
        }
        let (mut at, mut plain) = (at + 1, true);
        loop {
            at += plain_length(self.0.get(at..)?);
            match self.byte(at)? {
                b'"' => return Some((at + 1, plain)),
                b'\\' => {
                    plain = false;
                    at += match self.byte(at + 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                        b'u' if self.0.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
                        _ => return None,
                    };
                }
                _ => return None,
            }
        }
    }

    /// Behind the value that begins here.
    fn value(self, mut at: usize) -> Option<usize> {
        // The lowest bit is the innermost level: whether it is an object.
        let (mut objects, mut depth) = (0_u64, 0_u32);
        loop {
            at = self.blank(at);
            let opened = self.byte(at)?;
            match opened {
                b'"' => at = self.string(at)?.0,
                b'{' | b'[' => {
                    let inner = self.blank(at + 1);
                    let closes = if opened == b'{' { b'}' } else { b']' };
                    if self.byte(inner)? == closes {
                        at = inner + 1;
                    } else {
                        depth += 1;
                        if depth > DEPTH_MAX {
                            return None;
                        }
                        objects = (objects << 1) | u64::from(opened == b'{');
                        at = if opened == b'{' { self.name(inner)? } else { inner };
                        continue;
                    }
                }
                b't' => at = self.word(at, b"true")?,
                b'f' => at = self.word(at, b"false")?,
                b'n' => at = self.word(at, b"null")?,
                _ => at = self.number(at)?,
            }
            loop {
                if depth == 0 {
                    return Some(at);
                }
                at = self.blank(at);
                match (self.byte(at)?, objects & 1 == 1) {
                    (b',', true) => {
                        at = self.name(self.blank(at + 1))?;
                        break;
                    }
                    (b',', false) => {
                        at += 1;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        objects >>= 1;
                        depth -= 1;
                        at += 1;
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Behind a member's name and its colon.
    fn name(self, at: usize) -> Option<usize> {
        let colon = self.blank(self.string(at)?.0);
        (self.byte(colon)? == b':').then_some(colon + 1)
    }

    fn word(self, at: usize, word: &[u8]) -> Option<usize> {
        let end = at + word.len();
        (self.0.get(at..end)? == word).then_some(end)
    }

    /// Whole numbers; what has a fraction or an exponent is left to the parser, which knows what is too large.
    fn number(self, at: usize) -> Option<usize> {
        let first = at + usize::from(self.byte(at)? == b'-');
        let mut end = first;
        while self.byte(end)?.is_ascii_digit() {
            end += 1;
        }
        let leading_zero = self.byte(first) == Some(b'0') && end > first + 1;
        let goes_on = matches!(self.byte(end)?, b'.' | b'e' | b'E');
        (end > first && !leading_zero && !goes_on).then_some(end)
    }
}
