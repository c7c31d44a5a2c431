//! The summary for people: worth reading at a meeting, honest about what was not read.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use jiff::Timestamp;

use super::bad_line;
use crate::core::render::clean;
use crate::core::rule::{Rule, Severity};
use crate::replay::{Change, Changes, Noise, Outcome, Read, Tally};

/// Principals and keys that are listed.
const NOISIEST: usize = 10;
/// Bad files and parts that are listed.
const LISTED: usize = 20;
const BAR: u64 = 30;

pub(super) struct Report<'r> {
    pub(super) outcome: &'r Outcome,
    pub(super) rules: &'r [Arc<Rule>],
    pub(super) whose: String,
    /// What it was compared with.
    pub(super) other: Option<String>,
    /// The daemon would look up what a replay does not know.
    pub(super) unknown_details: bool,
    pub(super) seconds: f64,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Outcome { read, tally, changes } = self.outcome;
        self.head(f, read, tally)?;
        if tally.alerts > 0 {
            self.alerts_per_rule(f, tally)?;
            alerts_per_day(f, tally)?;
            pages(f, tally)?;
            worst(f, tally)?;
            noisiest(f, "Noisiest principals", &tally.principals)?;
            noisiest(f, "Noisiest keys", &tally.keys)?;
        }
        if let (Some(changes), Some(other)) = (changes, &self.other) {
            compared(f, changes, other)?;
        }
        self.remarks(f, read, tally)?;
        passed_over(f, read)
    }
}

impl Report<'_> {
    fn head(&self, f: &mut Formatter<'_>, read: &Read, tally: &Tally) -> fmt::Result {
        write!(f, "{} in {}", count(read.events, "event"), count(read.files, "file"))?;
        if let (Some(oldest), Some(newest)) = (read.oldest, read.newest) {
            write!(f, ", from {} to {} UTC", minute(oldest), minute(newest))?;
        }
        writeln!(f, "; read and decided in {:.1} s", self.seconds)?;
        writeln!(f, "{} {}", count(self.rules.len() as u64, "rule"), clean(&self.whose, 600))?;
        if !read.is_whole() {
            let failed = (read.failed > 0).then(|| format!("{} not read", count(read.failed, "file")));
            let parts = (read.undecodable > 0).then(|| format!("{} not decoded", count(read.undecodable, "part")));
            let what: Vec<String> = [failed, parts].into_iter().flatten().collect();
            if !what.is_empty() {
                writeln!(f, "INCOMPLETE: {}; see the end", what.join(", "))?;
            }
        }
        writeln!(f)?;
        writeln!(f, "  {:>9}  alerts", grouped(tally.alerts))?;
        let open: Vec<String> =
            tally.open.iter().rev().map(|(severity, n)| format!("{} {}", grouped(*n), severity.as_str())).collect();
        let open =
            if open.is_empty() { String::new() } else { format!(" ({} still open at the end)", open.join(", ")) };
        writeln!(f, "  {:>9}  incidents{open}", grouped(tally.incidents))?;
        let others = tally.notifications - tally.pages;
        writeln!(f, "  {:>9}  pages (and {})", grouped(tally.pages), count(others, "further notification"))
    }

    fn alerts_per_rule(&self, f: &mut Formatter<'_>, tally: &Tally) -> fmt::Result {
        heading(f, "Alerts per rule")?;
        let mut rows: Vec<_> = tally.rules.iter().collect();
        rows.sort_by(|a, b| (b.1.severity, b.1.alerts, a.0).cmp(&(a.1.severity, a.1.alerts, b.0)));
        let width = rows.iter().map(|(id, _)| id.chars().count()).max().unwrap_or(0).min(60);
        let most = rows.iter().map(|(_, rule)| rule.alerts).max().unwrap_or(0);
        for (id, rule) in rows {
            let severity = rule.severity.map_or("", Severity::as_str);
            let shadow = if rule.shadow { "  (shadow)" } else { "" };
            let bar = bar(rule.alerts, most);
            row(f, &format!("  {severity:<8}  {id:<width$}  {:>9}  {bar}{shadow}", grouped(rule.alerts)))?;
        }
        let silent: Vec<&str> =
            self.rules.iter().map(|rule| rule.id.as_str()).filter(|id| !tally.rules.contains_key(*id)).collect();
        if !silent.is_empty() {
            wrapped(f, &format!("{} never matched: {}", count(silent.len() as u64, "rule"), silent.join(", ")))?;
        }
        Ok(())
    }

    fn remarks(&self, f: &mut Formatter<'_>, read: &Read, tally: &Tally) -> fmt::Result {
        let mut remarks = Vec::new();
        if tally.alerts == 0 && read.events > 0 {
            remarks.push("No rule matched anything.".to_owned());
        }
        if tally.unrouted > 0 {
            remarks.push(format!(
                "{} nobody would have been told, because no route takes the incident.",
                times(tally.unrouted)
            ));
        }
        if tally.duplicates > 0 {
            let what = count(tally.duplicates, "event");
            remarks.push(format!("{what} that rules concern came more than once and counted once."));
        }
        if read.outside > 0 {
            remarks.push(format!("{} outside of the asked time.", count(read.outside, "event")));
        }
        if self.unknown_details {
            remarks.push(
                "A replay asks KMS nothing: aliases, tags and states of keys are known only where an event names them. \
                 Routes that ask for them are taken where they are unknown, so pages are rather over- than undercounted."
                    .to_owned(),
            );
        }
        if remarks.is_empty() {
            return Ok(());
        }
        heading(f, "Remarks")?;
        remarks.iter().try_for_each(|remark| wrapped(f, remark))
    }
}

