//! `[heartbeat]`: the door to a service that misses us when we fall silent. Not a sink: it hears no notifications.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_spanned::Spanned;

use super::http::{self, Answer};
use super::{BuildError, DeliveryError, text};
use crate::base::clock::Clock;
use crate::base::diagnostic::Problem;
use crate::base::period::Period;
use crate::base::secret::{ExposeSecret, OpenText, Text};

/// How much of a reason is sent: services keep a few kilobytes.
const REASON_MAX: usize = 2000;

/// `[heartbeat]`: a ping to a service such as healthchecks, which pages when none comes. Sent only while every canary comes back in
/// time, receiving and the store work, and every sink that critical incidents may go to accepts.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address that is asked for (GET) while all is well; `/fail` is added to its path to tell trouble (POST, with the reason). As
    /// `{ env = … }` or `{ file = … }`: whoever knows it can keep the service quiet.
    #[schemars(with = "Text")]
    pub url: Spanned<Text>,
    /// How often. 15 seconds to 1 day.
    #[serde(default = "minute")]
    #[schemars(with = "Period", default = "shown_minute")]
    pub every: Spanned<Period>,
    /// How it talks HTTP.
    #[serde(default)]
    pub http: http::Config,
}

fn minute() -> Spanned<Period> {
    Spanned::new(0..0, Period::from_secs(60))
}

fn shown_minute() -> &'static str {
    "1m"
}

impl Config {
    /// Pure: no file, network or environment is read.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        match self.url.get_ref() {
            Text::Plain(url) => {
                self.http.check_url(url, self.url.span(), problems);
                problems.push(
                    Problem::warning(
                        self.url.span(),
                        "whoever reads this address can keep the service quiet while kmswatch is down",
                    )
                    .hint("keep it outside the file: url = { env = \"HEARTBEAT_URL\" } or { file = \"/path\" }"),
                );
            }
            Text::Secret(secret) => secret.check(self.url.span(), problems),
        }
        let every = self.every.get_ref().unsigned();
        if !(Duration::from_secs(15)..=Duration::from_hours(24)).contains(&every) {
            problems.push(
                Problem::error(self.every.span(), format!("`every` is {}, outside 15 s to 24 h", self.every.get_ref()))
                    .hint("1 minute suits most; let the service wait for a few of them"),
            );
        }
        self.http.check(problems);
    }

    /// # Errors
    /// The address cannot be read, or the client cannot be made.
    pub fn build(&self, clock: Arc<dyn Clock>) -> Result<Ping, BuildError> {
        Ok(Ping { http: http::Http::new(&self.http, clock)?, url: self.url.get_ref().open()? })
    }
}

/// Pings the service.
pub struct Ping {
    http: http::Http,
    url: OpenText,
}

impl Ping {
    /// Says that all is well, or why it is not.
    ///
    /// # Errors
    /// The service did not take it.
    pub async fn send(&self, trouble: Option<&str>) -> Result<(), DeliveryError> {
        let mut url = self.http.url(self.url.current().expose_secret())?;
        // Services of this kind have no token: the address is the secret, as a whole.
        let parts: Vec<String> = url.path_segments().into_iter().flatten().map(str::to_owned).collect();
        let client = self.http.client();
        let request = match trouble {
            None => client.get(url),
            Some(reason) => {
                let path = format!("{}/fail", url.path().trim_end_matches('/'));
                url.set_path(&path);
                client.post(url).header("content-type", "text/plain; charset=utf-8").body(text::fit(reason, REASON_MAX))
            }
        };
        let answer = self.http.send(request).await?;
        parts.into_iter().fold(answer, Answer::hiding).accepted("the heartbeat's service")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::FailReason;
    use crate::sink::kit::{self, HUSH, Receiver, Say};

    fn ping(url: &str) -> Ping {
        let file = kit::secret(url);
        let config =
            Config { url: Spanned::new(0..0, Text::Secret(file.into_inner())), every: minute(), http: kit::quick() };
        config.build(kit::context().clock).unwrap()
    }

    #[tokio::test]
    async fn well_is_a_get_and_trouble_a_post_with_the_reason() {
        let ok = || Say(200, vec![], "OK".to_owned());
        let receiver = Receiver::start([ok(), ok(), ok()]).await;
        let url = format!("{}/ping/{HUSH}", receiver.url);
        ping(&url).send(None).await.unwrap();
        ping(&url).send(Some("canary main: nothing came")).await.unwrap();
        ping(&format!("{url}/?rid=1")).send(Some(&"x".repeat(10_000))).await.unwrap();
        let got = receiver.got();
        let paths: Vec<&str> = got.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["/ping/hushhushhush", "/ping/hushhushhush/fail", "/ping/hushhushhush/fail"]);
        assert_eq!((got[0].body.as_str(), got[1].body.as_str()), ("", "canary main: nothing came"));
        assert!(got[2].query == "rid=1" && got[2].body.chars().count() <= REASON_MAX, "{}", got[2].body.len());
    }

    #[tokio::test]
    async fn a_refusal_is_told_without_the_address_and_a_redirect_is_not_followed() {
        let elsewhere = Receiver::start([Say(200, vec![], String::new())]).await;
        let away = vec![("location", elsewhere.url.clone())];
        let receiver =
            Receiver::start([Say(404, vec![], format!("no check {HUSH}")), Say(302, away, String::new())]).await;
        let ping = ping(&format!("{}/{HUSH}", receiver.url));
        let error = ping.send(None).await.unwrap_err();
        assert_eq!(error.reason, FailReason::NotFound);
        assert!(!error.detail.contains(HUSH), "{}", error.detail);
        assert!(ping.send(None).await.is_err());
        assert!(elsewhere.got().is_empty());
    }

    #[test]
    fn each_mistake_is_named() {
        let problems = |toml: &str| {
            let config: Config = toml::from_str(toml).unwrap();
            let mut problems = vec![];
            config.check(&mut problems);
            assert!(problems.iter().all(|p| p.hint.is_some() && !p.span.is_empty()), "{problems:?}");
            problems.into_iter().map(|p| p.message).collect::<Vec<_>>()
        };
        assert!(problems("url = { env = \"HEARTBEAT_URL\" }").is_empty());
        for (toml, expected) in [
            ("url = \"https://hc.example.org/ping/x\"", "can keep the service quiet"),
            ("url = \"http://hc.example.org/ping/x\"", "plain http to another machine"),
            ("url = { env = \"HEARTBEAT_URL\" }\nevery = \"5s\"", "`every` is 5s, outside 15 s to 24 h"),
        ] {
            let found = problems(toml);
            assert!(found.iter().any(|p| p.contains(expected)), "{toml}: {found:?}");
        }
    }
}
