//! One `[queues.<name>]` table.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use super::url::{UrlParts, is_queue_name};
use crate::base::aws::{AssumeRole, AwsConfig, HttpUrl, check_account, check_endpoint, check_region};
use crate::base::diagnostic::Problem;
use crate::base::period::Period;
use crate::core::lint::Delivers;
use crate::core::pipeline::OurQueue;
use crate::core::signals::{IN_FLIGHT_LIMIT, IN_FLIGHT_LIMIT_FIFO, Limits};

/// SQS's limits: the longest long poll, the longest invisibility.
const WAIT_MAX: Duration = Duration::from_secs(20);
const VISIBILITY_MAX: Duration = Duration::from_hours(12);

/// SQS keeps no message longer.
const RETENTION_MAX: Duration = Duration::from_hours(14 * 24);

/// A message is in hand while it is decoded, looked up and stored: less than this, and a slow disk makes doubles.
const VISIBILITY_MIN: Duration = Duration::from_secs(10);

/// `[queues.<name>]`: one SQS queue to read from. Give its `url`, or its `name` and `region`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The queue's URL, such as `https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub url: Option<Spanned<String>>,
    /// The queue's name, instead of its URL. Looked up with `sqs:GetQueueUrl`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub name: Option<Spanned<String>>,
    /// The queue's region. Read from the URL where that names one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub region: Option<Spanned<String>>,
    /// The account that owns the queue, beside `name`, if it is not the caller's own.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub account: Option<Spanned<String>>,
    /// Scheme, host and port to call instead of SQS's own: a VPC endpoint or a local server. A `url` with a host that is
    /// not SQS's own is called there without it.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
    /// Call the FIPS endpoint.
    #[serde(default)]
    pub fips: bool,
    /// Call the dual-stack (IPv6) endpoint.
    #[serde(default)]
    pub dual_stack: bool,
    /// The profile of the shared AWS configuration files to take credentials from.
    #[serde(default)]
    pub profile: Option<String>,
    /// The role to take on before reading, for a queue of another account.
    #[serde(default)]
    pub assume_role: Option<AssumeRole>,
    /// How long a received message stays invisible to others. Extended while the message is in hand; after a crash it
    /// comes again this much later. 10 seconds to 12 hours.
    #[serde(default = "default_visibility")]
    #[schemars(with = "Period", default = "shown_visibility")]
    pub visibility: Spanned<Period>,
    /// How long a receive waits for messages. Up to 20 seconds; less means more requests, which cost money.
    #[serde(default = "default_wait")]
    #[schemars(with = "Period", default = "shown_wait")]
    pub wait: Spanned<Period>,
    /// How many receives may run at once while there is a backlog. An idle queue has one.
    #[serde(default = "default_polls_max")]
    #[schemars(with = "u32", default = "shown_polls_max", range(min = 1, max = 32))]
    pub polls_max: Spanned<u32>,
    /// When messages are older than this as they are received, twice in a row, the sinks are told that kmswatch falls behind. 1 minute to
    /// 14 days.
    #[serde(default = "default_behind_after")]
    #[schemars(with = "Period", default = "shown_behind_after")]
    pub behind_after: Spanned<Period>,
    /// When so many messages are in flight, the sinks are told: near 120,000 (20,000 of a FIFO queue) SQS hands out no more and
    /// gives no error. Without it: five sixths of that.
    #[serde(default)]
    #[schemars(with = "Option<u32>", range(min = 100, max = 120_000))]
    pub in_flight_warn: Option<Spanned<u32>>,
    /// What the EventBridge rule before this queue delivers: `lean` or `full`, as the CloudFormation template calls its two
    /// patterns; `writes` for a rule in the plain state `ENABLED`, which leaves out read-only calls; or the rule's own event
    /// pattern. Only `check` reads it, to find rules that never hear of what they ask for.
    #[serde(default)]
    pub delivers: Option<Delivers>,
    /// Names of the EventBridge rules that fill this queue, `bus/name` on another event bus than the default one: whoever touches
    /// one of them is told of. Rules with `kmswatch` in their name, and those whose name begins with the queue's, are known
    /// without it.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub eventbridge_rules: Vec<Spanned<String>>,
}

fn default_visibility() -> Spanned<Period> {
    Spanned::new(0..0, Period::from_secs(60))
}

fn default_wait() -> Spanned<Period> {
    Spanned::new(0..0, Period::from_secs(20))
}

fn default_polls_max() -> Spanned<u32> {
    Spanned::new(0..0, 4)
}

