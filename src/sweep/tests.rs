use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::base::clock::{Clock as _, ManualClock};
use crate::config;
use crate::core::event::KeyRef;
use crate::core::incident::{Incident, State};
use crate::core::inspection::{Details, Grants, Inspection, KeyGrant, LastUsage, MultiRegion, Part, Rotation, Wants};
use crate::core::usage::Sighting;
use crate::engine::Nobody;
use crate::keys::{Page, RECORDED_WITHIN, Refusal};
use crate::store::{self, IncidentFilter};

/// Aliases by the id of their key.
type Names = HashMap<String, Vec<String>>;

/// A KMS whose keys tests change.
#[derive(Default)]
struct FakeKms {
    keys: Mutex<BTreeMap<String, Details>>,
    rotation: Mutex<Option<Rotation>>,
    /// The aliases instead of `alias/prod-db` of the first key.
    aliases: Mutex<Option<Part<Names>>>,
    /// The page that is not told, once.
    breaks_at: Mutex<Option<usize>>,
    asked: Mutex<Vec<String>>,
    /// What it records of the use of keys, it does not say.
    silent: Mutex<bool>,
    /// Of these it says something else than what they are.
    odd: Mutex<BTreeMap<usize, Part<Details>>>,
    /// Keys of which the policy was asked for.
    reviewed: Mutex<BTreeSet<String>>,
    /// The policy of each key, where it may be read; then its tags and grants may be, too.
    policy: Mutex<Option<String>>,
}

impl FakeKms {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Details>> {
        self.keys.lock().unwrap()
    }

    fn set(&self, number: usize, state: &str) {
        let details = Details {
            id: id(number),
            state: Some(state.to_owned()),
            manager: Some("CUSTOMER".to_owned()),
            origin: Some("AWS_KMS".to_owned()),
            spec: Some("SYMMETRIC_DEFAULT".to_owned()),
            ..Details::default()
        };
        self.keys().insert(arn(number), details);
    }

    fn say(&self, numbers: impl IntoIterator<Item = usize>, answer: &Part<Details>) {
        self.odd.lock().unwrap().extend(numbers.into_iter().map(|number| (number, answer.clone())));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn id(number: usize) -> String {
    format!("{number:08x}-12ab-34cd-56ef-1234567890ab")
}

fn arn(number: usize) -> String {
    format!("arn:aws:kms:eu-central-1:111122223333:key/{}", id(number))
}

/// What a key has by default.
const POLICY: &str = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}"#;

#[async_trait]
impl Inspect for FakeKms {
    /// Two keys a page.
    async fn list(&self, _: &Scope, marker: Option<&str>) -> Part<Page> {
        let from: usize = marker.map_or(0, |marker| marker.parse().unwrap());
        let mut breaks_at = self.breaks_at.lock().unwrap();
        if breaks_at.take_if(|page| *page == from / 2).is_some() {
            return Part::Failed("no answer in time".to_owned());
        }
        let all: Vec<String> = self.keys().keys().cloned().collect();
        let keys: Vec<String> = all.iter().skip(from).take(2).cloned().collect();
        Part::Known(Page { keys, next: (from + 2 < all.len()).then(|| (from + 2).to_string()) })
    }

    async fn aliases(&self, _: &Scope) -> Part<Names> {
        let usual = || Part::Known(HashMap::from([(id(0), vec!["alias/prod-db".to_owned()])]));
        self.aliases.lock().unwrap().clone().unwrap_or_else(usual)
    }

