//! The commands a person runs by hand, as the shell sees them.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use super::daemon::{Daemon, Setup, command};
use super::receivers::Receivers;

/// A configuration whose queue nobody asks, in a folder that lives as long as the value.
async fn configured(seed: u64) -> (tempfile::TempDir, Receivers, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let receivers = Receivers::start(seed).await;
    let queue_url = "http://127.0.0.1:9/000000000000/kms";
    let setup = Setup { folder: folder.path(), queue_url, receivers: &receivers, more: "", queue: "", store: "" };
    let (config, _) = setup.write();
    (folder, receivers, config)
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

/// `send-test` with these arguments; the exit code and everything it said.
async fn send_test(config: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command(&["send-test", "--config"]);
    command.arg(config).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), said(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn send_test_shows_a_whole_incident_and_says_that_it_is_a_test() {
    let (_folder, receivers, config) = configured(14).await;
    for (sink, door) in [("chat", "slack/"), ("pager", "pagerduty/enqueue"), ("hook", "hook/main")] {
        let (code, said) = send_test(&config, &[sink]).await;
        assert_eq!(code, Some(0), "{said}");
        for kind in ["trigger", "resolve"] {
            assert!(said.contains(&format!("sink `{sink}` accepted a {kind}")), "{said}");
        }
        let got = receivers.at(door);
        assert!(got.len() >= 2, "{sink}: {got:?}");
        assert!(got[0].raw.contains("TEST: nothing has happened"), "{sink}: {}", got[0].raw);
    }
    let pages = receivers.at("pagerduty/enqueue");
    let actions: Vec<_> = pages.iter().map(|page| page.body["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "resolve"], "nobody is left with an open page");
    assert_eq!(pages[0].body["dedup_key"], pages[1].body["dedup_key"]);

    let (code, said) = send_test(&config, &["pager", "--kind", "notice"]).await;
    assert_eq!((code, receivers.at("pagerduty/change").len()), (Some(0), 1), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_test_fails_loudly() {
    let (_folder, receivers, config) = configured(15).await;
    receivers.shut("hook/");
    receivers.refuse("pagerduty/", 400);
    receivers.refuse("slack/", 403);
    for (sink, why) in [("hook", "answered 503"), ("pager", "answered 400"), ("chat", "answered 403")] {
        let (code, said) = send_test(&config, &[sink]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("error: sink `{sink}`")) && said.contains(why), "{said}");
        for secret in [super::daemon::SLACK_TOKEN, super::daemon::ROUTING_KEY] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    assert_eq!(receivers.accepted().len(), 0);
    let (code, said) = send_test(&config, &["nobody"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no sink `nobody`; there are: chat, hook, pager"), "{said}");
    assert_eq!(send_test(&config, &[]).await.0, Some(2), "wrong usage");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_refuses_a_bad_configuration_with_78() {
    let (_folder, _receivers, config) = configured(16).await;
    let run = |arguments: &[&str]| command(arguments).arg(&config).output().unwrap();
    let good = run(&["check"]);
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert_eq!(command(&["check", "--fromat"]).output().unwrap().status.code(), Some(2), "wrong usage");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[sinks.hook]", "[sinks.hook]\nmax_per_minut = 3")).unwrap();
    for arguments in [
        &["check"][..],
        &["run", "--config"],
        &["send-test", "hook", "--config"],
        &["incidents", "--config"],
        &["incidents", "undelivered", "--config"],
        &["demo", "--fast", "--exit", "--port", "0", "--config"],
    ] {
        let bad = run(arguments);
        assert_eq!(bad.status.code(), Some(78), "{arguments:?}: {}", said(&bad));
        assert!(said(&bad).contains("did you mean `max_per_minute`?"), "{arguments:?}: {}", said(&bad));
    }
    std::fs::remove_file(&config).unwrap();
    assert_eq!(run(&["check"]).status.code(), Some(78), "a file that is not there is a bad configuration");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_there_is_named_at_the_start() {
    let (_folder, _receivers, config) = configured(17).await;
    let mut run = command(&["run", "--config"]);
    let output = run.arg(&config).env_remove("TEST_ROUTING_KEY").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("pager") && said(&output).contains("TEST_ROUTING_KEY"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_has_one_daemon_and_any_number_of_commands() {
    let (folder, _receivers, config) = configured(19).await;
    let ask = |arguments: &[&str]| command(arguments).arg(&config).output().unwrap();
    let lock = folder.path().join("state.db.lock");
    let signed = |daemon: &Daemon| {
        let started = Instant::now();
        while std::fs::read_to_string(&lock).unwrap_or_default().trim() != daemon.id().to_string() {
            assert!(started.elapsed() < Duration::from_secs(20), "it never took the store:\n{}", daemon.tail());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let mut first = Daemon::start(&config);
    signed(&first);
    let second = ask(&["run", "--config"]);
    assert_eq!(second.status.code(), Some(1), "{}", said(&second));
    assert!(said(&second).contains("the store cannot be used"), "{}", said(&second));
    assert!(said(&second).contains(&format!("(process {}) runs on this file", first.id())), "{}", said(&second));
    for arguments in [&["incidents", "--config"][..], &["incidents", "undelivered", "--config"]] {
        let beside = ask(arguments);
        assert_eq!(beside.status.code(), Some(0), "{arguments:?}: {}", said(&beside));
    }
    assert!(first.is_running(), "{}", first.tail());
    // A life that ended badly is in nobody's way.
    first.kill();
    let mut next = Daemon::start(&config);
    signed(&next);
    next.terminate(Duration::from_secs(35));
}

#[test]
fn the_demo_plays_its_story_and_ends() {
    let started = Instant::now();
    let output = command(&["demo", "--fast", "--exit", "--port", "0"]).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
    for part in ["KMS key disabled", "alias/prod-ebs", "rotated", "access denied", "resolve"] {
        assert!(said.to_lowercase().contains(&part.to_lowercase()), "the demo does not say `{part}`:\n{said}");
    }
    assert!(!said.contains("error:") && !said.contains("ERROR"), "{said}");
}
