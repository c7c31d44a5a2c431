//! The report for people: one page that loads nothing, runs nothing, and reads well in the dark, on paper and aloud.
//!
//! Every text in it came out of KMS in the end, so all of it goes through [`esc`]. The page allows itself no script and no
//! request, in case that is ever forgotten.

mod chart;
mod keys;

use std::fmt::Write as _;

use super::Audit;
use crate::core::audit::{Finding, Row, by_check};
use crate::core::rule::Severity;

const STYLE: &str = include_str!("html/page.css");

/// Keys that are listed of one finding; the table of keys has them all.
const LISTED: usize = 50;

/// The whole page.
pub(super) fn page(audit: &Audit) -> String {
    let mut html = String::with_capacity(64 * 1024);
    _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>KMS keys on {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        audit.at.strftime("%Y-%m-%d"),
    );
    head(&mut html, audit);
    html.push_str("<main>\n");
    glance(&mut html, audit);
    coming(&mut html, audit);
    ages(&mut html, audit);
    findings(&mut html, audit);
    keys::table(&mut html, audit);
    limits(&mut html, audit);
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn head(html: &mut String, audit: &Audit) {
    let calls: u64 = audit.calls.values().sum();
    _ = write!(
        html,
        "<header>\n<h1>KMS keys</h1>\n<p>{} in {}, read on <time datetime=\"{}\">{} UTC</time> by {} in {:.0} s.</p>\n",
        count(audit.tally.keys, "key"),
        count(audit.scopes.len(), "place"),
        audit.at,
        audit.at.strftime("%-d %B %Y, %H:%M"),
        count(usize::try_from(calls).unwrap_or(usize::MAX), "call"),
        audit.seconds,
    );
    html.push_str("<nav aria-label=\"Parts of this page\"><a href=\"#findings\">Findings</a> <a href=\"#coming\">What is coming</a> <a href=\"#ages\">Age and rotation</a> <a href=\"#keys\">All keys</a> <a href=\"#limits\">What this does not say</a></nav>\n</header>\n");
}

fn glance(html: &mut String, audit: &Audit) {
    html.push_str("<section aria-labelledby=\"glance\">\n<h2 id=\"glance\">At a glance</h2>\n");
    let unread = audit.scopes.iter().filter(|read| read.why.is_some()).count();
    if unread > 0 {
        _ = writeln!(
            html,
            "<p class=\"warn\" role=\"note\">{} could not be read: this page is not whole.</p>",
            count(unread, "place")
        );
    }
    if audit.tally.not_judged > 0 {
        _ = writeln!(
            html,
            "<p class=\"warn\" role=\"note\">{} could not be judged, since KMS did not say what they are: {}.</p>",
            count(audit.tally.not_judged, "key"),
            esc(audit.why_not_judged())
        );
    }
    if audit.rows.is_empty() {
        html.push_str("<p>There is no key.</p>\n</section>\n");
        return;
    }
    html.push_str("<div class=\"glance\">\n");
    chart::severities(html, audit);
    html.push_str("<dl class=\"numbers\">\n");
    let number = |html: &mut String, number: usize, what: &str| {
        _ = writeln!(html, "<div><dt>{what}</dt><dd>{number}</dd></div>");
    };
    number(html, audit.tally.keys, "keys of our own");
    number(html, audit.tally.clean, "with nothing against them");
    if audit.tally.not_judged > 0 {
        number(html, audit.tally.not_judged, "that could not be judged");
    }
    number(html, audit.tally.managed_by_aws, "keys that AWS manages, not judged");
    html.push_str("</dl>\n</div>\n</section>\n");
}

fn coming(html: &mut String, audit: &Audit) {
    html.push_str("<section aria-labelledby=\"coming\">\n<h2 id=\"coming\">What is coming</h2>\n");
    chart::timeline(html, audit);
    html.push_str("</section>\n");
}

fn ages(html: &mut String, audit: &Audit) {
    html.push_str("<section aria-labelledby=\"ages\">\n<h2 id=\"ages\">Age and rotation</h2>\n");
    chart::ages(html, audit);
    html.push_str("</section>\n");
}

fn findings(html: &mut String, audit: &Audit) {
    html.push_str("<section aria-labelledby=\"findings\">\n<h2 id=\"findings\">Findings</h2>\n");
    let all = by_check(&audit.rows);
    if all.is_empty() {
        html.push_str("<p>Nothing is to be said against any key.</p>\n");
    }
    for (check, found) in &all {
        let worst = found.first().map_or(check.severity, |(_, finding)| finding.severity);
        _ = write!(
            html,
            "<article class=\"finding {0}\">\n<h3><span class=\"badge {0}\">{0}</span> {1} <span class=\"quiet\">{2}</span></h3>\n\
             <p>{3}</p>\n<p><strong>What to do.</strong> {4}</p>\n",
            worst.as_str(),
            esc(check.title),
            count(found.len(), "key"),
            esc(check.why),
            with_code(check.action),
        );
        if !check.controls.is_empty() {
            _ = writeln!(html, "<p class=\"quiet\">Also asked by {}.</p>", esc(&check.controls.join(", ")));
        }
        let open = if worst >= Severity::High { " open" } else { "" };
        _ = write!(html, "<details{open}>\n<summary>{}</summary>\n<ul>\n", count(found.len(), "key"));
        for (row, finding) in found.iter().take(LISTED) {
            of_key(html, row, finding, worst);
        }
        html.push_str("</ul>\n");
        if found.len() > LISTED {
            _ = writeln!(
                html,
                "<p>and {} more, in the table of <a href=\"#keys\">all keys</a></p>",
                found.len() - LISTED
            );
        }
        _ = writeln!(html, "</details>\n<p class=\"id quiet\"><code>{}</code></p>\n</article>", check.id);
    }
    html.push_str("</section>\n");
}

fn of_key(html: &mut String, row: &Row, finding: &Finding, head: Severity) {
    let other = if finding.severity == head {
        String::new()
    } else {
        format!(" <span class=\"badge {0}\">{0}</span>", finding.severity.as_str())
    };
    _ = writeln!(
        html,
        "<li><bdi class=\"name\">{}</bdi>{other} <span class=\"quiet\">{}</span><br><bdi>{}</bdi></li>",
        esc(row.name()),
        esc(&place(row)),
        esc(&finding.seen),
    );
}

fn limits(html: &mut String, audit: &Audit) {
    html.push_str("<section aria-labelledby=\"limits\">\n<h2 id=\"limits\">What this does not say</h2>\n<ul>\n");
    for read in &audit.scopes {
        if let Some(why) = &read.why {
            _ = writeln!(html, "<li><strong>{} was not read</strong>: {}</li>", esc(&read.scope.to_string()), esc(why));
        }
    }
    for (permission, gap) in &audit.tally.gaps {
        _ = writeln!(
            html,
            "<li><code>{}</code> could not be read of {}: <bdi>{}</bdi></li>",
            esc(permission),
            count(gap.keys, "key"),
            esc(&gap.why),
        );
    }
    html.push_str(
        "<li>IAM policies are not read. Where a key's policy leaves the decision to IAM, more principals than are listed may use it.</li>\n\
         <li>The last use is the last successful one that KMS has a record of. A key without a record may have been used before the record began.</li>\n\
         <li>Environments are told by labels, tags and names, and those are a custom, not a proof.</li>\n</ul>\n",
    );
    html.push_str("<h3>What was read</h3>\n<ul>\n");
    for read in &audit.scopes {
        _ = writeln!(html, "<li>{}: {}</li>", esc(&read.scope.to_string()), count(read.keys, "key"));
    }
    html.push_str("</ul>\n<p class=\"quiet\">");
    let calls: Vec<String> = audit.calls.iter().map(|(call, times)| format!("{call} {times}")).collect();
    _ = writeln!(html, "Calls: {}.</p>\n</section>", esc(&calls.join(", ")));
}

/// Account and Region.
fn place(row: &Row) -> String {
    [row.key.account.as_deref(), row.key.region.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Our own text, in which backticks mean code.
fn with_code(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            _ = write!(out, "<code>{}</code>", esc(part));
        } else {
            out.push_str(&esc(part));
        }
    }
    out
}

/// Text that stays text, in an element and in an attribute.
fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