    async fn look(&self, _: &Scope, arn: &str, wants: Wants) -> Inspection {
        self.asked.lock().unwrap().push(arn.to_owned());
        let mut seen = Inspection::of(arn, now_of(self));
        seen.details = self.keys().get(arn).cloned().map_or(Part::NotFound, Part::Known);
        let number = usize::from_str_radix(arn.rsplit_once('/').unwrap().1.get(..8).unwrap(), 16).unwrap();
        if let Some(odd) = self.odd.lock().unwrap().get(&number) {
            seen.details = odd.clone();
        }
        if wants.policy {
            self.reviewed.lock().unwrap().insert(arn.to_owned());
            seen.policy = self.policy.lock().unwrap().clone().map_or(Part::Denied, Part::Known);
            if seen.policy.known().is_some() {
                (seen.tags, seen.grants) = (Part::Known(BTreeMap::new()), Part::Known(Grants::default()));
            }
        }
        if wants.last_usage {
            if *self.silent.lock().unwrap() {
                std::future::pending::<()>().await;
            }
            let since = Some("2026-04-01T00:00:00Z".parse().unwrap());
            seen.last_usage = Part::Known(LastUsage { tracked_from: since, ..LastUsage::default() });
            seen.grants = Part::Known(Grants { all: vec![KeyGrant::default(); 3], more: false });
        }
        if wants.rotation {
            seen.rotation = self.rotation.lock().unwrap().clone().map_or(Part::Denied, Part::Known);
        }
        seen
    }

    fn refusals(&self) -> Vec<Refusal> {
        vec![]
    }

    fn calls(&self) -> BTreeMap<&'static str, u64> {
        BTreeMap::new()
    }
}

/// When the fake says that it answered: its clock is the test's.
fn now_of(_: &FakeKms) -> Timestamp {
    CLOCK.with(|clock| clock.borrow().as_ref().unwrap().now())
}

thread_local! {
    static CLOCK: std::cell::RefCell<Option<ManualClock>> = const { std::cell::RefCell::new(None) };
}

struct Scene {
    kms: FakeKms,
    engine: Engine,
    clock: ManualClock,
    round: Round,
    review_every: Duration,
}

impl Scene {
    async fn new(keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kmswatch.toml");
        let text = format!(
            "[queues.main]\nurl = 'https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch'\n[sinks.out.stdout]\n[store.memory]\n\
             [[routes]]\nsinks = ['out']\n{keys}"
        );
        std::fs::write(&path, text).unwrap();
        let loaded = config::load(&path, []).unwrap();
        let clock = ManualClock::at("2026-11-23T12:00:00Z".parse().unwrap());
        CLOCK.with(|slot| *slot.borrow_mut() = Some(clock.clone()));
        let store = store::open(&loaded.config.store).await.unwrap();
        let engine = Engine::new(Arc::new(loaded.policy), store, Arc::new(clock.clone()), Arc::new(Nobody));
        engine.load_uses().await;
        let round = Round::new(Scope { account: None, region: "eu-central-1".to_owned() });
        Self { kms: FakeKms::default(), engine, clock, round, review_every: Duration::from_hours(24) }
    }

    /// A quarter of an hour later, all keys are asked about.
    async fn sweep(&mut self) {
        self.clock.advance(Duration::from_mins(15));
        self.round.sweep(&self.engine, &self.kms, self.review_every).await;
    }

    /// The rules whose incidents are open.
    async fn rules(&self) -> Vec<String> {
        let open = self.open().await;
        open.iter().flat_map(|incident| incident.rules.iter().cloned()).collect()
    }

    async fn incidents(&self) -> Vec<Incident> {
        let filter = IncidentFilter { open: false, limit: 100 };
        self.engine.store().incidents(&filter).await.unwrap()
    }

    async fn open(&self) -> Vec<Incident> {
        self.incidents().await.into_iter().filter(|incident| incident.state != State::Resolved).collect()
    }
}

