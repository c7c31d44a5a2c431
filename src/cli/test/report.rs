//! What people and programs read of a run.

use std::io::IsTerminal;

use serde_json::json;

use super::super::{Format, colours, say};
use super::Ran;
use super::coverage::Gap;
use crate::core::render::clean;
use crate::core::ruletest::Failure;

pub(super) fn print(format: Format, ran: &[Ran], gaps: &[Gap], rules: usize, required: bool) {
    match format {
        Format::Text => text(ran, gaps, rules, required),
        Format::Json => lines(ran, gaps, rules),
    }
}

/// Escape codes, on a terminal only.
struct Paint(bool);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn good(&self, text: &str) -> String {
        self.with("32", text)
    }

    fn bad(&self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }
}

fn text(ran: &[Ran], gaps: &[Gap], rules: usize, required: bool) {
    let paint = Paint(colours() && std::io::stdout().is_terminal());
    let mut last = "";
    for one in ran {
        if one.rule != last {
            say(&format!("{} {}", one.rule, paint.dim(&format!("({})", one.file.display()))));
            last = &one.rule;
        }
        let mark = if one.failures.is_empty() { paint.good("ok    ") } else { paint.bad("FAILED") };
        say(&format!("  {mark}  {}", one.name));
    }
    for one in ran.iter().filter(|one| !one.failures.is_empty()) {
        say("");
        say(&format!("{} {}: {}", paint.bad("FAILED"), one.rule, one.name));
        say(&format!("  {}", paint.dim(&format!("at {}:{}", one.file.display(), one.line))));
        for failure in &one.failures {
            for line in told(failure) {
                say(&format!("  {line}"));
            }
        }
    }
    if !gaps.is_empty() {
        say("");
        let how = if required { paint.bad("not proven enough:") } else { "not proven enough:".to_owned() };
        say(&how);
        for gap in gaps {
            say(&format!("  {}: {}", gap.rule, gap.lacks.join(", ")));
        }
    }
    say("");
    let failed = ran.iter().filter(|one| !one.failures.is_empty()).count();
    let verdict = if failed == 0 { paint.good("ok") } else { paint.bad("FAILED") };
    let tested = counted(ran.len(), "test");
    say(&format!("{verdict}: {tested} of {}, {} passed, {failed} failed", counted(rules, "rule"), ran.len() - failed));
}

/// An expectation that was not met, in lines.
pub(super) fn told(failure: &Failure) -> Vec<String> {
    let mut lines = vec![
        format!("{:<13} expected {}", failure.what, clean(&failure.expected, 500)),
        format!("{:<13} got      {}", "", clean(&failure.got, 500)),
    ];
    lines.extend(failure.why.iter().map(|why| format!("{:<13} because  {}", "", clean(why, 500))));
    lines
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn lines(ran: &[Ran], gaps: &[Gap], rules: usize) {
    for one in ran {
        let failures: Vec<_> = one
            .failures
            .iter()
            .map(|f| json!({ "what": f.what, "expected": f.expected, "got": f.got, "why": f.why }))
            .collect();
        let line = json!({
            "kind": "test",
            "rule": one.rule,
            "name": one.name,
            "file": one.file.display().to_string(),
            "line": one.line,
            "ok": one.failures.is_empty(),
            "failures": failures,
        });
        say(&line.to_string());
    }
    for gap in gaps {
        say(&json!({ "kind": "coverage", "rule": gap.rule, "lacks": gap.lacks }).to_string());
    }
    let failed = ran.iter().filter(|one| !one.failures.is_empty()).count();
    let summary = json!({
        "kind": "summary",
        "rules": rules,
        "tests": ran.len(),
        "passed": ran.len() - failed,
        "failed": failed,
        "not_covered": gaps.len(),
    });
    say(&summary.to_string());
}
