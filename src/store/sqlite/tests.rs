//! What only a file can suffer.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Instant;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _, Row as _};

use super::*;
use crate::core::access::{Lesson, Taught, Version};
use crate::core::decide::{Decision, NewDelivery, ReadSet, Snapshot};
use crate::core::event::{EventId, KeyRef};
use crate::core::incident::{Fingerprint, Incident, Situation, State};
use crate::core::notification::Kind;
use crate::store::conformance::fixture::{
    Shared, all, at, done, fingerprint, incident_id, keep, lease, notification, only, put, settle, situation,
};
use crate::store::{DeliveryState, IncidentFilter, KnownKey, Retention, Store as _};

/// Waits for nobody.
const IMPATIENT: Dialect = Dialect::Sqlite { busy: Duration::from_millis(50), pages_max: None };

const NEXT: &str = "CREATE TABLE extra (a BIGINT); INSERT INTO extra (a) VALUES (1);";
const BROKEN: &str = "CREATE TABLE extra (a BIGINT); INSERT INTO nowhere (a) VALUES (1);";

/// The schema of a version to come.
fn with(next: Migration) -> &'static [Migration] {
    MIGRATIONS.iter().copied().chain([next]).collect::<Vec<_>>().leak()
}

fn config(folder: &tempfile::TempDir) -> Config {
    Config { path: folder.path().join("state.db") }
}

async fn shared(folder: &tempfile::TempDir, dialect: Dialect) -> Shared {
    Arc::new(open_with(&config(folder), MIGRATIONS, dialect).await.unwrap())
}

/// Somebody else's connection.
async fn stranger(folder: &tempfile::TempDir) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(config(folder).path).create_if_missing(true);
    options.connect().await.unwrap()
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn refused(folder: &tempfile::TempDir, migrations: &'static [Migration]) -> StoreError {
    open_with(&config(folder), migrations, IMPATIENT).await.err().unwrap()
}

#[tokio::test]
async fn a_new_file_is_private_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd name #1?/100%/state.db");
    let store = open(&Config { path: path.clone() }).await.unwrap();
    store.probe(at(0)).await.unwrap();
    assert_eq!(store.incidents(&IncidentFilter { open: false, limit: 1 }).await.unwrap(), vec![]);
    assert!(store.durable());
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_file_name("state.db-wal")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    store.close().await;
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["state.db"]);
}

#[tokio::test]
async fn commits_are_synced() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&config(&folder)).await.unwrap();
    assert_eq!(store.pragma("SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous").await.unwrap(), "2");
    store.close().await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    let seen = vec![(EventId("e1".into()), at(0))];
    keep(&store, Decision { seen, situations: vec![situation(1, State::Open)], ..Decision::default() }).await;
    put(&store, "chat", &[notification(1, 1, Kind::Trigger), notification(1, 2, Kind::Update)]).await;
    let told = only(&store, 10, "chat").await;
    settle(&store, 11, told.delivery.id, crate::store::Outcome::Done { memory: Some("thread".into()) }).await;
    let before = (all(&store).await, store.story(&incident_id(1)).await.unwrap(), store.stats().await.unwrap());
    store.close().await;

    let store = shared(&folder, IMPATIENT).await;
    let after = (all(&store).await, store.story(&incident_id(1)).await.unwrap(), store.stats().await.unwrap());
    assert_eq!(after, before);
    assert_eq!(only(&store, 12, "chat").await.memory.as_deref(), Some("thread"));
    let reads =
        ReadSet { events: vec![EventId("e1".into())], fingerprints: vec![fingerprint(1)], ..ReadSet::default() };
    let decide = |snapshot: &Snapshot| Decision {
        duplicates: snapshot.seen.len() + snapshot.situations.len(),
        ..Decision::default()
    };
    assert_eq!(store.apply(&reads, &decide).await.unwrap().duplicates, 2);
    assert_eq!(names(&folder).iter().filter(|name| name.contains("bak")).count(), 0);
    store.close().await;
}

