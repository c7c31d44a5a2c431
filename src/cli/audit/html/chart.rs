//! The three pictures: findings by severity, what is coming, and age against rotation. SVG in the page's own colours; each has a
//! title and a description for those who do not see it, and shape or text wherever it has colour.

use std::fmt::Write as _;

use super::{Audit, count, esc};
use crate::cli::audit::text::days_between;
use crate::core::audit::{DeadlineKind, Row, day, deadlines};
use crate::core::rule::Severity;

/// Deadlines with a name of their own in the picture.
const NAMED: usize = 8;
/// How far ahead the picture looks.
const AHEAD_DAYS: i64 = 365;
/// Dots in the picture of ages.
const DOTS_MAX: usize = 2_000;

/// A bar for each severity.
pub(super) fn severities(html: &mut String, audit: &Audit) {
    let most = Severity::ALL.into_iter().map(|severity| audit.tally.found(severity)).max().unwrap_or(0).max(1);
    let words: Vec<String> = Severity::ALL
        .into_iter()
        .rev()
        .map(|severity| format!("{} {}", audit.tally.found(severity), severity.as_str()))
        .collect();
    _ = writeln!(
        html,
        "<svg class=\"bars\" viewBox=\"0 0 420 170\" role=\"img\" aria-labelledby=\"bars-t bars-d\">\
         <title id=\"bars-t\">Findings by severity</title><desc id=\"bars-d\">{}</desc>",
        words.join(", "),
    );
    for (at, severity) in Severity::ALL.into_iter().rev().enumerate() {
        let found = audit.tally.found(severity);
        let y = 6.0 + share(at, 1) * 33.0;
        let width = if found == 0 { 0.0 } else { (share(found, most) * 280.0).max(3.0) };
        _ = writeln!(
            html,
            "<text class=\"label\" x=\"72\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"fill {1}\" x=\"82\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"24\" rx=\"3\"/>\
             <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{found}</text>",
            y + 16.5,
            severity.as_str(),
            90.0 + width,
            y + 16.5,
        );
    }
    html.push_str("</svg>\n");
}

/// The next year, with what will happen to keys.
pub(super) fn timeline(html: &mut String, audit: &Audit) {
    let all = deadlines(&audit.rows, true);
    let left = |at| days_between(audit.at, at);
    let ahead: Vec<_> = all.iter().filter(|(_, deadline)| (0..=AHEAD_DAYS).contains(&left(deadline.at))).collect();
    let hard: Vec<_> = ahead.iter().filter(|(_, deadline)| deadline.kind != DeadlineKind::Rotation).collect();
    let rotations = ahead.len() - hard.len();
    let later = all
        .iter()
        .filter(|(_, deadline)| left(deadline.at) > AHEAD_DAYS && deadline.kind != DeadlineKind::Rotation)
        .count();
    if ahead.is_empty() {
        html.push_str(
            "<p>Nothing within a year that KMS has told: no deletion, no expiry of key material, no rotation.</p>\n",
        );
        return;
    }
    let x = |at| 30.0 + as_float(left(at)) / as_float(AHEAD_DAYS) * 840.0;
    let names = hard.len().min(NAMED);
    let base = 26.0 + share(names, 1) * 22.0 + 12.0;
    let deletions = hard.iter().filter(|(_, deadline)| deadline.kind == DeadlineKind::Deletion).count();
    _ = writeln!(
        html,
        "<svg class=\"timeline\" viewBox=\"0 0 900 {:.0}\" role=\"img\" aria-labelledby=\"time-t time-d\">\
         <title id=\"time-t\">What will happen to keys within a year</title><desc id=\"time-d\">{}, {}, {}; the list below \
         names them</desc>",
        base + 62.0,
        count(deletions, "deletion"),
        count(hard.len() - deletions, "expiry of key material"),
        count(rotations, "rotation"),
    );
    _ = writeln!(html, "<line class=\"axis\" x1=\"30\" y1=\"{base:.1}\" x2=\"870\" y2=\"{base:.1}\"/>");
    for (days, text) in
        [(0, "today"), (30, "30 days"), (90, "90 days"), (180, "180 days"), (270, "270 days"), (365, "a year")]
    {
        let at = 30.0 + as_float(days) / as_float(AHEAD_DAYS) * 840.0;
        _ = writeln!(
            html,
            "<line class=\"axis\" x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            base,
            base + 6.0,
            base + 22.0,
        );
    }
    for (_, deadline) in ahead.iter().filter(|(_, deadline)| deadline.kind == DeadlineKind::Rotation).take(DOTS_MAX) {
        let at = x(deadline.at);
        _ = writeln!(
            html,
            "<line class=\"rotation\" x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\"/>",
            base - 7.0,
            base
        );
    }
    let in_words = || {
        hard.iter()
            .enumerate()
            .take(NAMED)
            .map(|(number, (row, deadline))| (20.0 + share(number, 1) * 22.0, row, deadline))
    };
    for (y, _, deadline) in in_words() {
        let at = x(deadline.at);
        let class = if deadline.kind == DeadlineKind::Deletion { "critical" } else { "high" };
        _ = writeln!(
            html,
            "<line class=\"stem {class}\" x1=\"{at:.1}\" y1=\"{y:.1}\" x2=\"{at:.1}\" y2=\"{base:.1}\"/>"
        );
    }
    // After all lines, so that none goes through a name.
    for (y, row, deadline) in in_words() {
        let at = x(deadline.at);
        let (side, anchor) = if at > 560.0 { (-9.0, "end") } else { (9.0, "start") };
        _ = writeln!(
            html,
            "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{} {}, {}</text>",
            at + side,
            y + 4.0,
            esc(&shortened(row.name())),
            deadline.kind.words(),
            day(deadline.at),
        );
    }
    for (_, deadline) in hard.iter().rev() {
        mark(html, deadline.kind, x(deadline.at), base);
    }
    legend(html, base + 46.0);
    html.push_str("</svg>\n");
    list(html, audit, &hard.iter().map(|(row, deadline)| (*row, *deadline)).collect::<Vec<_>>());
    if later > 0 {
        _ = writeln!(html, "<p class=\"quiet\">{later} more after that.</p>");
    }
}

