use std::collections::BTreeMap;

use super::*;
use crate::core::access::TrustSpec;
use crate::core::inspection::{Details, Grants, KeyGrant, LastUsage, Material, MultiRegion, Part, Rotation};
use crate::core::route::KeysSpec;

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ROOT: &str =
    r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}"#;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-11-23T12:00:00Z")
}

/// A key against which nothing is to be said.
fn healthy() -> Inspection {
    let mut inspection = Inspection::of(ARN, now());
    inspection.details = Part::Known(Details {
        id: "1234abcd-12ab-34cd-56ef-1234567890ab".to_owned(),
        state: Some("Enabled".to_owned()),
        manager: Some("CUSTOMER".to_owned()),
        origin: Some("AWS_KMS".to_owned()),
        spec: Some("SYMMETRIC_DEFAULT".to_owned()),
        created: Some(time("2025-01-01T00:00:00Z")),
        ..Details::default()
    });
    inspection.aliases = Part::Known(vec!["alias/payments".to_owned()]);
    inspection.tags = Part::Known(BTreeMap::new());
    inspection.rotation = Part::Known(Rotation {
        enabled: true,
        period_days: Some(365),
        next: Some(time("2027-01-01T00:00:00Z")),
        ..Rotation::default()
    });
    inspection.rotations =
        Part::Known(vec![Material { rotated: Some(time("2026-01-01T00:00:00Z")), ..Material::default() }]);
    inspection.policy = Part::Known(policy(&[ROOT]));
    inspection.grants = Part::Known(Grants::default());
    inspection.last_usage = Part::Known(LastUsage { at: Some(time("2026-11-22T00:00:00Z")), ..LastUsage::default() });
    inspection
}

