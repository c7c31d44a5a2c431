//! One JSON value at a time out of a long text, with the members a rule's index asks for. Most records of an archive
//! end here: nothing is built, and next to nothing is copied.

use std::borrow::Cow;
use std::str::from_utf8;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::cloudtrail;
use crate::core::peek::{Paths, Peek};

mod quick;

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scan<'a> {
    /// A whole value of so many bytes. `event` is there for a plain CloudTrail record and a plain EventBridge
    /// envelope; everything else takes the full decode.
    Value { length: usize, event: Option<Glance<'a>> },
    /// The beginning of a value.
    Short,
    /// No JSON: where, counted from the beginning, and what the parser says (never the text itself).
    Broken { at: usize, why: String },
}

/// What is known of an event without building it. The full decode gives exactly one event with the same values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance<'a> {
    /// When it happened; for an envelope, what the envelope says.
    pub time: Timestamp,
    what: What<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What<'a> {
    Envelope(Peek<'a>),
    Record(Brief<'a>),
}

/// All that a glance at a bare record knows beside its time. Many records have the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::option_option, reason = "absent and null are two things to a pattern")]
pub struct Brief<'a> {
    event_source: Cow<'a, str>,
    detail_type: &'static str,
    event_name: Cow<'a, str>,
    /// There if the record has one, be it null.
    code: Option<Option<Cow<'a, str>>>,
}

impl<'a> Glance<'a> {
    /// What is known, as a document.
    pub fn peek(&self) -> Option<Cow<'_, Peek<'a>>> {
        match &self.what {
            What::Envelope(peek) => Some(Cow::Borrowed(peek)),
            What::Record(brief) => {
                let (name, code) = (brief.event_name.clone(), brief.code.clone());
                super::peek::record(brief.source(), brief.detail_type, name, code).map(Cow::Owned)
            }
        }
    }

    /// What it is known by, for a bare record: of two with the same, [`Glance::peek`] says the same.
    pub fn brief(&self) -> Option<&Brief<'a>> {
        match &self.what {
            What::Envelope(_) => None,
            What::Record(brief) => Some(brief),
        }
    }

    /// A closer look at the same event, whose `text` this is: all that stands at `paths`, among which [`super::PEEKED`]
    /// must be. `None` in every case of doubt.
    pub fn closer<'b>(&self, text: &'b str, paths: &'b Paths) -> Option<Peek<'b>> {
        match &self.what {
            What::Envelope(_) => super::peek::peek(text, paths),
            What::Record(brief) => {
                let error = matches!(&brief.code, Some(Some(code)) if !code.is_empty());
                super::peek::whole_record(text, paths, brief.source(), brief.detail_type, error)
            }
        }
    }
}

impl Brief<'_> {
    /// As `EventBridge` writes it.
    fn source<'b>(&self) -> Cow<'b, str> {
        cloudtrail::source(&self.event_source).into()
    }

    /// The same, on its own.
    pub fn into_owned(self) -> Brief<'static> {
        let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Brief {
            event_source: own(self.event_source),
            detail_type: self.detail_type,
            event_name: own(self.event_name),
            code: self.code.map(|code| code.map(own)),
        }
    }
}

/// Reads the first value of `bytes`, which must not begin with white space.
pub fn scan(bytes: &[u8]) -> Scan<'_> {
    if let Some((length, seen)) = quick::object(bytes) {
        return Scan::Value { length, event: seen.glance(bytes.get(..length).unwrap_or_default()) };
    }
    parse(bytes)
}

/// As [`scan`], with the parser.
fn parse(bytes: &[u8]) -> Scan<'_> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Seen<'_>>();
    match values.next() {
        None => Scan::Short,
        Some(Ok(seen)) => {
            let length = values.byte_offset();
            Scan::Value { length, event: seen.glance(bytes.get(..length).unwrap_or_default()) }
        }
        Some(Err(error)) if error.classify() == Category::Eof => Scan::Short,
        // A text that cannot be read as text (half a surrogate pair) is no reason to lose the place.
        Some(Err(_)) => skip(bytes),
    }
}

/// As [`parse`], reading no member.
fn skip(bytes: &[u8]) -> Scan<'_> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    match values.next() {
        None => Scan::Short,
        Some(Ok(_)) => Scan::Value { length: values.byte_offset(), event: None },
        Some(Err(error)) if error.classify() == Category::Eof => Scan::Short,
        Some(Err(error)) => Scan::Broken { at: place(bytes, &error), why: words(&error) },
    }
}

fn place(bytes: &[u8], error: &serde_json::Error) -> usize {
    let lines = memchr::memchr_iter(b'\n', bytes);
    let line = error.line().checked_sub(2).and_then(|before| lines.into_iter().nth(before)).map_or(0, |at| at + 1);
    (line + error.column().saturating_sub(1)).min(bytes.len())
}

/// The parser's words without its place, which counts from the value's beginning.
fn words(error: &serde_json::Error) -> String {
    let said = error.to_string();
    said.rsplit_once(" at line ").map_or(said.clone(), |(words, _)| words.to_owned())
}

/// A member that should be text.
#[derive(Default)]
enum Loose<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    True,
    Null,
    Other,
}

impl<'a> Loose<'a> {
    /// `None` where the full decode might see something else.
    fn filled(self) -> Option<Cow<'a, str>> {
        if let Self::Text(text) = self { Some(text).filter(|text| !text.is_empty()) } else { None }
    }
}

