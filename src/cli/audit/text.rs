//! The report for a terminal: at most 100 columns.

use std::fmt::{self, Display, Formatter};

use super::Audit;
use crate::core::audit::{Row, Who, by_check, day, deadlines};
use crate::core::rule::Severity;

/// Keys that are listed of one finding, and deadlines.
const LISTED: usize = 20;
/// Columns.
const WIDTH: usize = 100;

pub(super) struct Report<'a> {
    pub(super) audit: &'a Audit,
    pub(super) who: bool,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.keys(f)?;
        self.findings(f)?;
        self.coming(f)?;
        self.gaps(f)
    }
}

impl Report<'_> {
    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let audit = self.audit;
        let calls: u64 = audit.calls.values().sum();
        writeln!(
            f,
            "{} in {}, read at {} UTC in {:.1} s by {calls} calls",
            count(audit.tally.keys, "key"),
            count(audit.scopes.len(), "place"),
            audit.at.strftime("%Y-%m-%d %H:%M"),
            audit.seconds,
        )?;
        for read in &audit.scopes {
            let state = read.why.as_ref().map_or_else(|| count(read.keys, "key"), |why| format!("NOT READ: {why}"));
            writeln!(f, "{}", cut(&format!("  {}: {state}", read.scope)))?;
        }
        if audit.tally.managed_by_aws > 0 {
            let what = count(audit.tally.managed_by_aws, "key");
            writeln!(f, "{what} that AWS manages counted and not judged: nobody can change them")?;
        }
        writeln!(f)?;
        for severity in Severity::ALL.into_iter().rev() {
            writeln!(f, "  {:>6}  {}", audit.tally.found(severity), severity.as_str())?;
        }
        writeln!(f, "  {:>6}  of the keys have nothing said against them", audit.tally.clean)?;
        if audit.tally.not_judged > 0 {
            let line = format!("  {:>6}  could NOT BE JUDGED: {}", audit.tally.not_judged, audit.why_not_judged());
            writeln!(f, "{}", cut(&line))?;
        }
        Ok(())
    }

    fn keys(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let judged: Vec<&Row> = self.audit.rows.iter().filter(|row| !row.managed_by_aws).collect();
        if judged.is_empty() {
            return Ok(());
        }
        heading(f, "Keys")?;
        writeln!(f, "  {:<34} {:<15} {:>5} {:<15} {:<10} WORST", "KEY", "STATE", "AGE", "ROTATION", "LAST USE")?;
        for row in judged {
            let at = |time| days_between(time, self.audit.at);
            let line = format!(
                "  {:<34} {:<15} {:>5} {:<15} {:<10} {}",
                short(row.name(), 34),
                short(row.key.state.as_deref().unwrap_or("?"), 15),
                row.created.map_or_else(|| "?".to_owned(), |time| format!("{}d", at(time))),
                rotation(row, self.audit.at),
                last_use(row, self.audit.at),
                worst(row),
            );
            writeln!(f, "{}", line.trim_end())?;
            if self.who
                && let Some(who) = &row.who
            {
                people(f, who)?;
            }
        }
        Ok(())
    }

    fn findings(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = by_check(&self.audit.rows);
        if all.is_empty() {
            return Ok(());
        }
        heading(f, "Findings")?;
        for (at, (check, found)) in all.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            let worst = found.first().map_or(check.severity, |(_, finding)| finding.severity);
            writeln!(f, "{:<8}  {}: {} ({})", worst.as_str(), check.id, check.title, count(found.len(), "key"))?;
            wrapped(f, check.why)?;
            wrapped(f, &format!("Do: {}", check.action))?;
            if !check.controls.is_empty() {
                wrapped(f, &format!("Also asked by {}", check.controls.join(", ")))?;
            }
            for (row, finding) in found.iter().take(LISTED) {
                let other =
                    if finding.severity == worst { String::new() } else { format!(" [{}]", finding.severity.as_str()) };
                wrapped(f, &format!("- {}{other}: {}", row.name(), finding.seen))?;
            }
            if found.len() > LISTED {
                writeln!(f, "          and {} more; --format json lists them all", found.len() - LISTED)?;
            }
        }
        Ok(())
    }

    fn coming(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = deadlines(&self.audit.rows, false);
        if all.is_empty() {
            return Ok(());
        }
        heading(f, "What is coming")?;
        for (row, deadline) in all.iter().take(LISTED) {
            let left = days_between(self.audit.at, deadline.at).max(0);
            let line = format!("  {}  {:>4}d  {} {}", day(deadline.at), left, row.name(), deadline.kind.words());
            writeln!(f, "{}", cut(&line))?;
        }
        if all.len() > LISTED {
            writeln!(f, "  and {} more", all.len() - LISTED)?;
        }
        Ok(())
    }

    fn gaps(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.audit.tally.gaps.is_empty() {
            return Ok(());
        }
        heading(f, "Not read, so not judged")?;
        for (permission, gap) in &self.audit.tally.gaps {
            writeln!(f, "{}", cut(&format!("  {permission}: {}: {}", count(gap.keys, "key"), gap.why)))?;
        }
        Ok(())
    }
}