fn alerts_per_day(f: &mut Formatter<'_>, tally: &Tally) -> fmt::Result {
    heading(f, "Alerts per day (UTC; days without any are left out)")?;
    let used: Vec<Severity> = Severity::ALL
        .into_iter()
        .rev()
        .filter(|severity| tally.days.values().any(|day| day.contains_key(severity)))
        .collect();
    write!(f, "  {:<14}", "")?;
    for severity in &used {
        write!(f, "  {:>8}", severity.as_str())?;
    }
    writeln!(f)?;
    let most = tally.days.values().map(|day| day.values().sum()).max().unwrap_or(0);
    for (day, counts) in &tally.days {
        write!(f, "  {day} {}", day.strftime("%a"))?;
        for severity in &used {
            let cell = counts.get(severity).map_or_else(|| "·".to_owned(), |n| grouped(*n));
            write!(f, "  {cell:>8}")?;
        }
        writeln!(f, "  {}", bar(counts.values().sum(), most))?;
    }
    Ok(())
}

fn pages(f: &mut Formatter<'_>, tally: &Tally) -> fmt::Result {
    heading(
        f,
        "Pages per week and sink (a page opens an incident, or asks for people again; in brackets all notifications)",
    )?;
    if tally.weeks.is_empty() {
        return writeln!(f, "  nobody would have been told anything");
    }
    let widths: Vec<usize> = tally.sinks.iter().map(|sink| sink.chars().count().max(15)).collect();
    write!(f, "  {:<15}", "week of")?;
    for (sink, width) in tally.sinks.iter().zip(&widths) {
        write!(f, "  {sink:>width$}")?;
    }
    writeln!(f)?;
    let cell = |told: Option<&crate::replay::Told>| {
        told.map_or_else(|| "·".to_owned(), |told| format!("{} ({})", grouped(told.pages), grouped(told.all)))
    };
    for (monday, sinks) in &tally.weeks {
        write!(f, "  {:<15}", monday.to_string())?;
        for (sink, width) in tally.sinks.iter().zip(&widths) {
            write!(f, "  {:>width$}", cell(sinks.get(sink)))?;
        }
        writeln!(f)?;
    }
    if tally.weeks.len() > 1 {
        write!(f, "  {:<15}", "all")?;
        for (sink, width) in tally.sinks.iter().zip(&widths) {
            let mut all = crate::replay::Told::default();
            for told in tally.weeks.values().filter_map(|sinks| sinks.get(sink)) {
                all.pages += told.pages;
                all.all += told.all;
            }
            write!(f, "  {:>width$}", cell(Some(&all)))?;
        }
        writeln!(f)?;
    }
    Ok(())
}

fn worst(f: &mut Formatter<'_>, tally: &Tally) -> fmt::Result {
    if tally.worst.is_empty() {
        return Ok(());
    }
    heading(f, &format!("The most severe incidents ({} of {})", tally.worst.len(), grouped(tally.incidents)))?;
    for incident in &tally.worst {
        let said = clean(&incident.summary, 160);
        writeln!(f, "  {}  {:<8}  {said}", minute(incident.at), incident.severity.as_str())?;
    }
    Ok(())
}

