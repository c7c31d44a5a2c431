//! `incidents` beside a running daemon: what people see and do reaches everybody who was told.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::daemon::{Daemon, Setup, command};
use super::events;
use super::queue::TestQueue;
use super::receivers::Receivers;

const LIMIT: Duration = Duration::from_mins(1);

/// `incidents` with these arguments: exit code, stdout, stderr.
fn incidents(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(&["incidents", "--config"]).arg(config).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The same, as a program reads it. The exit code has to be this one.
fn json(config: &Path, code: i32, arguments: &[&str]) -> Vec<Value> {
    let (got, out, talk) = incidents(config, &[&["--format", "json"], arguments].concat());
    assert_eq!(got, Some(code), "{arguments:?}: {out}{talk}");
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_by_hand_reaches_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(11).await;
    let (config, _) =
        Setup { folder: folder.path(), queue_url: &queue.url, receivers: &receivers, more: "", queue: "", store: "" }
            .write();
    let mut daemon = Daemon::start(&config);
    queue.send(&events::call("DisableKey", &events::key(1), "i-1")).await;
    queue.send(&events::envelope(&events::denied(&events::key(2), "i-2", &events::now())).to_string()).await;
    receivers
        .until(LIMIT, "two triggers at three receivers", |all| {
            ["slack/", "pagerduty/", "hook/"]
                .iter()
                .all(|door| all.iter().filter(|a| a.door.starts_with(door)).count() >= 2)
        })
        .await;
    queue.until_empty(LIMIT).await;

    let open = json(&config, 0, &[]);
    assert_eq!(open.len(), 2, "{open:?}");
    let disabled = open.iter().find(|incident| incident["severity"] == "critical").unwrap();
    assert_eq!((&disabled["state"], &disabled["alerts"]), (&"open".into(), &1.into()));
    assert_eq!(disabled["key"]["arn"], *events::key(1));
    let id = disabled["id"].as_str().unwrap();
    let (code, list, _) = incidents(&config, &[]);
    assert_eq!((code, list.lines().count()), (Some(0), 2), "{list}");
    let line = list.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("no {id} in {list}"));
    assert!(line.contains("critical") && line.contains("KMS key disabled"), "{line}");
    let (_, newest, _) = incidents(&config, &["--limit", "1"]);
    assert_eq!(newest.lines().count(), 1, "{newest}");

    // A unique beginning of the id will do.
    let (code, story, _) = incidents(&config, &["show", id.get(..6).unwrap()]);
    assert_eq!(code, Some(0));
    for part in [
        &events::key(1),
        "DisableKey by arn:aws:iam::111122223333:role/Admin",
        "decided  the incident is open (critical): the first alert of its kind",
    ] {
        assert!(story.contains(part), "no {part} in:\n{story}");
    }
    for sink in ["chat", "pager", "hook"] {
        let arrived = format!("delivery trigger (an incident opened) to {sink}: it arrived, after 1 attempt");
        assert!(story.contains(&arrived), "{story}");
    }

    // Taken: PagerDuty hears it as an acknowledgement, the others in words.
    let (code, _, talk) = incidents(&config, &["ack", id, "--by", "bob", "--why", "looking at it"]);
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains(&format!("incident {id} acknowledged")), "{talk}");
    receivers
        .until(LIMIT, "the acknowledgement", |all| {
            all.iter().any(|a| a.body["event_action"] == "acknowledge")
                && all.iter().any(|a| a.body["data"]["reason"] == "acknowledged_by_hand")
                && all.iter().any(|a| a.door == "slack/chat.update" && a.raw.contains("looking at it"))
        })
        .await;
    let (_, list, _) = incidents(&config, &[]);
    assert!(list.contains("acknowledged") && list.contains("bob: looking at it"), "{list}");

    // Ended by hand: everybody hears it.
    let (code, _, talk) = incidents(&config, &["resolve", id, "--by", "bob", "--why", "it was planned"]);
    assert_eq!(code, Some(0), "{talk}");
    receivers
        .until(LIMIT, "the resolve by hand", |all| {
            all.iter().any(|a| a.body["event_action"] == "resolve")
                && all
                    .iter()
                    .any(|a| a.body["data"]["reason"] == "resolved_by_hand" && a.raw.contains("it was planned"))
                && all.iter().any(|a| a.door == "slack/chat.update" && a.raw.contains("Resolved"))
        })
        .await;
    let pages = receivers.at("pagerduty/enqueue");
    let actions: Vec<_> = pages.iter().filter(|p| p.raw.contains(pages_key(&pages, id))).collect();
    let actions: Vec<_> = actions.iter().map(|p| p.body["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "resolve"]);
    assert_eq!(json(&config, 0, &[]).len(), 1, "the other one is still open");
    assert_eq!(json(&config, 0, &["--all"]).len(), 2);
    let story = &json(&config, 0, &["show", id])[0];
    assert_eq!((&story["incident"]["state"], &story["incident"]["taken"]["by"]), (&"resolved".into(), &"bob".into()));
    assert!(story["history"].as_array().unwrap().iter().any(|entry| entry["why"] == "it was planned"), "{story}");

    // What cannot be done says why.
    for (arguments, why) in [
        (&["resolve", id, "--by", "bob", "--why", "again"][..], "is resolved already"),
        (&["show", "0000nowhere"], "there is no incident `0000nowhere`"),
        (&["ack", "0000nowhere", "--by", "bob", "--why", "x"], "there is no incident `0000nowhere`"),
    ] {
        let (code, out, talk) = incidents(&config, arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{talk}");
        assert!(talk.contains(why), "{talk}");
    }
    assert_eq!(
        incidents(&config, &["ack", id, "--by", "bob"]).0,
        Some(2),
        "nobody ends an incident without saying why"
    );

    // A later event opens it again.
    let again = events::detail("DisableKey", &events::key(1), "i-3", &events::soon());
    queue.send(&events::envelope(&again).to_string()).await;
    let reopened = |all: &[super::receivers::Accepted]| all.iter().any(|a| a.body["data"]["reason"] == "reopened");
    receivers.until(LIMIT, "the incident that opens again", reopened).await;
    assert_eq!(daemon.terminate(LIMIT).0, Some(0), "{}", daemon.tail());
}

/// The dedup key of the page about an incident.
fn pages_key<'a>(pages: &'a [super::receivers::Accepted], incident: &str) -> &'a str {
    let trigger = pages.iter().find(|p| p.body["event_action"] == "trigger" && p.raw.contains(incident)).unwrap();
    trigger.body["dedup_key"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_delivered_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(12).await;
    let (config, _) = Setup {
        folder: folder.path(),
        queue_url: &queue.url,
        receivers: &receivers,
        queue: "",
        store: "",
        more: &format!(
            "[[routes]]\nsinks = ['hook', 'locked', 'wrong']\n[sinks.locked.webhook]\nurl = 'http://{at}/hook/locked'\n[sinks.wrong.webhook]\nurl = 'http://{at}/hook/wrong'",
            at = receivers.address
        ),
    }
    .write();
    let mut daemon = Daemon::start(&config);
    receivers.refuse("hook/locked", 401);
    receivers.refuse("hook/wrong", 400);
    // The daemon has made the store by the time it delivers.
    queue.send(&events::call("DisableKey", &events::key(1), "u-1")).await;
    let about = format!("{:012}", 1);
    receivers
        .until(LIMIT, "the healthy sink", |all| all.iter().any(|a| a.door == "hook/main" && a.raw.contains(&about)))
        .await;
    let incident = json(&config, 0, &[]).iter().find(|i| i["severity"] == "critical").unwrap()["id"].clone();
    let started = Instant::now();
    let (parked, dead) = loop {
        let (_, out, _) = incidents(&config, &["undelivered", "--format", "json"]);
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let find = |sink: &str| lines.iter().find(|l| l["sink"] == sink && l["incident"] == incident).cloned();
        if let (Some(parked), Some(dead)) = (find("locked"), find("wrong")) {
            break (parked, dead);
        }
        assert!(started.elapsed() < LIMIT, "{out}\n{}", daemon.tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(
        (&parked["state"], &parked["kind"], &parked["attempts"]),
        (&"parked".into(), &"trigger".into(), &1.into())
    );
    assert!(parked["error"].as_str().unwrap().contains("the webhook answered 401"), "{parked}");
    assert_eq!(dead["state"], "dead");
    assert!(dead["error"].as_str().unwrap().contains("the webhook answered 400"), "{dead}");
    let (code, out, _) = incidents(&config, &["undelivered"]);
    assert_eq!(code, Some(1), "somebody has to look");
    let lines = |word: &str, sink: &str| out.lines().any(|line| line.contains(word) && line.contains(sink));
    assert!(lines("parked", "locked") && lines("dead", "wrong"), "{out}");

    // Mended: what was parked is delivered by itself, within its first minute.
    receivers.open_all();
    receivers
        .until(Duration::from_secs(100), "what was parked", |all| {
            all.iter().any(|a| a.door == "hook/locked" && a.raw.contains(&about))
        })
        .await;
    assert_eq!(daemon.terminate(LIMIT).0, Some(0), "{}", daemon.tail());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_has_nothing_to_tell_and_a_memory_store_cannot_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let receivers = Receivers::start(13).await;
    let setup = |store| Setup {
        folder: folder.path(),
        queue_url: "http://127.0.0.1:9/000000000000/kms",
        receivers: &receivers,
        more: "",
        queue: "",
        store,
    };
    let (config, admin) = setup("").write();
    let (code, _, talk) = incidents(&config, &[]);
    assert_eq!(code, Some(1));
    assert!(talk.contains("there is no store at") && !folder.path().join("state.db").exists(), "{talk}");
    let mut daemon = Daemon::start(&config);
    let started = Instant::now();
    while tokio::net::TcpStream::connect(admin).await.is_err() {
        assert!(started.elapsed() < LIMIT, "{}", daemon.tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (code, out, talk) = incidents(&config, &[]);
    assert_eq!((code, out.as_str(), talk.trim()), (Some(0), "", "no open incidents"));
    let (code, out, talk) = incidents(&config, &["undelivered"]);
    assert_eq!((code, out.as_str(), talk.trim()), (Some(0), "", "everything was delivered"));
    assert_eq!(daemon.terminate(LIMIT).0, Some(0), "{}", daemon.tail());
    let (config, _) = setup("[store.memory]").write();
    let (code, _, talk) = incidents(&config, &[]);
    assert_eq!(code, Some(1));
    assert!(talk.contains("in the daemon's memory"), "{talk}");
}