/// What a walk over one value has seen.
struct Seen<'a> {
    /// An object that may be a record, with no member of interest twice.
    record: Option<Record<'a>>,
    /// It has a `detail`, so it may be an envelope.
    envelope: bool,
}

#[derive(Default)]
struct Record<'a> {
    source: Loose<'a>,
    name: Loose<'a>,
    time: Loose<'a>,
    kind: Loose<'a>,
    read_only: Loose<'a>,
    code: Loose<'a>,
    /// Whether there is one.
    message: bool,
}

impl<'a> Seen<'a> {
    fn glance(self, bytes: &'a [u8]) -> Option<Glance<'a>> {
        if self.envelope {
            let text = from_utf8(bytes).ok()?;
            return Some(Glance { time: envelope_time(text)?, what: What::Envelope(super::peek::envelope(text)?) });
        }
        let record = self.record?;
        let event_source = record.source.filled().filter(|source| !source.starts_with("aws:"))?;
        let event_name = record.name.filled()?;
        let code = match record.code {
            Loose::Absent => None,
            Loose::Null => Some(None),
            Loose::Text(code) => Some(Some(code)),
            Loose::True | Loose::Other => return None,
        };
        let failed = code.as_ref().is_some_and(|code| code.as_ref().is_some_and(|code| !code.is_empty()));
        if record.message && !failed {
            return None;
        }
        let read_only = match &record.read_only {
            Loose::True => Some(true),
            Loose::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            _ => None,
        };
        let kind = if let Loose::Text(kind) = &record.kind { kind.as_ref() } else { "" };
        Some(Glance {
            time: time(&record.time.filled()?)?,
            what: What::Record(Brief {
                event_source,
                detail_type: cloudtrail::detail_type(kind, read_only),
                event_name,
                code,
            }),
        })
    }
}

fn envelope_time(text: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        time: Cow<'a, str>,
    }
    time(&serde_json::from_str::<Envelope<'_>>(text).ok()?.time)
}

/// A point in time. The one spelling CloudTrail has is read without asking the calendar.
fn time(text: &str) -> Option<Timestamp> {
    plain_time(text.as_bytes()).or_else(|| text.parse().ok())
}

/// `2026-03-02T10:15:31Z`, of days that every month has.
fn plain_time(text: &[u8]) -> Option<Timestamp> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T', h0, h1, b':', n0, n1, b':', s0, s1, b'Z'] = text else {
        return None;
    };
    let number = |digits: &[&u8]| {
        digits.iter().try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(*digit - b'0')))
    };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[n0, n1])?, number(&[s0, s1])?);
    let plain = year >= 1970 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !plain || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 1970, in years that begin in March, so that the leap day comes last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let days = shifted_year * 365 + leaps + (shifted_month * 153 + 2) / 5 + day - 1 - 719_468;
    Timestamp::from_second(((days * 24 + hour) * 60 + minute) * 60 + second).ok()
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum Member {
    #[serde(rename = "eventSource")]
    Source,
    #[serde(rename = "eventName")]
    Name,
    #[serde(rename = "eventTime")]
    Time,
    #[serde(rename = "eventType")]
    Kind,
    #[serde(rename = "readOnly")]
    ReadOnly,
    #[serde(rename = "errorCode")]
    Code,
    #[serde(rename = "errorMessage")]
    Message,
    #[serde(rename = "detail")]
    Detail,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Seen<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Seen<'_> {
    const NOTHING: Self = Self { record: None, envelope: false };
}

/// A value of these kinds is fine, and says nothing.
macro_rules! kinds {
    ($seen:expr => $($name:ident: $kind:ty),*) => {
        $(fn $name<E: Error>(self, _: $kind) -> Result<Self::Value, E> { Ok($seen) })*
    };
}

fn drain<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Seen<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    kinds!(Seen::NOTHING => visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: Error>(self) -> Result<Seen<'de>, E> {
        Ok(Seen::NOTHING)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Seen<'de>, A::Error> {
        drain(items)?;
        Ok(Seen::NOTHING)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Seen<'de>, A::Error> {
        let (mut record, mut envelope, mut twice) = (Record::default(), false, false);
        while let Some(member) = members.next_key()? {
            let slot = match member {
                Member::Source => &mut record.source,
                Member::Name => &mut record.name,
                Member::Time => &mut record.time,
                Member::Kind => &mut record.kind,
                Member::ReadOnly => &mut record.read_only,
                Member::Code => &mut record.code,
                Member::Message => {
                    record.message = true;
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                Member::Detail => {
                    envelope = true;
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
                Member::Other => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            twice |= !matches!(slot, Loose::Absent);
            *slot = members.next_value()?;
        }
        Ok(Seen { record: (!twice).then_some(record), envelope })
    }
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LooseVisitor;
        impl<'de> Visitor<'de> for LooseVisitor {
            type Value = Loose<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Loose<'de>, E> {
                Ok(Loose::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Loose<'de>, E> {
                Ok(Loose::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_bool<E: Error>(self, yes: bool) -> Result<Loose<'de>, E> {
                Ok(if yes { Loose::True } else { Loose::Other })
            }

            fn visit_unit<E: Error>(self) -> Result<Loose<'de>, E> {
                Ok(Loose::Null)
            }

            kinds!(Loose::Other => visit_u64: u64, visit_i64: i64, visit_f64: f64);

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Loose<'de>, A::Error> {
                drain(items)?;
                Ok(Loose::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Loose<'de>, A::Error> {
                while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(LooseVisitor)
    }
}

#[cfg(test)]
mod tests;
