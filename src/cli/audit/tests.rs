use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::core::access::Trust;
use crate::core::inspection::{Details, Grants, Inspection, KeyGrant, LastUsage, Material, Part, Rotation};
use crate::keys::{Inspect, Page};

const HOSTILE: &str = "=1+1\"><script>alert(1)</script>&'\u{202e}x";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-23T12:00:00Z")
}

fn days(days: i64) -> jiff::SignedDuration {
    jiff::SignedDuration::from_hours(24 * days)
}

/// A key by its number: of each kind there are some.
fn inspection(number: u32) -> Inspection {
    let arn = format!("arn:aws:kms:eu-central-1:111122223333:key/{number:08x}-12ab-34cd-56ef-1234567890ab");
    let mut key = Inspection::of(&arn, now());
    let created = now() - days(i64::from(number * 37 % 1900) + 3);
    let state = match number {
        3 => "PendingDeletion",
        7 | 19 => "Disabled",
        _ => "Enabled",
    };
    let external = number % 11 == 5;
    let signs = number % 9 == 4;
    key.details = Part::Known(Details {
        id: format!("{number:08x}-12ab-34cd-56ef-1234567890ab"),
        state: Some(state.to_owned()),
        manager: Some("CUSTOMER".to_owned()),
        origin: Some(if external { "EXTERNAL" } else { "AWS_KMS" }.to_owned()),
        spec: Some(if signs { "RSA_2048" } else { "SYMMETRIC_DEFAULT" }.to_owned()),
        created: Some(created),
        deletion_date: (number == 3).then(|| now() + days(9)),
        valid_to: external.then(|| now() + days(i64::from(number) * 6 + 12)),
        ..Details::default()
    });
    let names = ["prod-ebs", "prod-payments", "staging-logs", "dev-sandbox", "backup", "customer-data"];
    let name = names[number as usize % names.len()];
    key.aliases = Part::Known(if number % 13 == 8 { vec![] } else { vec![format!("alias/{name}-{number}")] });
    key.tags = Part::Known(BTreeMap::new());
    if !signs {
        let enabled = !external && number % 5 != 2;
        let turned = created + days(365);
        let rotated = enabled && turned < now();
        key.rotation = Part::Known(Rotation {
            enabled,
            period_days: enabled.then_some(365),
            next: enabled.then(|| now() + days(i64::from(number * 53 % 360))),
            ..Rotation::default()
        });
        let last = now() - days(i64::from(number * 31 % 365));
        key.rotations = Part::Known(vec![Material { rotated: rotated.then_some(last), ..Material::default() }]);
    }
    let root =
        r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}"#;
    let more = match number % 10 {
        1 => {
            r#",{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/partner"},"Action":"kms:Decrypt","Resource":"*"}"#
        }
        6 if number == 6 => r#",{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"}"#,
        _ => {
            r#",{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/dev-runner"},"Action":["kms:Encrypt","kms:Decrypt"],"Resource":"*"}"#
        }
    };
    key.policy = Part::Known(format!(r#"{{"Version":"2012-10-17","Statement":[{root}{more}]}}"#));
    let grant = KeyGrant {
        grantee: Some("arn:aws:iam::111122223333:role/app".to_owned()),
        operations: vec!["Decrypt".to_owned()],
        ..KeyGrant::default()
    };
    key.grants = Part::Known(Grants { all: if number.is_multiple_of(4) { vec![grant] } else { vec![] }, more: false });
    let used = (number % 6 != 1).then(|| now() - days(i64::from(number % 140)));
    key.last_usage =
        Part::Known(LastUsage { at: used, tracked_from: Some(at("2026-05-01T00:00:00Z")), ..LastUsage::default() });
    key
}

fn audit(inspections: &[Inspection]) -> Audit {
    let trust = Trust::default();
    let judge = Judge { trust: &trust, labels: &[], now: now() };
    let mut rows: Vec<Row> = inspections.iter().map(|inspection| judge.judge(inspection)).collect();
    rows.sort_by(|a, b| b.worst().cmp(&a.worst()).then_with(|| a.name().cmp(b.name())));
    Audit {
        at: now(),
        seconds: 41.2,
        scopes: vec![ScopeRead {
            scope: Scope { account: None, region: "eu-central-1".to_owned() },
            keys: rows.len(),
            why: None,
        }],
        tally: Tally::of(&rows),
        rows,
        refusals: vec![],
        calls: BTreeMap::from([("DescribeKey", 60), ("ListGrants", 60)]),
    }
}

fn many() -> Audit {
    audit(&(0..60).map(inspection).collect::<Vec<_>>())
}

/// Hostile in every place that somebody may write to.
fn hostile() -> Inspection {
    let mut key = inspection(0);
    let mut details = key.details.known().unwrap().clone();
    details.state = Some(HOSTILE.to_owned());
    details.spec = Some(HOSTILE.to_owned());
    details.origin = Some(HOSTILE.to_owned());
    key.details = Part::Known(details);
    key.aliases = Part::Known(vec![HOSTILE.to_owned()]);
    key.tags =
        Part::Known(BTreeMap::from([(HOSTILE.to_owned(), HOSTILE.to_owned()), ("env".to_owned(), HOSTILE.to_owned())]));
    let who = serde_json::to_string(HOSTILE).unwrap();
    key.policy = Part::Known(format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":{who},"Service":{who}}},"Action":"kms:*","Resource":"*"}}]}}"#
    ));
    let grant = KeyGrant {
        grantee: Some(format!("arn:aws:iam::444455556666:role/{HOSTILE}")),
        operations: vec!["Decrypt".to_owned()],
        ..KeyGrant::default()
    };
    key.grants = Part::Known(Grants { all: vec![grant], more: false });
    key.last_usage = Part::Failed(HOSTILE.to_owned());
    key
}

