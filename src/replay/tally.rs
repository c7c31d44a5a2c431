//! Counts for the report. Memory is bounded: beyond a number of names, the rest is counted together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::line::{AlertLine, Line, NotificationLine};
use super::stage::Stage;
use crate::core::notification::Reason;
use crate::core::rule::Severity;

/// Names kept of one kind.
const NAMES_MAX: usize = 20_000;

/// What a replay came to.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub alerts: u64,
    pub notifications: u64,
    pub pages: u64,
    pub rules: BTreeMap<String, OfRule>,
    /// Alerts of each day, in UTC, by severity.
    pub days: BTreeMap<Date, BTreeMap<Severity, u64>>,
    /// By the week's Monday and the sink.
    pub weeks: BTreeMap<Date, BTreeMap<String, Told>>,
    pub sinks: BTreeSet<String>,
    pub principals: Noise,
    pub keys: Noise,
    pub incidents: u64,
    /// The first notifications of incidents, the most severe ones, at most [`WORST_MAX`].
    pub worst: Vec<Worst>,
    /// Not resolved when the archive ends.
    pub open: BTreeMap<Severity, u64>,
    /// Times that nobody was told because no route takes the incident.
    pub unrouted: u64,
    pub duplicates: u64,
}

/// How many incidents are told one by one.
const WORST_MAX: usize = 10;

/// One incident, as people would have heard of it first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worst {
    pub severity: Severity,
    pub at: Timestamp,
    pub summary: String,
    pub incident: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfRule {
    pub severity: Option<Severity>,
    pub alerts: u64,
    pub shadow: bool,
}

/// What one sink heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Notifications that open an incident or ask for people again.
    pub pages: u64,
    pub all: u64,
}

/// Alerts by a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noise {
    names: HashMap<String, u64>,
    /// Alerts of names for which there was no room.
    pub beyond: u64,
    /// Alerts without a name.
    pub unnamed: u64,
}

impl Noise {
    fn add(&mut self, name: Option<&str>) {
        let Some(name) = name else {
            self.unnamed += 1;
            return;
        };
        if let Some(count) = self.names.get_mut(name) {
            *count += 1;
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(name.to_owned(), 1);
        } else {
            self.beyond += 1;
        }
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The noisiest first.
    pub fn top(&self, number: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.names.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        all.sort_unstable_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
        all.truncate(number);
        all
    }
}

impl Tally {
    pub(super) fn add(&mut self, line: &Line) {
        match line {
            Line::Alert(alert) => self.alert(alert),
            Line::Notification(notification) => self.notification(notification),
            Line::Change(_) | Line::Summary(_) => {}
        }
    }

    fn alert(&mut self, alert: &AlertLine) {
        self.alerts += 1;
        let rule = self.rules.entry(alert.rule.clone()).or_default();
        rule.alerts += 1;
        rule.severity = rule.severity.max(Some(alert.severity));
        rule.shadow |= alert.shadow;
        let day = TimeZone::UTC.to_datetime(alert.event_time).date();
        *self.days.entry(day).or_default().entry(alert.severity).or_default() += 1;
        self.principals.add(alert.actor.as_deref());
        self.keys.add(alert.key_arn.as_deref());
    }

    fn notification(&mut self, told: &NotificationLine) {
        self.notifications += 1;
        let day = TimeZone::UTC.to_datetime(told.at).date();
        let since_monday = SignedDuration::from_hours(24 * i64::from(day.weekday().to_monday_zero_offset()));
        let monday = day.checked_sub(since_monday).unwrap_or(day);
        if matches!(told.reason, Reason::Opened | Reason::OpenedAndResolved) {
            self.worst(told);
        }
        self.sinks.insert(told.sink.clone());
        let sink = self.weeks.entry(monday).or_default().entry(told.sink.clone()).or_default();
        sink.all += 1;
        if told.page {
            sink.pages += 1;
            self.pages += 1;
        }
    }

    /// Every sink hears of an incident; it is one.
    fn worst(&mut self, told: &NotificationLine) {
        let place = self.worst.partition_point(|known| known.severity >= told.severity);
        if place >= WORST_MAX || self.worst.iter().any(|known| known.incident == told.incident) {
            return;
        }
        self.worst.insert(
            place,
            Worst {
                severity: told.severity,
                at: told.at,
                summary: told.summary.clone(),
                incident: told.incident.clone(),
            },
        );
        self.worst.truncate(WORST_MAX);
    }

    pub(super) fn finish(&mut self, stage: &Stage<'_>) {
        self.incidents = stage.incidents;
        self.unrouted = stage.unrouted;
        self.duplicates = stage.duplicates;
        self.open = stage.open();
    }
}