#[tokio::test]
async fn what_was_committed_survives_an_unclean_end() {
    let folder = tempfile::tempdir().unwrap();
    let crashed = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    put(&store, "chat", &[notification(1, 1, Kind::Trigger), notification(2, 1, Kind::Trigger)]).await;
    lease(&store, 10, "chat", 1).await;
    // As the disk looks to whoever comes after a kill: the log was never folded into the file.
    for name in ["state.db", "state.db-wal"] {
        std::fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let after = shared(&crashed, IMPATIENT).await;
    assert_eq!(all(&after).await, all(&store).await);
    // The claim of the dead process runs out by itself.
    assert_eq!(lease(&after, 69, "chat", 9).await.len(), 1);
    let again = only(&after, 70, "chat").await.delivery;
    assert_eq!((again.attempts, again.outcome_unknown), (1, true));
    after.close().await;
    store.close().await;
}

#[tokio::test]
async fn the_file_is_copied_before_its_schema_changes() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    put(&store, "chat", &[notification(1, 1, Kind::Trigger)]).await;
    let before = all(&store).await;
    store.close().await;
    // What an upgrade that broke off has left.
    let copy = format!("state.db.bak-v{}", MIGRATIONS.len());
    std::fs::write(folder.path().join(&copy), "half a copy").unwrap();

    let store: Shared = Arc::new(open_with(&config(&folder), with(NEXT), IMPATIENT).await.unwrap());
    assert_eq!(all(&store).await, before);
    store.close().await;
    assert_eq!(names(&folder), ["state.db", &copy]);
    let copy = folder.path().join(copy);
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = open_with(&Config { path: copy }, MIGRATIONS, IMPATIENT).await.unwrap();
    assert_eq!(copy.deliveries(&DeliveryState::ALL, 9).await.unwrap(), before);
    copy.close().await;
    // Opened again, nothing changes any more.
    let store = open_with(&config(&folder), with(NEXT), IMPATIENT).await.unwrap();
    assert_eq!(store.schema_version().await.unwrap(), i64::try_from(MIGRATIONS.len() + 1).ok());
    store.close().await;
}

#[tokio::test]
async fn what_the_first_version_kept_is_there_after_the_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let old = open_with(&config(&folder), &MIGRATIONS[..1], IMPATIENT).await.unwrap();
    old.writer_says(
        "INSERT INTO situations (fingerprint, standing, kept_ms, body) VALUES \
         ('f1', 'marker', 0, '{\"fingerprint\":\"f1\",\"conditions\":{},\"incident\":null}')",
    )
    .await;
    old.writer_says(
        "INSERT INTO keys (arn, kept_ms, body) VALUES ('k1', 0, '{\"arn\":\"k1\",\"manager\":\"CUSTOMER\"}')",
    )
    .await;
    old.close().await;
    let store = open_with(&config(&folder), MIGRATIONS, IMPATIENT).await.unwrap();
    let known = Fingerprint("f1".into());
    assert_eq!(store.situations(std::slice::from_ref(&known)).await.unwrap(), [Situation::new(known)]);
    assert_eq!(store.held_situations(None, 9).await.unwrap(), []);
    let key = KeyRef { arn: Some("k1".into()), manager: Some("CUSTOMER".into()), ..KeyRef::default() };
    assert_eq!(store.recall_keys(&["k1".to_owned()]).await.unwrap(), [KnownKey { key, swept: false }]);
    store.close().await;
}

