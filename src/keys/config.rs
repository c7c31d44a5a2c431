//! The `[lookups]` table.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use crate::base::aws::{AssumeRole, HttpUrl, check_endpoint, check_region, is_account};
use crate::base::diagnostic::Problem;
use crate::base::period::Period;

/// `[lookups]`: what to ask KMS about the keys of events. Needs `kms:DescribeKey`, `kms:ListAliases` and
/// `kms:ListResourceTags`; each may be missing, and the alert then goes out without that part.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether to ask at all.
    pub enabled: bool,
    /// Whether to ask for aliases.
    pub aliases: bool,
    /// Whether to ask for tags.
    pub tags: bool,
    /// How long an alert waits for the answer. A later answer is kept for the next event of the key.
    #[schemars(with = "Period", default = "shown_deadline")]
    pub deadline: Spanned<Period>,
    /// How long an answer is used again. An event that changes the key asks anew.
    #[schemars(with = "Period", default = "shown_ttl")]
    pub ttl: Spanned<Period>,
    /// How long a missing answer (denied, failed, not found) is used again.
    #[schemars(with = "Period", default = "shown_negative_ttl")]
    pub negative_ttl: Spanned<Period>,
    /// How many keys' answers are kept.
    #[schemars(with = "u64", default = "shown_capacity", range(min = 1, max = 1_000_000))]
    pub capacity: Spanned<u64>,
    /// The regions to ask in; all if empty.
    #[schemars(with = "Vec<String>")]
    pub regions: Vec<Spanned<String>>,
    /// By account id: the role to take on before asking about that account's keys. Without one, only what
    /// `DescribeKey` says across accounts is known of keys of other accounts.
    pub assume_role: BTreeMap<String, AssumeRole>,
    /// Scheme, host and port to call instead of KMS's own: a VPC endpoint (name its one region in `regions`) or a local server.
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
    /// Call the FIPS endpoints.
    pub fips: bool,
    /// Call the dual-stack (IPv6) endpoints.
    pub dual_stack: bool,
    /// The profile of the shared AWS configuration files to take credentials from.
    pub profile: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            aliases: true,
            tags: true,
            deadline: Spanned::new(0..0, Period::from_secs(2)),
            ttl: Spanned::new(0..0, Period::from_secs(10 * 60)),
            negative_ttl: Spanned::new(0..0, Period::from_secs(60)),
            capacity: Spanned::new(0..0, 10_000),
            regions: Vec::new(),
            assume_role: BTreeMap::new(),
            endpoint: None,
            fips: false,
            dual_stack: false,
            profile: None,
        }
    }
}

fn shown_deadline() -> &'static str {
    "2s"
}

fn shown_ttl() -> &'static str {
    "10m"
}

fn shown_negative_ttl() -> &'static str {
    "1m"
}

fn shown_capacity() -> u64 {
    10_000
}

impl Config {
    /// Pure: no file, network or environment is read.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        let mut bounds = |name: &str, value: &Spanned<Period>, least: Duration, most: Duration, hint: &str| {
            if !(least..=most).contains(&value.get_ref().unsigned()) {
                let text = format!(
                    "`{name}` is {}, outside {} s to {} s",
                    value.get_ref(),
                    least.as_secs_f32(),
                    most.as_secs()
                );
                problems.push(Problem::error(value.span(), text).hint(hint));
            }
        };
        let (tenth, minute, day) = (Duration::from_millis(100), Duration::from_mins(1), Duration::from_hours(24));
        bounds(
            "deadline",
            &self.deadline,
            tenth,
            Duration::from_secs(30),
            "2 seconds: a page does not wait longer for a name",
        );
        bounds("ttl", &self.ttl, Duration::from_secs(1), day, "10 minutes keeps KMS calls few and names fresh");
        bounds("negative_ttl", &self.negative_ttl, Duration::from_secs(1), day, "1 minute");
        if self.negative_ttl.get_ref() > self.ttl.get_ref() && self.ttl.get_ref().unsigned() >= minute {
            problems.push(
                Problem::warning(
                    self.negative_ttl.span(),
                    "`negative_ttl` is longer than `ttl`: a key stays nameless longer than it keeps its name",
                )
                .hint("make it shorter: the permission that was missing may have been given"),
            );
        }
        if !(1..=1_000_000).contains(self.capacity.get_ref()) {
            problems.push(
                Problem::error(
                    self.capacity.span(),
                    format!("`capacity` is {}, outside 1 to 1000000", self.capacity.get_ref()),
                )
                .hint("10000 keys take a few MiB"),
            );
        }
        for region in &self.regions {
            check_region(region, problems);
        }
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint, self.fips, self.dual_stack, problems);
            let local = HttpUrl::parse(endpoint.get_ref()).is_ok_and(|url| url.is_loopback());
            if !local && self.regions.len() != 1 {
                problems.push(
                    Problem::error(endpoint.span(), "an endpoint answers for the keys of one region only")
                        .hint("name it: `regions = [\"eu-central-1\"]`"),
                );
            }
        }
        for (account, role) in &self.assume_role {
            role.check(problems);
            if !is_account(account) {
                problems.push(
                    Problem::error(role.role_arn.span(), format!("`{account}` is not an account id"))
                        .hint("name the table after the account: `[lookups.assume_role.111122223333]`"),
                );
            } else if role.role_arn.get_ref().split(':').nth(4) != Some(account) {
                problems.push(
                    Problem::error(role.role_arn.span(), format!("this role is not in account `{account}`"))
                        .hint("the keys of an account are read with a role of that account"),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let config: Config = toml::from_str(toml).unwrap();
        let mut problems = vec![];
        config.check(&mut problems);
        assert!(problems.iter().all(|p| p.hint.is_some() && !p.span.is_empty()), "{problems:?}");
        problems.into_iter().map(|p| p.message).collect()
    }

    #[test]
    fn an_empty_table_and_a_full_one_are_fine() {
        for toml in [
            "",
            "enabled = false",
            "ttl = \"1h\"\nregions = [\"eu-west-1\"]\nendpoint = \"https://vpce-1.kms.eu-west-1.vpce.amazonaws.com\"\n[assume_role.444455556666]\nrole_arn = \"arn:aws:iam::444455556666:role/reader\"",
            "endpoint = \"http://127.0.0.1:5000\"",
        ] {
            assert!(problems(toml).is_empty(), "{toml}: {:?}", problems(toml));
        }
    }

    #[test]
    fn each_mistake_is_named() {
        for (toml, expected) in [
            ("deadline = \"0s\"", "`deadline` is 0s"),
            ("deadline = \"1m\"", "`deadline` is 1m"),
            ("ttl = \"0s\"", "`ttl` is 0s"),
            ("negative_ttl = \"1h\"", "longer than `ttl`"),
            ("capacity = 0", "`capacity` is 0"),
            ("regions = [\"Ireland\"]", "`Ireland` is not a region"),
            ("endpoint = \"https://kms.example.com\"", "one region only"),
            ("endpoint = \"https://kms.example.com\"\nfips = true\nregions = [\"eu-west-1\"]", "exclude each other"),
            ("[assume_role.prod]\nrole_arn = \"arn:aws:iam::444455556666:role/r\"", "`prod` is not an account id"),
            (
                "[assume_role.111122223333]\nrole_arn = \"arn:aws:iam::444455556666:role/r\"",
                "not in account `111122223333`",
            ),
        ] {
            let found = problems(toml);
            assert!(found.iter().any(|p| p.contains(expected)), "{toml}: {found:?}");
        }
    }
}
