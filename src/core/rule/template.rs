//! Texts of a rule that hold values of the event: `{{ key.aliases[0] }}`.
//!
//! A template sees the event document, and nothing else. A value that is not there prints as nothing. What it prints is
//! plain text to every sink, whatever an event put into it.

use std::ops::ControlFlow;
use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_spanned::Spanned;

use crate::base::diagnostic::{Problem, did_you_mean};
use crate::core::event::FIELDS;
use crate::core::pattern::Node;
use crate::core::{render, ruletest};

/// Said on cards where the plain text stands in for a template.
pub const UNPRINTED: &str = "a text of the rule could not be printed";

/// Steps that one template may take: it cannot hold up a page.
const FUEL: u64 = 20_000;

/// The texts that may be templates, each with the longest text it may print, in characters.
const TEXTS: [(&str, usize); 4] = [("title", 120), ("summary", 400), ("meaning", 1_000), ("action", 1_000)];

/// What a rule's templates made of one event; `None` where the rule has no template for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Texts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Something could not be printed, and the plain text stands in for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// A rule's compiled templates.
#[derive(Debug, Clone)]
pub struct Templates(Arc<Environment<'static>>);

/// Whether a text is more than plain words.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// The words of a template without its values: what stands in where there is no event, or none that prints.
pub fn plain(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = ["{{", "{%", "{#"].iter().filter_map(|mark| rest.find(mark)).min() {
        let (before, inside) = rest.split_at(start);
        kept.push_str(before);
        let end = ["}}", "%}", "#}"].iter().filter_map(|mark| inside.find(mark)).min();
        rest = end.and_then(|end| inside.get(end + 2..)).unwrap_or_default();
    }
    kept.push_str(rest);
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Templates {
    /// Compiles those of a rule's texts that are templates, and tries each on the events that `matches`
    /// admits, if it is given: a template that does not print must not wait until such an event comes.
    pub(super) fn compile(
        texts: [Option<&Spanned<String>>; 4],
        matches: Option<&Node>,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let mut any = false;
        let mut on_trial = vec![];
        for ((name, _), text) in TEXTS.into_iter().zip(texts) {
            let Some(text) = text.filter(|text| is_template(text.get_ref())) else { continue };
            any = true;
            if let Err(error) = environment.add_template_owned(name, text.get_ref().clone()) {
                problems.push(problem(text, "", &error));
                continue;
            }
            let Ok(template) = environment.get_template(name) else { continue };
            on_trial.push((name, text));
            for path in template.undeclared_variables(true) {
                if let Some(hint) = unknown(&path) {
                    problems.push(
                        Problem::error(text.span(), format!("`{path}` is not a field of the event document"))
                            .hint(hint),
                    );
                }
            }
        }
        let mut look = |what: &str, document: &Value| {
            let context = minijinja::Value::from(Serde(document));
            on_trial.retain(|(name, text)| {
                let Ok(template) = environment.get_template(name) else { return false };
                let failed = template.render(context.clone()).err();
                problems.extend(failed.iter().map(|error| problem(text, what, error)));
                failed.is_none()
            });
            if on_trial.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if let Some(matches) = matches
            && samples().iter().all(|sample| look("", sample).is_continue())
        {
            ruletest::samples::each(matches, |sample| {
                look(&format!(" for `{}` ({})", sample.name, sample.outcome), &sample.document)
            });
        }
        any.then(|| Self(Arc::new(environment)))
    }

    /// Why templates do not print on an event document, each in a line.
    pub fn faults(&self, document: &Value) -> Vec<String> {
        let fault = |(name, _): &(&str, usize)| {
            let error = self.0.get_template(name).ok()?.render(Serde(document)).err()?;
            Some(format!("`{name}` does not print{}", why(&error)))
        };
        TEXTS.iter().filter_map(fault).collect()
    }

    /// Prints the templates on an event document.
    pub fn render(&self, document: &Value) -> Texts {
        let mut failed = false;
        let mut print = |(name, most): (&str, usize)| {
            let template = self.0.get_template(name).ok()?;
            let Ok(text) = template.render(Serde(document)) else {
                failed = true;
                return None;
            };
            Some(render::clean(text.trim(), most)).filter(|text| !text.is_empty())
        };
        let [title, summary, meaning, action] = TEXTS.map(&mut print);
        Texts { title, summary, meaning, action, failed }
    }
}

/// ` in line 1 of it: invalid operation`.
fn why(error: &minijinja::Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!(" in line {line} of it"));
    format!("{line}: {}", error.kind())
}

/// `event`: on which, with a blank before it.
fn problem(text: &Spanned<String>, event: &str, error: &minijinja::Error) -> Problem {
    Problem::error(text.span(), format!("the template does not print{event}{}", why(error)))
        .hint(error.detail().map_or_else(|| "look at the Jinja syntax: `{{ key.arn }}`".to_owned(), str::to_owned))
}

/// What to say of a name that no event has; `None` where it may be there.
fn unknown(path: &str) -> Option<String> {
    const ENVELOPE: [&str; 9] =
        ["version", "id", "source", "account", "time", "region", "resources", "detail", "outcome"];
    let known = |name: &str| {
        ENVELOPE.contains(&name.split('.').next().unwrap_or_default())
            || crate::core::event::field(name).is_some()
            || FIELDS.iter().any(|field| field.name.starts_with(&format!("{name}.")))
    };
    if known(path) {
        return None;
    }
    let names: Vec<&str> = ENVELOPE.into_iter().chain(FIELDS.iter().map(|field| field.name)).collect();
    Some(did_you_mean(path, &names, "the fields are"))
}

/// Whatever a rule matches: a full event, one that lacks everything that may be absent, and one that is odd.
fn samples() -> [Value; 3] {
    let full = serde_json::json!({
        "version": "0", "id": "sample", "detail-type": "AWS API Call via CloudTrail", "source": "aws.kms", "account": "111122223333",
        "time": "2026-01-02T03:04:05Z", "region": "eu-central-1", "resources": [],
        "detail": { "eventName": "DisableKey", "eventTime": "2026-01-02T03:04:05Z", "requestParameters": { "keyId": "sample" } },
        "key": { "arn": "arn:aws:kms:eu-central-1:111122223333:key/sample", "id": "sample", "aliases": ["alias/sample"] },
        "actor": { "principal": "arn:aws:iam::111122223333:role/sample", "type": "AssumedRole" },
        "outcome": "success"
    });
    let bare = serde_json::json!({ "source": "aws.kms", "detail": {}, "outcome": "success" });
    let odd = serde_json::json!({ "source": "aws.kms", "detail": { "requestParameters": null, "resources": null }, "key": {}, "outcome": "failed" });
    [full, bare, odd]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(title: &str) -> Result<Templates, String> {
        compiled_for(title, &serde_json::json!({ "detail": { "eventName": ["DisableKey"] } }))
    }

    fn compiled_for(title: &str, matches: &Value) -> Result<Templates, String> {
        let mut problems = Vec::new();
        let title = Spanned::new(0..0, title.to_owned());
        let templates =
            Templates::compile([Some(&title), None, None, None], Some(&Node::from_json(matches)), &mut problems);
        if problems.is_empty() {
            Ok(templates.unwrap())
        } else {
            let said = |p: &Problem| format!("{} ({})", p.message, p.hint.as_deref().unwrap_or(""));
            Err(problems.iter().map(said).collect::<Vec<_>>().join("; "))
        }
    }

    #[test]
    fn values_of_the_event_are_printed() {
        let templates = compiled("{{ key.aliases[0] or key.id }} disabled by {{ actor.principal }}").unwrap();
        let texts = templates.render(&samples()[0]);
        assert_eq!(texts.title.as_deref(), Some("alias/sample disabled by arn:aws:iam::111122223333:role/sample"));
        assert_eq!(templates.render(&samples()[1]).title.as_deref(), Some("disabled by"));
        assert!(texts.summary.is_none() && !texts.failed);
    }

    #[test]
    fn mistakes_are_found_when_the_rule_is_loaded() {
        for (title, said) in [
            ("{{ key.arn", "does not print"),
            ("{{ kei.arn }}", "`kei.arn` is not a field"),
            ("{{ key.arm }}", "did you mean `key.arn`"),
            ("{{ detail.eventName | nosuchfilter }}", "does not print"),
            ("{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}", "does not print"),
        ] {
            let error = compiled(title).unwrap_err();
            assert!(error.contains(said), "{title}: {error}");
        }
    }

    #[test]
    fn a_template_is_tried_on_the_events_that_its_rule_may_match() {
        let grants = serde_json::json!({ "source": ["aws.kms"], "detail": { "eventName": ["CreateGrant"] } });
        let succeeded = serde_json::json!({ "detail": { "eventName": ["CreateGrant"] }, "outcome": ["success"] });
        for (title, matches, said) in [
            ("{% if grant.operations %}{{ grant.operations | round }}{% endif %}", &grants, "`CreateGrant` (success)"),
            ("{% if detail.errorCode %}{{ 1 // 0 }}{% endif %}", &grants, "`CreateGrant` (denied)"),
            ("{% if detail.errorCode == 'DisabledException' %}{{ 1 // 0 }}{% endif %}", &grants, "(failed)"),
            ("{% if key.labels.environment == 'production' %}{{ 1 // 0 }}{% endif %}", &succeeded, "(success)"),
        ] {
            let error = compiled_for(title, matches).unwrap_err();
            assert!(error.contains(said), "{title}: {error}");
        }
        // What such a rule never sees is not held against it.
        compiled_for("{% if detail.errorCode %}{{ 1 // 0 }}{% endif %}", &succeeded).unwrap();
        compiled("{% if grant.operations %}{{ grant.operations | round }}{% endif %}").unwrap();
    }

    #[test]
    fn what_fails_later_is_said_and_the_plain_text_stands_in() {
        // Numbers only: the samples have none here, an event may have a text.
        let templates = compiled(
            "{{ detail.requestParameters.pendingWindowInDays + 1 if detail.requestParameters.pendingWindowInDays }}",
        )
        .unwrap();
        let texts =
            templates.render(&serde_json::json!({ "detail": { "requestParameters": { "pendingWindowInDays": "x" } } }));
        assert!(texts.failed && texts.title.is_none(), "{texts:?}");
        let faults =
            templates.faults(&serde_json::json!({ "detail": { "requestParameters": { "pendingWindowInDays": "x" } } }));
        assert!(faults.len() == 1 && faults[0].starts_with("`title` does not print in line 1"), "{faults:?}");
        assert_eq!(plain("Key {{ key.id }} gone {% if x %}now{% endif %}"), "Key gone now");
    }

    #[test]
    fn hostile_values_stay_plain_and_short() {
        let templates = compiled("{{ detail.userAgent }}").unwrap();
        let texts = templates.render(&serde_json::json!({ "detail": { "userAgent": format!("{{{{ key.arn }}}}\u{202e}\n{}", "x".repeat(500)) } }));
        let title = texts.title.unwrap();
        assert!(title.starts_with("{{ key.arn }}") && title.chars().count() <= 121, "{title}");
        assert!(!title.contains('\n') && !title.contains('\u{202e}'), "{title}");
    }
}