#[tokio::test]
async fn a_migration_that_fails_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    shared(&folder, IMPATIENT).await.close().await;
    let error = refused(&folder, with(BROKEN)).await;
    assert_eq!(error.kind, StoreErrorKind::Other);
    let store = shared(&folder, IMPATIENT).await;
    put(&store, "chat", &[notification(1, 1, Kind::Trigger)]).await;
    store.close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open_with(&config(&folder), with(NEXT), IMPATIENT).await.unwrap().close().await;
    let error = refused(&folder, MIGRATIONS).await;
    assert_eq!(error.kind, StoreErrorKind::Unusable);
    let (theirs, ours) = (MIGRATIONS.len() + 1, MIGRATIONS.len());
    let why = format!("newer version of kmswatch (schema {theirs}, this one knows {ours})");
    assert!(error.detail.contains(&why), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = "dear diary, ".repeat(1000);
    std::fs::write(config(&folder).path, &text).unwrap();
    let error = refused(&folder, MIGRATIONS).await;
    assert_eq!(error.kind, StoreErrorKind::Unusable, "{error}");
    assert_eq!(std::fs::read_to_string(config(&folder).path).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_somebody_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut stranger = stranger(&folder).await;
    stranger.execute("CREATE TABLE songs (id BIGINT)").await.unwrap();
    let error = refused(&folder, MIGRATIONS).await;
    assert_eq!(error.kind, StoreErrorKind::Unusable);
    assert!(error.detail.contains("not one of kmswatch"), "{error}");
    // A table that happens to have our name.
    stranger.execute("CREATE TABLE meta (id BIGINT)").await.unwrap();
    assert_eq!(refused(&folder, MIGRATIONS).await.kind, StoreErrorKind::Unusable);
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    let many: Vec<_> = (1..200).map(|n| notification(n, 1, Kind::Trigger)).collect();
    put(&store, "chat", &many).await;
    store.close().await;
    let path = config(&folder).path;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40_000].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    let error = refused(&folder, MIGRATIONS).await;
    assert_eq!(error.kind, StoreErrorKind::Unusable, "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_and_a_file_in_place_of_the_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(config(&folder).path).unwrap();
    assert_eq!(refused(&folder, MIGRATIONS).await.kind, StoreErrorKind::Unusable);
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = open(&Config { path: file.join("state.db") }).await.err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Unusable, "{error}");
}

#[test]
fn what_the_system_says_of_a_file_is_named() {
    let kind = |kind: ErrorKind| file_error(Path::new("/x/state.db"), &kind.into()).kind;
    assert_eq!(kind(ErrorKind::PermissionDenied), StoreErrorKind::ReadOnly);
    assert_eq!(kind(ErrorKind::ReadOnlyFilesystem), StoreErrorKind::ReadOnly);
    assert_eq!(kind(ErrorKind::StorageFull), StoreErrorKind::DiskFull);
    assert_eq!(kind(ErrorKind::Interrupted), StoreErrorKind::Other);
    let error = file_error(Path::new("/x/state.db"), &ErrorKind::PermissionDenied.into());
    assert!(error.detail.starts_with("/x/state.db: ") && error.detail.ends_with("and its folder"), "{error}");
}

#[tokio::test]
async fn a_read_only_file_is_named_and_works_again_when_it_is_writable() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open_with(&config(&folder), MIGRATIONS, IMPATIENT).await.unwrap());
    store.writer_says("PRAGMA query_only = ON").await;
    let shared: Shared = store.clone();
    let new = NewDelivery { sink: "chat".into(), notification: notification(1, 1, Kind::Trigger) };
    let decision = Decision { deliveries: vec![new], ..Decision::default() };
    let error = shared.apply(&ReadSet::default(), &|_| decision.clone()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::ReadOnly, "{error}");
    keep(&shared, decision).await;
    assert_eq!(all(&shared).await.len(), 1);
    shared.close().await;
}

#[tokio::test]
async fn the_policies_of_too_many_keys_make_room_for_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(&config(&folder), MIGRATIONS, IMPATIENT).await.unwrap();
    store
        .writer_says(
            "INSERT INTO policies (arn, kept_ms, body) WITH RECURSIVE n(i) AS \
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20700) SELECT 'key/' || i, i, '{\"versions\":[]}' FROM n",
        )
        .await;
    let retention = Retention {
        seen: jiff::SignedDuration::from_secs(60),
        history: jiff::SignedDuration::from_secs(60),
        markers: jiff::SignedDuration::from_secs(60),
    };
    let mut forgotten = 0;
    while let step @ 1.. = store.prune(at(1000), &retention, &[]).await.unwrap() {
        forgotten += step;
    }
    assert_eq!(forgotten, 700);
    let known = async |arn| store.recall_history(arn).await.unwrap().is_some();
    assert_eq!((known("key/700").await, known("key/701").await), (false, true), "the oldest have gone");
    store.close().await;
}