#[test]
fn the_text_is_readable_in_a_hundred_columns() {
    let text = text::Report { audit: &many(), who: false }.to_string();
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{}: {line}", line.chars().count());
    }
    insta::assert_snapshot!("text", text);
}

#[test]
fn who_may_what_is_told_when_it_is_asked() {
    let text = text::Report { audit: &audit(&[inspection(1)]), who: true }.to_string();
    assert!(text.contains("use: 111122223333, arn:aws:iam::444455556666:role/partner"), "{text}");
}

#[test]
fn json_is_one_object_a_line_and_the_summary_comes_last() {
    let audit = many();
    let lines: Vec<serde_json::Value> =
        lines::json(&audit).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().unwrap()["kind"], "summary");
    let kinds = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((kinds("key"), kinds("scope"), kinds("summary")), (60, 1, 1));
    let found: usize = audit.tally.findings.values().sum();
    assert_eq!(kinds("finding"), found);
    let critical = lines.iter().find(|line| line["check"] == "pending-deletion").unwrap();
    assert_eq!(critical["severity"], "critical");
    assert_eq!(critical["controls"], serde_json::json!(["Security Hub KMS.3"]));
}

#[test]
fn csv_has_as_many_fields_in_each_line() {
    let lines = lines::csv(&many());
    assert!(lines[0].starts_with("severity,check,key,") && lines.len() > 50, "{}", lines.len());
    assert!(lines[1].starts_with("critical,"), "{}", lines[1]);
}

#[test]
fn nothing_hostile_gets_into_a_page_or_a_spreadsheet() {
    let audit = audit(&[hostile()]);
    let page = html::page(&audit);
    assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{page}");
    assert!(page.contains("&lt;script&gt;"));
    // Outside of tags there is no quote that was not made harmless, and inside of them nothing of KMS.
    for line in lines::csv(&audit).iter().skip(1) {
        let mut quoted = false;
        let mut start = true;
        for c in line.chars() {
            assert!(!start || quoted || !"=+-@".contains(c), "{line}");
            quoted ^= c == '"';
            start = !quoted && c == ',' || start && c == '"';
        }
    }
}

#[test]
fn the_page_needs_nothing_else_and_is_well_formed() {
    for audit in [many(), audit(&[])] {
        let page = html::page(&audit);
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("<script"));
        for tag in ["svg", "table", "section", "details", "ul", "ol", "dl", "bdi", "article", "text"] {
            let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(!page.contains("NaN") && !page.contains("inf,") && !page.contains("=\"-inf"));
        // Every picture says what it shows.
        assert_eq!(page.matches("<svg").count(), page.matches("<desc ").count());
    }
}