fn noisiest(f: &mut Formatter<'_>, what: &str, noise: &Noise) -> fmt::Result {
    if noise.is_empty() {
        return Ok(());
    }
    let top = noise.top(NOISIEST);
    heading(f, &format!("{what} ({} of {})", top.len(), grouped(noise.len() as u64)))?;
    for (name, alerts) in top {
        writeln!(f, "  {:>9}  {}", grouped(alerts), clean(name, 160))?;
    }
    if noise.unnamed > 0 {
        writeln!(f, "  {:>9}  (none named)", grouped(noise.unnamed))?;
    }
    if noise.beyond > 0 {
        writeln!(f, "  {:>9}  (others, too many to tell apart)", grouped(noise.beyond))?;
    }
    Ok(())
}

fn compared(f: &mut Formatter<'_>, changes: &Changes, other: &str) -> fmt::Result {
    heading(f, &format!("With {} instead", clean(other, 200)))?;
    let [gained, lost, altered] =
        [Change::Gained, Change::Lost, Change::Changed].map(|change| grouped(changes.total(change)));
    writeln!(f, "  {gained} gained, {lost} lost, {altered} changed, {} the same", grouped(changes.same))?;
    if changes.rules.is_empty() {
        return Ok(());
    }
    let width = changes.rules.keys().map(|id| id.chars().count()).max().unwrap_or(0).min(60);
    writeln!(f, "  {:<width$}  {:>9}  {:>9}  {:>9}", "rule", "gained", "lost", "changed")?;
    for (id, counts) in &changes.rules {
        let [gained, lost, altered] = counts.map(|n| if n == 0 { "·".to_owned() } else { grouped(n) });
        writeln!(f, "  {id:<width$}  {gained:>9}  {lost:>9}  {altered:>9}")?;
    }
    Ok(())
}

fn passed_over(f: &mut Formatter<'_>, read: &Read) -> fmt::Result {
    let nothing = read.failed + read.undecodable + read.foreign + read.digests + read.others + read.empty == 0;
    if nothing {
        return Ok(());
    }
    heading(f, "Not read")?;
    if read.failed > 0 {
        writeln!(f, "  {}, of which nothing counts:", count(read.failed, "file"))?;
        named(f, &read.bad_files, read.failed)?;
    }
    if read.undecodable > 0 {
        writeln!(f, "  {} of files that should be events and are not:", count(read.undecodable, "part"))?;
        named(f, &read.bad_parts, read.undecodable)?;
    }
    if read.foreign > 0 {
        writeln!(f, "  {} in folders with JSON of another kind:", count(read.foreign, "file"))?;
        named(f, &read.foreign_files, read.foreign)?;
    }
    for (number, what) in [
        (read.digests, "of CloudTrail's digests, which hold no events"),
        (read.others, "in folders under other names than archives have"),
        (read.empty, "without anything in them"),
    ] {
        if number > 0 {
            writeln!(f, "  {} {what}", count(number, "file"))?;
        }
    }
    Ok(())
}

fn named(f: &mut Formatter<'_>, list: &[crate::replay::Bad], all: u64) -> fmt::Result {
    for bad in list.iter().take(LISTED) {
        writeln!(f, "    {}", bad_line(bad))?;
    }
    let rest = all - (list.len().min(LISTED) as u64).min(all);
    if rest > 0 { writeln!(f, "    and {} more", grouped(rest)) } else { Ok(()) }
}

fn heading(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "\n{text}")
}

fn row(f: &mut Formatter<'_>, line: &str) -> fmt::Result {
    writeln!(f, "{}", line.trim_end())
}

/// Prose, in lines of readable length.
fn wrapped(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + word.chars().count() > 110 {
            writeln!(f, "  {line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(f, "  {line}")
}

/// Anything at all is at least one mark.
fn bar(number: u64, most: u64) -> String {
    let length = if number == 0 { 0 } else { (number.saturating_mul(BAR) / most.max(1)).max(1) };
    "▪".repeat(usize::try_from(length).unwrap_or(0))
}

fn minute(time: Timestamp) -> impl Display {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

fn times(number: u64) -> String {
    if number == 1 { "Once".to_owned() } else { format!("{} times", grouped(number)) }
}

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `12.3 MB`.
#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
pub(super) fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}
