//! Which sinks critical incidents may go to, by what is known of them before they happen.

use std::collections::BTreeSet;

use super::Route;
use crate::core::pattern::Pattern;
use crate::core::pattern::tree::{Leaf, Tree};
use crate::core::rule::Severity;

/// The sinks of all routes that may take a critical incident; all there are if no route may.
pub fn critical_sinks(routes: &[Route], all_sinks: &[String]) -> BTreeSet<String> {
    let mut sinks = BTreeSet::new();
    for route in routes {
        if route.pattern().is_none_or(may_be_critical) {
            sinks.extend(route.sinks.iter().cloned());
        }
        if route.ends_list() && route.pattern().is_none() {
            break;
        }
    }
    if sinks.is_empty() { all_sinks.iter().cloned().collect() } else { sinks }
}

fn may_be_critical(pattern: &Pattern) -> bool {
    (0..pattern.combinations().count()).any(|combination| pattern.admits(combination, Known::Incident))
}

/// An incident of which nothing is known but that it is critical.
#[derive(Clone, Copy)]
enum Known {
    Incident,
    Severity,
    Nothing,
}

impl<'d> Tree<'d> for Known {
    type Seen = ();

    fn seen(&self) -> &() {
        &()
    }

    fn is_unknown(self) -> bool {
        matches!(self, Self::Nothing)
    }

    fn leaf(self) -> Option<Leaf<'d>> {
        matches!(self, Self::Severity).then_some(Leaf::String(Severity::Critical.as_str()))
    }

    fn elements(self) -> Option<impl Iterator<Item = Self> + Clone> {
        None::<std::iter::Empty<Self>>
    }

    fn member(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Severity, _) => None,
            (Self::Incident, "severity") => Some(Self::Severity),
            (Self::Incident | Self::Nothing, _) => Some(Self::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::route::RouteSpec;

    fn of(routes: &str) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Holder {
            #[serde(default)]
            routes: Vec<RouteSpec>,
        }
        let holder: Holder = toml::from_str(routes).unwrap();
        let routes: Vec<Route> = holder.routes.iter().map(|route| route.compile().unwrap()).collect();
        let all = ["a", "b", "c"].map(str::to_owned);
        critical_sinks(&routes, &all).into_iter().collect()
    }

    #[test]
    fn whoever_may_hear_of_a_critical_incident_counts() {
        assert_eq!(of(""), ["a", "b", "c"]);
        assert_eq!(of("[[routes]]\nsinks = ['a']"), ["a"]);
        let high = "[[routes]]\nmatch = { severity = ['high'] }\nsinks = ['a']\n";
        assert_eq!(of(high), ["a", "b", "c"], "what no route takes goes to all");
        let not_critical = "[[routes]]\nmatch = { severity = [{ anything-but = ['critical'] }] }\nsinks = ['c']\n";
        let team = "[[routes]]\nmatch = { severity = ['critical', 'high'], key.labels.team = ['x'] }\nsinks = ['b']\n";
        assert_eq!(of(&format!("{high}{not_critical}{team}")), ["b"]);
        let either = "[[routes]]\nmatch = { \"$or\" = [{ severity = ['low'] }, { rule = ['x'] }] }\nsinks = ['c']\n";
        assert_eq!(of(&format!("{team}{either}")), ["b", "c"]);
        assert_eq!(of(&format!("[[routes]]\nsinks = ['a']\nstop = true\n{team}")), ["a"], "nothing gets further");
    }
}
