//! The members a rule's index asks for, read without building the event. Most messages end here.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::wrapper::{JSON_DEPTH_MAX, is_deeper_than};
use super::{BODY_BYTES_MAX, Peek};

/// Reads a plain EventBridge envelope. Wherever it could disagree with the full decode it gives `None`.
pub(super) fn peek(body: &str) -> Option<Peek<'_>> {
    if body.len() > BODY_BYTES_MAX || is_deeper_than(body, JSON_DEPTH_MAX) {
        return None;
    }
    let envelope: Envelope<'_> = serde_json::from_str(body).ok()?;
    let Detail { event_name, error_code, error_message, result } = envelope.detail;
    // The full decode needs a time, reads failures of other kinds, and refuses log-file notices of S3.
    envelope.time.0.parse::<jiff::Timestamp>().ok()?;
    let odd = result || (error_message && error_code.is_none()) || envelope.source.0 == "aws.s3";
    let empty = [&envelope.source, &envelope.detail_type].iter().any(|text| text.0.is_empty());
    if odd || empty {
        return None;
    }
    Some(Peek { source: envelope.source.0, detail_type: envelope.detail_type.0, event_name, error_code })
}

struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(v)))
            }

            fn visit_str<E: Error>(self, v: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Objects only: serde's derive would take a list for a struct as well.
macro_rules! object_only {
    ($name:ident, $visitor:ident, $map:ident => $read:block) => {
        impl<'de> Deserialize<'de> for $name<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct $visitor;
                impl<'de> Visitor<'de> for $visitor {
                    type Value = $name<'de>;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut $map: A) -> Result<$name<'de>, A::Error> {
                        $read
                    }
                }
                deserializer.deserialize_map($visitor)
            }
        }
    };
}

struct Envelope<'a> {
    source: Text<'a>,
    detail_type: Text<'a>,
    time: Text<'a>,
    detail: Detail<'a>,
}

#[derive(Deserialize)]
#[serde(field_identifier)]
enum EnvelopeField {
    #[serde(rename = "source")]
    Source,
    #[serde(rename = "detail-type")]
    DetailType,
    #[serde(rename = "time")]
    Time,
    #[serde(rename = "detail")]
    Detail,
    #[serde(other)]
    Other,
}

object_only!(Envelope, EnvelopeVisitor, map => {
    let (mut source, mut detail_type, mut time, mut detail) = (None, None, None, None);
    while let Some(field) = map.next_key()? {
        let again = match field {
            EnvelopeField::Source => source.replace(map.next_value()?).is_some(),
            EnvelopeField::DetailType => detail_type.replace(map.next_value()?).is_some(),
            EnvelopeField::Time => time.replace(map.next_value()?).is_some(),
            EnvelopeField::Detail => detail.replace(map.next_value()?).is_some(),
            EnvelopeField::Other => {
                map.next_value::<IgnoredAny>()?;
                false
            }
        };
        if again {
            return Err(A::Error::duplicate_field("envelope member"));
        }
    }
    match (source, detail_type, time, detail) {
        (Some(source), Some(detail_type), Some(time), Some(detail)) => Ok(Envelope { source, detail_type, time, detail }),
        _ => Err(A::Error::missing_field("envelope member")),
    }
});

struct Detail<'a> {
    event_name: Option<Cow<'a, str>>,
    error_code: Option<Cow<'a, str>>,
    /// Whether there is one.
    error_message: bool,
    /// Whether there is one.
    result: bool,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum DetailField {
    EventName,
    ErrorCode,
    ErrorMessage,
    Result,
    #[serde(other)]
    Other,
}

object_only!(Detail, DetailVisitor, map => {
    let (mut event_name, mut error_code): (Option<Option<Text<'de>>>, Option<Option<Text<'de>>>) = (None, None);
    let (mut error_message, mut result) = (false, false);
    while let Some(field) = map.next_key()? {
        let again = match field {
            DetailField::EventName => event_name.replace(map.next_value()?).is_some(),
            DetailField::ErrorCode => error_code.replace(map.next_value()?).is_some(),
            DetailField::ErrorMessage => {
                map.next_value::<IgnoredAny>()?;
                std::mem::replace(&mut error_message, true)
            }
            DetailField::Result => {
                map.next_value::<IgnoredAny>()?;
                std::mem::replace(&mut result, true)
            }
            DetailField::Other => {
                map.next_value::<IgnoredAny>()?;
                false
            }
        };
        if again {
            return Err(A::Error::duplicate_field("detail member"));
        }
    }
    let filled = |text: Option<Option<Text<'de>>>| text.flatten().map(|t| t.0).filter(|t| !t.is_empty());
    Ok(Detail { event_name: filled(event_name), error_code: filled(error_code), error_message, result })
});
