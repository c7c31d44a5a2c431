//! Which bodies a peek can speak for, and what it cannot know of them. Most messages end here.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::BODY_BYTES_MAX;
use super::envelope::DERIVED;
use super::wrapper::JSON_DEPTH_MAX;
use crate::core::event::Outcome;
use crate::core::observe::SOURCE as OWN_SOURCE;
use crate::core::pattern::tree::{Leaf, Tree};
use crate::core::peek::{PathId, Paths, Peek, View};

/// Paths by which a body is known for a plain envelope, and its outcome.
pub const PEEKED: &[&[&str]] = &[
    &["source"],
    &["detail-type"],
    &["time"],
    &["account"],
    &["region"],
    &["outcome"],
    &["detail", "eventName"],
    &["detail", "errorCode"],
    &["detail", "errorMessage"],
    &["detail", "result"],
];

/// What else settles for most events, at next to no cost, that no rule reads them: who may call is no matter of names alone.
const TELLING: &[&str] = &["detail", "userIdentity", "type"];

static ENVELOPE: LazyLock<Paths> =
    LazyLock::new(|| Paths::new(PEEKED.iter().copied().chain([TELLING]).map(<[&str]>::to_vec)));

/// Reads of a plain EventBridge envelope what it is known by.
pub(super) fn envelope(body: &str) -> Option<Peek<'_>> {
    peek(body, &ENVELOPE)
}

/// What is known of a bare CloudTrail record.
static RECORD: LazyLock<Paths> = LazyLock::new(|| {
    let known: [&[&str]; 5] =
        [&["source"], &["detail-type"], &["outcome"], &["detail", "eventName"], &["detail", "errorCode"]];
    Paths::new(known.map(<[&str]>::to_vec))
});

/// A peek at a bare CloudTrail record, as the event that decoding makes of it. `code` is there if the record has one,
/// be it null.
#[expect(clippy::option_option, reason = "absent and null are two things to a pattern")]
pub(super) fn record<'b>(
    source: Cow<'b, str>,
    detail_type: &'b str,
    event_name: Cow<'b, str>,
    code: Option<Option<Cow<'b, str>>>,
) -> Option<Peek<'b>> {
    let path = |names: &[&str]| RECORD.find(names.iter().copied());
    let error = code.as_ref().is_some_and(|code| code.as_ref().is_some_and(|code| !code.is_empty()));
    let outcomes = outcomes(detail_type.ends_with(RECORDED), error);
    let members = vec![(path(&["source"])?, Some(source)), (path(&["detail-type"])?, Some(detail_type.into()))];
    let mut detail = vec![(path(&["detail", "eventName"])?, Some(event_name))];
    if let Some(code) = code {
        detail.push((path(&["detail", "errorCode"])?, code));
    }
    let mut peek = Peek::known(&RECORD, members, (path(&["detail"])?, detail));
    peek.expect(path(&["outcome"])?, outcomes);
    Some(peek)
}

/// Reads of a bare CloudTrail record what stands at `paths`; `error`: it has an error code.
pub(super) fn whole_record<'b>(
    text: &'b str,
    paths: &'b Paths,
    source: Cow<'b, str>,
    detail_type: &'b str,
    error: bool,
) -> Option<Peek<'b>> {
    let next = |name: &str| paths.next(PathId::ROOT, name);
    let said = [next("source")?, next("detail-type")?, next("detail")?, next("outcome")?];
    let [source_path, type_path, detail, outcome] = said;
    let members = vec![(source_path, Some(source)), (type_path, Some(detail_type.into()))];
    let mut peek = Peek::read_within(text, paths, detail, members, JSON_DEPTH_MAX)?;
    // The envelope that decoding puts around the record, and what it adds.
    let others = paths.all_next(PathId::ROOT).map(|(_, path)| path).filter(|path| !said.contains(path));
    others.for_each(|path| peek.forget(path));
    peek.expect(outcome, outcomes(detail_type.ends_with(RECORDED), error));
    Some(peek)
}

/// How the detail types of recorded events end.
const RECORDED: &str = " via CloudTrail";

