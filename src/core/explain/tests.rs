use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::core::catalog::{self, Scene};
use crate::core::decode::decode;
use crate::core::event::Event;
use crate::core::rule::{RuleFile, RuleSet, builtin, compile};

fn policy(rules: Vec<Arc<Rule>>) -> Policy {
    Policy { rules: RuleSet::new(rules), ..Policy::default() }
}

fn event(name: &str) -> Event {
    let known = catalog::known(name);
    let envelope =
        catalog::envelope(name, known.map_or("aws.kms", |k| k.source), known, &Scene::new(Timestamp::UNIX_EPOCH));
    decode(&envelope.to_string()).events.remove(0)
}

fn told(policy: &Policy, event: Event, marks: Vec<String>, wanted: Wanted<'_>) -> Explanation {
    let now = event.time;
    let prepared = Prepared { event, marks, looked_up: None };
    explain(policy, &mut World::default(), &prepared, wanted, now)
}

#[test]
fn the_verdicts_are_those_of_the_engine() {
    let policy = policy(builtin().to_vec());
    for known in catalog::all() {
        let event = event(known.name);
        let prepared = Prepared { event: event.clone(), marks: vec![], looked_up: None };
        let evaluation = evaluate(&policy, &prepared, event.time);
        let explanation = told(&policy, event, vec![], Wanted::default());
        let alerting: BTreeSet<&str> = {
            let alone = evaluation
                .alerts
                .iter()
                .filter(|candidate| candidate.rule.window.is_none() && candidate.rule.countdown.is_none());
            alone.map(|candidate| candidate.rule.id.as_str()).collect()
        };
        let said = explanation.rules.iter().filter(|story| story.verdict == Verdict::Alert);
        assert_eq!(said.map(|story| story.rule.as_str()).collect::<BTreeSet<_>>(), alerting, "{}", known.name);
        assert_eq!(explanation.verdict == Verdict::Alert, !alerting.is_empty(), "{}", known.name);
        assert_eq!(explanation.rules.len() + explanation.far, builtin().len(), "no rule is passed over");
    }
}

fn own(text: &str) -> Vec<Arc<Rule>> {
    let file: RuleFile = toml::from_str(text).unwrap();
    file.rule.iter().map(|spec| Arc::new(compile(spec).unwrap())).collect()
}

#[test]
fn an_exemption_that_does_not_count_says_so() {
    let rules = own(
        "[[rule]]\nid = \"a\"\ntitle = \"A\"\nseverity = \"low\"\nresolve_after = \"1h\"\nmatch = { detail.eventName = [\"DisableKey\"] }\nexcept = [{ key.aliases = [{ exists = false }] }]\n",
    );
    let sure = told(&policy(rules.clone()), event("DisableKey"), vec![], Wanted::default());
    assert_eq!(sure.verdict, Verdict::Excepted);
    let unsure =
        told(&policy(rules), event("DisableKey"), vec!["key details could not be looked up".into()], Wanted::default());
    assert_eq!(unsure.verdict, Verdict::Alert);
    let except = &unsure.rules[0].excepts[0];
    assert!(except.matched && except.unsure);
    assert!(
        unsure.rules[0].remarks[0].contains("no page is lost to missing knowledge"),
        "{:?}",
        unsure.rules[0].remarks
    );
}

#[test]
fn every_combination_is_weighed_and_the_nearest_is_shown() {
    let rules = own(
        "[[rule]]\nid = \"a\"\ntitle = \"A\"\nseverity = \"low\"\nresolve_after = \"1h\"\nmatch = { \"$or\" = [{ detail.eventName = [\"EnableKey\"], account = [\"x\"] }, { detail.eventName = [\"DisableKey\"], account = [\"111122223333\"], region = [\"us-east-1\"] }] }\n",
    );
    let explanation = told(&policy(rules), event("DisableKey"), vec![], Wanted::default());
    let failed: Vec<&Field> = explanation.rules[0].fields.iter().filter(|field| !field.passed).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((failed[0].path.as_str(), failed[0].wanted.as_str()), ("region", "[\"us-east-1\"]"));
    assert_eq!(failed[0].saw, ["eu-central-1"]);
}

#[test]
fn fields_below_one_list_must_fit_the_same_element() {
    let rules = own(
        "[[rule]]\nid = \"a\"\ntitle = \"A\"\nseverity = \"low\"\nresolve_after = \"1h\"\nmatch = { detail.eventName = [\"ReEncrypt\"], detail.resources = { ARN = [{ suffix = \"0ab\" }], accountId = [\"444455556666\"] } }\n",
    );
    let mut event = event("ReEncrypt");
    *event.document.pointer_mut("/detail/resources/1/accountId").unwrap() = "444455556666".into();
    let explanation = told(&policy(rules), event, vec![], Wanted::default());
    assert_eq!(explanation.verdict, Verdict::Refused);
    assert!(explanation.rules[0].fields.iter().all(|field| field.passed));
    assert!(explanation.rules[0].remarks[0].contains("one element"), "{:?}", explanation.rules[0].remarks);
}

