use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::matches::{Match, Matches};
use super::*;
use crate::core::event::EventId;
use crate::core::route::RouteSpec;
use crate::core::rule::{RuleFile, RuleSet, classic, compile};

const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// These rules, and one sink that hears everything.
fn policy_of(rules: Vec<Arc<crate::core::rule::Rule>>) -> Policy {
    let sinks = vec![serde_spanned::Spanned::new(0..0, "all".to_owned())];
    let mut policy = crate::config::load_rules(&[]).unwrap().policy;
    policy.rules = RuleSet::new(rules);
    policy.routes = vec![RouteSpec { matches: None, sinks, stop: false }.compile().unwrap()];
    policy.sinks = vec!["all".to_owned()];
    policy
}

fn rules(text: &str) -> Policy {
    let file: RuleFile = toml::from_str(text).unwrap();
    policy_of(file.rule.iter().map(|spec| Arc::new(compile(spec).unwrap())).collect())
}

fn built_in() -> Policy {
    policy_of(classic())
}

/// A record of CloudTrail, `minute` minutes into a day.
fn record(id: &str, name: &str, minute: u32) -> Value {
    json!({
        "eventVersion": "1.09",
        "userIdentity": {
            "type": "IAMUser", "accountId": "111122223333", "arn": "arn:aws:iam::111122223333:user/erin", "userName": "erin",
        },
        "eventTime": format!("2026-03-02T{:02}:{:02}:00Z", minute / 60, minute % 60),
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-central-1",
        "requestParameters": {"keyId": KEY},
        "responseElements": null,
        "eventID": id,
        "readOnly": false,
        "resources": [{"accountId": "111122223333", "type": "AWS::KMS::Key", "ARN": KEY}],
        "eventType": "AwsApiCall",
        "recipientAccountId": "111122223333",
    })
}

fn denied(id: &str, minute: u32) -> Value {
    let mut record = record(id, "Decrypt", minute);
    record["readOnly"] = json!(true);
    record["errorCode"] = json!("AccessDenied");
    record["errorMessage"] = json!(format!(
        "User: arn:aws:iam::111122223333:user/erin is not authorized to perform: kms:Decrypt on resource: {KEY}"
    ));
    record
}

