//! `[countdown]`: how long before a date people are told again.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use crate::base::diagnostic::Problem;
use crate::base::period::Period;
use crate::core::countdown::Marks;

/// `[countdown]`: when people are told again of a date that comes nearer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CountdownConfig {
    /// So long before a key is destroyed, or its imported material expires, it is told again, each time as a page of its own.
    /// Where nothing is set these are 7d, 3d, 24h, 6h and 1h; an empty list means never.
    #[schemars(with = "Vec<Period>")]
    pub marks: Vec<Spanned<Period>>,
}

impl Default for CountdownConfig {
    fn default() -> Self {
        let hours = [7 * 24, 3 * 24, 24, 6, 1];
        Self { marks: hours.map(|hours| Spanned::new(0..0, Period::from_secs(hours * HOUR))).to_vec() }
    }
}

const HOUR: i64 = 60 * 60;
/// The engine's timers are exact to some seconds.
const MARK_MIN: Period = Period::from_secs(5 * 60);
/// Longer than any waiting period; imported material may be valid longer.
const MARK_MAX: Period = Period::from_secs(90 * 24 * HOUR);
/// More would be a storm.
const MARKS_MAX: usize = 12;

impl CountdownConfig {
    /// The same for the core.
    pub fn marks(&self) -> Marks {
        Marks::new(self.marks.iter().map(|mark| mark.get_ref().signed()).collect())
    }

    /// Marks are within what makes sense, longest first, and each is there once.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        for mark in &self.marks {
            if *mark.get_ref() < MARK_MIN || *mark.get_ref() > MARK_MAX {
                problems.push(
                    Problem::error(mark.span(), format!("a mark is from {MARK_MIN} to {MARK_MAX} before the date"))
                        .hint("write marks = [\"7d\", \"3d\", \"24h\", \"6h\", \"1h\"]"),
                );
            }
        }
        for pair in self.marks.windows(2) {
            if let [before, after] = pair
                && before.get_ref() <= after.get_ref()
            {
                problems.push(
                    Problem::error(
                        after.span(),
                        format!("`{}` is not nearer to the date than `{}`", after.get_ref(), before.get_ref()),
                    )
                    .hint("write the longest first"),
                );
            }
        }
        if let Some(one) = self.marks.get(MARKS_MAX) {
            problems.push(
                Problem::error(one.span(), format!("more than {MARKS_MAX} marks would be a storm"))
                    .hint("keep those that people act on"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let config: CountdownConfig = toml::from_str(toml).unwrap();
        let mut problems = vec![];
        config.check(&mut problems);
        problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn the_default_is_what_the_core_has() {
        assert_eq!(CountdownConfig::default().marks(), Marks::default());
        assert_eq!(problems(""), Vec::<String>::new());
        assert_eq!(problems("marks = []"), Vec::<String>::new());
    }

    #[test]
    fn marks_that_make_no_sense_are_refused() {
        assert!(problems("marks = ['1m']")[0].starts_with("a mark is from 5m to 90d"));
        assert!(problems("marks = ['1h', '6h']")[0].contains("not nearer"));
        assert!(problems("marks = ['1h', '1h']")[0].contains("not nearer"));
        let many: Vec<String> = (0..13).map(|n| format!("'{}h'", 20 - n)).collect();
        assert!(problems(&format!("marks = [{}]", many.join(", ")))[0].contains("storm"));
    }
}