#[tokio::test]
async fn a_deletion_behind_our_back_is_found_counted_down_to_and_resolved_by_kms() {
    let mut scene = Scene::new("").await;
    (0..5).for_each(|number| scene.kms.set(number, "Enabled"));
    scene.sweep().await;
    assert!(scene.incidents().await.is_empty());
    let date: Timestamp = "2026-12-10T00:00:00Z".parse().unwrap();
    scene.kms.set(0, "PendingDeletion");
    scene.kms.keys().get_mut(&arn(0)).unwrap().deletion_date = Some(date);
    scene.sweep().await;
    let open = scene.open().await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].rules.contains("kms.found-unusable"), "{:?}", open[0].rules);
    assert_eq!(open[0].severity.as_str(), "critical");
    let key = open[0].key.as_ref().unwrap();
    assert_eq!(
        (key.state.as_deref(), key.aliases.clone()),
        (Some("PendingDeletion"), vec!["alias/prod-db".to_owned()])
    );
    assert_eq!(open[0].deadline.map(|deadline| deadline.at), Some(date));
    let told = open[0].alerts;
    // KMS corrects the date.
    scene.kms.keys().get_mut(&arn(0)).unwrap().deletion_date = Some(date + SignedDuration::from_hours(24));
    scene.sweep().await;
    let open = scene.open().await;
    assert_eq!(open[0].deadline.map(|deadline| deadline.at), Some(date + SignedDuration::from_hours(24)));
    assert_eq!(open[0].alerts, told, "that is no new alert");
    scene.kms.set(0, "Enabled");
    scene.sweep().await;
    assert!(scene.open().await.is_empty());
    assert_eq!(scene.incidents().await.len(), 1);
}

#[tokio::test]
async fn what_was_so_at_the_first_look_is_held_against_nobody_but_a_deletion() {
    let mut scene = Scene::new("").await;
    scene.kms.set(0, "Disabled");
    scene.kms.set(1, "Enabled");
    scene.kms.set(2, "PendingDeletion");
    scene.sweep().await;
    let open = scene.open().await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].key.as_ref().unwrap().arn, Some(arn(2)));
    scene.kms.set(1, "Disabled");
    scene.sweep().await;
    assert_eq!(scene.open().await.len(), 2);
    // Also after a restart: it is remembered who was asked about.
    scene.kms.set(3, "Enabled");
    scene.sweep().await;
    scene.round = Round::new(Scope { account: None, region: "eu-central-1".to_owned() });
    scene.kms.set(3, "Disabled");
    scene.sweep().await;
    assert_eq!(scene.open().await.len(), 3);
}

#[tokio::test]
async fn a_key_that_only_events_spoke_of_was_never_looked_at() {
    let mut scene = Scene::new("").await;
    // Years ago it was disabled, and once an event of it was looked up.
    let key = KeyRef {
        arn: Some(arn(0)),
        aliases: vec!["alias/prod-db".to_owned()],
        manager: Some("CUSTOMER".to_owned()),
        ..KeyRef::default()
    };
    scene.engine.remember_keys(&[key.into()]).await.unwrap();
    scene.kms.set(0, "Disabled");
    scene.sweep().await;
    scene.sweep().await;
    assert!(scene.incidents().await.is_empty());
    for state in ["Enabled", "Disabled"] {
        scene.kms.set(0, state);
        scene.sweep().await;
    }
    assert_eq!(scene.rules().await, ["kms.found-unusable"], "now it was looked at");
}

#[tokio::test]
async fn what_a_sweep_learns_of_a_key_stands_when_an_event_comes() {
    let mut scene = Scene::new("").await;
    scene.kms.set(0, "Enabled");
    // An event was looked up before, when the key had no other alias.
    let before = KeyRef { arn: Some(arn(0)), aliases: vec!["alias/orders".to_owned()], ..KeyRef::default() };
    scene.engine.remember_keys(&[before.into()]).await.unwrap();
    let known = async |scene: &Scene| scene.engine.recall_key(&arn(0)).await.unwrap().aliases;
    assert_eq!(known(&scene).await, ["alias/orders"]);
    scene.sweep().await;
    assert_eq!(known(&scene).await, ["alias/orders", "alias/prod-db"]);
    *scene.kms.aliases.lock().unwrap() = Some(Part::Known(HashMap::new()));
    scene.sweep().await;
    assert_eq!(known(&scene).await, ["alias/orders", "alias/prod-db"], "it does not lose its labels with its alias");
}