fn policy(statements: &[&str]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn allow(who: &str, actions: &str) -> String {
    format!(r#"{{"Effect":"Allow","Principal":{{"AWS":"{who}"}},"Action":{actions},"Resource":"*"}}"#)
}

fn with(change: impl FnOnce(&mut Inspection)) -> Inspection {
    let mut inspection = healthy();
    change(&mut inspection);
    inspection
}

fn with_details(change: impl FnOnce(&mut Details)) -> Inspection {
    with(|inspection| {
        let mut details = inspection.details.known().unwrap().clone();
        change(&mut details);
        inspection.details = Part::Known(details);
    })
}

fn with_policy(statements: &[&str]) -> Inspection {
    with(|inspection| inspection.policy = Part::Known(policy(statements)))
}

fn judged(inspection: &Inspection, labels: &str) -> Row {
    judged_knowing(inspection, labels, Known::default())
}

fn judged_knowing(inspection: &Inspection, labels: &str, known: Known<'_>) -> Row {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        keys: Vec<KeysSpec>,
        #[serde(default)]
        trust: TrustSpec,
    }
    let file: File = toml::from_str(labels).unwrap();
    let labels: Vec<KeyLabels> = file.keys.iter().map(|spec| spec.compile().unwrap()).collect();
    Judge { trust: &file.trust.compile(), labels: &labels, now: now() }.judge_knowing(inspection, known)
}

/// `check severity`, the worst first.
fn found(inspection: &Inspection, labels: &str) -> Vec<String> {
    names(&judged(inspection, labels))
}

fn names(row: &Row) -> Vec<String> {
    row.findings.iter().map(|finding| format!("{} {}", finding.check.id, finding.severity.as_str())).collect()
}

#[test]
fn nothing_is_said_against_a_healthy_key() {
    assert_eq!(found(&healthy(), ""), [""; 0]);
    let row = judged(&healthy(), "");
    assert_eq!(row.who.unwrap().root, Some(true));
    assert_eq!(row.deadlines, [Deadline { at: time("2027-01-01T00:00:00Z"), kind: DeadlineKind::Rotation }]);
}

#[test]
fn what_cannot_be_used_is_found() {
    let state = |state: &str| with_details(|details| details.state = Some(state.to_owned()));
    let deleted = with_details(|details| {
        details.state = Some("PendingDeletion".to_owned());
        details.deletion_date = Some(time("2026-12-01T00:00:00Z"));
    });
    assert_eq!(found(&deleted, ""), ["pending-deletion critical"]);
    let row = judged(&deleted, "");
    assert_eq!(
        row.findings[0].seen, "KMS deletes it on 2026-12-01, in 7 days; last used successfully on 2026-11-22",
        "{row:?}"
    );
    for (at, left) in [
        ("2026-11-30T11:59:59Z", "in 6 days"),
        ("2026-11-24T12:00:00Z", "in 1 day"),
        ("2026-11-24T11:00:00Z", "in less than a day"),
        ("2026-11-23T11:59:59Z", "any time now"),
    ] {
        let mut due = deleted.clone();
        if let Part::Known(details) = &mut due.details {
            details.deletion_date = Some(time(at));
        }
        let seen = judged(&due, "").findings.remove(0).seen;
        assert!(seen.starts_with(&format!("KMS deletes it on {}, {left};", at.split_once('T').unwrap().0)), "{seen}");
    }
    assert_eq!(row.deadlines[0].kind, DeadlineKind::Deletion);
    assert_eq!(found(&state("PendingReplicaDeletion"), ""), ["pending-deletion critical"]);
    assert_eq!(found(&state("Disabled"), ""), ["disabled high"], "it was in use yesterday");
    let quiet = with(|inspection| {
        *inspection = state("Disabled");
        inspection.last_usage = Part::NotAsked;
    });
    assert_eq!(found(&quiet, ""), ["disabled medium"]);
    assert_eq!(found(&state("PendingImport"), ""), ["no-material high"]);
    assert_eq!(found(&state("Unavailable"), ""), ["unavailable high"]);
}

#[test]
fn imported_material_is_watched() {
    let imported = |valid_to: Option<&str>| {
        with(|inspection| {
            *inspection = with_details(|details| {
                details.origin = Some("EXTERNAL".to_owned());
                details.valid_to = valid_to.map(time);
            });
            inspection.rotation = Part::Known(Rotation::default());
        })
    };
    assert_eq!(found(&imported(None), ""), ["imported-material info"]);
    assert_eq!(found(&imported(Some("2027-01-20T00:00:00Z")), "")[0], "material-expires medium");
    assert_eq!(found(&imported(Some("2026-12-01T00:00:00Z")), "")[0], "material-expires high");
    let torn = with(|inspection| {
        *inspection = imported(None);
        inspection.rotations =
            Part::Known(vec![Material { import_state: Some("PENDING_IMPORT".to_owned()), ..Material::default() }]);
    });
    assert_eq!(found(&torn, "")[0], "material-missing high");
}

#[test]
fn rotation_is_judged_by_kms_and_by_the_label() {
    let off = with(|inspection| inspection.rotation = Part::Known(Rotation::default()));
    let label = |value: &str| {
        format!("[[keys]]\nmatch = {{ key.aliases = ['alias/payments'] }}\nlabels = {{ rotation = '{value}' }}")
    };
    assert_eq!(found(&off, ""), ["rotation-off medium"]);
    assert_eq!(found(&off, &label("required")), ["rotation-off high"]);
    assert_eq!(found(&off, &label("no")), [""; 0]);
    // It last rotated 326 days ago.
    assert_eq!(found(&healthy(), &label("180d")), ["rotation-overdue high", "rotation-slow medium"]);
    assert_eq!(found(&healthy(), &label("365d")), [""; 0]);
    let late = with(|inspection| {
        inspection.rotation =
            Part::Known(Rotation { enabled: true, next: Some(time("2026-09-01T00:00:00Z")), ..Rotation::default() });
    });
    assert_eq!(found(&late, ""), ["rotation-overdue medium"]);
    let slow = with(|inspection| {
        inspection.rotation = Part::Known(Rotation { enabled: true, period_days: Some(700), ..Rotation::default() });
    });
    assert_eq!(found(&slow, ""), ["rotation-slow low"]);
    // What cannot rotate is old or new as a whole.
    let signing = with(|inspection| {
        *inspection = with_details(|details| details.spec = Some("RSA_2048".to_owned()));
        (inspection.rotation, inspection.rotations) = (Part::NotAsked, Part::NotAsked);
    });
    assert_eq!(found(&signing, ""), [""; 0]);
    assert_eq!(found(&signing, &label("365d")), ["rotation-overdue high"]);
    let used_up = with(|inspection| {
        let one = Material { kind: Some("ON_DEMAND".to_owned()), ..Material::default() };
        inspection.rotations = Part::Known(vec![one; 21]);
    });
    assert_eq!(found(&used_up, ""), ["rotations-used-up low"]);
}

#[test]
fn losing_an_alias_or_a_tag_gets_no_key_out_of_a_finding() {
    let dev = allow("arn:aws:iam::111122223333:role/dev-runner", r#""kms:Decrypt""#);
    let key = |aliases: &[&str], tags: &[(&str, &str)]| {
        with(|inspection| {
            *inspection = with_policy(&[ROOT, &dev]);
            inspection.rotation = Part::Known(Rotation::default());
            inspection.aliases = Part::Known(aliases.iter().map(|&alias| alias.to_owned()).collect());
            let tags = tags.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
            inspection.tags = Part::Known(tags.collect());
        })
    };
    let label = "[[keys]]\nmatch = { key.aliases = [{ prefix = 'alias/prod-' }] }\nlabels = { environment = 'production', rotation = 'required' }";
    let both = ["rotation-off high", "environments-mixed medium"];
    for (labels, before, stripped, expected) in [
        (label, key(&["alias/prod-db"], &[]), key(&["alias/db"], &[]), both.as_slice()),
        (
            "",
            key(&["alias/prod-db"], &[]),
            key(&["alias/db"], &[]),
            &["environments-mixed medium", "rotation-off medium"],
        ),
        (
            "",
            key(&["alias/db"], &[("env", "prod")]),
            key(&["alias/db"], &[]),
            &["environments-mixed medium", "rotation-off medium"],
        ),
    ] {
        assert_eq!(found(&before, labels), expected);
        let remembered = before.key();
        let known = Known { remembered: Some(&remembered), ..Known::default() };
        assert_eq!(names(&judged_knowing(&stripped, labels, known)), expected);
        let mut unread = stripped.clone();
        (unread.aliases, unread.tags) = (Part::Denied, Part::Failed("no answer in time".to_owned()));
        assert_eq!(names(&judged_knowing(&unread, labels, known)), expected);
    }
    // What now says something else is believed: a key may be given to another environment.
    let remembered = key(&["alias/prod-db"], &[]).key();
    let moved = key(&["alias/dev-db"], &[]);
    assert_eq!(
        names(&judged_knowing(&moved, "", Known { remembered: Some(&remembered), ..Known::default() })),
        ["rotation-off medium"]
    );
}

#[test]
fn a_part_is_judged_only_with_all_that_it_hangs_on() {
    let all = ["details", "aliases", "tags", "rotation", "policy", "grants", "environment"];
    let without = |missing: &[&str]| all.into_iter().filter(|part| !missing.contains(part)).collect::<Vec<_>>();
    assert_eq!(judged(&healthy(), "").judged, all);
    let nameless = with(|inspection| inspection.aliases = Part::Denied);
    assert_eq!(judged(&nameless, "").judged, without(&["aliases", "environment"]));
    let by_alias = "[[keys]]\nmatch = { key.aliases = ['alias/payments'] }\nlabels = { rotation = 'required' }";
    assert_eq!(judged(&nameless, by_alias).judged, without(&["aliases", "environment", "rotation"]), "is it required?");
    let remembered = healthy().key();
    let known = Known { remembered: Some(&remembered), ..Known::default() };
    assert_eq!(judged_knowing(&nameless, by_alias, known).judged, without(&["aliases", "environment"]), "it is");
    let untagged = with(|inspection| inspection.tags = Part::Failed("no answer in time".to_owned()));
    let by_tag = "[[keys]]\nmatch = { key.tags.team = ['payments'] }\nlabels = { rotation = 'required' }";
    assert_eq!(judged(&untagged, by_alias).judged, without(&["tags", "environment"]));
    assert_eq!(judged(&untagged, by_tag).judged, without(&["tags", "environment", "rotation"]));
    let disabled = with_details(|details| details.state = Some("Disabled".to_owned()));
    assert_eq!(judged(&disabled, "").judged, without(&["rotation"]));
    let broken = with(|inspection| inspection.policy = Part::Known("{".to_owned()));
    assert_eq!(judged(&broken, "").judged, without(&["policy", "environment"]));
    let ungranted = with(|inspection| inspection.grants = Part::Denied);
    assert_eq!(judged(&ungranted, "").judged, without(&["grants", "environment"]));
    let forgotten =
        |at: &str| judged_knowing(&healthy(), "", Known { forgotten: Some(time(at)), ..Known::default() }).judged;
    assert_eq!(forgotten("2026-11-20T00:00:00Z"), without(&["environment"]), "one of them may have been of another");
    assert_eq!(forgotten("2026-10-01T00:00:00Z"), all, "they would not count any more");
}

#[test]
fn a_policy_is_judged_by_who_belongs_to_us() {
    let everything = r#""kms:*""#;
    let other = allow("arn:aws:iam::444455556666:root", r#""kms:Decrypt""#);
    assert_eq!(found(&with_policy(&[ROOT, &allow("*", everything)]), "")[0], "public critical");
    assert_eq!(found(&with_policy(&[ROOT, &other]), ""), ["external high"]);
    assert_eq!(found(&with_policy(&[ROOT, &other]), "[trust]\naccounts = ['444455556666']"), [""; 0]);
    let admin = allow("arn:aws:iam::111122223333:role/admin", everything);
    assert_eq!(found(&with_policy(&[ROOT, &admin]), ""), ["all-powerful medium"]);
    assert_eq!(found(&with_policy(&[&admin]), ""), ["all-powerful medium", "lockout-prone medium"]);
    let second = allow("arn:aws:iam::111122223333:role/second", r#"["kms:PutKeyPolicy","kms:Decrypt"]"#);
    assert_eq!(
        found(&with_policy(&[&admin, &second]), ""),
        ["all-powerful medium", "no-root low", "user-changes-policy low"]
    );
    let user = allow("arn:aws:iam::111122223333:role/app", r#""kms:Decrypt""#);
    assert_eq!(found(&with_policy(&[&user]), ""), ["locked-out high"]);
    let gone = allow("AROAEXAMPLEEXAMPLE00", r#""kms:Decrypt""#);
    assert_eq!(found(&with_policy(&[ROOT, &gone]), ""), ["principal-gone low"]);
    let broken = with(|inspection| inspection.policy = Part::Known("{".to_owned()));
    assert_eq!(found(&broken, ""), ["policy-unclear low"]);
    let stuck = r#"{"Effect":"Deny","Principal":"*","Action":"kms:CancelKeyDeletion","Resource":"*"}"#;
    assert_eq!(found(&with_policy(&[ROOT, stuck]), ""), ["nobody-can-cancel medium"]);
}

#[test]
fn grants_are_judged_too() {
    let granted = |grantee: &str, operations: &[&str]| {
        let grant = KeyGrant {
            grantee: Some(grantee.to_owned()),
            operations: operations.iter().map(|&name| name.to_owned()).collect(),
            ..KeyGrant::default()
        };
        with(|inspection| inspection.grants = Part::Known(Grants { all: vec![grant], more: false }))
    };
    let app = "arn:aws:iam::111122223333:role/app";
    assert_eq!(found(&granted(app, &["Decrypt"]), ""), ["grant-open info"]);
    assert_eq!(found(&granted(app, &["CreateGrant"]), ""), ["grant-spreads medium"]);
    assert_eq!(found(&granted("arn:aws:iam::444455556666:role/app", &["Encrypt"]), ""), ["grant-external high"]);
    assert_eq!(found(&granted("AROAEXAMPLEEXAMPLE00", &["Encrypt"]), ""), ["grant-gone low"]);
    assert_eq!(found(&granted("dynamodb.eu-central-1.amazonaws.com", &["Decrypt", "CreateGrant"]), ""), [""; 0]);
}

#[test]
fn a_missing_record_of_use_is_not_called_unused_before_its_time() {
    let usage = |at: Option<&str>, from: &str| {
        let usage = LastUsage { at: at.map(time), tracked_from: Some(time(from)), ..LastUsage::default() };
        with(|inspection| inspection.last_usage = Part::Known(usage))
    };
    assert_eq!(found(&usage(Some("2026-07-01T00:00:00Z"), "2026-01-01T00:00:00Z"), ""), ["unused low"]);
    assert_eq!(found(&usage(None, "2026-10-01T00:00:00Z"), ""), [""; 0]);
    let row = judged(&usage(None, "2026-01-01T00:00:00Z"), "");
    assert_eq!(row.findings[0].seen, "no successful use is recorded since 2026-01-01");
}

#[test]
fn names_and_regions_are_remarked_upon() {
    let nameless = with(|inspection| inspection.aliases = Part::Known(vec![]));
    assert_eq!(found(&nameless, ""), ["no-alias info"]);
    let replica = "arn:aws:kms:us-east-1:111122223333:key/mrk-1";
    let everywhere = with_details(|details| {
        details.multi_region =
            Some(MultiRegion { primary: true, primary_key: Some(ARN.to_owned()), replicas: vec![replica.to_owned()] });
    });
    let row = judged(&everywhere, "");
    assert_eq!(row.findings[0].seen, "it is the primary key; Regions: eu-central-1, us-east-1");
    assert_eq!(row.regions, ["eu-central-1", "us-east-1"]);
}

#[test]
fn environments_meet_by_label_tag_alias_and_principal() {
    let label = "[[keys]]\nmatch = { key.aliases = [{ prefix = 'alias/' }] }\nlabels = { environment = 'production' }";
    let aliases = |names: &[&str]| {
        with(|inspection| inspection.aliases = Part::Known(names.iter().map(|&name| name.to_owned()).collect()))
    };
    assert_eq!(found(&aliases(&["alias/prod-db"]), label), [""; 0], "prod and production are the same");
    assert_eq!(found(&aliases(&["alias/dev-db"]), label), ["environments-mixed medium"]);
    assert_eq!(found(&aliases(&["alias/dev-db", "alias/prod-db"]), ""), ["environments-mixed medium"]);
    let tagged = with(|inspection| {
        *inspection = aliases(&["alias/prod-db"]);
        inspection.tags = Part::Known(BTreeMap::from([("Env".to_owned(), "staging".to_owned())]));
    });
    assert_eq!(found(&tagged, ""), ["environments-mixed medium"]);
    let used = |who: &str| {
        with(|inspection| {
            *inspection = with_policy(&[ROOT, &allow(who, r#""kms:Decrypt""#)]);
            inspection.aliases = Part::Known(vec!["alias/prod-db".to_owned()]);
        })
    };
    assert_eq!(found(&used("arn:aws:iam::111122223333:role/app-prod"), ""), [""; 0]);
    assert_eq!(found(&used("arn:aws:iam::111122223333:role/test-runner"), ""), ["environments-mixed medium"]);
    assert_eq!(found(&used("arn:aws:iam::111122223333:role/prod-to-test-copy"), ""), [""; 0], "it names both");
    assert_eq!(environment::named("alias/reproduction"), None);
}

#[test]
fn who_used_a_key_of_another_environment_is_found_whatever_the_policy_says() {
    let named = with(|inspection| inspection.aliases = Part::Known(vec!["alias/prod-db".to_owned()]));
    let seen = |inspection: &Inspection, users: &[(&str, &str)]| {
        let users: Vec<_> = users.iter().map(|&(who, at)| (who.to_owned(), time(at))).collect();
        let row = judged_knowing(inspection, "", Known { users: &users, ..Known::default() });
        row.findings.into_iter().map(|finding| finding.seen).collect::<Vec<_>>()
    };
    let (dev, prod) = ("arn:aws:iam::111122223333:role/dev-runner", "arn:aws:iam::111122223333:role/prod-app");
    let yesterday = "2026-11-22T00:00:00Z";
    assert_eq!(seen(&named, &[(prod, yesterday), ("dynamodb.amazonaws.com", yesterday)]), [""; 0]);
    assert_eq!(
        seen(&named, &[(prod, yesterday), (dev, yesterday)]),
        [format!("it belongs to production, and was used by {dev}, last on 2026-11-22")]
    );
    assert_eq!(seen(&named, &[(dev, "2026-10-01T00:00:00Z")]), [""; 0], "that is over");
    // A session names itself; its role does not.
    let session = |role: &str, name: &str| format!("arn:aws:sts::111122223333:assumed-role/{role}/{name}");
    assert_eq!(seen(&named, &[(&session("prod-app", "dev-box"), yesterday)]), [""; 0]);
    assert_eq!(seen(&named, &[(&session("dev-runner", "prod-box"), yesterday)]).len(), 1);
    let qa = "arn:aws:iam::111122223333:role/qa";
    let both = with(|inspection| {
        *inspection = named.clone();
        inspection.policy =
            Part::Known(policy(&[ROOT, &allow(qa, r#""kms:Decrypt""#), &allow(dev, r#""kms:Decrypt""#)]));
    });
    assert_eq!(
        seen(&both, &[(dev, yesterday)]),
        [format!(
            "it belongs to production, and was used by {dev}, last on 2026-11-22; it may be used or changed by {qa}"
        )]
    );
    let unread = with(|inspection| {
        *inspection = named.clone();
        inspection.policy = Part::Denied;
    });
    assert_eq!(seen(&unread, &[(dev, yesterday)]).len(), 1);
}

#[test]
fn what_was_not_read_is_a_gap_and_no_finding() {
    let blind = with(|inspection| {
        inspection.policy = Part::Denied;
        inspection.grants = Part::Failed("no answer in time".to_owned());
    });
    let row = judged(&blind, "");
    assert!(row.findings.is_empty() && row.who.is_none(), "{row:?}");
    assert_eq!(
        row.gaps.into_iter().collect::<Vec<_>>(),
        [
            ("kms:GetKeyPolicy".to_owned(), "denied".to_owned()),
            ("kms:ListGrants".to_owned(), "no answer in time".to_owned()),
        ]
    );
}

#[test]
fn keys_that_we_cannot_change_are_counted_and_not_judged() {
    let theirs = with_details(|details| {
        details.manager = Some("AWS".to_owned());
        details.state = Some("Disabled".to_owned());
    });
    let rows = [judged(&theirs, ""), judged(&healthy(), "")];
    let tally = Tally::of(&rows);
    assert_eq!((tally.keys, tally.managed_by_aws, tally.clean, tally.worst()), (1, 1, 1, None));
}

#[test]
fn every_check_has_an_id_of_its_own_and_says_what_to_do() {
    let mut ids: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), CHECKS.len());
    for check in CHECKS {
        assert!(check.why.ends_with('.') && check.action.ends_with('.') && !check.title.ends_with('.'), "{}", check.id);
    }
}
