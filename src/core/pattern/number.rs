//! Numbers as AWS's engine compares them: decimals with six places between ±500 thousand million.
//!
//! Within these bounds only the value counts (`300`, `300.0` and `3e2` are equal). A number outside of them, such as
//! one with seven decimals, equals only its own spelling and is in no range. Source: `ComparableNumber` of Event Ruler 2.x.

/// Largest magnitude that is compared by value.
const LIMIT: i64 = 500_000_000_000;
const MILLION: i64 = 1_000_000;

/// A number of a pattern or an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    millionths: Option<i64>,
    spelled: Spelled,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Spelled {
    Whole(i128),
    Fraction(f64),
}

impl Number {
    pub(super) fn whole(value: impl Into<i128>) -> Self {
        let value = value.into();
        let millionths =
            i64::try_from(value).ok().filter(|v| (-LIMIT..=LIMIT).contains(v)).map(|within| within * MILLION);
        Self { millionths, spelled: Spelled::Whole(value) }
    }

    pub(super) fn fraction(value: f64) -> Self {
        Self { millionths: millionths(value), spelled: Spelled::Fraction(value) }
    }

    /// The value in millionths; `None` where the engine does not compare it by value.
    pub(super) fn millionths(self) -> Option<i64> {
        self.millionths
    }
}

impl From<&serde_json::Number> for Number {
    fn from(n: &serde_json::Number) -> Self {
        n.as_i64()
            .map(Self::whole)
            .or_else(|| n.as_u64().map(Self::whole))
            .unwrap_or_else(|| Self::fraction(n.as_f64().unwrap_or(f64::NAN)))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        match (self.millionths, other.millionths) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.spelled == other.spelled,
            _ => false,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the magnitude was checked: at most 5e17, and whole")]
#[expect(clippy::float_cmp, reason = "asks whether six decimals spell exactly this float")]
fn millionths(value: f64) -> Option<i64> {
    const LIMIT: f64 = 500e9;
    const MILLION: f64 = 1e6;
    if !(-LIMIT..=LIMIT).contains(&value) {
        return None;
    }
    let scaled = (value * MILLION).round();
    (scaled / MILLION == value).then_some(scaled as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(json: &str) -> Number {
        Number::from(&serde_json::from_str::<serde_json::Number>(json).unwrap())
    }

    #[test]
    fn equality_is_by_value_within_the_bounds_and_by_spelling_outside() {
        for (a, b, equal) in [
            ("300", "300.0", true),
            ("300", "3e2", true),
            ("0", "-0.0", true),
            ("0.1", "1e-1", true),
            ("301.8", "301.800001", false),
            ("500000000000", "5e11", true),
            ("111122223333", "1.11122223333e11", true),
            // Outside: the engine compares the text.
            ("500000000001", "500000000001", true),
            ("500000000001", "500000000001.0", false),
            ("18446744073709551615", "18446744073709551615", true),
            ("0.0000001", "1e-7", true),
            ("0.0000001", "0", false),
        ] {
            assert_eq!(number(a) == number(b), equal, "{a} and {b}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_has_no_place_in_a_range() {
        assert_eq!(number("-3.5").millionths(), Some(-3_500_000));
        assert_eq!(number("500000000001").millionths(), None);
        assert_eq!(number("0.1234567").millionths(), None);
        assert_eq!(number("18446744073709551615").millionths(), None);
        assert_eq!(Number::fraction(f64::NAN).millionths(), None);
        assert_eq!(Number::fraction(f64::INFINITY).millionths(), None);
    }
}
