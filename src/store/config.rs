//! `[store]` of the configuration: which store, and how long it keeps what.

use serde::Deserialize;
use serde_spanned::Spanned;

use super::{Retention, memory, sqlite};
use crate::base::diagnostic::Problem;
use crate::base::period::Period;

/// SQS keeps a message for at most 14 days; a day more, and no redelivery can outlive our memory of it.
const SEEN_MIN: Period = Period::from_secs(15 * 24 * 3600);

/// What survives a restart, and for how long. Name one kind of store: `[store.sqlite]` or `[store.memory]`; none means `SQLite`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A file on a local disk: survives restarts and crashes.
    pub sqlite: Option<sqlite::Config>,
    /// Nothing survives a restart: messages are deleted only after delivery. For trying things out.
    pub memory: Option<memory::Config>,
    /// How long an event is remembered, so that its redelivery is not told again. At least 15 days: longer than SQS
    /// keeps a message. Default: "21d".
    #[schemars(with = "Period")]
    pub keep_seen: Spanned<Period>,
    /// How long resolved incidents are kept, with their alerts, history and finished deliveries; quarantined messages too.
    /// Default: "90d".
    #[schemars(with = "Period")]
    pub keep_history: Spanned<Period>,
    /// How long a resolve that came before its alert waits for it. Default: "21d".
    #[schemars(with = "Period")]
    pub keep_markers: Spanned<Period>,
}

impl Default for Config {
    fn default() -> Self {
        let period = |days: i64| Spanned::new(0..0, Period::from_secs(days * 24 * 3600));
        Self { sqlite: None, memory: None, keep_seen: period(21), keep_history: period(90), keep_markers: period(21) }
    }
}

impl Config {
    /// Says what is wrong; looks at nothing but the values.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        if self.sqlite.is_some() && self.memory.is_some() {
            problems.push(
                Problem::error(0..0, "two stores are configured")
                    .hint("keep one of [store.sqlite] and [store.memory]; there is one store"),
            );
        }
        if *self.keep_seen.get_ref() < SEEN_MIN {
            problems.push(
                Problem::error(
                    self.keep_seen.span(),
                    "events would be forgotten while SQS may still deliver them again",
                )
                .hint("SQS keeps messages for up to 14 days: set `keep_seen` to \"15d\" or more"),
            );
        }
        if let Some(sqlite) = &self.sqlite {
            sqlite.check(problems);
        }
    }

    pub fn retention(&self) -> Retention {
        Retention {
            seen: self.keep_seen.get_ref().signed(),
            history: self.keep_history.get_ref().signed(),
            markers: self.keep_markers.get_ref().signed(),
        }
    }

    /// Where the file is, or would be.
    pub fn path(&self) -> std::path::PathBuf {
        self.sqlite.clone().unwrap_or_default().path
    }

    /// Whether nothing is kept across restarts.
    pub fn is_memory(&self) -> bool {
        self.memory.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<Problem> {
        let config: Config = toml::from_str(text).unwrap();
        let mut found = vec![];
        config.check(&mut found);
        found
    }

    #[test]
    fn nothing_configured_is_a_file_at_the_usual_place() {
        let config: Config = toml::from_str("").unwrap();
        assert!(!config.is_memory());
        assert_eq!(problems(""), vec![]);
        assert_eq!(config.retention().seen, jiff::SignedDuration::from_hours(21 * 24));
        assert_eq!(sqlite::Config::default().path, std::path::Path::new("/var/lib/kmswatch/state.db"));
    }

    #[test]
    fn there_is_one_store() {
        let found = problems("[memory]\n[sqlite]\npath = \"/tmp/x.db\"\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "two stores are configured");
    }

    #[test]
    fn events_are_remembered_longer_than_sqs_keeps_messages() {
        let found = problems("keep_seen = \"14d\"\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].span, 12..17);
        assert_eq!(problems("keep_seen = \"15d\"\n"), vec![]);
    }

    #[test]
    fn a_path_must_name_a_file() {
        assert_eq!(problems("[sqlite]\npath = \"\"\n").len(), 1);
        assert_eq!(problems("[sqlite]\npath = \":memory:\"\n").len(), 1);
        assert_eq!(problems("[sqlite]\npath = \"state.db\"\n"), vec![]);
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(toml::from_str::<Config>("[sqlite]\npaht = \"x\"\n").is_err());
        assert!(toml::from_str::<Config>("sead = \"15d\"\n").is_err());
    }
}
