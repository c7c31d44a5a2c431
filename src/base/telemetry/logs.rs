//! Logs: to stderr, for people or one JSON object a line.

use std::io::IsTerminal as _;

use schemars::JsonSchema;
use serde::Deserialize;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Overrides `level` for those who debug: `debug`, or `kmswatch=trace,hyper=debug`.
const VARIABLE: &str = "KMSWATCH_LOG";

/// How kmswatch logs.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `human` for terminals, `json` for log shippers: one object a line. Default: `human`.
    pub format: LogFormat,
    /// The least severe lines to write. The environment variable `KMSWATCH_LOG` overrides it, and can set it by module.
    /// Default: `info`.
    pub level: LogLevel,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{VARIABLE} is not a filter such as `debug` or `kmswatch=debug,hyper=warn`: {0}")]
    Filter(String),
    #[error("logging is set up already")]
    Twice,
}

/// Starts logging for the whole process, once.
///
/// # Errors
/// When `KMSWATCH_LOG` cannot be read as a filter, or logging was started before.
#[expect(clippy::disallowed_methods, reason = "the environment is read in `base`; this one is needed before the rest")]
pub fn start_logs(config: &LogConfig) -> Result<(), LogError> {
    let targets = targets(config.level, std::env::var(VARIABLE).ok().as_deref())?;
    let colour = std::io::stderr().is_terminal() && std::env::var("NO_COLOR").map_or(true, |no| no.is_empty());
    subscriber(config.format, targets, colour, std::io::stderr).try_init().map_err(|_| LogError::Twice)
}

/// Ours at `level`, other crates' warnings; or whatever `filter` says.
fn targets(level: LogLevel, filter: Option<&str>) -> Result<Targets, LogError> {
    match filter.map(str::trim).filter(|filter| !filter.is_empty()) {
        Some(filter) => filter.parse().map_err(|error| LogError::Filter(format!("{error}"))),
        None => Ok(Targets::new().with_default(LevelFilter::WARN).with_target("kmswatch", level.filter())),
    }
}

fn subscriber<W>(format: LogFormat, targets: Targets, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour);
    let layer = match format {
        LogFormat::Human => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(targets))
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(format: LogFormat, level: LogLevel, filter: Option<&str>) -> String {
        let paper = Paper::default();
        let copy = paper.clone();
        let subscriber = subscriber(format, targets(level, filter).unwrap(), false, move || copy.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(incident.id = "i-1", sink.name = "oncall", "told\n\u{1b}[31mred");
            tracing::debug!("detail");
            tracing::info!(target: "hyper", "chatter");
        });
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_is_one_object_a_line_with_dotted_fields() {
        let text = written(LogFormat::Json, LogLevel::Info, None);
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["incident.id"], "i-1");
        assert_eq!(line["sink.name"], "oncall");
        assert_eq!(line["level"], "INFO");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn people_see_ours_and_no_control_codes() {
        let text = written(LogFormat::Human, LogLevel::Info, None);
        assert!(
            text.contains("sink.name=\"oncall\"") && !text.contains("chatter") && !text.contains("detail"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn level_and_filter_decide() {
        assert!(written(LogFormat::Human, LogLevel::Debug, None).contains("detail"));
        assert_eq!(written(LogFormat::Human, LogLevel::Error, None), "");
        let all = written(LogFormat::Human, LogLevel::Error, Some("info,kmswatch=debug"));
        assert!(all.contains("chatter") && all.contains("detail"), "{all}");
    }

    #[test]
    fn a_wrong_filter_is_named() {
        let error = targets(LogLevel::Info, Some("kmswatch=loud")).unwrap_err().to_string();
        assert!(error.contains("KMSWATCH_LOG"), "{error}");
    }
}
