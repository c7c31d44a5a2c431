//! The operator's template: strict, bounded, and tried on every sample before it is believed.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, value::Serde};
use serde_json::Value;

use super::body;
use crate::sink::Dispatch;
use crate::sink::sample::{Sample, sample_notification};
use crate::sink::text::fit;

/// A template that compiled and rendered every sample.
#[derive(Debug)]
pub(super) struct Template(Environment<'static>);

impl Template {
    /// # Errors
    /// What is wrong and in which line.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // The result is JSON or plain text; HTML's escapes would spoil both. `tojson` is the way to write a value.
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(50);
        environment.add_template_owned(NAME, text.to_owned()).map_err(|error| told(&error))?;
        let template = Self(environment);
        for sample in Sample::ALL {
            let n = sample_notification(sample, jiff::Timestamp::UNIX_EPOCH);
            let d = Dispatch { notification: &n, idempotency_key: &n.id, attempt: 1, memory: None, outcome_unknown: false };
            template.render(&body::own(&d, None)).map_err(|why| format!("on a sample {}: {why}", n.kind.as_str()))?;
        }
        Ok(template)
    }

    /// # Errors
    /// Why it failed on this notification.
    pub(super) fn render(&self, context: &Value) -> Result<String, String> {
        let template = self.0.get_template(NAME).map_err(|error| told(&error))?;
        let text = template.render(Serde(context)).map_err(|error| told(&error))?;
        if text.len() > RESULT_MAX { Err(format!("the result is longer than {RESULT_MAX} bytes")) } else { Ok(text) }
    }
}

fn told(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    fit(&format!("{}{detail}{line}", error.kind()), 200)
}

const NAME: &str = "body";
/// About a hundred thousand steps: far more than a message needs, far less than a second.
const FUEL: u64 = 100_000;
const RESULT_MAX: usize = 1024 * 1024;