fn log(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

fn plan<'p>(policy: &'p Policy, paths: &'p [PathBuf]) -> Replay<'p> {
    Replay { paths, policy, against: None, lookups: false, from: None, to: None, threads: 2 }
}

/// Every line as JSON, and what came of it.
fn replay(plan: &Replay<'_>) -> (Vec<Value>, Outcome) {
    let mut lines = Vec::new();
    let outcome = plan.run(&Progress::default(), &mut |line| lines.push(serde_json::to_value(line).unwrap())).unwrap();
    (lines, outcome)
}

fn folder(files: &[(&str, String)]) -> (tempfile::TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let paths = vec![folder.path().to_owned()];
    (folder, paths)
}

fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[test]
fn a_story_is_told_as_the_daemon_would_tell_it() {
    let records = [record("e1", "DisableKey", 0), record("e2", "EnableKey", 90), record("e3", "ListAliases", 95)];
    let (_folder, paths) = folder(&[("a.json", log(&records))]);
    let policy = built_in();
    let mut lines = String::new();
    let mut say = |line: &Line| lines.extend([&serde_json::to_string(line).unwrap(), "\n"]);
    let outcome = plan(&policy, &paths).run(&Progress::default(), &mut say).unwrap();
    insta::assert_snapshot!(lines);
    assert_eq!((outcome.read.files, outcome.read.events, outcome.tally.incidents), (1, 3, 1));
    assert_eq!((outcome.tally.alerts, outcome.tally.pages, outcome.tally.notifications), (1, 1, 2));
    assert!(outcome.tally.open.is_empty() && outcome.read.is_whole());
}

#[test]
fn time_passes_between_events_and_up_to_the_end_of_the_archive() {
    // Denials end an hour after the last one; the archive goes on, with an event that concerns nobody.
    let mut later = record("z", "DescribeKey", 0);
    later["eventTime"] = json!("2026-03-03T00:00:00Z");
    let (_folder, paths) = folder(&[("a.json", log(&[denied("e1", 0), later.clone()]))]);
    let policy = built_in();
    let told = |records: &[Value]| {
        let (_folder, paths) = folder(&[("a.json", log(records))]);
        let (lines, outcome) = replay(&plan(&policy, &paths));
        let told: Vec<(String, String)> = of_kind(&lines, "notification")
            .iter()
            .map(|line| (line["reason"].as_str().unwrap().to_owned(), line["at"].as_str().unwrap().to_owned()))
            .collect();
        (told, outcome.tally.open.values().sum::<u64>())
    };
    let says = |all: &[(&str, &str)]| all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>();
    let (opened, expired) = (("opened", "2026-03-02T00:00:00Z"), ("expired", "2026-03-02T01:00:00Z"));
    assert_eq!(told(&[denied("e1", 0), later.clone()]), (says(&[opened, expired]), 0));
    assert_eq!(told(&[denied("e1", 0), record("y", "DescribeKey", 59)]), (says(&[opened]), 1), "not yet");
    // A critical incident is repeated every four hours while it stands.
    let (repeats, open) = told(&[record("e1", "DisableKey", 7), record("e2", "DescribeKey", 9 * 60)]);
    let wanted =
        [("opened", "2026-03-02T00:07:00Z"), ("repeat", "2026-03-02T04:07:00Z"), ("repeat", "2026-03-02T08:07:00Z")];
    assert_eq!((repeats, open), (says(&wanted), 1));
    assert_eq!(replay(&plan(&policy, &paths)).1.read.newest, Some("2026-03-03T00:00:00Z".parse().unwrap()));
}

#[test]
fn neither_the_order_of_files_nor_the_number_of_cores_matters() {
    let mut records: Vec<Value> = (0..40)
        .map(|n| match n % 4 {
            0 => record(&format!("e{n}"), "DisableKey", n * 7 % 300),
            1 => record(&format!("e{n}"), "EnableKey", n * 11 % 300),
            2 => denied(&format!("e{n}"), n * 13 % 300),
            _ => record(&format!("e{n}"), "ScheduleKeyDeletion", n * 5 % 300),
        })
        .collect();
    let policy = built_in();
    let mut answers = Vec::new();
    for (round, threads) in [(0, 1), (1, 2), (2, 3), (3, 1)] {
        records.rotate_left(round * 7);
        let files: Vec<(String, String)> = records
            .chunks(5 + round)
            .enumerate()
            .map(|(n, chunk)| (format!("{}/{n}.json", (n * 31 + round) % 7), log(chunk)))
            .collect();
        let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        let (_folder, paths) = folder(&files);
        answers.push(replay(&Replay { threads, ..plan(&policy, &paths) }).0);
    }
    assert!(answers[0].len() > 40, "{}", answers[0].len());
    assert!(answers.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn every_wrapper_gives_the_same_alert() {
    let bare = record("e1", "DisableKey", 0);
    let envelope = json!({
        "version": "0", "id": "x", "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail",
        "account": "111122223333", "region": "eu-central-1", "time": "2026-03-02T00:00:00Z", "resources": [], "detail": bare,
    });
    let lookup = json!({"Events": [{"EventId": "e1", "EventName": "DisableKey", "CloudTrailEvent": bare.to_string()}]});
    let sns = json!({"Type": "Notification", "TopicArn": "arn:aws:sns:eu-central-1:111122223333:x", "Message": envelope.to_string()});
    let pretty = serde_json::to_string_pretty(&json!({"Records": [bare]})).unwrap();
    let policy = built_in();
    let mut first = None;
    for text in [
        log(std::slice::from_ref(&bare)),
        bare.to_string(),
        format!("{bare}\n{}\n", record("e9", "ListKeys", 1)),
        json!([bare]).to_string(),
        envelope.to_string(),
        json!({"Records": [envelope]}).to_string(),
        lookup.to_string(),
        sns.to_string(),
        serde_json::to_string_pretty(&bare).unwrap(),
        pretty,
        bare.to_string().replacen("\"DisableKey\"", "\"\\u0044isableKey\"", 1),
        json!({"a": {}, "Records": [bare, record("e9", "ListKeys", 1)]}).to_string(),
    ] {
        let (_folder, paths) = folder(&[("a.json", text.clone())]);
        let (lines, outcome) = replay(&plan(&policy, &paths));
        assert!(outcome.read.is_whole(), "{text}: {:?}", outcome.read);
        assert_eq!(of_kind(&lines, "alert").len(), 1, "{text}");
        assert_eq!(first.get_or_insert_with(|| lines.clone()), &lines, "{text}");
    }
}

#[test]
fn copies_count_once() {
    let one = log(&[record("e1", "DisableKey", 0)]);
    let (_folder, paths) = folder(&[("a.json", one.clone()), ("copy/a.json", one)]);
    let policy = built_in();
    let (lines, outcome) = replay(&plan(&policy, &paths));
    assert_eq!((of_kind(&lines, "alert").len(), outcome.tally.duplicates, outcome.read.events), (1, 1, 2));
}

#[test]
fn what_is_not_read_is_named_and_does_not_count() {
    let good = log(&[record("e1", "DisableKey", 0)]);
    let cut = log(&[record("e2", "DisableKey", 1), record("e3", "DisableKey", 2)]);
    let (_folder, paths) = folder(&[
        ("a.json", good),
        ("b.json", cut.get(..cut.len() - 30).unwrap().to_owned()),
        ("d.jsonl", format!("{}\n{{\"eventName\":\n{}\n", record("e4", "EnableKey", 3), record("e5", "EnableKey", 4))),
        ("e.json", String::new()),
        ("f.json", "{\"seed\":1}".to_owned()),
        ("g.json", "{\"digestS3Bucket\":\"x\"}".to_owned()),
        ("h.txt", "{}".to_owned()),
        ("111122223333_CloudTrail-Digest_x.json", "{".to_owned()),
        ("i.json", json!({"Records": [{"weird": 1}]}).to_string()),
    ]);
    std::fs::write(paths[0].join("c.json.gz"), b"\x1f\x8bno").unwrap();
    let policy = built_in();
    let (lines, Outcome { read, tally, .. }) = replay(&plan(&policy, &paths));
    assert_eq!(of_kind(&lines, "alert").len(), 1, "nothing of the damaged file counts");
    assert_eq!(of_kind(&lines, "alert")[0]["event_id"], "e1");
    assert_eq!((read.files, read.events, tally.incidents), (4, 3, 1));
    assert_eq!(
        (read.failed, read.undecodable, read.foreign, read.digests, read.others, read.empty),
        (2, 2, 1, 2, 1, 1)
    );
    assert!(!read.is_whole());
    let said = |list: &[Bad]| -> Vec<String> {
        let name = |bad: &Bad| Path::new(&bad.file).file_name().unwrap().to_str().unwrap().to_owned();
        list.iter().map(|bad| format!("{} {:?} {}", name(bad), bad.part, bad.why)).collect()
    };
    insta::assert_debug_snapshot!((said(&read.bad_files), said(&read.bad_parts), said(&read.foreign_files)));
    // A file that somebody names is to be an archive.
    let named = [paths[0].join("f.json")];
    assert_eq!(replay(&plan(&policy, &named)).1.read.undecodable, 1);
    let gone = [paths[0].join("gone")];
    let read = replay(&plan(&policy, &gone)).1.read;
    assert_eq!((read.failed, read.files), (1, 0));
}

#[test]
fn only_the_asked_time_counts() {
    let records = [record("e1", "DisableKey", 0), record("e2", "DisableKey", 60), record("e3", "ListKeys", 120)];
    let (_folder, paths) = folder(&[("a.json", log(&records))]);
    let policy = built_in();
    let time = |text: &str| Some(text.parse().unwrap());
    let asked =
        Replay { from: time("2026-03-02T01:00:00Z"), to: time("2026-03-02T02:00:00Z"), ..plan(&policy, &paths) };
    let (lines, outcome) = replay(&asked);
    let alerts = of_kind(&lines, "alert");
    assert_eq!((alerts.len(), outcome.read.events, outcome.read.outside), (1, 1, 2));
    assert_eq!(alerts[0]["event_id"], "e2");
}

#[test]
fn other_rules_gain_lose_and_change_alerts() {
    let rule = |id: &str, severity: &str, name: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\ntitle = \"x\"\nseverity = \"{severity}\"\nmatch = {{ detail.eventName = [\"{name}\"] }}\n\
             group_by = [\"key.arn\"]\nresolve_after = \"1h\"\n"
        )
    };
    let ours = rules(
        &[rule("lost", "low", "DisableKey"), rule("risen", "low", "EnableKey"), rule("same", "low", "PutKeyPolicy")]
            .concat(),
    );
    let theirs = rules(
        &[rule("risen", "high", "EnableKey"), rule("same", "low", "PutKeyPolicy"), rule("new", "low", "ListKeys")]
            .concat(),
    );
    let records = [
        record("e1", "DisableKey", 0),
        record("e2", "EnableKey", 1),
        record("e3", "PutKeyPolicy", 2),
        record("e4", "ListKeys", 3),
    ];
    let (_folder, paths) = folder(&[("a.json", log(&records))]);
    let (lines, outcome) = replay(&Replay { against: Some(&theirs), ..plan(&ours, &paths) });
    assert_eq!(of_kind(&lines, "alert").len(), 3, "the alerts are those of our rules");
    let changes: Vec<Value> = of_kind(&lines, "change")
        .iter()
        .map(|line| json!([line["change"], line["rule"], line["event_id"], line["severity"], line["was"]["severity"]]))
        .collect();
    let wanted = json!([
        ["lost", "lost", "e1", "low", null],
        ["changed", "risen", "e2", "high", "low"],
        ["gained", "new", "e4", "low", null]
    ]);
    assert_eq!(json!(changes), wanted);
    let changes = outcome.changes.unwrap();
    let totals = [Change::Gained, Change::Lost, Change::Changed].map(|change| changes.total(change));
    assert_eq!((totals, changes.same), ([1, 1, 1], 1));
}

#[test]
fn a_key_that_cannot_be_looked_up_takes_the_routes_that_ask() {
    let node = |text: &str| toml::from_str::<RouteSpec>(text).unwrap().compile().unwrap();
    let mut policy = built_in();
    policy.routes = vec![node("match = { key.labels.environment = [\"production\"] }\nsinks = [\"pager\"]")];
    policy.sinks = vec!["pager".to_owned()];
    let (_folder, paths) = folder(&[("a.json", log(&[denied("e1", 0)]))]);
    assert_eq!(of_kind(&replay(&plan(&policy, &paths)).0, "notification").len(), 0);
    let asked = Replay { lookups: true, ..plan(&policy, &paths) };
    assert_eq!(of_kind(&replay(&asked).0, "notification").len(), 1);
}

/// Windows, and what the policy of a key was before: the same engine.
#[test]
fn rules_that_look_back_look_back() {
    let threshold = rules(
        "[[rule]]\nid = \"many\"\ntitle = \"x\"\nseverity = \"low\"\nmatch = { outcome = [\"denied\"] }\n\
         threshold = { count = 3, within = \"10m\" }\ngroup_by = [\"key.arn\"]\nresolve_after = \"1h\"\n",
    );
    let alerts = |minutes: &[u32]| {
        let records: Vec<Value> = minutes.iter().map(|minute| denied(&format!("e{minute}"), *minute)).collect();
        let files: Vec<(String, String)> =
            records.iter().enumerate().map(|(n, one)| (format!("{n}.json"), one.to_string())).collect();
        let files: Vec<(&str, String)> = files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        let (_folder, paths) = folder(&files);
        let (lines, _) = replay(&plan(&threshold, &paths));
        of_kind(&lines, "alert").iter().map(|line| line["event_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(alerts(&[0, 5, 11, 17]), Vec::<String>::new());
    assert_eq!(alerts(&[9, 0, 5]), ["e0", "e5", "e9"], "each of them is one, and its eventID is its own");

    let gained = rules(
        "[[rule]]\nid = \"gained\"\ntitle = \"x\"\nseverity = \"low\"\nmatch = { access.gained = [{ exists = true }] }\n\
         group_by = [\"key.arn\"]\nresolve_after = \"1h\"\n",
    );
    let put = |id: &str, minute: u32, who: &str| {
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::111122223333:{who}")}, "Action": "kms:*", "Resource": "*"}]});
        let mut record = record(id, "PutKeyPolicy", minute);
        record["requestParameters"] = json!({"keyId": KEY, "policyName": "default", "policy": policy.to_string()});
        record
    };
    let (_folder, paths) = folder(&[
        ("b.json", put("same", 9, "root").to_string()),
        ("a.json", log(&[put("first", 0, "root"), put("more", 20, "user/erin")])),
    ]);
    let (lines, _) = replay(&plan(&gained, &paths));
    let ids: Vec<&Value> = of_kind(&lines, "alert").iter().map(|line| &line["event_id"]).collect();
    assert!(ids.contains(&&json!("more")) && !ids.contains(&&json!("same")), "{ids:?}");
}

/// While its cause is open, a consequence is not told; then it is.
#[test]
fn what_an_incident_holds_back_is_told_when_it_is_over() {
    let rule = |id: &str, name: &str, end: &str| {
        format!(
            "[[rule]]\nid = '{id}'\ntitle = '{id}'\nseverity = 'high'\nmatch = {{ detail.eventName = ['{name}'] }}\n\
             resolve = {{ detail.eventName = ['{end}'] }}\ngroup_by = ['key.arn']\n"
        )
    };
    let mut policy =
        rules(&[rule("loss", "DisableKey", "EnableKey"), rule("noise", "DeleteAlias", "CreateAlias")].concat());
    let told = |policy: &Policy, end: &str| {
        let records = [record("e1", "DisableKey", 0), record("e2", "DeleteAlias", 1), record("e3", end, 2)];
        let (_folder, paths) = folder(&[("a.json", log(&records))]);
        let (lines, _) = replay(&plan(policy, &paths));
        let of = |line: &&Value| {
            let said = ["reason", "at", "summary"].map(|name| line[name].as_str().unwrap().to_owned());
            format!("{} {} {}", said[0], said[1].get(14..16).unwrap(), said[2].split(':').next().unwrap())
        };
        of_kind(&lines, "notification").iter().map(of).collect::<Vec<_>>()
    };
    let free = told(&policy, "EnableKey");
    assert_eq!(free.len(), 3, "{free:?}");
    let spec = "source = { rule = ['loss'] }\ntarget = { rule = ['noise'] }\nequal = ['key.arn']";
    policy.inhibit = vec![toml::from_str::<crate::core::inhibit::InhibitSpec>(spec).unwrap().compile().unwrap()];
    let held = told(&policy, "EnableKey");
    assert_eq!(
        held.iter().map(|line| line.get(..9).unwrap()).collect::<Vec<_>>(),
        ["opened 00", "resolved ", "opened 02"],
        "{held:?}"
    );
    assert_eq!(told(&policy, "ListKeys").len(), 1, "the cause is still open");
    assert_eq!(told(&policy, "CreateAlias").len(), 1, "it was over before anybody had to know");
}

#[test]
fn more_than_memory_may_hold_is_sorted_all_the_same() {
    let one = |second: i64, file: u32| Match {
        time: Timestamp::from_second(second).unwrap(),
        id: EventId(format!("id{second}")),
        text: format!("{{\"n\":{second}}}").into(),
        file,
    };
    let order: Vec<i64> = (0..5000).map(|n| n * 2957 % 5003).collect();
    let all = |bound: usize| {
        let mut matches = Matches::bounded(bound);
        for second in &order {
            matches.push(one(*second, u32::from(second % 5 == 0))).unwrap();
        }
        matches.drop_file(1);
        matches.sorted().unwrap().map(|one| one.unwrap()).collect::<Vec<_>>()
    };
    let in_memory = all(usize::MAX);
    assert_eq!(in_memory.len(), order.iter().filter(|second| *second % 5 != 0).count());
    assert!(in_memory.windows(2).all(|two| two[0] < two[1]));
    for bound in [1, 2_000, 100_000] {
        assert!(all(bound) == in_memory, "{bound}");
    }
}

#[test]
fn a_longer_rotation_period_is_told_in_whatever_order_files_are_read() {
    let set = |id: &str, minute: u32, days: Option<u32>| {
        let mut record = record(id, "EnableKeyRotation", minute);
        if let Some(days) = days {
            record["requestParameters"]["rotationPeriodInDays"] = json!(days);
        }
        record
    };
    let mut refused = set("e2", 2, Some(2_000));
    refused["errorCode"] = json!("DisabledException");
    let old = [set("e1", 1, Some(90)), refused, set("e3", 3, None)];
    let new = [set("e4", 4, Some(365)), set("e3", 3, None), set("e5", 5, Some(730)), set("e6", 6, Some(800))];
    let policy = policy_of(crate::core::rule::builtin().to_vec());
    for (first, second) in [("a.json", "b.json"), ("b.json", "a.json")] {
        let (_folder, paths) = folder(&[(first, log(&old)), (second, log(&new))]);
        let (lines, _) = replay(&plan(&policy, &paths));
        let alerts: Vec<(&str, &str)> = of_kind(&lines, "alert")
            .iter()
            .map(|line| (line["rule"].as_str().unwrap(), line["event_id"].as_str().unwrap()))
            .filter(|(rule, _)| *rule == "kms.rotation-period-lengthened")
            .collect();
        assert_eq!(alerts.len(), 3, "{alerts:?}");
        assert!(alerts.iter().zip(["e3", "e5", "e6"]).all(|((_, id), wanted)| id.contains(wanted)), "{alerts:?}");
    }
}
