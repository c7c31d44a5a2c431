use std::io::Write;

use super::*;
use crate::base::clock::ManualClock;
use crate::sink::kit::{self, Receiver, Say};

fn http(config: &Config) -> Http {
    Http::new(config, Arc::new(ManualClock::at(kit::now()))).unwrap()
}

fn refused(url: &str, config: &Config) -> bool {
    let mut problems = vec![];
    config.check_url(url, 1..2, &mut problems);
    assert!(problems.iter().all(|problem| !problem.message.contains(kit::HUSH)), "{problems:?}");
    !problems.is_empty()
}

#[test]
fn plain_http_is_for_this_machine() {
    let strict = Config::default();
    for fine in ["https://example.org/hook", "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]/x"] {
        assert!(!refused(fine, &strict), "{fine}");
    }
    for wrong in [
        "http://example.org",
        "ftp://example.org",
        "example.org",
        "",
        "https://",
        "file:///etc/passwd",
        "http://hushhushhush.example",
    ] {
        assert!(refused(wrong, &strict), "{wrong}");
    }
    assert!(!refused("http://example.org", &Config { allow_http: true, ..Config::default() }));
}

#[test]
fn metadata_addresses_are_refused_in_every_spelling() {
    for wrong in [
        "https://169.254.169.254/latest",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://[fd00:ec2::254]/",
        "https://[::ffff:a9fe:a9fe]/",
    ] {
        assert!(refused(wrong, &Config::default()), "{wrong}");
        assert!(!refused(wrong, &Config { allow_link_local: true, ..Config::default() }), "{wrong}");
    }
}

#[test]
fn a_timeout_has_bounds() {
    let problems = |text: &str| {
        let mut problems = vec![];
        toml::from_str::<Config>(&format!("timeout = \"{text}\"")).unwrap().check(&mut problems);
        problems
    };
    assert!(problems("10s").is_empty());
    assert_eq!(problems("2m").len(), 1);
    assert_eq!(problems("10ms")[0].span, 10..16);
}

#[test]
fn retry_after_is_seconds_or_a_date_and_at_most_an_hour() {
    let wait = |text: &str| retry_after(text, kit::now()).map(|wait| wait.as_secs());
    assert_eq!(wait("30"), Some(30));
    assert_eq!(wait(" 99999999 "), Some(3600));
    assert_eq!(wait("Mon, 23 Nov 2026 09:15:45 GMT"), Some(60));
    assert_eq!(wait("Mon, 23 Nov 2020 09:15:45 GMT"), Some(0), "past");
    assert_eq!(wait("soon"), None);
    assert_eq!(wait("-5"), None);
}

#[tokio::test]
async fn an_answer_is_read_no_further_than_64_kib() {
    let receiver = Receiver::start([Say(400, vec![], "x".repeat(1 << 20))]).await;
    let http = http(&Config::default());
    let answer = http.send(http.client().get(&receiver.url)).await.unwrap();
    assert_eq!(answer.body.len(), BODY_MAX);
    assert!(answer.accepted("it").unwrap_err().detail.len() < 1_000);
}

#[tokio::test]
async fn what_a_receiver_says_is_cleaned() {
    let receiver = Receiver::start([Say(400, vec![], "bad\r\n\u{1b}[31mred".to_owned())]).await;
    let http = http(&Config::default());
    let error = http.send(http.client().get(&receiver.url)).await.unwrap().accepted("it").unwrap_err();
    assert_eq!(error.detail, "it answered 400: bad  \u{FFFD}[31mred");
}

#[tokio::test]
async fn a_name_that_leads_to_a_metadata_address_is_parked() {
    // The marker travels through the client's own errors.
    let error = Client::builder()
        .no_proxy()
        .dns_resolver(Nowhere)
        .build()
        .unwrap()
        .get("http://metadata.example/")
        .send()
        .await
        .unwrap_err();
    let error = no_answer(&error);
    assert_eq!(error.class, Class::Park);
    assert!(error.detail.contains("allow_link_local") && !error.outcome_unknown);
}

struct Nowhere;

impl reqwest::dns::Resolve for Nowhere {
    fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
        Box::pin(async { Err(Blocked.into()) })
    }
}

#[test]
fn a_file_that_holds_no_certificate_is_refused_by_name() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"no certificate").unwrap();
    let build = |path: PathBuf| {
        let config = Config { ca_file: Some(path), ..Config::default() };
        Http::new(&config, Arc::new(ManualClock::at(kit::now()))).err().unwrap().to_string()
    };
    assert!(build(file.path().to_owned()).contains("holds no certificate"));
    assert!(build("/nowhere/ca.pem".into()).contains("/nowhere/ca.pem"));
}

#[test]
fn what_is_read_when_a_sink_is_built_may_have_changed_since() {
    let config: Config = toml::from_str("timeout = '5s'").unwrap();
    assert_eq!(config, toml::from_str("\n\ntimeout = '5s'").unwrap(), "where it stands does not matter");
    for other in ["", "timeout = '6s'", "timeout = '5s'\nallow_http = true", "timeout = '5s'\nallow_link_local = true"]
    {
        assert_ne!(config, toml::from_str(other).unwrap(), "{other}");
    }
    let with_file: Config = toml::from_str("ca_file = '/ca.pem'").unwrap();
    assert_ne!(with_file, with_file.clone());
}
