//! `silence` beside a running daemon, and rules on trial: what is held reaches people when nothing holds it any more.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::daemon::{Daemon, Setup, command};
use super::events;
use super::queue::TestQueue;
use super::receivers::{Accepted, Receivers};

const LIMIT: Duration = Duration::from_mins(1);

/// The program with these arguments: exit code, stdout, stderr.
fn run(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(arguments).arg("--config").arg(config).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn json(config: &Path, arguments: &[&str]) -> Vec<Value> {
    let (code, out, talk) = run(config, &[arguments, &["--format", "json"]].concat());
    assert_eq!(code, Some(0), "{arguments:?}: {out}{talk}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether the webhook heard of a key, with a kind.
fn heard(all: &[Accepted], key: usize, kind: &str) -> bool {
    all.iter().any(|a| a.door == "hook/main" && a.raw.contains(&format!("{key:012}")) && a.body["data"]["kind"] == kind)
}

/// Waits until the store has so many open incidents.
async fn until_open(config: &Path, number: usize, daemon: &Daemon) {
    let started = Instant::now();
    while json(config, &["incidents"]).len() != number {
        assert!(started.elapsed() < LIMIT, "{}", daemon.tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_holds_and_its_end_by_hand_tells() {
    let folder = tempfile::tempdir().unwrap();
    let queue = TestQueue::start(None).await;
    let receivers = Receivers::start(31).await;
    let more = "[[routes]]\nsinks = ['hook']\n[[rule]]\nid = 'team.trial'\ntitle = 'On trial'\nseverity = 'critical'\nmode = 'shadow'\nmatch = { detail.eventName = ['PutKeyPolicy'] }\nresolve_after = '1d'";
    let (config, _) =
        Setup { folder: folder.path(), queue_url: &queue.url, receivers: &receivers, more, queue: "", store: "" }
            .write();
    // The daemon makes the store; after that its commands need no daemon.
    let mut daemon = Daemon::start(&config);
    queue.send(&events::call("DisableKey", &events::key(9), "s-0")).await;
    receivers.until(LIMIT, "a first page", |all| heard(all, 9, "trigger")).await;
    assert_eq!(daemon.terminate(LIMIT).0, Some(0), "{}", daemon.tail());

    let quiet = format!("key.arn=*{:012}", 1);
    let by = ["--by", "jo", "--why", "planned rotation"];
    let (code, id, talk) = run(&config, &[&["silence", "add", &quiet, "--for", "2h"][..], &by].concat());
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains("within 5 seconds") && talk.contains("no open incident matches now"), "{talk}");
    let id = id.trim();
    let open = format!("key.arn=*{:012}", 9);
    let (code, _, talk) = run(&config, &[&["silence", "add", &open, "--until", "resolved"][..], &by].concat());
    assert_eq!(code, Some(0), "{talk}");
    assert!(talk.contains("KMS key disabled"), "the open incident is named: {talk}");
    let (_, list, _) = run(&config, &["silence", "list"]);
    assert!(list.lines().count() == 2 && list.contains("jo: planned rotation") && list.contains(id), "{list}");
    assert_eq!(json(&config, &["silence", "list"])[0]["by"], "jo");

    let mut daemon = Daemon::start(&config);
    queue.send(&events::call("DisableKey", &events::key(1), "s-1")).await;
    queue.send(&events::call("DisableKey", &events::key(2), "s-2")).await;
    queue.send(&events::call("PutKeyPolicy", &events::key(3), "s-3")).await;
    receivers.until(LIMIT, "the page that nothing holds", |all| heard(all, 2, "trigger")).await;
    until_open(&config, 4, &daemon).await;
    let (_, list, _) = run(&config, &["incidents"]);
    assert!(list.contains(&format!("held back by silence {id} of jo: planned rotation")), "{list}");
    assert!(list.lines().any(|line| line.contains("On trial") && line.contains("; shadow")), "{list}");
    let held = json(&config, &["incidents"]);
    let held = held.iter().find(|incident| incident["key"]["arn"] == *events::key(1)).unwrap();
    let (_, story, _) = run(&config, &["incidents", "show", held["id"].as_str().unwrap()]);
    assert!(
        story.contains("Held back until ") && story.contains(&format!("by silence {id} of jo: planned rotation.")),
        "{story}"
    );
    let untold =
        "nobody is told: a person's silence holds it back; if it is open when the silence ends, it is told then";
    assert!(story.contains(&format!("{untold} — silence {id} of jo: planned rotation")), "{story}");
    for key in [1, 3] {
        assert!(!receivers.accepted().iter().any(|a| heard(std::slice::from_ref(a), key, "trigger")), "{key} was told");
    }

    let (code, _, talk) = run(&config, &["silence", "expire", id.get(..6).unwrap(), "--by", "kim"]);
    assert_eq!(code, Some(0), "{talk}");
    receivers
        .until(Duration::from_secs(20), "what was held", |all| {
            all.iter().any(|a| {
                a.door == "hook/main"
                    && a.body["data"]["kind"] == "trigger"
                    && a.raw.contains(&format!("{:012}", 1))
                    && a.raw.contains(&format!("held back until now by silence {id} of jo: planned rotation"))
            })
        })
        .await;

    // The end of what it waited for ends the other one.
    let again = events::detail("EnableKey", &events::key(9), "s-4", &events::soon());
    queue.send(&events::envelope(&again).to_string()).await;
    receivers.until(LIMIT, "the end of what was told before", |all| heard(all, 9, "resolve")).await;
    assert!(json(&config, &["silence", "list"]).is_empty());
    let all = json(&config, &["silence", "list", "--all"]);
    assert!(all.iter().any(|one| one["ended"]["by"] == "kim"), "{all:?}");
    assert!(
        all.iter().any(|one| one["ended"]["why"].as_str().is_some_and(|why| why.contains("is resolved"))),
        "{all:?}"
    );
    assert_eq!(daemon.terminate(LIMIT).0, Some(0), "{}", daemon.tail());

    // What cannot be done says why.
    for (arguments, code, why) in [
        (&["silence", "expire", id][..], 1, "is over"),
        (&["silence", "expire", "nothing"], 1, "there is no silence that begins so"),
        (&["silence", "add", "severity=hihg", "--for", "1h", "--by", "x", "--why", "y"], 2, "did you mean `high`?"),
        (&["silence", "add", "severity=high", "--by", "x", "--why", "y"], 2, "--for"),
    ] {
        let (got, out, talk) = run(&config, arguments);
        assert_eq!((got, out.as_str()), (Some(code), ""), "{talk}");
        assert!(talk.contains(why), "{talk}");
    }
}