fn mark(html: &mut String, kind: DeadlineKind, at: f64, base: f64) {
    _ = match kind {
        DeadlineKind::Deletion => {
            writeln!(html, "<path class=\"fill critical edge\" d=\"M{:.1} {:.1}l7 7l-7 7l-7 -7z\"/>", at, base - 7.0)
        }
        DeadlineKind::MaterialExpires => {
            writeln!(html, "<path class=\"fill high edge\" d=\"M{:.1} {:.1}l7 12h-14z\"/>", at, base - 7.0)
        }
        DeadlineKind::Rotation => Ok(()),
    };
}

fn legend(html: &mut String, y: f64) {
    mark(html, DeadlineKind::Deletion, 40.0, y - 4.0);
    mark(html, DeadlineKind::MaterialExpires, 170.0, y - 5.0);
    _ = writeln!(
        html,
        "<text class=\"tick\" x=\"54\" y=\"{y:.1}\">key is deleted</text><text class=\"tick\" x=\"184\" y=\"{y:.1}\">material expires</text>\
         <line class=\"rotation\" x1=\"318\" y1=\"{:.1}\" x2=\"318\" y2=\"{:.1}\"/><text class=\"tick\" x=\"328\" y=\"{y:.1}\">key rotates</text>",
        y - 10.0,
        y,
    );
}

fn list(html: &mut String, audit: &Audit, hard: &[(&Row, crate::core::audit::Deadline)]) {
    if hard.is_empty() {
        return;
    }
    html.push_str("<ol class=\"coming\">\n");
    for (row, deadline) in hard.iter().take(50) {
        _ = writeln!(
            html,
            "<li><time datetime=\"{}\">{}</time>, in {}: <bdi class=\"name\">{}</bdi> {}</li>",
            deadline.at,
            day(deadline.at),
            count(usize::try_from(days_between(audit.at, deadline.at)).unwrap_or(0), "day"),
            esc(row.name()),
            deadline.kind.words(),
        );
    }
    html.push_str("</ol>\n");
}

/// One key as a dot.
struct Dot<'r> {
    row: &'r Row,
    age: i64,
    /// Days since its material last changed.
    material: i64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rotates,
    Off,
    Cannot,
}