fn people(f: &mut Formatter<'_>, who: &Who) -> fmt::Result {
    let lists = [
        ("use", &who.uses),
        ("administer", &who.administer),
        ("grant", &who.grant),
        ("delete", &who.delete),
        ("change policy", &who.change_policy),
        ("hold a grant", &who.by_grant),
    ];
    for (what, names) in lists {
        if !names.is_empty() {
            wrapped(f, &format!("{what}: {}", names.join(", ")))?;
        }
    }
    if who.root == Some(true) { wrapped(f, "and whoever IAM policies of the account allow it") } else { Ok(()) }
}

/// `365d, 40d ago`: how often, and when last.
fn rotation(row: &Row, now: jiff::Timestamp) -> String {
    let last = row.last_rotation.map(|at| ago(days_between(at, now)));
    match (&row.rotation, row.can_rotate) {
        (Some(rotation), _) if rotation.enabled => {
            let period = rotation.period_days.map_or_else(|| "on".to_owned(), |days| format!("{days}d"));
            last.map_or_else(|| period.clone(), |last| format!("{period}, {last}"))
        }
        (_, Some(false)) => last.unwrap_or_else(|| "-".to_owned()),
        (Some(_), _) => "off".to_owned(),
        (None, _) => "?".to_owned(),
    }
}

fn last_use(row: &Row, now: jiff::Timestamp) -> String {
    match &row.last_usage {
        None => "?".to_owned(),
        Some(usage) => usage.at.map_or_else(|| "no record".to_owned(), |at| ago(days_between(at, now))),
    }
}

fn worst(row: &Row) -> String {
    if !row.is_judged() && row.findings.is_empty() {
        return "not judged".to_owned();
    }
    let Some(first) = row.findings.first().filter(|finding| finding.severity > Severity::Info) else {
        return "-".to_owned();
    };
    first.severity.as_str().to_owned()
}

fn ago(days: i64) -> String {
    if days <= 0 { "today".to_owned() } else { format!("{days}d ago") }
}

/// Whole days.
pub(super) fn days_between(from: jiff::Timestamp, to: jiff::Timestamp) -> i64 {
    to.duration_since(from).as_hours().div_euclid(24)
}

fn heading(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "\n{text}\n")
}

pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The end of a name says more than its middle.
fn short(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if length <= columns {
        return text.to_owned();
    }
    let head: String = text.chars().take(columns / 2 - 1).collect();
    let tail: String = text.chars().skip(length - (columns - columns / 2)).collect();
    format!("{head}…{tail}")
}

fn cut(line: &str) -> String {
    let mut kept: String = line.chars().take(WIDTH).collect();
    if kept.len() < line.len() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// Lines of words, indented. A word that is too long stays whole.
fn wrapped(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    const INDENT: &str = "          ";
    let mut line = String::from(INDENT);
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            line = format!("{INDENT}{}", if text.starts_with("- ") { "  " } else { "" });
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(f, "{line}")
}
