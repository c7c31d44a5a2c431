//! The `[sweep]` table.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use crate::base::aws::check_region;
use crate::base::diagnostic::Problem;
use crate::base::period::Period;

/// `[sweep]`: KMS is asked about all keys again and again, because an event may never come. Asks as `[lookups]` says, with our own
/// credentials and with each role of `[lookups.assume_role]`; off where `[lookups]` is. Needs `kms:ListKeys`, `kms:ListAliases` and
/// `kms:DescribeKey`; a review also `kms:ListResourceTags`, `kms:GetKeyRotationStatus`, `kms:ListKeyRotations`, `kms:GetKeyPolicy` and
/// `kms:ListGrants`, each of which may be missing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SweepConfig {
    /// Whether to sweep at all.
    pub enabled: bool,
    /// How often each key's state is compared with what is known: one request for each key.
    #[schemars(with = "Period", default = "shown_every")]
    pub every: Spanned<Period>,
    /// How often tags, rotation, policy and grants are read as well: five more requests for each key.
    #[schemars(with = "Period", default = "shown_review_every")]
    pub review_every: Spanned<Period>,
    /// The Regions to sweep. Without any: those of `[lookups]`, and where that names none, those of the queues.
    #[schemars(with = "Vec<String>")]
    pub regions: Vec<Spanned<String>>,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            every: Spanned::new(0..0, Period::from_secs(15 * 60)),
            review_every: Spanned::new(0..0, Period::from_secs(24 * 60 * 60)),
            regions: Vec::new(),
        }
    }
}

fn shown_every() -> &'static str {
    "15m"
}

fn shown_review_every() -> &'static str {
    "24h"
}

impl SweepConfig {
    /// Pure: no file, network or environment is read.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        let (least, most) = (Duration::from_mins(1), Duration::from_hours(24));
        if !(least..=most).contains(&self.every.get_ref().unsigned()) {
            problems.push(
                Problem::error(self.every.span(), format!("`every` is {}, outside 1m to 24h", self.every.get_ref()))
                    .hint("15 minutes: what no event told is found within that time"),
            );
        }
        let longest = Duration::from_hours(30 * 24);
        if !(self.every.get_ref().unsigned()..=longest).contains(&self.review_every.get_ref().unsigned()) {
            let text =
                format!("`review_every` is {}, shorter than `every` or longer than 30d", self.review_every.get_ref());
            problems.push(Problem::error(self.review_every.span(), text).hint("a day: rotation is a matter of days"));
        }
        for region in &self.regions {
            check_region(region, problems);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_named() {
        for (toml, expected) in [
            ("", None),
            ("every = \"1m\"\nreview_every = \"1m\"\nregions = [\"eu-west-1\"]", None),
            ("every = \"5s\"", Some("`every` is 5s")),
            ("every = \"2d\"\nreview_every = \"3d\"", Some("`every` is 2d")),
            ("review_every = \"10m\"", Some("`review_every` is 10m")),
            ("review_every = \"60d\"", Some("`review_every` is 60d")),
            ("regions = [\"Ireland\"]", Some("`Ireland` is not a region")),
        ] {
            let config: SweepConfig = toml::from_str(toml).unwrap();
            let mut problems = vec![];
            config.check(&mut problems);
            assert!(problems.iter().all(|p| p.hint.is_some()), "{problems:?}");
            let found: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
            match expected {
                None => assert!(found.is_empty(), "{toml}: {found:?}"),
                Some(text) => assert!(found.len() == 1 && found[0].contains(text), "{toml}: {found:?}"),
            }
        }
    }
}
