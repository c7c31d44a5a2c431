//! `JUnit` XML, as build servers read it: one `testsuite` a rule, one `testcase` a test.

use std::fmt::Write as _;

use super::{Ran, report};

/// The whole document.
pub(super) fn xml(ran: &[Ran]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let seconds: f64 = ran.iter().map(|one| one.took.as_secs_f64()).sum();
    // Writing to a string cannot fail.
    _ = writeln!(
        out,
        "<testsuites name=\"kmswatch\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{seconds:.3}\">",
        ran.len(),
        failed(ran)
    );
    for suite in ran.chunk_by(|a, b| a.rule == b.rule && a.file == b.file) {
        let Some(first) = suite.first() else { continue };
        let seconds: f64 = suite.iter().map(|one| one.took.as_secs_f64()).sum();
        _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.3}\">",
            escaped(&first.rule),
            suite.len(),
            failed(suite)
        );
        for one in suite {
            case(&mut out, one);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn failed(ran: &[Ran]) -> usize {
    ran.iter().filter(|one| !one.failures.is_empty()).count()
}

fn case(out: &mut String, one: &Ran) {
    _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\" time=\"{:.3}\"",
        escaped(&one.rule),
        escaped(&one.name),
        escaped(&one.file.display().to_string()),
        one.line,
        one.took.as_secs_f64()
    );
    if one.failures.is_empty() {
        out.push_str("/>\n");
        return;
    }
    out.push_str(">\n");
    let message: Vec<String> =
        one.failures.iter().map(|f| format!("{}: expected {}, got {}", f.what, f.expected, f.got)).collect();
    let told: Vec<String> = one.failures.iter().flat_map(report::told).collect();
    _ = writeln!(
        out,
        "      <failure type=\"expectation\" message=\"{}\">{}</failure>",
        escaped(&message.join("; ")),
        escaped(&told.join("\n"))
    );
    out.push_str("    </testcase>\n");
}

/// Text for XML 1.0, which has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_the_document_stays_one() {
        assert_eq!(escaped("a<b>&\"c'\u{1b}\u{0}\n"), "a&lt;b&gt;&amp;&quot;c&apos;\u{fffd}\u{fffd}&#10;");
    }
}
