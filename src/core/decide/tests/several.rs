//! Rules that look at several events, escalate, and print templates: from the event to what people hear.

use super::*;

const DENIED: &str = "
id = 'team.burst'
title = 'Denied {{ key.id }}'
severity = 'medium'
match = { source = ['aws.kms'], outcome = ['denied'] }
group_by = ['actor.principal']
threshold = { count = 3, within = '10m' }
resolve_after = '1h'
escalate = [
    { when = { incident.alerts = [{ numeric = ['>=', 5] }] }, severity = 'high' },
    { when = { actor.type = ['Root'] }, severity = 'critical' },
]
";

fn denied(seconds: i64) -> Event {
    let message = format!(
        "User: x is not authorized to perform: kms:Decrypt on resource: {KEY} because no identity-based policy allows it"
    );
    call(
        "Decrypt",
        seconds,
        json!({ "errorCode": "AccessDenied", "errorMessage": message, "requestParameters": null, "responseElements": null, "resources": null }),
    )
}

fn one(rule: &str) -> Policy {
    policy_with(vec![rule_from(rule)], "[[routes]]\nsinks = ['chat']")
}

#[test]
fn a_burst_is_told_when_it_is_complete_and_rises_as_it_grows() {
    let (policy, mut world) = (one(DENIED), World::default());
    world.feed(&policy, &[denied(0), denied(60)], at(61));
    assert!(world.heard().is_empty() && world.incidents.is_empty());
    world.feed(&policy, &[denied(120)], at(121));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    assert_eq!(world.only().alerts, 3, "those before it are alerts too");
    assert_eq!(world.only().opened_at, at(0));
    assert_eq!(world.told[0].notification.incident.title, "Denied 1234abcd-12ab-34cd-56ef-1234567890ab");
    world.feed(&policy, &[denied(180), denied(200)], at(201));
    assert_eq!(world.heard()[1..], ["chat update escalated"]);
    assert_eq!(world.told[0].notification.incident.alerts, 3, "told when it is complete");
    assert_eq!(world.only().severity, Severity::High);
    world.pass(&policy, at(200 + 3600));
    assert_eq!(world.only().state, State::Resolved);
}

#[test]
fn bursts_end_alike_in_any_order_and_in_any_batches() {
    let policy = one(DENIED);
    let events: Vec<Event> = [0, 30, 400, 700, 720, 5000, 5100].map(denied).to_vec();
    let mut expected = None;
    for turn in 0..events.len() {
        for size in [1, 2, 7] {
            let mut order = events.clone();
            order.rotate_left(turn);
            if turn % 2 == 1 {
                order.reverse();
            }
            let mut world = World::default();
            for batch in order.chunks(size) {
                world.feed(&policy, batch, at(5200));
                world.feed(&policy, batch, at(5200));
            }
            let state = world.end_state();
            assert_eq!(*expected.get_or_insert_with(|| state.clone()), state, "turn {turn} size {size}");
        }
    }
    assert_eq!(expected.unwrap()[0].3, 5, "all but the last two, which are too few");
}

