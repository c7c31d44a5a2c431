//! The reports for programs: one JSON object a line, and CSV for spreadsheets.

use serde_json::{Value, json};

use super::Audit;
use crate::core::audit::{Finding, Row};

/// Keys, findings, what could not be read, the scopes, and last the summary.
pub(super) fn json(audit: &Audit) -> Vec<String> {
    let mut lines = Vec::new();
    for row in &audit.rows {
        lines.push(kind("key", serde_json::to_value(row).unwrap_or_default()));
    }
    for row in &audit.rows {
        lines.extend(row.findings.iter().map(|finding| finding_line(row, finding)));
    }
    for (permission, gap) in &audit.tally.gaps {
        lines.push(kind("gap", json!({ "permission": permission, "keys": gap.keys, "why": gap.why })));
    }
    for read in &audit.scopes {
        let place = json!({
            "account": read.scope.account, "region": read.scope.region, "keys": read.keys, "why": read.why,
        });
        lines.push(kind("scope", place));
    }
    let mut summary = serde_json::to_value(&audit.tally).unwrap_or_default();
    if let Some(summary) = summary.as_object_mut() {
        summary.insert("at".to_owned(), json!(audit.at));
        summary.insert("seconds".to_owned(), json!(audit.seconds));
        summary.insert("calls".to_owned(), json!(audit.calls));
        summary.insert("whole".to_owned(), json!(audit.is_whole()));
    }
    lines.push(kind("summary", summary));
    lines.iter().map(Value::to_string).collect()
}

fn finding_line(row: &Row, finding: &Finding) -> Value {
    let mut value = serde_json::to_value(finding).unwrap_or_default();
    if let Some(value) = value.as_object_mut() {
        value.insert("key_arn".to_owned(), json!(row.key.arn));
        value.insert("name".to_owned(), json!(row.name()));
        value.insert("account".to_owned(), json!(row.key.account));
        value.insert("region".to_owned(), json!(row.key.region));
        value.insert("labels".to_owned(), json!(row.key.labels));
    }
    kind("finding", value)
}

fn kind(name: &str, mut value: Value) -> Value {
    if let Some(value) = value.as_object_mut() {
        value.insert("kind".to_owned(), Value::from(name));
    }
    value
}

const COLUMNS: &[&str] = &[
    "severity",
    "check",
    "key",
    "key_arn",
    "account",
    "region",
    "environment",
    "state",
    "title",
    "seen",
    "why",
    "action",
    "controls",
];

/// A line for each finding, the worst first, after a line of names.
pub(super) fn csv(audit: &Audit) -> Vec<String> {
    let mut findings: Vec<(&Row, &Finding)> =
        audit.rows.iter().flat_map(|row| row.findings.iter().map(move |finding| (row, finding))).collect();
    findings.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.severity));
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let body = findings.into_iter().map(|(row, finding)| {
        line(&[
            finding.severity.as_str(),
            finding.check.id,
            row.name(),
            &text(&row.key.arn),
            &text(&row.key.account),
            &text(&row.key.region),
            row.key.labels.get("environment").map_or("", String::as_str),
            &text(&row.key.state),
            finding.check.title,
            &finding.seen,
            finding.check.why,
            finding.check.action,
            &finding.check.controls.join("; "),
        ])
    });
    std::iter::once(line(COLUMNS)).chain(body).collect()
}

fn line(fields: &[&str]) -> String {
    fields.iter().map(|field| cell(field)).collect::<Vec<_>>().join(",")
}

/// One field (RFC 4180). What a spreadsheet would take for a formula begins with an apostrophe, which it shows as text.
fn cell(text: &str) -> String {
    let formula = text.trim_start().starts_with(['=', '+', '-', '@']) || text.starts_with(['\t', '\r', '\n']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula_and_never_two() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("+1", "'+1"),
            (" @SUM(A1)", "' @SUM(A1)"),
            ("-1", "'-1"),
        ] {
            assert_eq!(cell(text), expected);
        }
    }
}
