//! How often: Sigma's old `| count() by field > 5` and its correlations, as a rule's `threshold`.

use super::lower::{Effect, Note};
use super::names::Path;
use super::yaml::{Fault, Kind, Yaml, shortened};
use crate::base::period::Period;

/// The most that a rule's `threshold` counts to, and the longest time it looks back.
const COUNT_MAX: u64 = 500;
const WITHIN_MAX: Period = Period::from_secs(90 * 86_400);

/// How many alerts, or different values, within which time, and what is counted apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Threshold {
    pub(super) count: u64,
    pub(super) within: String,
    pub(super) distinct: Option<Path>,
    pub(super) by: Vec<Path>,
}

/// A correlation as written.
#[derive(Debug)]
pub(super) struct Correlation {
    /// Ids or names of the rules whose events are counted.
    pub(super) rules: Vec<String>,
    /// Whether those rules stand for themselves as well.
    pub(super) generate: bool,
    pub(super) threshold: Result<Option<Threshold>, Fault>,
    pub(super) notes: Vec<Note>,
}

/// Reads what stands behind the `|` of a condition. What cannot be carried over is noted: without it, the rule tells of
/// every single event.
pub(super) fn old_style(text: &str, timeframe: Option<&str>, line: usize, notes: &mut Vec<Note>) -> Option<Threshold> {
    let threshold = aggregation(text).and_then(|(count, distinct, by)| {
        let within = within(timeframe.ok_or("there is no `timeframe`")?)?;
        Ok(Threshold { count, within, distinct, by })
    });
    match threshold {
        Ok(threshold) => threshold.limited(line, notes),
        Err(why) => {
            let text = format!("left out: the count `{}` ({why})", shortened(text));
            notes.push(Note { effect: Effect::Wider, line, text });
            None
        }
    }
}

impl Threshold {
    /// As far as rules count: one event is no threshold, and very many are clear before all have come.
    fn limited(mut self, line: usize, notes: &mut Vec<Note>) -> Option<Self> {
        if self.count > COUNT_MAX {
            let text = format!("counts to {COUNT_MAX} instead of {}", self.count);
            notes.push(Note { effect: Effect::Wider, line, text });
            self.count = COUNT_MAX;
        }
        (self.count > 1).then_some(self)
    }
}

type Aggregation = (u64, Option<Path>, Vec<Path>);

/// `count(field) by field > 5`.
fn aggregation(text: &str) -> Result<Aggregation, String> {
    let (function, rest) = text.split_once('(').ok_or("only `count` is known")?;
    if !function.trim().eq_ignore_ascii_case("count") {
        return Err(format!("`{}` has no counterpart", shortened(function.trim())));
    }
    let (field, rest) = rest.split_once(')').ok_or("a parenthesis is not closed")?;
    let distinct = if field.trim().is_empty() { None } else { Some(path(field.trim())?) };
    let comparison = rest.find(['<', '>', '=']).ok_or("there is no comparison")?;
    let (by, comparison) = rest.split_at_checked(comparison).ok_or("there is no comparison")?;
    let by = match by.trim() {
        "" => vec![],
        by => {
            let fields = by.strip_prefix("by ").ok_or_else(|| format!("`{}` is not understood", shortened(by)))?;
            fields.split(',').map(|field| path(field.trim())).collect::<Result<_, _>>()?
        }
    };
    let sign: String = comparison.chars().take_while(|c| matches!(c, '<' | '>' | '=')).collect();
    let number = comparison.trim_start_matches(['<', '>', '=']).trim();
    let number: u64 = number.parse().map_err(|_| format!("`{}` is no number", shortened(number)))?;
    Ok((at_least(&sign, number)?, distinct, by))
}

/// The count from which on a comparison holds.
fn at_least(sign: &str, number: u64) -> Result<u64, String> {
    let count = match sign {
        ">=" | "gte" => number,
        ">" | "gt" => number.saturating_add(1),
        _ => {
            return Err(format!(
                "`{sign}` cannot be told as soon as it happens; only \"at least\" and \"more than\" can"
            ));
        }
    };
    if count == 0 { Err("it holds without any event".into()) } else { Ok(count) }
}