#[test]
fn a_role_is_that_of_an_account() {
    let args = |role: &str| {
        let words = ["audit", "--role", role];
        <ArgsOnly as clap::Parser>::try_parse_from(words).unwrap().args
    };
    let lookups = scopes::lookups(&args("arn:aws:iam::444455556666:role/audit"), None).unwrap();
    assert!(lookups.assume_role.contains_key("444455556666"));
    for wrong in ["audit", "arn:aws:iam::4444:role/x", "arn:aws:iam::444455556666:user/x"] {
        assert!(scopes::lookups(&args(wrong), None).is_err(), "{wrong}");
    }
}

/// A KMS that answers so often and then no more.
struct Fading(AtomicUsize);

#[async_trait]
impl Inspect for Fading {
    async fn list(&self, _: &Scope, _: Option<&str>) -> Part<Page> {
        Part::Known(Page { keys: (20..80).map(|number| inspection(number).arn).collect(), next: None })
    }

    async fn aliases(&self, _: &Scope) -> Part<HashMap<String, Vec<String>>> {
        Part::Known(HashMap::new())
    }

    async fn look(&self, _: &Scope, arn: &str, _: Wants) -> Inspection {
        let number = u32::from_str_radix(arn.rsplit_once('/').unwrap().1.get(..8).unwrap(), 16).unwrap();
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            return inspection(number);
        }
        Inspection { details: Part::Failed("ExpiredTokenException: expired".to_owned()), ..Inspection::of(arn, now()) }
    }

    fn refusals(&self) -> Vec<Refusal> {
        vec![]
    }

    fn calls(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }
}

#[tokio::test]
async fn keys_without_an_answer_are_not_clean_and_are_asked_about_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.state");
    let arguments = ["audit", "--fail-on", "critical", "--resume", file.to_str().unwrap()];
    let args = <ArgsOnly as clap::Parser>::try_parse_from(arguments).unwrap().args;
    let trust = Trust::default();
    let judge = Judge { trust: &trust, labels: &[], now: now() };
    let scopes = [Scope { account: None, region: "eu-central-1".to_owned() }];
    let gathered = async |answers: usize| {
        let mut memory = resume::Memory::open(Some(&file), now()).unwrap();
        let kms = Fading(AtomicUsize::new(answers));
        let audit = gather::gather(&kms, &scopes, Wants::ALL, &judge, &mut memory).await;
        (audit, memory)
    };
    let (audit, memory) = gathered(40).await;
    assert_eq!((audit.tally.keys, audit.tally.not_judged), (60, 20));
    assert!(audit.tally.clean <= 40 && audit.tally.worst() < Some(Severity::Critical));
    let summary: serde_json::Value = serde_json::from_str(lines::json(&audit).last().unwrap()).unwrap();
    assert_eq!((&summary["whole"], &summary["not_judged"]), (&false.into(), &20.into()));
    let text = text::Report { audit: &audit, who: false }.to_string();
    assert!(text.contains("      20  could NOT BE JUDGED: ExpiredTokenException: expired\n"), "{text}");
    assert!(html::page(&audit).contains("20 keys could not be judged"));
    assert_eq!(end(&args, &audit, memory), ExitStatus::NotFine);
    assert!(file.exists(), "it goes on from here");

    let (audit, memory) = gathered(20).await;
    assert_eq!((audit.tally.keys, audit.tally.not_judged), (60, 0));
    assert_eq!(end(&args, &audit, memory), ExitStatus::Fine);
    assert!(!file.exists());
}

#[tokio::test]
async fn a_place_whose_kms_does_not_answer_any_more_is_given_up() {
    let trust = Trust::default();
    let judge = Judge { trust: &trust, labels: &[], now: now() };
    let scopes = [Scope { account: None, region: "eu-central-1".to_owned() }];
    let mut memory = resume::Memory::open(None, now()).unwrap();
    let audit = gather::gather(&Fading(AtomicUsize::new(0)), &scopes, Wants::ALL, &judge, &mut memory).await;
    assert_eq!(audit.rows.len(), 50);
    let why = audit.scopes[0].why.as_deref().unwrap();
    assert_eq!(why, "given up after 50 keys without an answer: ExpiredTokenException: expired");
}

#[derive(clap::Parser)]
struct ArgsOnly {
    #[command(flatten)]
    args: Args,
}