fn default_behind_after() -> Spanned<Period> {
    Spanned::new(0..0, Period::from_secs(15 * 60))
}

fn shown_behind_after() -> &'static str {
    "15m"
}

fn shown_visibility() -> &'static str {
    "60s"
}

fn shown_wait() -> &'static str {
    "20s"
}

fn shown_polls_max() -> u32 {
    4
}

impl Config {
    /// The queue with this URL, everything else as by default.
    pub fn at(url: &str) -> Self {
        Self {
            url: Some(Spanned::new(0..0, url.to_owned())),
            name: None,
            region: None,
            account: None,
            endpoint: None,
            fips: false,
            dual_stack: false,
            profile: None,
            assume_role: None,
            visibility: default_visibility(),
            wait: default_wait(),
            polls_max: default_polls_max(),
            behind_after: default_behind_after(),
            in_flight_warn: None,
            delivers: None,
            eventbridge_rules: vec![],
        }
    }

    /// Pure: no file, network or environment is read.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        match (&self.url, &self.name) {
            (Some(url), None) => self.check_url(url, problems),
            (None, Some(name)) => self.check_name(name, problems),
            (Some(_), Some(name)) => problems.push(
                Problem::error(name.span(), "`url` and `name` exclude each other").hint("keep one of them; the URL ends with the name"),
            ),
            (None, None) => problems.push(
                Problem::error(0..0, "a queue needs its `url`, or its `name` and `region`").hint(
                    "url = \"https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch\"; `aws sqs get-queue-url` shows it",
                ),
            ),
        }
        if let Some(region) = &self.region {
            check_region(region, problems);
        }
        if let Some(account) = &self.account {
            check_account(account, problems);
        }
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint, self.fips, self.dual_stack, problems);
        }
        if let Some(role) = &self.assume_role {
            role.check(problems);
        }
        if let Some(delivers) = &self.delivers {
            delivers.check(problems);
        }
        for rule in &self.eventbridge_rules {
            check_rule(rule, problems);
        }
        self.check_times(problems);
    }

    /// How to call the queue's service.
    pub fn aws(&self) -> AwsConfig {
        let parts = self.url.as_ref().and_then(|url| UrlParts::read(url.get_ref()));
        let endpoint = self.endpoint.as_ref().map(|url| url.get_ref().clone());
        let explicit = endpoint.is_some();
        let parts = parts.unwrap_or_default();
        AwsConfig {
            region: self.region.as_ref().map(|region| region.get_ref().clone()).or(parts.region),
            endpoint: endpoint.or(parts.endpoint),
            fips: self.fips || (parts.fips && !explicit),
            dual_stack: self.dual_stack || (parts.dual_stack && !explicit),
            profile: self.profile.clone(),
            assume_role: self.assume_role.clone(),
        }
    }

    /// The account that owns the queue, where the table says so.
    pub fn owner(&self) -> Option<String> {
        let from_url =
            || self.url.as_ref().and_then(|url| UrlParts::read(url.get_ref())).and_then(|parts| parts.account);
        self.account.as_ref().map(|account| account.get_ref().clone()).or_else(from_url)
    }

    /// What tells a call about this queue, or about the rules that fill it, from all others.
    pub fn ours(&self) -> Option<OurQueue> {
        let name = self.name.as_ref().or(self.url.as_ref())?.get_ref();
        let name = name.trim_end_matches('/').rsplit('/').next()?.to_owned();
        let rules = self.eventbridge_rules.iter().map(|rule| rule.get_ref().clone()).collect();
        // A local server puts any word for the account, and is in no Region.
        let (region, account) = if self.is_local() { (None, None) } else { (self.region(), self.owner()) };
        Some(OurQueue { name, region, account, rules })
    }

    /// From where on the queue's numbers are trouble.
    pub fn limits(&self) -> Limits {
        let sixths = self.in_flight_limit() * 5 / 6;
        Limits {
            behind_after: self.behind_after.get_ref().signed(),
            in_flight: self.in_flight_warn.as_ref().map_or(sixths, |many| u64::from(*many.get_ref())),
        }
    }

    /// So many messages SQS lets be in flight.
    fn in_flight_limit(&self) -> u64 {
        let place = self.url.as_ref().or(self.name.as_ref());
        let fifo = place.is_some_and(|place| place.get_ref().rsplit('.').next() == Some("fifo"));
        if fifo { IN_FLIGHT_LIMIT_FIFO } else { IN_FLIGHT_LIMIT }
    }

    /// The Region whose events it carries.
    pub fn region(&self) -> Option<String> {
        let from_url =
            || self.url.as_ref().and_then(|url| UrlParts::read(url.get_ref())).and_then(|parts| parts.region);
        self.region.as_ref().map(|region| region.get_ref().clone()).or_else(from_url)
    }

    /// Whether it is on this machine, and so in no Region at all.
    pub fn is_local(&self) -> bool {
        let local = |url: &Spanned<String>| HttpUrl::parse(url.get_ref()).is_ok_and(|url| url.is_loopback());
        self.endpoint.as_ref().or(self.url.as_ref()).is_some_and(local)
    }

    fn check_url(&self, url: &Spanned<String>, problems: &mut Vec<Problem>) {
        let text = url.get_ref();
        let parsed = match HttpUrl::parse(text) {
            Ok(parsed) => parsed,
            Err(wrong) => {
                problems.push(
                    Problem::error(url.span(), format!("`{text}` is not a queue's URL: {wrong}"))
                        .hint("write it like \"https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch\""),
                );
                return;
            }
        };
        if let Some(account) = &self.account {
            problems.push(
                Problem::error(account.span(), "`account` belongs beside `name`; a URL names the account itself")
                    .hint("drop `account`"),
            );
        }
        let Some(parts) = UrlParts::read(text) else {
            problems.push(
                Problem::error(url.span(), format!("`{text}` is not a queue's URL: its path is not /ACCOUNT/NAME"))
                    .hint("`aws sqs get-queue-url --queue-name NAME` shows the whole URL"),
            );
            return;
        };
        if !parsed.https() && !parsed.is_loopback() && self.endpoint.is_none() {
            problems.push(
                Problem::warning(url.span(), "messages of this queue go over the network unencrypted")
                    .hint("use https:// for everything but servers on this machine"),
            );
        }
        if self.endpoint.is_none() && parts.endpoint.is_some() && (self.fips || self.dual_stack) {
            problems.push(
                Problem::error(
                    url.span(),
                    "this URL names a host of its own, which `fips` and `dual_stack` would not change",
                )
                .hint("drop the switch, or use the URL that `aws sqs get-queue-url` shows"),
            );
        }
        match (&self.region, &parts.region) {
            (None, None) => problems.push(
                Problem::error(url.span(), format!("`{}` does not say which region the queue is in", parsed.host()))
                    .hint("add `region = \"eu-central-1\"`"),
            ),
            (Some(said), Some(read)) if said.get_ref() != read && !parsed.is_loopback() => problems.push(
                Problem::error(said.span(), format!("the URL is in `{read}`, not in `{}`", said.get_ref()))
                    .hint("drop `region`, or correct the URL"),
            ),
            _ => {}
        }
    }

    fn check_name(&self, name: &Spanned<String>, problems: &mut Vec<Problem>) {
        if !is_queue_name(name.get_ref()) {
            problems.push(
                Problem::error(name.span(), format!("`{}` is not a queue's name", name.get_ref()))
                    .hint("a name has up to 80 letters, digits, - or _; a URL belongs into `url`"),
            );
        }
        if self.region.is_none() {
            problems.push(
                Problem::error(name.span(), "a queue given by `name` needs its `region`")
                    .hint("add `region = \"eu-central-1\"`, or give the `url`"),
            );
        }
    }

    fn check_times(&self, problems: &mut Vec<Problem>) {
        let (visibility, wait) = (self.visibility.get_ref().unsigned(), self.wait.get_ref().unsigned());
        if wait > WAIT_MAX || wait < Duration::from_secs(1) {
            problems.push(
                Problem::error(self.wait.span(), format!("`wait` is {}, outside 1 s to 20 s", self.wait.get_ref()))
                    .hint("SQS waits up to 20 seconds; `wait = \"20s\"` makes the fewest requests"),
            );
        }
        if !(VISIBILITY_MIN..=VISIBILITY_MAX).contains(&visibility) {
            problems.push(
                Problem::error(
                    self.visibility.span(),
                    format!("`visibility` is {}, outside 10 s to 12 h", self.visibility.get_ref()),
                )
                .hint("60 seconds do for nearly everybody: it is extended while a message is in hand"),
            );
        } else if visibility < Duration::from_secs(30) {
            problems.push(
                Problem::warning(
                    self.visibility.span(),
                    "with `visibility` below 30 s a slow disk already makes messages come twice",
                )
                .hint("leave it at 60 s unless messages must come back sooner after a crash"),
            );
        }
        let behind = self.behind_after.get_ref().unsigned();
        if !(Duration::from_mins(1)..=RETENTION_MAX).contains(&behind) {
            problems.push(
                Problem::error(
                    self.behind_after.span(),
                    format!("`behind_after` is {}, outside 1 min to 14 days", self.behind_after.get_ref()),
                )
                .hint("15 minutes: a message usually waits for a second at most"),
            );
        }
        let limit = self.in_flight_limit();
        if let Some(many) =
            self.in_flight_warn.as_ref().filter(|many| !(100..=limit).contains(&u64::from(*many.get_ref())))
        {
            problems.push(
                Problem::error(many.span(), format!("`in_flight_warn` is {}, outside 100 to {limit}", many.get_ref()))
                    .hint("leave some room below the limit; without this key it is five sixths of it"),
            );
        }
        if !(1..=32).contains(self.polls_max.get_ref()) {
            problems.push(
                Problem::error(
                    self.polls_max.span(),
                    format!("`polls_max` is {}, outside 1 to 32", self.polls_max.get_ref()),
                )
                .hint("4 receives at once read thousands of messages a second"),
            );
        }
    }
}