fn path(field: &str) -> Result<Path, String> {
    Path::of_field(field).map(|(path, _)| path).ok_or_else(|| format!("`{}` is no name of a field", shortened(field)))
}

/// A time as Sigma writes it.
fn within(text: &str) -> Result<String, String> {
    let simple = text.strip_suffix(['s', 'm', 'h', 'd']).is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 0));
    if simple && text.parse::<Period>().is_ok_and(|within| within <= WITHIN_MAX) {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is no time like `15m`, up to 90d", shortened(text)))
    }
}

/// Reads a `correlation` document.
pub(super) fn correlation(document: &Yaml, correlation: &Yaml) -> Correlation {
    let texts = |name: &str| -> Vec<String> {
        correlation.get(name).map(Yaml::items).unwrap_or_default().iter().filter_map(Yaml::text).collect()
    };
    let generate = |map: &Yaml| map.get("generate").is_some_and(|value| value.kind == Kind::Bool(true));
    let mut notes = vec![];
    let threshold = counted(correlation, &texts("group-by"), &mut notes)
        .map(|threshold| threshold.limited(correlation.line, &mut notes))
        .map_err(|message| Fault::at(correlation.line, message));
    Correlation { rules: texts("rules"), generate: generate(correlation) || generate(document), threshold, notes }
}

fn counted(correlation: &Yaml, by: &[String], notes: &mut Vec<Note>) -> Result<Threshold, String> {
    let text = |name: &str| correlation.get(name).and_then(Yaml::text).unwrap_or_default();
    let kind = text("type");
    if kind != "event_count" && kind != "value_count" {
        return Err(format!(
            "a correlation of type `{}` has no counterpart; `event_count` and `value_count` have",
            shortened(&kind)
        ));
    }
    if correlation.get("aliases").is_some() {
        return Err("its `aliases` give one field several places".into());
    }
    let condition = correlation.get("condition").ok_or("the correlation has no `condition`")?;
    let mut count = None;
    let mut field = None;
    for (name, value) in condition.members() {
        let value = value.text().unwrap_or_default();
        match name.as_str() {
            "field" => field = Some(path(&value)?),
            "gte" | "gt" => {
                let number: u64 = value.parse().map_err(|_| format!("`{}` is no number", shortened(&value)))?;
                count = Some(at_least(name, number)?);
            }
            other => {
                let text = format!("left out: the upper bound `{}` of its count", shortened(other));
                notes.push(Note { effect: Effect::Wider, line: condition.line, text });
            }
        }
    }
    let count = count.ok_or("its count has no lower bound (`gte` or `gt`)")?;
    if (kind == "value_count") != field.is_some() {
        return Err("`field` belongs to `value_count`, and only there".into());
    }
    Ok(Threshold {
        count,
        within: within(&text("timespan"))?,
        distinct: field,
        by: by.iter().map(|field| path(field)).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Threshold>, Vec<Note>) {
        let mut notes = vec![];
        (old_style(text, Some("10m"), 1, &mut notes), notes)
    }

    #[test]
    fn counts_are_carried_over() {
        let found = read("count() > 5").0.unwrap();
        assert_eq!((found.count, found.within.as_str(), found.by.len()), (6, "10m", 0));
        let found = read("count(requestParameters.keyId) by userIdentity.arn,awsRegion >=3").0.unwrap();
        assert_eq!(found.count, 3);
        assert_eq!(found.distinct.unwrap().to_string(), "detail.requestParameters.keyId");
        assert_eq!(found.by[0].to_string(), "detail.userIdentity.arn");
        assert_eq!(found.by[1].to_string(), "detail.awsRegion");
    }

    #[test]
    fn what_is_no_threshold_is_said() {
        for other in
            ["count() < 5", "count() == 5", "sum(x) > 5", "near a and b", "count( > 5", "count() > x", "count() >= 0"]
        {
            let (found, notes) = read(other);
            assert_eq!(found, None, "{other}");
            assert_eq!(notes.first().map(|note| note.effect), Some(Effect::Wider), "{other}");
        }
        let mut notes = vec![];
        assert_eq!(old_style("count() > 5", None, 1, &mut notes), None);
        assert_eq!(old_style("count() > 5", Some("1M"), 1, &mut notes), None);
        assert_eq!(notes.len(), 2);
    }
}
