use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use tokio::time::Instant;

use super::s3::PutError;
use super::upload::Course;
use super::*;
use crate::base::clock::{ManualClock, Timestamp};
use crate::base::diagnostic::Problem;

fn now() -> Timestamp {
    "2026-11-23T09:59:58Z".parse().unwrap()
}

/// A bucket on loopback: keeps objects by path, or refuses.
struct Bucket {
    url: String,
    state: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Vec<u8>>,
    headers: BTreeMap<String, String>,
    refuses: Option<(u16, &'static str)>,
    refused: usize,
}

impl Bucket {
    async fn start() -> Self {
        let state: Arc<Mutex<Kept>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Arc::clone(&state);
        let take = async move |request: Request| {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let mut kept = kept.lock().unwrap();
            if let Some((status, code)) = kept.refuses {
                kept.refused += 1;
                let said = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
                return (StatusCode::from_u16(status).unwrap(), said);
            }
            let headers =
                parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            kept.headers = headers.collect();
            kept.objects.insert(parts.uri.path().to_owned(), body.to_vec());
            (StatusCode::OK, String::new())
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await.unwrap() });
        Self { url, state }
    }

    fn lines(&self) -> BTreeMap<String, Vec<String>> {
        let kept = self.state.lock().unwrap();
        let unpacked = |body: &Vec<u8>| {
            let mut text = String::new();
            flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
            text.lines().map(str::to_owned).collect()
        };
        kept.objects.iter().map(|(path, body)| (path.clone(), unpacked(body))).collect()
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Reporter for Heard {
    fn archive_failing(&self, detail: &str) {
        self.0.lock().unwrap().push(detail.to_owned());
    }

    fn archive_works(&self) {
        self.0.lock().unwrap().push("works".to_owned());
    }
}

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn config(bucket: &str, spool: &Path, more: &str) -> S3Config {
    let text = format!("bucket = 'events'\nregion = 'eu-central-1'\nendpoint = '{bucket}'\nspool = {spool:?}\n{more}");
    toml::from_str(&text).unwrap()
}

struct Rig {
    bucket: Bucket,
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
    heard: Arc<Heard>,
}

impl Rig {
    async fn new() -> Self {
        Self {
            bucket: Bucket::start().await,
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(ManualClock::at(now())),
            heard: Arc::default(),
        }
    }

    fn start(&self, more: &str) -> Spool {
        let config = config(&self.bucket.url, self.folder.path(), more);
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        Spool::start(&config, &Access::unchecked(), &clock, Arc::clone(&self.heard) as _).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let names =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "lock").collect();
        names.sort();
        names
    }
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn stopped(spool: &Spool) {
    spool.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_to_the_bucket_by_hour_and_queue_as_they_were() {
    let rig = Rig::new().await;
    let spool = rig.start("kms_key = 'arn:aws:kms:eu-central-1:111122223333:key/k'\nbucket_owner = '111122223333'");
    spool.take("main", ["{\"a\": 1}", "{\n  \"b\": \"x\\ny\"\r\n}"].into_iter());
    spool.take("other", ["{\"c\":3}"].into_iter());
    // The writer stamps a line when it writes it.
    spool.writer.synced().await;
    rig.clock.advance(Duration::from_secs(3));
    spool.take("main", ["{\"d\":4}", "no JSON"].into_iter());
    stopped(&spool).await;
    let lines = rig.bucket.lines();
    let seen: Vec<(&String, &Vec<String>)> = lines.iter().collect();
    assert_eq!(seen.len(), 3, "{seen:?}");
    let named = |at: usize, begins: &str, ends: &str| {
        let path = seen[at].0;
        assert!(path.starts_with(&format!("/events/kmswatch/2026/11/23/{begins}")) && path.ends_with(ends), "{path}");
    };
    named(0, "09/main-20261123T095958Z-", "-00001.jsonl.gz");
    assert_eq!(seen[0].1, &["{\"a\": 1}", "{   \"b\": \"x\\ny\"  }"], "one line each, values untouched");
    named(1, "09/other-20261123T095958Z-", "-00001.jsonl.gz");
    assert_eq!(seen[1].1, &["{\"c\":3}"]);
    named(2, "10/main-20261123T095958Z-", "-00002.jsonl.gz");
    assert_eq!(seen[2].1, &["{\"d\":4}"], "another hour, another file");
    assert!(rig.files().is_empty(), "what is in the bucket is gone from the disk: {:?}", rig.files());
    let headers = &rig.bucket.state.lock().unwrap().headers;
    assert_eq!(headers["x-amz-server-side-encryption"], "aws:kms");
    assert_eq!(headers["x-amz-expected-bucket-owner"], "111122223333");
    assert!(headers["authorization"].contains("/eu-central-1/s3/aws4_request"));
    assert!(
        headers["authorization"].contains("x-amz-expected-bucket-owner")
            && headers.contains_key("x-amz-content-sha256")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_life_left_is_put_under_the_key_it_had_without_half_a_line() {
    let rig = Rig::new().await;
    let name = "2026-11-22T23_main-20261122T230000Z-00000001-00001.jsonl";
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(200_000));
    fs::write(
        rig.folder.path().join(format!("{name}.part")),
        format!("{{\"n\":1}}\n{long}\n{{\"half\":\"{}", "z".repeat(100_000)),
    )
    .unwrap();
    fs::write(rig.folder.path().join("2026-11-22T22_main-20261122T220000Z-00000001-00001.jsonl"), "{\"n\":0}\n")
        .unwrap();
    fs::write(rig.folder.path().join("2026-11-22T23_main-20261122T230000Z-00000001-00002.jsonl.part"), "{\"torn")
        .unwrap();
    // Not ours: it is left alone, said, and holds up nothing.
    fs::write(rig.folder.path().join("0.jsonl"), "somebody's").unwrap();
    let spool = rig.start("prefix = 'a/b'");
    until("both are there", || rig.bucket.lines().len() == 2).await;
    stopped(&spool).await;
    let lines = rig.bucket.lines();
    assert_eq!(lines["/events/a/b/2026/11/22/22/main-20261122T220000Z-00000001-00001.jsonl.gz"], ["{\"n\":0}"]);
    let whole = &lines["/events/a/b/2026/11/22/23/main-20261122T230000Z-00000001-00001.jsonl.gz"];
    assert_eq!(whole, &["{\"n\":1}".to_owned(), long]);
    assert_eq!(rig.files(), ["0.jsonl"]);
    assert!(
        rig.heard.all().iter().any(|said| said.contains("0.jsonl` is not a file of the archive")),
        "{:?}",
        rig.heard.all()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_refuses_is_reported_and_nothing_is_lost() {
    let rig = Rig::new().await;
    rig.bucket.state.lock().unwrap().refuses = Some((403, "AccessDenied"));
    let spool = rig.start("");
    spool.take("main", ["{\"n\":1}"].into_iter());
    spool.writer.synced().await;
    rig.clock.advance(Duration::from_mins(6));
    until("it is said", || {
        rig.heard.all().iter().any(|said| said == "the bucket `events` answered 403: AccessDenied: no")
    })
    .await;
    assert_eq!(rig.files().len(), 1);
    rig.bucket.state.lock().unwrap().refuses = None;
    stopped(&spool).await;
    assert_eq!(
        rig.bucket.lines().into_values().flatten().collect::<Vec<_>>(),
        ["{\"n\":1}"],
        "the stop tries once more"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_used_is_said_and_tried_again() {
    let rig = Rig::new().await;
    let spool = rig.folder.path().join("spool");
    fs::write(&spool, "in the way").unwrap();
    let config = config(&rig.bucket.url, &spool, "sync = 'before_delete'");
    let clock: Arc<dyn Clock> = Arc::clone(&rig.clock) as _;
    let archive = Spool::start(&config, &Access::unchecked(), &clock, Arc::clone(&rig.heard) as _).unwrap();
    archive.take("main", ["{\"lost\":1}"].into_iter());
    tokio::time::timeout(Duration::from_secs(4), archive.kept()).await.expect("a delete does not wait for it");
    until("it is said", || rig.heard.all().iter().any(|said| said.contains("cannot be"))).await;
    fs::remove_file(&spool).unwrap();
    until("it works by itself", || spool.join("lock").exists()).await;
    archive.take("main", ["{\"kept\":1}"].into_iter());
    stopped(&archive).await;
    assert_eq!(rig.bucket.lines().into_values().flatten().collect::<Vec<_>>(), ["{\"kept\":1}"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_a_delete_everything_is_on_the_disk() {
    let rig = Rig::new().await;
    let spool = rig.start("sync = 'before_delete'");
    for n in 0..500 {
        spool.take("main", [format!("{{\"n\":{n}}}").as_str()].into_iter());
    }
    spool.kept().await;
    let files = rig.files();
    assert!(files.len() == 1 && files[0].contains(".jsonl.part"), "{files:?}");
    let text = fs::read_to_string(rig.folder.path().join(&files[0])).unwrap();
    assert_eq!(text.lines().count(), 500);
    // Another daemon may not write there meanwhile.
    let other = Folder::new(&config(&rig.bucket.url, rig.folder.path(), ""), rig.clock.as_ref());
    assert!(other.open().unwrap_err().to_string().contains("another kmswatch"));
    stopped(&spool).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_folder_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now()));
    let mut full = Folder::new(&config("http://127.0.0.1:9", folder.path(), ""), clock.as_ref());
    full.bytes_max = 20;
    let full = Arc::new(full);
    let writer = Writer::start(Arc::clone(&full), clock).unwrap();
    for n in 1..=3 {
        writer.take("main", vec![format!("{{\"n\":{n}}}")]);
    }
    writer.close().await;
    let files = full.waiting().unwrap();
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), "{\"n\":1}\n{\"n\":2}\n");
    assert!(full.trouble().unwrap().contains("full"));
    assert_eq!(full.bytes(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_read_holds_up_no_other() {
    let rig = Rig::new().await;
    let file = |hour: u32| format!("2026-11-22T{hour}_main-20261122T{hour}0000Z-00000001-00001.jsonl");
    // Whoever opens a folder as a file can read nothing of it.
    fs::create_dir(rig.folder.path().join(file(21))).unwrap();
    fs::write(rig.folder.path().join(file(22)), "{\"n\":2}\n").unwrap();
    fs::write(rig.folder.path().join(file(23)), "{\"n\":3}\n").unwrap();
    let spool = rig.start("");
    until("both others are there", || rig.bucket.lines().len() == 2).await;
    let said = format!("{}` cannot be read", file(21));
    until("it is said", || rig.heard.all().iter().any(|heard| heard.contains(&said))).await;
    stopped(&spool).await;
    assert_eq!(rig.files(), [file(21)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_could_not_be_removed_is_not_put_again() {
    let rig = Rig::new().await;
    let config = config(&rig.bucket.url, rig.folder.path(), "");
    let clock: Arc<dyn Clock> = Arc::clone(&rig.clock) as _;
    let folder = Arc::new(Folder::new(&config, clock.as_ref()));
    folder.open().unwrap();
    let files = [22, 23].map(|hour| format!("2026-11-22T{hour}_main-20261122T{hour}0000Z-00000001-00001.jsonl"));
    let paths = files.map(|file| rig.folder.path().join(file));
    for path in &paths {
        fs::write(path, "{\"n\":1}\n").unwrap();
    }
    let s3 = S3::new(&config, &Access::unchecked(), clock);
    let uploader = Uploader { folder, s3, reporter: Arc::clone(&rig.heard) as _, stop: Stop::new() };
    let mut course = Course::new();
    course.stuck.extend([paths[0].clone(), rig.folder.path().join("gone.jsonl")]);
    assert!(uploader.upload_all(&mut course, false).await.is_none());
    let there: Vec<String> = rig.bucket.lines().into_keys().collect();
    assert_eq!(there, ["/events/kmswatch/2026/11/22/23/main-20261122T230000Z-00000001-00001.jsonl.gz"]);
    assert!(rig.files().is_empty(), "{:?}", rig.files());
    assert!(uploader.upload_all(&mut course, false).await.is_none() && course.stuck.is_empty());
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_once_in_a_while_and_its_end_once_it_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("http://127.0.0.1:9", folder.path(), "");
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now()));
    let spool = Arc::new(Folder::new(&config, clock.as_ref()));
    spool.open().unwrap();
    let heard = Arc::new(Heard::default());
    let s3 = S3::new(&config, &Access::unchecked(), clock);
    let uploader = Uploader { folder: Arc::clone(&spool), s3, reporter: Arc::clone(&heard) as _, stop: Stop::new() };
    let mut course = Course::new();
    let passing = PutError::passing("503".to_owned());
    uploader.judge(&mut course, Some(&passing));
    assert!(heard.all().is_empty(), "what breaks for a moment mends itself");
    tokio::time::advance(Duration::from_mins(6)).await;
    uploader.judge(&mut course, Some(&passing));
    uploader.judge(&mut course, Some(&passing));
    assert_eq!(heard.all(), ["503"]);
    uploader.judge(&mut course, None);
    assert_eq!(heard.all().len(), 1, "well for a moment is not well");
    tokio::time::advance(Duration::from_mins(2)).await;
    uploader.judge(&mut course, None);
    uploader.judge(&mut course, None);
    assert_eq!(heard.all(), ["503", "works"]);
    spool.lost("io", 1, "the disk");
    uploader.judge(&mut course, None);
    assert_eq!(heard.all().last().unwrap(), "the disk", "a gap is told at once");
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let text = "[s3]\nbucket = 's3://events'\nregion = 'europe'\nprefix = '/a'\nbucket_owner = '1'\nkms_key = 'alias/x'\n\
                endpoint = 'x'\nspool = 'here'\nspool_max_mib = 1\nevery = '1s'\nassume_role.role_arn = 'r'";
    let mut problems: Vec<Problem> = vec![];
    toml::from_str::<Config>(text).unwrap().check(&mut problems);
    let places: Vec<&str> = problems.iter().map(|problem| text.get(problem.span.clone()).unwrap()).collect();
    assert_eq!(
        places,
        ["'s3://events'", "'europe'", "'/a'", "'1'", "'alias/x'", "'x'", "'r'", "'here'", "1", "'1s'"],
        "{problems:?}"
    );
    assert!(problems.iter().all(|problem| problem.hint.is_some()));
    for (prefix, fine) in
        [("a", true), ("a/b=c/d.e", true), ("a//b", false), ("../a", false), ("a b", false), ("a/", false)]
    {
        let mut problems = vec![];
        let text = format!("[s3]\nbucket = 'events'\nregion = 'eu-central-1'\nprefix = '{prefix}'");
        toml::from_str::<Config>(&text).unwrap().check(&mut problems);
        assert_eq!(problems.is_empty(), fine, "{prefix}");
    }
}
