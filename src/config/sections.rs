//! The sections that belong to no other part: rules, engine, admin, log, daemon.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use crate::base::diagnostic::Problem;
use crate::base::moment::Moment;
use crate::base::period::Period;
use crate::core::decide::EngineSettings;
use crate::core::pattern::Node;
use crate::core::rule::{Mode, Severity};

/// `[rules]`: which rules are in force.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Whether the built-in rules are in force. Default true.
    pub built_in: bool,
    /// Rule files; relative to this file's folder; `*` and `?` stand for characters of a file's name.
    #[schemars(with = "Vec<String>")]
    pub files: Vec<Spanned<String>>,
    /// Ids of rules to switch off.
    #[schemars(with = "Vec<String>")]
    pub disable: Vec<Spanned<String>>,
    /// Changes to rules by id, for rules that are not yours to edit.
    pub r#override: BTreeMap<String, RuleOverride>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self { built_in: true, files: Vec::new(), disable: Vec::new(), r#override: BTreeMap::new() }
    }
}

/// `[rules.override."<id>"]`: what is different about one rule.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RuleOverride {
    /// Switches on a rule that is off as it comes, or off one that is on.
    pub enabled: Option<bool>,
    /// Another severity.
    pub severity: Option<Severity>,
    /// Whether it is told, or on trial.
    pub mode: Option<Mode>,
    /// With `mode = "shadow"`: from this date on the rule is live by itself.
    #[schemars(with = "Option<Moment>")]
    pub live_from: Option<Spanned<Moment>>,
    /// Patterns to exempt, in addition to the rule's own.
    pub except: Vec<Node>,
    /// Of a rule that has a threshold: another count or time of it.
    #[schemars(with = "Option<ThresholdChange>")]
    pub threshold: Option<Spanned<ThresholdChange>>,
    /// Another time after which the danger ends by itself.
    #[schemars(with = "Option<Period>")]
    pub resolve_after: Option<Spanned<Period>>,
    /// Another repeat interval.
    #[schemars(with = "Option<Period>")]
    pub repeat: Option<Spanned<Period>>,
    /// Another link to what to do.
    #[schemars(with = "Option<String>")]
    pub runbook: Option<Spanned<String>>,
}

/// What is different about a rule's threshold; what is not named stays.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdChange {
    /// How many events of one group make an alert, from 2 to 500.
    #[schemars(with = "Option<u32>")]
    pub count: Option<Spanned<u32>>,
    /// How close together, by event time.
    #[schemars(with = "Option<Period>")]
    pub within: Option<Spanned<Period>>,
}

/// `[engine]`: the times that decisions work with.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// An alert this soon after the resolve opens the same incident again; later it opens a new one. Events this
    /// late still end in the same state as if they had come in order. Default "24h".
    #[schemars(with = "Period")]
    pub reopen_within: Spanned<Period>,
    /// A lookup may say that a danger is past only if it was made this long after the newest danger event: KMS is
    /// eventually consistent. Default "5m".
    #[schemars(with = "Period")]
    pub settle: Spanned<Period>,
    /// An event older than this when it arrives is marked late. Default "15m".
    #[schemars(with = "Period")]
    pub late_after: Spanned<Period>,
    /// Open critical and high incidents are told again this often where their rule names no interval; "0s" means never. Default "4h".
    #[schemars(with = "Period")]
    pub repeat: Spanned<Period>,
    /// When receiving has failed this long, the sinks are told that kmswatch is deaf. Default "5m".
    #[schemars(with = "Period")]
    pub deaf_after: Spanned<Period>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let period = |seconds| Spanned::new(0..0, Period::from_secs(seconds));
        Self {
            reopen_within: period(24 * HOUR),
            settle: period(5 * MINUTE),
            late_after: period(15 * MINUTE),
            repeat: period(4 * HOUR),
            deaf_after: period(5 * MINUTE),
        }
    }
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

impl EngineConfig {
    /// The same for the core.
    pub fn settings(&self) -> EngineSettings {
        let repeat = self.repeat.get_ref().signed();
        EngineSettings {
            reopen_within: self.reopen_within.get_ref().signed(),
            settle: self.settle.get_ref().signed(),
            late_after: self.late_after.get_ref().signed(),
            repeat: (!repeat.is_zero()).then_some(repeat),
        }
    }