#[test]
fn disabling_and_then_scheduling_is_a_sequence() {
    let policy = one("
        id = 'team.disable-then-schedule'
        title = 'x'
        severity = 'critical'
        match = { detail.eventName = ['ScheduleKeyDeletion'], outcome = ['success'] }
        sequence = { after = [{ detail.eventName = ['DisableKey'], outcome = ['success'] }], within = '1h' }
        resolve_after = '1d'
        ");
    let (disable, schedule) = (call("DisableKey", 0, json!({})), call("ScheduleKeyDeletion", 600, json!({})));
    for order in [[disable.clone(), schedule.clone()], [schedule.clone(), disable.clone()]] {
        let mut world = World::default();
        for event in order {
            world.feed(&policy, &[event], at(700));
        }
        assert_eq!(world.heard(), ["chat trigger opened"]);
        assert_eq!((world.only().alerts, world.only().opened_at), (1, at(600)));
    }
    let mut world = World::default();
    world.feed(&policy, &[disable, call("ScheduleKeyDeletion", 3601, json!({}))], at(3700));
    assert!(world.incidents.is_empty());
}

#[test]
fn a_rotation_that_never_comes_is_told_and_ends_when_it_comes() {
    let policy = one("
        id = 'team.rotation-not-done'
        title = 'x'
        severity = 'high'
        match = { detail.eventName = ['RotateKeyOnDemand'], outcome = ['success'] }
        absent = { expect = { detail.eventName = ['RotateKey'] }, within = '2h' }
        ");
    let asked = || call("RotateKeyOnDemand", 0, json!({}));
    let mut world = World::default();
    world.feed(&policy, &[asked()], at(1));
    assert!(world.incidents.is_empty());
    world.pass(&policy, at(7200));
    assert!(world.incidents.is_empty(), "it may come late");
    world.pass(&policy, at(7200 + 900));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    world.feed(&policy, &[call("RotateKey", 9000, json!({}))], at(9001));
    assert_eq!(world.heard()[1..], ["chat resolve resolved"]);
    let mut world = World::default();
    world.feed(&policy, &[asked(), call("RotateKey", 7000, json!({}))], at(7001));
    world.pass(&policy, at(99_999));
    assert!(world.incidents.is_empty());
}

#[test]
fn a_principal_new_to_a_key_is_told_after_a_week_of_learning() {
    let policy = one("
        id = 'team.new-principal'
        title = 'x'
        severity = 'low'
        match = { detail.eventName = ['Decrypt'], outcome = ['success'] }
        new_value = { of = 'actor.principal', within = '30d' }
        resolve_after = '1d'
        ");
    let by = |role: &str, seconds: i64| {
        let identity = json!({ "type": "AssumedRole", "arn": format!("arn:aws:sts::111122223333:assumed-role/{role}/x"), "accountId": "111122223333" });
        call("Decrypt", seconds, json!({ "userIdentity": identity }))
    };
    let day = 86_400;
    let mut world = World::default();
    world.feed(&policy, &[by("App", 0), by("Backup", day)], at(day));
    world.feed(&policy, &[by("App", 8 * day)], at(8 * day));
    assert!(world.incidents.is_empty());
    // A key that slept for long is known all the same.
    let mut later = World::default();
    let left = world.snapshot.situations.values().filter_map(Situation::learnt);
    later.snapshot.situations = left.map(|left| (left.fingerprint.clone(), left)).collect();
    assert_eq!(later.snapshot.situations.len(), 1);
    later.feed(&policy, &[by("Stranger", 400 * day)], at(400 * day));
    assert_eq!(later.heard(), ["chat trigger opened"]);
    world.feed(&policy, &[by("Stranger", 8 * day + 5)], at(8 * day + 6));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    assert_eq!(
        world.only().actors.iter().map(String::as_str).collect::<Vec<_>>(),
        ["arn:aws:iam::111122223333:role/Stranger"]
    );
}

#[test]
fn one_event_is_one_page_however_many_rules_it_matches() {
    let rule = |id: &str, severity: &str| {
        rule_from(&format!(
            "id = '{id}'\ntitle = '{id}'\nseverity = '{severity}'\nincident = 'family'\nresolve_after = '1h'\nmatch = {{ detail.eventName = ['PutKeyPolicy'] }}"
        ))
    };
    let rules = vec![rule("team.c", "critical"), rule("team.a", "low"), rule("team.b", "high")];
    let (policy, mut world) = (policy_with(rules, "[[routes]]\nsinks = ['chat']"), World::default());
    world.feed(&policy, &[call("PutKeyPolicy", 0, json!({}))], at(1));
    assert_eq!(world.heard(), ["chat trigger opened"]);
    let card = &world.told[0].notification.incident;
    assert_eq!((card.severity, card.rule.as_str(), card.alerts, card.step), (Severity::Critical, "team.c", 3, 0));
    world.feed(&policy, &[call("PutKeyPolicy", 5, json!({}))], at(6));
    assert_eq!(world.heard().len(), 1, "nothing new");
}

#[test]
fn a_window_survives_being_stored() {
    let (policy, mut world) = (one(DENIED), World::default());
    world.feed(&policy, &[denied(0), denied(60)], at(61));
    for situation in world.snapshot.situations.values_mut() {
        let text = serde_json::to_string(situation).unwrap();
        *situation = serde_json::from_str(&text).unwrap();
        assert!(text.len() < 4_000, "{} bytes", text.len());
    }
    world.feed(&policy, &[denied(120)], at(121));
    assert_eq!(world.only().alerts, 3);
}

#[test]
fn a_rule_that_is_gone_leaves_no_window_behind() {
    let mut world = World::default();
    let asked = one(
        "id = 'team.x'\ntitle = 'x'\nseverity = 'low'\nmatch = { detail.eventName = ['RotateKeyOnDemand'] }\nabsent = { expect = { detail.eventName = ['RotateKey'] }, within = '2h' }",
    );
    world.feed(&asked, &[call("RotateKeyOnDemand", 0, json!({}))], at(1));
    assert!(world.snapshot.situations.values().any(|s| s.next_due().is_some()));
    world.pass(&policy(), at(99_999));
    assert!(world.snapshot.situations.values().all(|s| s.windows.is_empty() && s.next_due().is_none()));
}

#[test]
fn what_is_wrong_with_a_window_is_said_at_its_place() {
    let base = "id = 'team.x'\ntitle = 'x'\nseverity = 'low'\nresolve_after = '1h'\nmatch = { source = ['aws.kms'] }\n";
    for (rest, message) in [
        ("threshold = { count = 1, within = '5m' }", "a threshold of 1"),
        ("threshold = { count = 501, within = '5m' }", "a threshold of 501"),
        ("threshold = { count = 5, within = '91d' }", "a window of 91d"),
        ("threshold = { count = 5, within = '5m', distinct = 'key.arm' }", "not a field"),
        ("sequence = { after = [], within = '5m' }", "0 events before"),
        ("sequence = { after = [{ source = 'x' }], within = '5m' }", "takes a list"),
        ("new_value = { of = 'actor', within = '5m' }", "not a field"),
        ("absent = { expect = {}, within = '5m' }", "empty table"),
        (
            "threshold = { count = 5, within = '5m' }\nabsent = { expect = { source = ['x'] }, within = '5m' }",
            "one window",
        ),
    ] {
        let spec: rule::RuleSpec = toml::from_str(&format!("{base}{rest}")).unwrap();
        let problems = rule::compile(&spec).unwrap_err();
        assert!(problems.iter().any(|p| p.message.contains(message) && p.hint.is_some()), "{rest}: {problems:?}");
    }
}

#[test]
fn a_rule_that_needs_the_full_pattern_says_so_on_the_card() {
    let rule = |name: &str| {
        one(&format!(
            "id = 'team.use'\ntitle = 'x'\nseverity = 'low'\nnotice = true\nmeaning = 'It was used.'\nmatch = {{ detail.eventName = ['{name}'], outcome = ['success'] }}"
        ))
    };
    for (name, full) in [("Decrypt", true), ("DisableKey", false)] {
        let mut world = World::default();
        world.feed(&rule(name), &[call(name, 0, json!({}))], at(1));
        let meaning = world.told[0].notification.meaning.as_deref().unwrap();
        assert!(meaning.starts_with("It was used.") && meaning.contains("full event pattern") == full, "{meaning}");
    }
}