#[tokio::test]
async fn a_key_that_is_gone_is_destroyed() {
    let mut scene = Scene::new("").await;
    (0..3).for_each(|number| scene.kms.set(number, "Enabled"));
    scene.sweep().await;
    scene.kms.keys().remove(&arn(1));
    scene.sweep().await;
    let incidents = scene.incidents().await;
    assert!(incidents.len() == 1 && incidents[0].rules.contains("kms.found-destroyed"), "{incidents:?}");
    scene.sweep().await;
    assert_eq!(scene.incidents().await.len(), 1, "told once");
}

#[tokio::test]
async fn one_answer_does_not_make_a_key_gone_that_kms_lists() {
    let mut scene = Scene::new("").await;
    (0..3).for_each(|number| scene.kms.set(number, "Enabled"));
    scene.sweep().await;
    scene.kms.say([1], &Part::NotFound);
    scene.sweep().await;
    assert!(scene.incidents().await.is_empty());
}

#[tokio::test]
async fn a_key_that_was_only_said_to_be_gone_is_well_when_kms_knows_it_again() {
    let mut scene = Scene::new("").await;
    (0..3).for_each(|number| scene.kms.set(number, "Enabled"));
    scene.sweep().await;
    let key = scene.kms.keys().remove(&arn(1)).unwrap();
    scene.sweep().await;
    assert_eq!(scene.rules().await, ["kms.found-destroyed"]);
    scene.kms.keys().insert(arn(1), key);
    scene.sweep().await;
    assert!(scene.open().await.is_empty(), "{:?}", scene.rules().await);
}

#[tokio::test]
async fn a_key_that_has_vanished_is_asked_about_until_kms_says_so() {
    let mut scene = Scene::new("").await;
    (0..3).for_each(|number| scene.kms.set(number, "Enabled"));
    scene.sweep().await;
    scene.kms.keys().remove(&arn(1));
    scene.kms.say([1], &Part::Failed("no answer in time".to_owned()));
    scene.sweep().await;
    scene.sweep().await;
    assert!(scene.incidents().await.is_empty());
    scene.kms.odd.lock().unwrap().clear();
    scene.sweep().await;
    assert_eq!(scene.rules().await, ["kms.found-destroyed"]);
    scene.kms.asked();
    scene.sweep().await;
    assert_eq!(scene.kms.asked(), [arn(0), arn(2)], "it is gone");
}

#[tokio::test]
async fn a_sweep_that_sees_too_little_says_so_and_what_it_sees_it_tells() {
    let mut scene = Scene::new("").await;
    (0..5).for_each(|number| scene.kms.set(number, "Enabled"));
    scene.sweep().await;
    scene.kms.say(0..3, &Part::Denied);
    scene.kms.set(4, "PendingDeletion");
    scene.sweep().await;
    assert_eq!(scene.rules().await, ["kms.found-unusable"], "once is not yet trouble");
    scene.kms.set(4, "Enabled");
    for _ in 0..3 {
        scene.sweep().await;
    }
    let open = scene.open().await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((open[0].family.as_str(), open[0].alerts), ("kmswatch.keys-unseen", 1));
    assert!(open[0].latest.details["detail"].starts_with("of 3 of 5 keys"), "{:?}", open[0].latest.details);
    // The next life of the daemon takes it back.
    scene.round = Round::new(Scope { account: None, region: "eu-central-1".to_owned() });
    scene.kms.odd.lock().unwrap().clear();
    scene.sweep().await;
    assert!(scene.open().await.is_empty());
}