/// Reads a plain EventBridge envelope. Wherever it could disagree with the full decode it gives `None`.
pub(super) fn peek<'b>(body: &'b str, paths: &'b Paths) -> Option<Peek<'b>> {
    if body.len() > BODY_BYTES_MAX {
        return None;
    }
    let mut peek = Peek::read(body, paths, JSON_DEPTH_MAX)?;
    let root = peek.view();
    let source = member(root, "source")?.text()?;
    let detail_type = member(root, "detail-type")?.text()?;
    // The full decode needs a time, reads failures of other kinds, and refuses log-file notices of S3.
    let time = member(root, "time")?.text()?;
    (is_usual_time(time) || time.parse::<jiff::Timestamp>().is_ok()).then_some(())?;
    let detail = member(root, "detail").filter(|detail| detail.is_object())?;
    let event_name = text_or_nothing(detail, "eventName")?;
    let error_code = text_or_nothing(detail, "errorCode")?;
    let message_alone = detail.member("errorMessage").is_some() && error_code.is_empty();
    if message_alone || detail.member("result").is_some() || source == "aws.s3" || source == OWN_SOURCE {
        return None;
    }
    let recorded = !event_name.is_empty() && detail_type.ends_with(RECORDED);
    let outcomes = outcomes(recorded, !error_code.is_empty());
    // Decoding fills these in where they are missing.
    let filled = ["account", "region"].into_iter().filter(|name| member(root, name).and_then(View::text).is_none());
    let next = |name: &str| paths.next(PathId::ROOT, name);
    let unknown: Vec<PathId> = filled.chain(DERIVED.iter().copied()).filter_map(next).collect();
    for path in unknown {
        peek.forget(path);
    }
    peek.expect(next("outcome")?, outcomes);
    Some(peek)
}

/// Whether this is a time as events have it, such as `2026-03-02T10:15:31Z`; spares the parser the usual ones.
fn is_usual_time(text: &str) -> bool {
    let number = |from: usize| match text.as_bytes().get(from..from + 2) {
        Some([tens @ b'0'..=b'9', ones @ b'0'..=b'9']) => (tens - b'0') * 10 + (ones - b'0'),
        _ => u8::MAX,
    };
    let punctuation = text.bytes().enumerate().all(|(at, byte)| match at {
        4 | 7 => byte == b'-',
        10 => byte == b'T',
        13 | 16 => byte == b':',
        19 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    text.len() == 20
        && punctuation
        && matches!(number(0), 19..=21)
        && matches!(number(5), 1..=12)
        && matches!(number(8), 1..=28)
        && matches!(number(11), 0..=23)
        && matches!(number(14), 0..=59)
        && matches!(number(17), 0..=59)
}

fn member<'p>(value: View<'p>, name: &str) -> Option<View<'p>> {
    value.member(name).filter(|member| !member.is_unknown())
}

/// The string in a member, empty where it is null or absent; `None` where it is something else.
fn text_or_nothing<'p>(value: View<'p>, name: &str) -> Option<&'p str> {
    let Some(member) = value.member(name) else { return Some("") };
    match member.leaf()? {
        Leaf::Null => Some(""),
        Leaf::String(text) => Some(text),
        _ => None,
    }
}

/// The outcomes that decoding may derive. What `CloudTrail` recorded tells its outcome by its `errorCode`; of anything
/// else nothing is assumed.
fn outcomes(recorded: bool, error: bool) -> &'static [Outcome] {
    match error {
        false if recorded => &[Outcome::Success],
        true if recorded => &[Outcome::Denied, Outcome::Failed],
        _ => &[Outcome::Success, Outcome::Denied, Outcome::Failed],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_times_are_times() {
        let times = |year: u32, rest: &str| format!("{year:04}-{rest}");
        for year in [1900, 1970, 2026, 2199] {
            for rest in ["01-01T00:00:00Z", "02-28T23:59:59Z", "12-28T09:30:05Z"] {
                let text = times(year, rest);
                assert!(is_usual_time(&text) && text.parse::<jiff::Timestamp>().is_ok(), "{text}");
            }
        }
        // Whatever one changed byte makes of it: a usual time is a time.
        let sound = "2026-03-02T10:15:31Z";
        for at in 0..sound.len() {
            for byte in 0..0x80_u8 {
                let mut bytes = sound.as_bytes().to_vec();
                bytes[at] = byte;
                let text = String::from_utf8(bytes).unwrap();
                assert!(!is_usual_time(&text) || text.parse::<jiff::Timestamp>().is_ok(), "{text}");
            }
        }
        for odd in ["", "2026-02-29T00:00:00Z", "2026-03-02T10:15:31", "2026-03-02T10:15:31Z ", "2026-03-02T24:00:00Z"]
        {
            assert!(!is_usual_time(odd), "{odd}");
        }
    }
}