/// How old each key is, and how old its material.
pub(super) fn ages(html: &mut String, audit: &Audit) {
    let dots: Vec<Dot<'_>> = audit.rows.iter().filter_map(|row| dot(row, audit)).take(DOTS_MAX).collect();
    if dots.is_empty() {
        html.push_str("<p>The age of no key is known.</p>\n");
        return;
    }
    let number = |kind| dots.iter().filter(|dot| dot.kind == kind).count();
    let old = dots.iter().filter(|dot| dot.material > 365).count();
    let most = dots.iter().map(|dot| dot.age.max(dot.material)).max().unwrap_or(0).max(400);
    // Square roots: most keys are young, and the old ones must be seen too.
    let scale = |days: i64, length: f64| (as_float(days.max(0)) / as_float(most)).sqrt() * length;
    _ = write!(
        html,
        "<p>Each mark is a key. The higher it is, the longer its material has been in use; above the line it has been more than a \
         year: {} of {}.</p>\n<svg class=\"ages\" viewBox=\"0 0 900 400\" role=\"img\" aria-labelledby=\"ages-t ages-d\">\
         <title id=\"ages-t\">Age of keys against the age of their material</title><desc id=\"ages-d\">{} rotate by themselves, {} \
         could and do not, {} cannot; the material of {} is older than a year</desc>\n",
        old,
        dots.len(),
        number(Kind::Rotates),
        number(Kind::Off),
        number(Kind::Cannot),
        old,
    );
    let (left, bottom, width, height) = (70.0, 330.0, 800.0, 310.0);
    let year = bottom - scale(365, height);
    _ = writeln!(
        html,
        "<rect class=\"late\" x=\"{left}\" y=\"{:.1}\" width=\"{width}\" height=\"{:.1}\"/>\
         <line class=\"axis\" x1=\"{left}\" y1=\"{bottom}\" x2=\"{:.1}\" y2=\"{bottom}\"/>\
         <line class=\"axis\" x1=\"{left}\" y1=\"{:.1}\" x2=\"{left}\" y2=\"{bottom}\"/>\
         <line class=\"limit\" x1=\"{left}\" y1=\"{year:.1}\" x2=\"{:.1}\" y2=\"{year:.1}\"/>",
        bottom - height,
        year - (bottom - height),
        left + width,
        bottom - height,
        left + width,
    );
    for (days, text) in
        [(30, "30 d"), (90, "90 d"), (365, "1 y"), (730, "2 y"), (1095, "3 y"), (1825, "5 y"), (3650, "10 y")]
    {
        if days > most {
            continue;
        }
        let (x, y) = (left + scale(days, width), bottom - scale(days, height));
        _ = writeln!(
            html,
            "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>\
             <line class=\"axis\" x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{:.1}\"/>",
            bottom + 20.0,
            left - 8.0,
            y + 4.0,
            bottom + 5.0,
        );
    }
    _ = writeln!(
        html,
        "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">age of the key</text>\
         <text class=\"tick\" x=\"16\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 16 {:.1})\">age of its material</text>",
        left + width / 2.0,
        bottom + 38.0,
        bottom - height / 2.0,
        bottom - height / 2.0,
    );
    for dot in &dots {
        let (x, y) = (left + scale(dot.age, width), bottom - scale(dot.material, height));
        symbol(html, dot.kind, x, y, Some(dot));
    }
    for (kind, x, text) in [
        (Kind::Rotates, 80.0, "rotates by itself"),
        (Kind::Off, 230.0, "rotation is off"),
        (Kind::Cannot, 370.0, "cannot rotate by itself"),
    ] {
        symbol(html, kind, x, 391.0, None);
        _ = writeln!(html, "<text class=\"tick\" x=\"{:.1}\" y=\"395\">{text}</text>", x + 12.0);
    }
    html.push_str("</svg>\n");
}

fn dot<'r>(row: &'r Row, audit: &Audit) -> Option<Dot<'r>> {
    if row.managed_by_aws {
        return None;
    }
    let created = row.created?;
    let kind = match (&row.rotation, row.can_rotate) {
        (Some(rotation), _) if rotation.enabled => Kind::Rotates,
        (Some(_), Some(true)) => Kind::Off,
        _ => Kind::Cannot,
    };
    let since = |at| days_between(at, audit.at);
    Some(Dot { row, age: since(created), material: since(row.last_rotation.unwrap_or(created)), kind })
}

fn symbol(html: &mut String, kind: Kind, x: f64, y: f64, dot: Option<&Dot<'_>>) {
    let title = dot.map_or_else(String::new, |dot| {
        format!(
            "<title>{}: {} old, material {}</title>",
            esc(&shortened(dot.row.name())),
            count(usize::try_from(dot.age).unwrap_or(0), "day"),
            count(usize::try_from(dot.material).unwrap_or(0), "day"),
        )
    });
    _ = match kind {
        Kind::Rotates => {
            writeln!(html, "<circle class=\"dot good\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\">{title}</circle>")
        }
        Kind::Off => writeln!(
            html,
            "<rect class=\"dot off\" x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\">{title}</rect>",
            x - 4.0,
            y - 4.0
        ),
        Kind::Cannot => {
            writeln!(html, "<path class=\"dot cannot\" d=\"M{:.1} {:.1}l5 9h-10z\">{title}</path>", x, y - 5.0)
        }
    };
}

/// For a picture: the end of a name says more than its middle.
fn shortened(name: &str) -> String {
    let length = name.chars().count();
    if length <= 40 {
        return name.to_owned();
    }
    let (head, tail): (String, String) = (name.chars().take(18).collect(), name.chars().skip(length - 21).collect());
    format!("{head}…{tail}")
}

#[expect(clippy::cast_precision_loss, reason = "places in a picture")]
fn share(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}

#[expect(clippy::cast_precision_loss, reason = "places in a picture")]
fn as_float(number: i64) -> f64 {
    number as f64
}