#[tokio::test]
async fn a_list_that_is_not_given_twice_is_told() {
    let mut scene = Scene::new("").await;
    scene.kms.set(0, "Enabled");
    *scene.kms.breaks_at.lock().unwrap() = Some(0);
    scene.sweep().await;
    assert!(scene.incidents().await.is_empty());
    *scene.kms.breaks_at.lock().unwrap() = Some(0);
    scene.sweep().await;
    assert_eq!(scene.rules().await, ["kmswatch.keys-unseen"]);
    scene.sweep().await;
    assert!(scene.open().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_review_reads_every_key_whatever_broke_off_before() {
    let mut scene = Scene::new("").await;
    (0..7).for_each(|number| scene.kms.set(number, "Enabled"));
    scene.sweep().await;
    scene.kms.reviewed.lock().unwrap().clear();
    *scene.kms.breaks_at.lock().unwrap() = Some(2);
    scene.sweep().await;
    tokio::time::advance(scene.review_every).await;
    // The review breaks off as well, and goes on as one.
    *scene.kms.breaks_at.lock().unwrap() = Some(1);
    scene.sweep().await;
    assert_eq!(scene.kms.reviewed.lock().unwrap().len(), 2);
    scene.sweep().await;
    assert_eq!(scene.kms.reviewed.lock().unwrap().len(), 7);
    scene.kms.reviewed.lock().unwrap().clear();
    scene.sweep().await;
    assert!(scene.kms.reviewed.lock().unwrap().is_empty(), "it was whole");
}

#[tokio::test]
async fn a_round_that_breaks_off_goes_on_with_its_page() {
    let mut scene = Scene::new("").await;
    (0..7).for_each(|number| scene.kms.set(number, "Enabled"));
    *scene.kms.breaks_at.lock().unwrap() = Some(2);
    scene.sweep().await;
    assert_eq!(scene.kms.asked().len(), 4);
    scene.sweep().await;
    assert_eq!(scene.kms.asked(), (4..7).map(arn).collect::<Vec<_>>());
    scene.sweep().await;
    assert_eq!(scene.kms.asked().len(), 7, "and then from the beginning");
    assert!(scene.incidents().await.is_empty(), "a key that was not listed yet is not gone");
}

#[tokio::test]
async fn keys_that_aws_manages_are_asked_about_once() {
    let mut scene = Scene::new("").await;
    scene.kms.set(0, "Enabled");
    scene.kms.set(1, "Disabled");
    scene.kms.keys().get_mut(&arn(1)).unwrap().manager = Some("AWS".to_owned());
    scene.sweep().await;
    scene.kms.asked();
    scene.sweep().await;
    assert_eq!(scene.kms.asked(), [arn(0)]);
    assert!(scene.incidents().await.is_empty());
}

#[tokio::test]
async fn a_review_holds_rotation_to_the_label() {
    let label = "[[keys]]\nmatch = { key.aliases = [{ prefix = 'alias/prod-' }] }\nlabels = { rotation = 'required' }";
    let mut scene = Scene::new(label).await;
    scene.review_every = Duration::ZERO;
    scene.kms.set(0, "Enabled");
    scene.kms.set(1, "Enabled");
    *scene.kms.rotation.lock().unwrap() = Some(Rotation::default());
    for _ in 0..3 {
        scene.sweep().await;
    }
    let open = scene.open().await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].rules.contains("kms.rotation-off") && open[0].alerts == 1, "{:?}", open[0].rules);
    // What cannot be read clears nothing.
    *scene.kms.rotation.lock().unwrap() = None;
    scene.sweep().await;
    assert_eq!(scene.open().await.len(), 1);
    *scene.kms.rotation.lock().unwrap() = Some(Rotation { enabled: true, ..Rotation::default() });
    scene.sweep().await;
    assert!(scene.open().await.is_empty());
}