    /// Times are within what makes sense.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        let repeat = *self.repeat.get_ref();
        let limits = [
            ("reopen_within", &self.reopen_within, MINUTE, 14 * 24 * HOUR, "an hour to a day is usual"),
            ("settle", &self.settle, MINUTE, HOUR, "KMS needs a few minutes to be consistent; \"5m\" is usual"),
            (
                "late_after",
                &self.late_after,
                MINUTE,
                24 * HOUR,
                "CloudTrail delivers within 15 minutes; \"15m\" is usual",
            ),
            ("deaf_after", &self.deaf_after, MINUTE, HOUR, "\"5m\" is usual"),
        ];
        check_limits(&limits, problems);
        if repeat != Period::default() && repeat < Period::from_secs(5 * MINUTE) {
            problems.push(
                Problem::error(self.repeat.span(), format!("repeats every {repeat} would be a storm"))
                    .hint("repeat every 5m at the most, or write \"0s\" for never"),
            );
        }
    }
}

/// `[admin]`: the HTTP listener for health and metrics.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Whether to listen at all. Default true.
    pub enabled: bool,
    /// Address and port of `/livez`, `/readyz` and `/metrics`. It has no password: keep it inside. Default "127.0.0.1:8080".
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
}

/// `[daemon]`: how the process behaves.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DaemonConfig {
    /// On SIGTERM, work in hand gets this long to end. Default "30s".
    #[schemars(with = "Period")]
    pub grace: Spanned<Period>,
    /// An attempt to tell a sink that takes longer is cut off and repeated. Default "30s".
    #[schemars(with = "Period")]
    pub attempt_timeout: Spanned<Period>,
    /// After a crash, deliveries that were under way are taken up again this much later. Default "1m".
    #[schemars(with = "Period")]
    pub lease: Spanned<Period>,
    /// A delivery that has failed this long is given up: kept, listed, and told to the sink's fallback. Default "3d".
    #[schemars(with = "Period")]
    pub give_up_after: Spanned<Period>,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        let period = |seconds| Spanned::new(0..0, Period::from_secs(seconds));
        Self { grace: period(30), attempt_timeout: period(30), lease: period(MINUTE), give_up_after: period(72 * HOUR) }
    }
}

/// An attempt has to end this long before its lease, or somebody else might start the same one beside it.
const LEASE_MARGIN: i64 = 10;

impl DaemonConfig {
    /// Times are within what makes sense, and an attempt ends before its lease does.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        let limits = [
            (
                "grace",
                &self.grace,
                1,
                10 * MINUTE,
                "stay below what the supervisor waits before it kills; \"30s\" is usual",
            ),
            ("attempt_timeout", &self.attempt_timeout, 1, 5 * MINUTE, "\"30s\" is usual"),
            ("lease", &self.lease, 15, HOUR, "\"1m\" is usual"),
            (
                "give_up_after",
                &self.give_up_after,
                HOUR,
                30 * 24 * HOUR,
                "a few days outlast a long weekend; \"3d\" is usual",
            ),
        ];
        check_limits(&limits, problems);
        let margin = Period::from_secs(LEASE_MARGIN);
        if self.attempt_timeout.get_ref().unsigned() + margin.unsigned() > self.lease.get_ref().unsigned() {
            let set = [&self.attempt_timeout, &self.lease].into_iter().find(|value| value.span() != (0..0));
            let place = set.map_or(0..0, Spanned::span);
            problems.push(
                Problem::error(place, format!("`attempt_timeout` has to be at least {margin} shorter than `lease`"))
                    .hint("raise `lease`: an attempt that outlives its lease would be made twice at once"),
            );
        }
    }
}

/// A key, its value, the least and the most it may be in seconds, and what is usual.
type Limit<'v> = (&'static str, &'v Spanned<Period>, i64, i64, &'static str);

fn check_limits(limits: &[Limit<'_>], problems: &mut Vec<Problem>) {
    for (name, value, min, max, hint) in limits {
        let (min, max) = (Period::from_secs(*min), Period::from_secs(*max));
        if *value.get_ref() < min || *value.get_ref() > max {
            problems.push(Problem::error(value.span(), format!("`{name}` has to be from {min} to {max}")).hint(*hint));
        }
    }
}