#[test]
fn a_rule_asked_for_is_shown_however_far_it_is() {
    let policy = policy(builtin().to_vec());
    let wanted = Wanted { rule: Some("kms.key-rotated"), ..Wanted::default() };
    let explanation = told(&policy, event("Decrypt"), vec![], wanted);
    assert_eq!(explanation.rules.iter().map(|story| story.rule.as_str()).collect::<Vec<_>>(), ["kms.key-rotated"]);
    assert_eq!(explanation.far, 0);
}

#[test]
fn a_route_for_a_small_rule_says_why_it_does_not_end_the_list() {
    #[derive(serde::Deserialize)]
    struct Routes {
        routes: Vec<crate::core::route::RouteSpec>,
    }
    let rule = |id: &str, severity: &str| {
        format!(
            "[[rule]]\nid = '{id}'\ntitle = 'T'\nseverity = '{severity}'\nincident = 'f'\nresolve_after = '1h'\nmatch = {{ detail.eventName = ['DisableKey'] }}\n"
        )
    };
    let mut policy = policy(own(&(rule("small", "low") + &rule("great", "critical"))));
    let routes: Routes = toml::from_str(
        "[[routes]]\nmatch = { rule = ['small'] }\nsinks = ['quiet']\nstop = true\n[[routes]]\nmatch = { key.labels.env = ['dev'] }\nsinks = ['dev']\nstop = true\n[[routes]]\nsinks = ['pager']\nstop = true\n[[routes]]\nsinks = ['never']",
    )
    .unwrap();
    policy.routes = routes.routes.iter().map(|route| route.compile().unwrap()).collect();
    let wanted = Wanted { sinks_known: true, ..Wanted::default() };
    let told = told(&policy, event("DisableKey"), vec!["no answer".into()], wanted);
    let [incident] = told.incidents.as_slice() else { panic!("{:?}", told.incidents) };
    let said: Vec<_> =
        incident.routes.iter().map(|route| (route.taken, route.why.clone().unwrap_or_default())).collect();
    assert_eq!(
        said,
        [
            (true, "it does not end the list, since great fired too, and none that fired is more severe".to_owned()),
            (
                true,
                "it reads key details that could not be looked up, so it is taken to be safe; what it reads of the key could not be looked up, so it does not end the list".to_owned()
            ),
            (true, "it takes every incident".to_owned()),
            (false, "route 3 ends the list".to_owned()),
        ]
    );
    assert!(
        incident.lines.iter().any(|line| line.contains("a page goes to dev, pager, quiet")),
        "{:?}",
        incident.lines
    );
}

#[test]
fn an_inhibition_that_does_not_hold_says_why() {
    #[derive(serde::Deserialize)]
    struct Tables {
        inhibit: Vec<crate::core::inhibit::InhibitSpec>,
    }
    let rule = |id: &str, severity: &str, event: &str, family: &str| {
        format!(
            "[[rule]]\nid = '{id}'\ntitle = 'T'\nseverity = '{severity}'\nincident = '{family}'\nresolve_after = '1h'\nmatch = {{ detail.eventName = ['{event}'] }}\n"
        )
    };
    let rules = rule("small", "low", "DisableKey", "f")
        + &rule("great", "high", "DisableKey", "f")
        + &rule("cause", "low", "CreateAlias", "c");
    let mut policy = policy(own(&rules));
    let tables: Tables =
        toml::from_str("[[inhibit]]\nsource = { rule = ['cause'] }\ntarget = { rule = ['small'] }").unwrap();
    policy.inhibit = tables.inhibit.iter().map(|spec| spec.compile().unwrap()).collect();
    policy.routes = vec![];
    policy.sinks = vec!["pager".to_owned()];
    let mut world = World::default();
    let mut last = None;
    for name in ["CreateAlias", "DisableKey"] {
        let mut event = event(name);
        event.id = crate::core::event::EventId(name.to_owned());
        let now = event.time;
        let prepared = Prepared { event, marks: vec![], looked_up: None };
        last = Some(explain(&policy, &mut world, &prepared, Wanted { sinks_known: true, ..Wanted::default() }, now));
    }
    let lines = last.unwrap().incidents.remove(0).lines;
    let told = lines.iter().find(|line| line.contains("a page goes to pager")).expect("it is told");
    assert!(told.contains("does not hold this back: great fired too"), "{lines:?}");
}
