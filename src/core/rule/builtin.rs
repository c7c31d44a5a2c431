//! The built-in pack: ordinary rule files, embedded in the binary.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::{Rule, RuleSpec, compile_proven};

/// File name and text of every built-in rule file.
pub const BUILTIN: &[(&str, &str)] = &[
    ("key-unusable.toml", include_str!("../../../config/rules/key-unusable.toml")),
    ("people.toml", include_str!("../../../config/rules/people.toml")),
    ("material.toml", include_str!("../../../config/rules/material.toml")),
    ("policy.toml", include_str!("../../../config/rules/policy.toml")),
    ("grants.toml", include_str!("../../../config/rules/grants.toml")),
    ("key-use.toml", include_str!("../../../config/rules/key-use.toml")),
    ("names-and-places.toml", include_str!("../../../config/rules/names-and-places.toml")),
    ("rotation.toml", include_str!("../../../config/rules/rotation.toml")),
    ("sweep.toml", include_str!("../../../config/rules/sweep.toml")),
    ("pipeline.toml", include_str!("../../../config/rules/pipeline.toml")),
];

/// The shape of a rule file.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// The rules of this file.
    #[serde(default)]
    pub rule: Vec<RuleSpec>,
}

/// The built-in rules, compiled as they are: what commands use that run without a configuration.
pub fn builtin() -> &'static [Arc<Rule>] {
    static RULES: LazyLock<Vec<Arc<Rule>>> = LazyLock::new(|| {
        BUILTIN
            .iter()
            .filter_map(|(_, text)| toml::from_str::<RuleFile>(text).ok())
            .flat_map(|file| file.rule)
            .filter(|spec| spec.enabled)
            .filter_map(|spec| compile_proven(&spec).ok())
            .map(Arc::new)
            .collect()
    });
    &RULES
}

/// The rules of the four classic cases: what tests of the engine count on, whatever the pack grows to.
#[cfg(test)]
pub(crate) fn classic() -> Vec<Arc<Rule>> {
    const CLASSIC: [&str; 4] =
        ["kms.key-disabled", "kms.key-deletion-scheduled", "kms.access-denied", "kms.key-rotated"];
    builtin().iter().filter(|rule| CLASSIC.contains(&rule.id.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rule::compile;
    use crate::core::ruletest;

    #[test]
    fn every_built_in_rule_compiles() {
        let mut ids = std::collections::BTreeSet::new();
        let mut written = 0;
        for (name, text) in BUILTIN {
            let file: RuleFile = toml::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
            for spec in file.rule {
                written += 1;
                compile(&spec).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
                let mut problems = vec![];
                spec.test.iter().for_each(|test| ruletest::check(test, true, &mut problems));
                assert_eq!(problems, [], "{name}: nobody looks at these when the daemon starts");
                assert!(spec.meaning.is_some(), "{} says what it means", spec.id.get_ref());
                assert!(ids.insert(spec.id.get_ref().clone()), "{} is there twice", spec.id.get_ref());
            }
        }
        assert!(written - builtin().len() <= 2, "few are off as they come");
    }

    #[test]
    fn what_is_said_of_an_unusable_key_ends_with_the_key() {
        let of_family = |rule: &&Arc<Rule>| rule.family == crate::core::keystate::FAMILY;
        let speaks_of_the_end =
            |rule: &&Arc<Rule>| ["kms.key-deleted", "kms.found-destroyed"].contains(&rule.id.as_str());
        let rules: Vec<_> = builtin().iter().filter(of_family).filter(|rule| !speaks_of_the_end(rule)).collect();
        assert!(rules.len() >= 12, "{}", rules.len());
        for rule in rules {
            let recovered = rule.recovered.as_ref().unwrap_or_else(|| panic!("{} is never verified", rule.id));
            for state in ["Enabled", "Deleted"] {
                let said = serde_json::json!({ "key": { "state": state } });
                assert!(recovered.matches(&said), "{} stands although KMS says {state}", rule.id);
            }
            let resolve = rule.resolve.as_ref().unwrap();
            let call = serde_json::json!({ "source": "aws.kms", "detail": { "eventName": "DeleteKey" }, "outcome": "success" });
            let native =
                serde_json::json!({ "source": "aws.kms", "detail-type": "KMS CMK Deletion", "outcome": "success" });
            assert!(resolve.matches(&call) && resolve.matches(&native), "{} outlives the key", rule.id);
        }
    }

    #[test]
    fn the_use_of_keys_is_passed_over_at_a_glance() {
        let rules = crate::core::rule::RuleSet::new(builtin().to_vec());
        for name in
            ["Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncrypt", "DescribeKey"]
        {
            let body = serde_json::json!({
                "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "time": "2026-01-02T03:04:05Z",
                "account": "111122223333", "region": "eu-central-1", "detail": {
                    "eventName": name, "readOnly": true, "eventTime": "2026-01-02T03:04:05Z", "eventSource": "kms.amazonaws.com",
                    "userIdentity": { "type": "AssumedRole", "accountId": "111122223333" }
                }
            })
            .to_string();
            let brief = crate::core::decode::brief(&body).unwrap();
            assert!(!rules.concerned(&brief), "{name} would be read twice each time");
            assert!(!rules.concerned(&rules.peek(&body).unwrap()), "{name} would be decoded in full each time");
        }
    }
}