#[tokio::test]
async fn too_many_groups_that_have_learnt_make_room_for_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(&config(&folder), MIGRATIONS, IMPATIENT).await.unwrap();
    store
        .writer_says(
            "INSERT INTO situations (fingerprint, standing, kept_ms, body) WITH RECURSIVE n(i) AS \
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100300) \
             SELECT 'f' || i, 'learnt', 1800000000000 + i, '{\"fingerprint\":\"f' || i || '\",\"conditions\":{},\"incident\":null}' FROM n",
        )
        .await;
    let day = jiff::SignedDuration::from_hours(24);
    let retention = Retention { seen: day, history: day, markers: day };
    let mut forgotten = 0;
    while let step @ 1.. = store.prune(at(90_000), &retention, &[]).await.unwrap() {
        forgotten += step;
    }
    assert_eq!(forgotten, 300);
    let known = async |n: u32| !store.situations(&[Fingerprint(format!("f{n}"))]).await.unwrap().is_empty();
    assert_eq!((known(300).await, known(301).await), (false, true), "the oldest have gone");
    store.close().await;
}

#[tokio::test]
async fn a_history_of_policies_that_does_not_read_back_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with(&config(&folder), MIGRATIONS, IMPATIENT).await.unwrap();
    store.writer_says("INSERT INTO policies (arn, kept_ms, body) VALUES ('key/1', 1, 'half a')").await;
    assert_eq!(store.recall_history("key/1").await.unwrap_err().kind, StoreErrorKind::Corrupt);
    let version = Version { at: at(1), event: EventId("e1".to_owned()), text: Some("{}".to_owned()) };
    let lesson = Lesson { arn: "key/1".to_owned(), taught: Taught::Policy(version.clone()) };
    store.keep_lessons(at(2), &[lesson]).await.unwrap();
    assert_eq!(store.recall_history("key/1").await.unwrap().unwrap().versions, [version]);
    store.close().await;
}

#[tokio::test]
async fn a_lock_held_elsewhere_is_waited_for_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    put(&store, "chat", &[notification(1, 1, Kind::Trigger)]).await;
    let delivery = only(&store, 10, "chat").await.delivery;
    let mut stranger = stranger(&folder).await;
    stranger.execute("BEGIN IMMEDIATE").await.unwrap();

    let seen = vec![(EventId("e".into()), at(0))];
    let decision = Decision { seen, ..Decision::default() };
    let error = store.apply(&ReadSet::default(), &|_| decision.clone()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Locked, "{error}");
    let settlement = crate::store::Settlement { id: delivery.id, outcome: done() };
    assert_eq!(store.settle(at(11), &[settlement]).await.unwrap_err().kind, StoreErrorKind::Locked);
    assert_eq!(store.probe(at(11)).await.unwrap_err().kind, StoreErrorKind::Locked);
    // Whoever only looks, and finds nothing to do, waits for nobody.
    let due = ReadSet { due: Some((at(1000), 10)), ..ReadSet::default() };
    assert_eq!(store.apply(&due, &|_| Decision::default()).await.unwrap(), Decision::default());
    assert_eq!(lease(&store, 20, "chat", 5).await, vec![]);
    assert_eq!(all(&store).await.len(), 1);

    stranger.execute("COMMIT").await.unwrap();
    keep(&store, decision).await;
    settle(&store, 12, delivery.id, done()).await;
    store.probe(at(12)).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_file_lose_no_update() {
    let folder = tempfile::tempdir().unwrap();
    let patient = Dialect::Sqlite { busy: Duration::from_secs(20), pages_max: None };
    let tasks: Vec<_> = [shared(&folder, patient).await, shared(&folder, patient).await]
        .into_iter()
        .map(|store| {
            tokio::spawn(async move {
                let reads = ReadSet { fingerprints: vec![fingerprint(1)], ..ReadSet::default() };
                let count = |snapshot: &Snapshot| {
                    let mut value = situation(1, State::Open);
                    let known = snapshot.situations.get(&fingerprint(1)).and_then(|known| known.incident.as_ref());
                    value.incident.as_mut().unwrap().alerts = known.map_or(1, |known| known.alerts + 1);
                    Decision { situations: vec![value], ..Decision::default() }
                };
                for _ in 0..20 {
                    store.apply(&reads, &count).await.unwrap();
                }
                store
            })
        })
        .collect();
    for task in tasks {
        let store = task.await.unwrap();
        store.close().await;
    }
    let store = shared(&folder, IMPATIENT).await;
    assert_eq!(store.story(&incident_id(1)).await.unwrap().unwrap().incident.alerts, 40);
    store.close().await;
}

