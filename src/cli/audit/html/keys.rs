//! The table of all keys, each with who may do what.

use std::fmt::Write as _;

use super::{Audit, count, esc, place};
use crate::cli::audit::text::days_between;
use crate::core::audit::{Row, Who, day};

/// Names shown of one list.
const NAMES: usize = 20;

pub(super) fn table(html: &mut String, audit: &Audit) {
    html.push_str("<section aria-labelledby=\"keys\">\n<h2 id=\"keys\">All keys</h2>\n");
    let judged: Vec<&Row> = audit.rows.iter().filter(|row| !row.managed_by_aws).collect();
    if judged.is_empty() {
        html.push_str("<p>There is none.</p>\n</section>\n");
        return;
    }
    html.push_str(
        "<div class=\"wide\" role=\"region\" aria-label=\"Table of keys\" tabindex=\"0\">\n<table>\n<thead><tr><th scope=\"col\">Key</th>\
         <th scope=\"col\">State</th><th scope=\"col\">Age</th><th scope=\"col\">Rotation</th><th scope=\"col\">Last use</th>\
         <th scope=\"col\">Against it</th></tr></thead>\n<tbody>\n",
    );
    for row in judged {
        line(html, row, audit);
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn line(html: &mut String, row: &Row, audit: &Audit) {
    let state = row.key.state.as_deref().unwrap_or("not known");
    let bad = if state == "Enabled" { "" } else { " class=\"bad\"" };
    let age = row.created.map_or_else(|| "not known".to_owned(), |at| count_days(days_between(at, audit.at)));
    _ = write!(
        html,
        "<tr><th scope=\"row\"><bdi class=\"name\">{}</bdi><br><span class=\"quiet\">{}</span>",
        esc(row.name()),
        esc(&place(row)),
    );
    more(html, row);
    _ = write!(
        html,
        "</th><td{bad}>{}</td><td class=\"number\">{age}</td><td>{}</td><td>{}</td><td>",
        esc(state),
        esc(&rotation(row, audit.at)),
        esc(&last_use(row, audit.at)),
    );
    if row.findings.is_empty() {
        html.push_str(if row.is_judged() { "<span class=\"quiet\">nothing</span>" } else { "not judged" });
    } else {
        html.push_str("<ul class=\"against\">");
        for finding in &row.findings {
            _ = write!(
                html,
                "<li><span class=\"badge {0}\">{0}</span> {1}<br><bdi class=\"quiet\">{2}</bdi></li>",
                finding.severity.as_str(),
                esc(finding.check.title),
                esc(&finding.seen),
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("</td></tr>\n");
}

/// What a person unfolds.
fn more(html: &mut String, row: &Row) {
    html.push_str("<details><summary>More</summary><dl>");
    let pair = |html: &mut String, name: &str, text: &str| {
        if !text.is_empty() {
            _ = write!(html, "<dt>{name}</dt><dd><bdi>{}</bdi></dd>", esc(text));
        }
    };
    pair(html, "ARN", row.key.arn.as_deref().unwrap_or_default());
    pair(html, "Aliases", &row.key.aliases.join(", "));
    pair(
        html,
        "Kind",
        &[row.spec.as_deref(), row.usage.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", "),
    );
    pair(html, "Origin", row.key.origin.as_deref().unwrap_or_default());
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
    };
    pair(html, "Labels", &pairs(&row.key.labels));
    pair(html, "Tags", &pairs(&row.key.tags));
    pair(html, "Regions", &row.regions.join(", "));
    if let Some(who) = &row.who {
        people(html, who);
    }
    if let Some(grants) = row.grants {
        pair(html, "Grants", &count(grants, "grant"));
    }
    for (permission, why) in &row.gaps {
        pair(html, "Not read", &format!("{permission}: {why}"));
    }
    html.push_str("</dl></details>");
}

fn people(html: &mut String, who: &Who) {
    let lists = [
        ("May use it", &who.uses),
        ("May administer it", &who.administer),
        ("May grant", &who.grant),
        ("May delete it", &who.delete),
        ("May change its policy", &who.change_policy),
        ("Hold a grant", &who.by_grant),
    ];
    for (what, names) in lists {
        if names.is_empty() {
            continue;
        }
        _ = write!(html, "<dt>{what}</dt><dd><ul>");
        for name in names.iter().take(NAMES) {
            _ = write!(html, "<li><bdi>{}</bdi></li>", esc(name));
        }
        if names.len() > NAMES {
            _ = write!(html, "<li>and {} more</li>", names.len() - NAMES);
        }
        html.push_str("</ul></dd>");
    }
    if who.root == Some(true) {
        html.push_str("<dt>And</dt><dd>whoever IAM policies of the account allow it</dd>");
    }
}

fn rotation(row: &Row, now: jiff::Timestamp) -> String {
    let last = row.last_rotation.map(|at| format!("last {} ago", count_days(days_between(at, now))));
    let how = match (&row.rotation, row.can_rotate) {
        (Some(rotation), _) if rotation.enabled => rotation
            .period_days
            .map_or_else(|| "by itself".to_owned(), |days| format!("every {}", count_days(days.into()))),
        (_, Some(false)) => "not by itself".to_owned(),
        (Some(_), _) => "off".to_owned(),
        (None, _) => "not known".to_owned(),
    };
    [Some(how), last].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn last_use(row: &Row, now: jiff::Timestamp) -> String {
    let Some(usage) = &row.last_usage else { return "not known".to_owned() };
    match (usage.at, usage.tracked_from) {
        (Some(at), _) => format!("{} ago", count_days(days_between(at, now))),
        (None, Some(from)) => format!("no record since {}", day(from)),
        (None, None) => "no record".to_owned(),
    }
}

fn count_days(days: i64) -> String {
    format!("{days} day{}", if days == 1 { "" } else { "s" })
}
