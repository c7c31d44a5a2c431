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