#[tokio::test]
async fn a_full_disk_stores_nothing_and_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let bounded = Dialect::Sqlite { busy: Duration::from_millis(50), pages_max: Some(300) };
    let store = shared(&folder, bounded).await;
    let old = (0..4000).map(|n| (EventId(format!("old{n}")), at(0))).collect();
    keep(&store, Decision { seen: old, ..Decision::default() }).await;
    let mut kept = 0_u32;
    let error = loop {
        let n = kept + 1;
        let mut big = notification(n, 1, Kind::Trigger);
        big.summary = "x".repeat(50_000);
        let decision = Decision {
            seen: vec![(EventId(format!("e{n}")), at(1000))],
            situations: vec![situation(n, State::Open)],
            deliveries: vec![NewDelivery { sink: "chat".into(), notification: big }],
            ..Decision::default()
        };
        match store.apply(&ReadSet::default(), &|_| decision.clone()).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100);
    };
    assert_eq!(error.kind, StoreErrorKind::DiskFull, "{error}");
    assert!(error.detail.contains("make room"), "{error}");
    // Nothing of the decision that did not fit is there.
    let lost = kept + 1;
    assert_eq!(all(&store).await.len(), usize::try_from(kept).unwrap());
    assert_eq!(store.story(&incident_id(lost)).await.unwrap(), None);
    let reads = ReadSet { events: vec![EventId(format!("e{lost}"))], ..ReadSet::default() };
    let seen = |snapshot: &Snapshot| Decision { duplicates: snapshot.seen.len(), ..Decision::default() };
    assert_eq!(store.apply(&reads, &seen).await.unwrap().duplicates, 0);
    // It stays full, and says so each time.
    for _ in 0..3 {
        assert_eq!(store.probe(at(1)).await.unwrap_err().kind, StoreErrorKind::DiskFull);
    }
    // Room is made; the same store goes on.
    let retention = Retention {
        seen: jiff::SignedDuration::from_secs(60),
        history: jiff::SignedDuration::from_secs(60),
        markers: jiff::SignedDuration::from_secs(60),
    };
    let mut forgotten = 0;
    while let step @ 1.. = store.prune(at(1000), &retention, &["chat".to_owned()]).await.unwrap() {
        forgotten += step;
    }
    assert_eq!(forgotten, 4000);
    store.probe(at(1001)).await.unwrap();
    put(&store, "chat", &[notification(lost, 1, Kind::Trigger)]).await;
    let leased = lease(&store, 10, "chat", 100).await;
    assert_eq!(leased.len(), usize::try_from(lost).unwrap());
    for one in &leased {
        settle(&store, 11, one.delivery.id, done()).await;
    }
    store.close().await;
}

/// A disk of 3 MiB; goes away with it. `None` where this process may not mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(folder.path());
        mount.output().is_ok_and(|done| done.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[tokio::test]
async fn a_small_disk_that_the_log_has_filled_is_used_again() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: this process may not mount a small file system");
        return;
    };
    let store = shared(&disk.0, IMPATIENT).await;
    // The same value again and again: the file does not grow, the log does.
    let decision = Decision { situations: vec![situation(1, State::Open)], ..Decision::default() };
    for _ in 0..1000 {
        keep(&store, decision.clone()).await;
    }
    // As long as somebody reads, the log cannot be moved into the file.
    let mut reader = stranger(&disk.0).await;
    reader.execute("BEGIN; SELECT COUNT(*) FROM outbox").await.unwrap();
    let error = loop {
        if let Err(error) = store.apply(&ReadSet::default(), &|_| decision.clone()).await {
            break error;
        }
    };
    assert_eq!(error.kind, StoreErrorKind::DiskFull, "{error}");
    assert_eq!(store.probe(at(1)).await.unwrap_err().kind, StoreErrorKind::DiskFull);
    reader.execute("COMMIT").await.unwrap();
    store.probe(at(2)).await.unwrap();
    keep(&store, decision).await;
    store.close().await;
}

fn log_bytes(folder: &tempfile::TempDir) -> u64 {
    std::fs::metadata(folder.path().join("state.db-wal")).unwrap().len()
}

#[tokio::test]
async fn the_log_stays_short() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    for n in 1..=100 {
        let mut big = notification(n, 1, Kind::Trigger);
        big.summary = "x".repeat(50_000);
        put(&store, "chat", &[big]).await;
    }
    assert!(log_bytes(&folder) < 2 * 1024 * 1024, "{}", log_bytes(&folder));
    store.close().await;
}

