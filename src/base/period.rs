//! Durations as people write them in a configuration: `"20s"`, `"5m"`, `"1h 30m"`, `"15d"`.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A length of time from 0 up. A day is 24 hours, a week 7 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Period(SignedDuration);

impl Period {
    pub const fn from_secs(seconds: i64) -> Self {
        Self(SignedDuration::from_secs(seconds))
    }

    pub fn signed(self) -> SignedDuration {
        self.0
    }

    pub fn unsigned(self) -> Duration {
        self.0.unsigned_abs()
    }
}

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const HINT: &str = "a duration is a number with a unit, such as \"20s\", \"5m\", \"1h 30m\" or \"15d\"";
        let span: Span = text.parse().map_err(|_| format!("`{text}` is not a duration; {HINT}"))?;
        let length = span
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .map_err(|_| format!("`{text}` has a unit of changing length (months, years); {HINT}"))?;
        if length.is_negative() {
            return Err(format!("`{text}` is negative; {HINT}"));
        }
        Ok(Self(length))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = SignedDuration::from_hours(24).as_secs();
        if self.0.as_secs() > day && self.0.as_secs() % day == 0 && self.0.subsec_nanos() == 0 {
            write!(f, "{}d", self.0.as_secs() / day)
        } else {
            write!(f, "{:#}", self.0)
        }
    }
}

impl schemars::JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: \"20s\", \"5m\", \"1h 30m\", \"15d\".",
            "pattern": "^P|[0-9]"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_in_many_ways() {
        assert_eq!("20s".parse::<Period>().unwrap().signed(), SignedDuration::from_secs(20));
        assert_eq!("15d".parse::<Period>().unwrap().signed(), SignedDuration::from_hours(15 * 24));
        assert_eq!("1h 30m".parse::<Period>().unwrap().signed(), SignedDuration::from_mins(90));
        assert_eq!("2w".parse::<Period>().unwrap().signed(), SignedDuration::from_hours(14 * 24));
        assert_eq!("0s".parse::<Period>().unwrap(), Period::default());
    }

    #[test]
    fn a_duration_is_shown_as_people_write_it() {
        for shown in ["20s", "24h", "36h", "2d", "15d", "1h 30m"] {
            assert_eq!(shown.parse::<Period>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_wrong_duration_says_what_one_looks_like() {
        for wrong in ["soon", "5", "-5m", "1 month", ""] {
            let error = wrong.parse::<Period>().unwrap_err();
            assert!(error.contains("20s"), "{wrong}: {error}");
        }
    }
}
