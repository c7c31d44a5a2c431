//! The dates KMS writes into events as English text, in at least three ways (KMS developer guide, examples of
//! `ScheduleKeyDeletion` and `ImportKeyMaterial`).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Reads `Nov 2, 2021, 11:25:25 PM`, `Nov 19, 2020 12:00:00 AM`, `Apr 12, 2021 18:58:30 PM` (24 hours and PM at once) and
/// RFC 3339. All are UTC. `None` for everything else: then the text is shown as it is.
pub fn event_date(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    // Newer Java puts a narrow no-break space before AM and PM; `is_whitespace` knows it.
    let mut words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty());
    let month = words.next()?.get(..3)?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let day: i8 = words.next()?.parse().ok()?;
    let year: i16 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<i8>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next().unwrap_or(Ok(0)).ok()?);
    let hour = match words.next().map(str::to_ascii_uppercase).as_deref() {
        Some("PM") if hour < 12 => hour + 12,
        Some("AM") if hour == 12 => 0,
        Some("AM" | "PM" | "UTC" | "GMT") | None => hour,
        Some(_) => return None,
    };
    let date = DateTime::new(year, i8::try_from(month).ok()? + 1, day, hour, minute, second, 0).ok()?;
    TimeZone::UTC.to_timestamp(date).ok()
}

/// `2021-11-02 23:25:25 UTC`.
pub(in crate::core) fn plain(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

const MONTHS: &[&str] = &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_kms_writes_dates_is_read() {
        for (text, expected) in [
            ("Apr 12, 2021 18:58:30 PM", "2021-04-12 18:58:30 UTC"),
            ("Nov 2, 2021, 11:25:25 PM", "2021-11-02 23:25:25 UTC"),
            ("Nov 19, 2020 12:00:00 AM", "2020-11-19 00:00:00 UTC"),
            ("Nov 19, 2020 12:00:00 PM", "2020-11-19 12:00:00 UTC"),
            ("May 21, 2025, 5:47:45\u{202f}AM", "2025-05-21 05:47:45 UTC"),
            ("2026-05-01T00:00:00Z", "2026-05-01 00:00:00 UTC"),
        ] {
            assert_eq!(event_date(text).map(plain).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "soon",
            "Foo 1, 2021 1:00:00 AM",
            "Feb 30, 2021 1:00:00 AM",
            "Jan 1, 2021",
            "Jan 1, 2021 25:00:00",
            "é",
            "Jan 1, 2021 1:00:00 XM",
        ] {
            assert_eq!(event_date(text), None, "{text}");
        }
    }
}