#[tokio::test]
async fn a_probe_gives_back_the_room_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    let mut reader = stranger(&folder).await;
    reader.execute("BEGIN; SELECT COUNT(*) FROM outbox").await.unwrap();
    for n in 1..=200 {
        let mut big = notification(n, 1, Kind::Trigger);
        big.summary = "x".repeat(50_000);
        put(&store, "chat", &[big]).await;
    }
    let long = log_bytes(&folder);
    assert!(long > 8 * 1024 * 1024, "{long}");
    // While somebody reads the old state the log must stay; that is no failure.
    store.probe(at(1)).await.unwrap();
    assert!(log_bytes(&folder) >= long);
    reader.execute("COMMIT").await.unwrap();
    store.probe(at(2)).await.unwrap();
    assert!(log_bytes(&folder) < 512 * 1024, "{}", log_bytes(&folder));
    assert_eq!(all(&store).await.len(), 200);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_stops_waiting_leaves_no_half_of_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    for n in 1..=60_u32 {
        let decision = Decision {
            situations: vec![situation(n, State::Open)],
            deliveries: vec![NewDelivery { sink: "chat".into(), notification: notification(n, 1, Kind::Trigger) }],
            ..Decision::default()
        };
        let patience = Duration::from_micros(u64::from(n) * 40);
        // Either end is right.
        drop(tokio::time::timeout(patience, store.apply(&ReadSet::default(), &|_| decision.clone())).await);
    }
    put(&store, "pager", &[notification(1, 1, Kind::Trigger)]).await;
    let incidents = store.incidents(&IncidentFilter { open: true, limit: 100 }).await.unwrap();
    let mut told: Vec<_> = all(&store).await.into_iter().filter(|one| one.sink == "chat").collect();
    told.sort_by(|a, b| b.notification.incident.id.cmp(&a.notification.incident.id));
    let ids: Vec<_> = incidents.into_iter().map(|incident| incident.id).collect();
    assert_eq!(told.into_iter().map(|one| one.notification.incident.id).collect::<Vec<_>>(), ids);
    store.close().await;
}

#[tokio::test]
async fn a_row_that_does_not_read_back_holds_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    let mut broken = crate::store::conformance::fixture::timed(1, 100);
    broken.fingerprint = fingerprint(1);
    let situations = vec![broken, crate::store::conformance::fixture::timed(2, 100)];
    keep(&store, Decision { situations, ..Decision::default() }).await;
    put(&store, "chat", &[1, 2, 3].map(|n| notification(n, 1, Kind::Trigger))).await;
    let mut hand = stranger(&folder).await;
    hand.execute("UPDATE outbox SET body = '{' WHERE id = 1").await.unwrap();
    hand.execute("UPDATE situations SET body = 'x' WHERE fingerprint = 'f0001'").await.unwrap();

    let leased = lease(&store, 10, "chat", 9).await;
    assert_eq!(leased.iter().map(|one| one.delivery.id).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.stats().await.unwrap().sinks["chat"].dead, 1);
    let due = ReadSet { due: Some((at(1000), 10)), ..ReadSet::default() };
    let count = |snapshot: &Snapshot| Decision { duplicates: snapshot.situations.len(), ..Decision::default() };
    // Its incident is there still.
    assert_eq!(store.apply(&due, &count).await.unwrap().duplicates, 2);
    store.close().await;
}

