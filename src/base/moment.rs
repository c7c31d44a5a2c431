//! A point in time as people write it: `2026-12-10`, `2026-12-10T08:00:00+01:00`. Without an offset it is UTC.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A date (its first instant in UTC) or a date with a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Moment(pub Timestamp);

const HINT: &str = "write a date such as 2026-12-10, or 2026-12-10T08:00:00Z; without an offset it is UTC";

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let utc = |time: DateTime| TimeZone::UTC.to_timestamp(time);
        let parsed = text
            .parse::<Timestamp>()
            .or_else(|_| text.parse::<DateTime>().and_then(utc))
            .or_else(|_| text.parse::<Date>().and_then(|date| utc(date.at(0, 0, 0, 0))));
        parsed.map(Self).map_err(|_| format!("`{text}` is not a date; {HINT}"))
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MomentVisitor)
    }
}

struct MomentVisitor;

impl<'de> Visitor<'de> for MomentVisitor {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a date")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Moment, E> {
        text.parse().map_err(E::custom)
    }

    /// TOML hands its own dates over as a table with one secret name.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Moment, A::Error> {
        match map.next_entry::<String, String>() {
            Ok(Some((name, text))) if name.starts_with("$__toml_private") => text.parse().map_err(A::Error::custom),
            _ => Err(A::Error::custom(format!("a table is not a date; {HINT}"))),
        }
    }
}

impl schemars::JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A date, or a date and a time: 2026-12-10, 2026-12-10T08:00:00Z. Without an offset it is UTC.",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        m: serde_spanned::Spanned<Moment>,
    }

    #[test]
    fn dates_are_read_as_toml_and_as_text() {
        for (written, meant) in [
            ("2026-12-10", "2026-12-10T00:00:00Z"),
            ("\"2026-12-10\"", "2026-12-10T00:00:00Z"),
            ("2026-12-10T08:00:00", "2026-12-10T08:00:00Z"),
            ("2026-12-10 08:00:00Z", "2026-12-10T08:00:00Z"),
            ("2026-12-10T08:00:00+01:00", "2026-12-10T07:00:00Z"),
            ("\"2026-12-10T08:00\"", "2026-12-10T08:00:00Z"),
        ] {
            let holder: Holder = toml::from_str(&format!("m = {written}")).unwrap();
            assert_eq!(holder.m.get_ref().0, meant.parse::<Timestamp>().unwrap(), "{written}");
            assert_eq!(holder.m.span(), 4..4 + written.len());
        }
    }

    #[test]
    fn what_is_no_date_says_what_one_looks_like() {
        for wrong in ["08:00:00", "\"soon\"", "{ a = \"b\" }", "{}", "{ a = 1 }"] {
            let error = toml::from_str::<Holder>(&format!("m = {wrong}")).unwrap_err().to_string();
            assert!(error.contains("2026-12-10"), "{wrong}: {error}");
        }
    }
}