/// EventBridge's grammar of a rule's name, behind that of its bus.
fn check_rule(rule: &Spanned<String>, problems: &mut Vec<Problem>) {
    let text = rule.get_ref();
    let (bus, name) = text.rsplit_once('/').map_or((None, text.as_str()), |(bus, name)| (Some(bus), name));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let named = (1..=64).contains(&name.len()) && name.bytes().all(plain);
    let on_bus = bus.is_none_or(|bus| {
        (1..=256).contains(&bus.len()) && bus != "default" && bus.bytes().all(|byte| plain(byte) || byte == b'/')
    });
    if !named || !on_bus {
        problems.push(
            Problem::error(rule.span(), format!("`{text}` is not the name of an EventBridge rule"))
                .hint("write \"kms-events\", or \"bus/kms-events\" on another event bus than the default one; no ARN"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let config: Config = toml::from_str(toml).unwrap();
        let mut problems = vec![];
        config.check(&mut problems);
        for problem in &problems {
            assert!(problem.hint.is_some(), "no hint: {}", problem.message);
            assert!(!problem.message.ends_with('.'), "{}", problem.message);
        }
        problems.into_iter().map(|p| format!("{}@{:?}", p.message, p.span)).collect()
    }

    #[test]
    fn an_explicit_endpoint_wins_over_what_the_url_says() {
        let toml = "url = \"https://sqs-fips.us-east-1.amazonaws.com/111122223333/q\"\nendpoint = \"https://vpce-1.sqs.us-east-1.vpce.amazonaws.com\"";
        let config: Config = toml::from_str(toml).unwrap();
        assert_eq!(config.aws().endpoint.as_deref(), Some("https://vpce-1.sqs.us-east-1.vpce.amazonaws.com"));
        assert!(!config.aws().fips, "an endpoint and FIPS exclude each other in the SDK");
        assert_eq!(config.owner().as_deref(), Some("111122223333"));
    }

    #[test]
    fn good_tables_have_no_problems() {
        for toml in [
            "url = \"https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch\"",
            "name = \"kmswatch\"\nregion = \"eu-central-1\"\naccount = \"111122223333\"",
            "url = \"http://localhost:9324/queue/kmswatch\"\nwait = \"1s\"\nvisibility = \"30s\"\npolls_max = 1",
            "url = \"https://sqs.eu-west-1.amazonaws.com/111122223333/q\"\nfips = true\nassume_role = { role_arn = \"arn:aws:iam::444455556666:role/ops/reader\", external_id = \"a:b/c\" }",
            "url = \"https://elasticmq.example.com/base/111122223333/q\"\nregion = \"eu-west-1\"",
        ] {
            assert!(problems(toml).is_empty(), "{toml}: {:?}", problems(toml));
        }
    }

    #[test]
    fn each_mistake_is_named_at_its_place() {
        let url = "url = \"https://sqs.eu-central-1.amazonaws.com/111122223333/q\"\n";
        for (toml, expected) in [
            ("polls_max = 1".to_owned(), "a queue needs its `url`"),
            ("url = \"sqs.eu-central-1.amazonaws.com\"".to_owned(), "not a queue's URL: a URL starts with"),
            ("url = \"https://sqs.eu-central-1.amazonaws.com/kmswatch\"".to_owned(), "path is not /ACCOUNT/NAME"),
            ("url = \"https://sqs.eu-central-1.amazonaws.com/1111/kmswatch\"".to_owned(), "path is not /ACCOUNT/NAME"),
            ("url = \"https://queue.example.com/111122223333/q\"".to_owned(), "does not say which region"),
            ("name = \"q\"".to_owned(), "needs its `region`"),
            ("name = \"https://x/y\"\nregion = \"eu-west-1\"".to_owned(), "is not a queue's name"),
            (format!("{url}name = \"q\""), "`url` and `name` exclude each other"),
            (format!("{url}region = \"eu-west-1\""), "the URL is in `eu-central-1`"),
            (format!("{url}region = \"Frankfurt\""), "`Frankfurt` is not a region"),
            (format!("{url}account = \"111122223333\""), "`account` belongs beside `name`"),
            (
                format!("{url}endpoint = \"https://x.example.com\"\nfips = true"),
                "`endpoint` and `fips` exclude each other",
            ),
            (format!("{url}endpoint = \"https://x.example.com/q\""), "it has a path"),
            (format!("{url}endpoint = \"http://x.example.com\""), "unencrypted"),
            (
                "url = \"https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com/111122223333/q\"\nfips = true".to_owned(),
                "names a host of its own",
            ),
            (format!("{url}wait = \"21s\""), "`wait` is 21s"),
            (format!("{url}wait = \"0s\""), "`wait` is 0s"),
            (format!("{url}visibility = \"5s\""), "outside 10 s to 12 h"),
            (format!("{url}visibility = \"13h\""), "outside 10 s to 12 h"),
            (format!("{url}visibility = \"15s\""), "below 30 s"),
            (format!("{url}polls_max = 0"), "outside 1 to 32"),
            (format!("{url}behind_after = \"5s\""), "`behind_after` is 5s"),
            (format!("{url}in_flight_warn = 200000"), "outside 100 to 120000"),
            (
                "url = \"https://sqs.eu-central-1.amazonaws.com/111122223333/q.fifo\"\nin_flight_warn = 30000"
                    .to_owned(),
                "outside 100 to 20000",
            ),
            (format!("{url}assume_role = {{ role_arn = \"kmswatch\" }}"), "is not the ARN of a role"),
            (format!("{url}eventbridge_rules = [\"a b\"]"), "`a b` is not the name of an EventBridge rule"),
            (format!("{url}eventbridge_rules = [\"default/a\"]"), "is not the name of an EventBridge rule"),
            (
                format!("{url}eventbridge_rules = [\"arn:aws:events:eu-central-1:111122223333:rule/a\"]"),
                "is not the name of an EventBridge rule",
            ),
        ] {
            let found = problems(&toml);
            assert!(found.iter().any(|p| p.contains(expected)), "{toml}: wanted `{expected}`, found {found:?}");
            assert!(
                found.iter().all(|p| !p.ends_with("@0..0")) || toml == "polls_max = 1",
                "{toml}: no place in {found:?}"
            );
        }
    }

    #[test]
    fn it_says_what_is_ours() {
        let ours = |toml: &str| {
            let ours = toml::from_str::<Config>(toml).unwrap().ours().unwrap();
            (ours.name, ours.region, ours.account, ours.rules)
        };
        let text = |text: &str| Some(text.to_owned());
        let of_url = "url = \"https://sqs.eu-central-1.amazonaws.com/111122223333/audit/\"\neventbridge_rules = [\"a\", \"b/c\"]";
        assert_eq!(
            ours(of_url),
            ("audit".to_owned(), text("eu-central-1"), text("111122223333"), vec!["a".to_owned(), "b/c".to_owned()])
        );
        let of_name = "name = \"audit\"\nregion = \"us-east-1\"";
        assert_eq!(ours(of_name), ("audit".to_owned(), text("us-east-1"), None, vec![]));
        let local = "url = \"http://127.0.0.1:9324/000000000000/audit\"";
        assert_eq!(ours(local), ("audit".to_owned(), None, None, vec![]), "it is nowhere");
    }

    #[test]
    fn a_fifo_queue_has_fewer_in_flight() {
        let limit = |url: &str| Config::at(url).limits().in_flight;
        assert_eq!(limit("https://sqs.eu-central-1.amazonaws.com/111122223333/q"), 100_000);
        assert_eq!(limit("https://sqs.eu-central-1.amazonaws.com/111122223333/q.fifo"), 16_666);
    }

    #[test]
    fn the_schema_shows_the_defaults_and_every_field_is_documented() {
        let schema = schemars::schema_for!(Config).to_value();
        let fields = schema["properties"].as_object().unwrap();
        assert_eq!(fields["visibility"]["default"], "60s");
        assert_eq!(fields["polls_max"]["default"], 4);
        for (name, field) in fields {
            assert!(field["description"].is_string(), "`{name}` has no description: {field}");
        }
    }
}