#[tokio::test]
async fn a_situation_that_does_not_read_back_is_made_anew_and_kept_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    let of = |n: u32, episode: u32, state| {
        let mut situation = situation(n, state);
        let incident = situation.incident.as_mut().unwrap();
        incident.episode = episode;
        incident.id = Incident::id_of(&fingerprint(n), episode);
        situation
    };
    let older = vec![of(1, 1, State::Resolved), of(2, 9, State::Resolved)];
    keep(&store, Decision { situations: older, ..Decision::default() }).await;
    let newer = vec![of(1, 2, State::Open), of(2, 10, State::Open), of(3, 1, State::Resolved), of(4, 1, State::Open)];
    keep(&store, Decision { situations: newer, ..Decision::default() }).await;
    let mut hand = stranger(&folder).await;
    hand.execute("UPDATE situations SET body = 'x' WHERE fingerprint <> 'f0004'").await.unwrap();
    hand.execute("UPDATE incidents SET body = 'y' WHERE id = 'f0002-10'").await.unwrap();

    let reads = ReadSet { fingerprints: (1..=4).map(fingerprint).collect(), ..ReadSet::default() };
    let replace = |snapshot: &Snapshot| {
        assert_eq!(snapshot.unreadable, [(fingerprint(1), 2), (fingerprint(2), 10), (fingerprint(3), 1)].into());
        let standing = |n| snapshot.situations.get(&fingerprint(n)).map(|s| (s.active(at(100)), s.incident.clone()));
        let (active, incident) = standing(1).unwrap();
        assert!(active, "nobody has said that the danger is past");
        assert_eq!(incident.map(|i| (i.episode, i.state, i.rules.len())), Some((2, State::Open, 0)));
        assert_eq!(standing(2), None, "the newest incident does not read back either; an older one is none of it");
        assert!(!standing(3).unwrap().0);
        assert!(standing(4).unwrap().0);
        Decision { situations: vec![of(1, 2, State::Open), of(2, 11, State::Open)], ..Decision::default() }
    };
    store.apply(&reads, &replace).await.unwrap();

    assert_eq!(store.stats().await.unwrap().quarantined, 2, "what was replaced is kept aside");
    let kept = sqlx::query("SELECT id, reason, body FROM quarantine ORDER BY id").fetch_all(&mut hand).await.unwrap();
    let said: Vec<String> = ["reason", "body"].iter().map(|column| kept[0].get::<String, _>(*column)).collect();
    assert_eq!(said, ["situation_does_not_read_back", "x"]);
    let open = store.incidents(&IncidentFilter { open: true, limit: 9 }).await.unwrap();
    let open: Vec<&str> = open.iter().map(|incident| incident.id.as_str()).collect();
    assert_eq!(open, ["f0004-1", "f0002-11", "f0001-2"], "the one that does not read back is over");
    assert_eq!(store.incidents(&IncidentFilter { open: false, limit: 9 }).await.unwrap().len(), 6);
    let all = store.open_situations(None, 9).await.unwrap();
    assert_eq!(all.iter().map(|s| s.fingerprint.clone()).collect::<Vec<_>>(), [1, 2, 4].map(fingerprint));
    let calm = |snapshot: &Snapshot| {
        assert_eq!(snapshot.unreadable.keys().collect::<Vec<_>>(), [&fingerprint(3)]);
        Decision::default()
    };
    store.apply(&reads, &calm).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn an_open_situation_that_does_not_read_back_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = shared(&folder, IMPATIENT).await;
    let situations = (1..=3).map(|n| situation(n, State::Open)).collect();
    keep(&store, Decision { situations, ..Decision::default() }).await;
    stranger(&folder).await.execute("UPDATE situations SET body = 'x' WHERE fingerprint = 'f0002'").await.unwrap();
    let page = store.open_situations(None, 3).await.unwrap();
    assert_eq!(page.iter().map(|s| s.fingerprint.clone()).collect::<Vec<_>>(), [1, 2, 3].map(fingerprint));
    assert_eq!(page[1].incident, None);
    store.close().await;
}

#[tokio::test]
async fn a_long_backlog_does_not_slow_claims() {
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(open_with(&config(&folder), MIGRATIONS, IMPATIENT).await.unwrap());
    let store: Shared = file.clone();
    let many: Vec<_> = (1..=3000).map(|n| notification(n, 1, Kind::Trigger)).collect();
    put(&store, "chat", &many).await;
    let mut hand = stranger(&folder).await;
    for sql in file.hot_queries() {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps = sqlx::query(explain).bind("chat").bind(1).bind(8).fetch_all(&mut hand).await;
        let steps: Vec<String> = steps.unwrap().iter().map(|row| row.get("detail")).collect();
        let slow = steps.iter().filter(|step| step.contains("TEMP B-TREE") || step.starts_with("SCAN"));
        assert_eq!(slow.count(), 0, "{steps:#?}");
    }
    let started = Instant::now();
    for turn in 0..20 {
        assert_eq!(lease(&store, 10 + turn, "chat", 8).await.len(), 8);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    store.close().await;
}
