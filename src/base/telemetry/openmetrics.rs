//! The same metrics in the words of OpenMetrics 1.0. It differs from Prometheus' text format in few things: a counter's family
//! has no `_total` and an info's no `_info`, bounds of buckets are floats, help texts quote quotes, and there is an end.

use std::fmt::Write as _;

/// The content type that says so.
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a scraper that sends this `Accept` header would rather have OpenMetrics than Prometheus' text format.
pub fn wanted(accept: &str) -> bool {
    let (mut open, mut text) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0_f32, None);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => version = Some(value.trim()),
                _ => {}
            }
        }
        match kind.as_str() {
            // 0.0.1 is what scrapers called it before it was finished.
            "application/openmetrics-text" if version.is_none_or(|v| ["1.0.0", "0.0.1"].contains(&v)) => {
                open = open.max(quality);
            }
            "text/plain" | "text/*" => text = text.max(quality),
            _ => {}
        }
    }
    open > 0.0 && open >= text
}

/// Turns Prometheus' text format 0.0.4, as our recorder writes it, into OpenMetrics.
pub(super) fn from_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            writeln!(out, "# HELP {} {}", family(name).0, help.replace('"', "\\\"")).ok();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (family, is) = family(name);
            writeln!(out, "# TYPE {family} {}", is.unwrap_or(kind)).ok();
        } else {
            sample(&mut out, line);
        }
    }
    out.push_str("# EOF\n");
    out
}

/// A metric's family, and its type where the name's ending says it.
fn family(name: &str) -> (&str, Option<&'static str>) {
    if let Some(family) = name.strip_suffix("_total") {
        return (family, Some("counter"));
    }
    name.strip_suffix("_info").map_or((name, None), |family| (family, Some("info")))
}

/// A bucket's bound is a float even if it is whole.
fn sample(out: &mut String, line: &str) {
    const BOUND: &str = "le=\"";
    let bound = line.find(BOUND).map(|at| at + BOUND.len()).and_then(|start| {
        let (before, rest) = line.split_at_checked(start)?;
        let (value, after) = rest.split_once('"')?;
        value.bytes().all(|b| b.is_ascii_digit()).then_some((before, value, after))
    });
    match bound {
        Some((before, value, after)) => writeln!(out, "{before}{value}.0\"{after}"),
        None => writeln!(out, "{line}"),
    }
    .ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scraper_chooses() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text", true),
            ("application/openmetrics-text; version=1.0.0, text/plain;version=0.0.4;q=0.5", true),
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", true),
            ("text/plain;version=0.0.4,application/openmetrics-text;q=0.5", false),
            ("application/openmetrics-text;version=2.0.0", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=often", false),
        ] {
            assert_eq!(wanted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn what_differs_is_changed_and_nothing_else() {
        let text = "# HELP a_total Says \"so\".\n# TYPE a_total counter\na_total{x=\"1\"} 3\n\n# TYPE b_info gauge\nb_info{v=\"2\"} 1\n\n\
            # TYPE c_seconds histogram\nc_seconds_bucket{s=\"x\",le=\"0.5\"} 1\nc_seconds_bucket{s=\"x\",le=\"10\"} 2\n\
            c_seconds_bucket{s=\"x\",le=\"+Inf\"} 2\nc_seconds_sum{s=\"x\"} 5.5\nc_seconds_count{s=\"x\"} 2\n";
        assert_eq!(
            from_text(text),
            "# HELP a Says \\\"so\\\".\n# TYPE a counter\na_total{x=\"1\"} 3\n# TYPE b info\nb_info{v=\"2\"} 1\n\
             # TYPE c_seconds histogram\nc_seconds_bucket{s=\"x\",le=\"0.5\"} 1\nc_seconds_bucket{s=\"x\",le=\"10.0\"} 2\n\
             c_seconds_bucket{s=\"x\",le=\"+Inf\"} 2\nc_seconds_sum{s=\"x\"} 5.5\nc_seconds_count{s=\"x\"} 2\n# EOF\n"
        );
    }
}