#[tokio::test]
async fn a_review_ends_only_what_it_judged() {
    let label = "[[keys]]\nmatch = { key.aliases = [{ prefix = 'alias/prod-' }] }\nlabels = { rotation = '90d' }";
    let mut scene = Scene::new(label).await;
    scene.review_every = Duration::ZERO;
    scene.kms.set(0, "Enabled");
    // A key that KMS does not rotate: its age counts, and it is old only by its label.
    let made = Some("2026-01-01T00:00:00Z".parse().unwrap());
    let age = |kms: &FakeKms, state: &str| {
        kms.set(0, state);
        let mut keys = kms.keys();
        let details = keys.get_mut(&arn(0)).unwrap();
        (details.spec, details.created) = (Some("RSA_2048".to_owned()), made);
    };
    *scene.kms.rotation.lock().unwrap() = Some(Rotation::default());
    age(&scene.kms, "Enabled");
    scene.sweep().await;
    let overdue = async |scene: &Scene| {
        let open = scene.open().await;
        open.iter().any(|incident| incident.rules.contains("kms.rotation-overdue"))
    };
    assert!(overdue(&scene).await);
    for aliases in [Part::Known(HashMap::new()), Part::Denied, Part::Failed("no answer in time".to_owned())] {
        *scene.kms.aliases.lock().unwrap() = Some(aliases);
        scene.sweep().await;
        assert!(overdue(&scene).await, "its label is lost, and it is as old as before");
    }
    age(&scene.kms, "Disabled");
    scene.sweep().await;
    assert!(overdue(&scene).await, "that is no rotation");
    age(&scene.kms, "Enabled");
    scene.kms.keys().get_mut(&arn(0)).unwrap().created = Some("2026-11-20T00:00:00Z".parse().unwrap());
    scene.sweep().await;
    assert!(!overdue(&scene).await);
}

#[tokio::test]
async fn the_policy_that_a_review_reads_is_what_the_next_is_compared_with() {
    let mut scene = Scene::new("").await;
    scene.kms.set(0, "Enabled");
    let known = async |scene: &Scene| scene.engine.store().recall_history(&arn(0)).await.unwrap();
    scene.review_every = Duration::ZERO;
    scene.sweep().await;
    assert_eq!(known(&scene).await, None, "it may not be read");
    let texts = ["{\"Statement\":[]}", "{ \"Statement\": [] }", "{\"Statement\":[],\"Id\":\"x\"}"];
    for (text, versions) in texts.into_iter().zip([1, 1, 2]) {
        *scene.kms.policy.lock().unwrap() = Some(text.to_owned());
        scene.sweep().await;
        assert_eq!(known(&scene).await.unwrap().versions.len(), versions, "{text}");
    }
    scene.review_every = Duration::from_hours(24);
    *scene.kms.policy.lock().unwrap() = Some("{}".to_owned());
    scene.sweep().await;
    assert_eq!(known(&scene).await.unwrap().versions.len(), 2, "it was no review");
}

#[tokio::test]
async fn a_longer_rotation_period_that_no_event_told_is_found_once() {
    let mut scene = Scene::new("").await;
    scene.review_every = Duration::ZERO;
    scene.kms.set(0, "Enabled");
    let rotates = |scene: &Scene, period_days: i32| {
        let rotation = Rotation { enabled: true, period_days: Some(period_days), ..Rotation::default() };
        *scene.kms.rotation.lock().unwrap() = Some(rotation);
    };
    let titles = async |scene: &Scene| {
        scene.incidents().await.into_iter().map(|incident| (incident.voice.title, incident.alerts)).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        rotates(&scene, 365);
        scene.sweep().await;
    }
    assert_eq!(titles(&scene).await, [], "it is what it was when we first looked");
    rotates(&scene, 90);
    scene.sweep().await;
    *scene.kms.rotation.lock().unwrap() = Some(Rotation { period_days: Some(730), ..Rotation::default() });
    scene.sweep().await;
    assert_eq!(titles(&scene).await, [], "shorter, and off");
    rotates(&scene, 180);
    for _ in 0..3 {
        scene.sweep().await;
        assert_eq!(titles(&scene).await, [("Rotation period lengthened from 90 to 180 days".to_owned(), 1)]);
    }
    let periods = scene.engine.store().recall_history(&arn(0)).await.unwrap().unwrap().periods;
    assert_eq!(periods.iter().map(|period| period.days).collect::<Vec<_>>(), [180, 90, 365]);
    // A replica has the period of its primary key, where it is told of.
    rotates(&scene, 365);
    let multi_region = MultiRegion { primary: false, primary_key: Some(arn(9)), replicas: vec![arn(0)] };
    scene.kms.keys().get_mut(&arn(0)).unwrap().multi_region = Some(multi_region);
    scene.sweep().await;
    assert_eq!(titles(&scene).await.len(), 1);
}

#[tokio::test]
async fn a_review_knows_who_used_the_key() {
    let mut scene = Scene::new("").await;
    scene.review_every = Duration::ZERO;
    *scene.kms.policy.lock().unwrap() = Some(POLICY.to_owned());
    scene.kms.set(0, "Enabled");
    let at = scene.engine.now();
    let used_by = |role: &str| Sighting {
        key: arn(0).into(),
        at,
        who: Some(format!("arn:aws:iam::111122223333:role/{role}").into()),
        hints: vec![],
    };
    scene.engine.saw_use(&used_by("prod-app"));
    scene.sweep().await;
    assert!(scene.incidents().await.is_empty());
    scene.engine.saw_use(&used_by("dev-runner"));
    scene.sweep().await;
    let open = scene.open().await;
    assert!(open.len() == 1 && open[0].rules.contains("kms.environments-mixed"), "{open:?}");
    let said = open[0].voice.meaning.as_deref().unwrap();
    assert!(said.contains("was used by arn:aws:iam::111122223333:role/dev-runner, last on 2026-11-23"), "{said}");
    // A daemon that could not read who used it ends nothing.
    let (policy, store) = (scene.engine.policy(), Arc::clone(scene.engine.store()));
    scene.engine = Engine::new(policy, store, Arc::new(scene.clock.clone()), Arc::new(Nobody));
    scene.sweep().await;
    assert_eq!(scene.open().await.len(), 1);
    // One that could, and nobody did, does.
    scene.engine.load_uses().await;
    scene.sweep().await;
    assert!(scene.open().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_found_comes_with_what_kms_records_of_its_use() {
    let mut scene = Scene::new("").await;
    (0..4).for_each(|number| scene.kms.set(number, "Enabled"));
    scene.sweep().await;
    scene.kms.asked();
    scene.kms.set(0, "Disabled");
    scene.sweep().await;
    let in_use = scene.open().await[0].in_use.clone().unwrap();
    assert_eq!((in_use.grants, in_use.last_recorded.unwrap().tracked_from.is_some()), (Some(3), true));
    let about = |asked: Vec<String>, number| asked.into_iter().filter(|one| *one == arn(number)).count();
    assert_eq!(about(scene.kms.asked(), 0), 2);
    scene.sweep().await;
    assert_eq!(about(scene.kms.asked(), 0), 1, "once: it is no news any more");
    // However many there are, and even if KMS keeps silent, people hear of it.
    *scene.kms.silent.lock().unwrap() = true;
    (4..60).for_each(|number| scene.kms.set(number, "PendingDeletion"));
    (1..4).for_each(|number| scene.kms.set(number, "Disabled"));
    let begun = tokio::time::Instant::now();
    scene.sweep().await;
    assert_eq!(scene.open().await.len(), 60);
    // Two keys a page here, and 30 pages of them.
    assert!(begun.elapsed() <= 30 * RECORDED_WITHIN + Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_loop_begins_soon_and_ends_when_it_is_told_to() {
    let Scene { kms, engine, .. } = Scene::new("").await;
    kms.set(0, "Enabled");
    let kms = Arc::new(kms);
    let stop = Stop::new();
    let sweep = Sweep {
        engine: Arc::new(engine),
        inspect: Arc::clone(&kms) as Arc<dyn Inspect>,
        stop: stop.clone(),
        scopes: vec![Scope { account: None, region: "eu-central-1".to_owned() }],
        every: Duration::from_mins(15),
        review_every: Duration::from_hours(24),
    };
    let running = tokio::spawn(sweep.run());
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(kms.asked().len(), 1);
    tokio::time::sleep(Duration::from_mins(40)).await;
    assert_eq!(kms.asked().len(), 2);
    stop.stop();
    running.await.unwrap();
}
