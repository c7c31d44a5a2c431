//! The grammar of KMS ARNs, key ids, aliases, accounts and Regions. Everything we print, link or run is built
//! from text that passed one of these checks.

/// A KMS ARN whose every part passed its grammar; safe to print in a command or a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KmsArn<'a> {
    pub partition: &'a str,
    pub region: &'a str,
    pub account: &'a str,
    pub resource: Resource<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The bare key id, without `key/`.
    Key(&'a str),
    /// The alias name with its `alias/` prefix.
    Alias(&'a str),
}

impl<'a> KmsArn<'a> {
    /// Reads `arn:<partition>:kms:<region>:<account>:key/<id>` or `…:alias/<name>`; `None` for everything else.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > ARN_BYTES_MAX {
            return None;
        }
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let known = arn == "arn" && service == "kms" && is_partition(partition) && is_region(region);
        if !known || !is_account(account) {
            return None;
        }
        let resource = match resource.strip_prefix("key/") {
            Some(id) if is_key_id(id) => Resource::Key(id),
            None if is_alias(resource) => Resource::Alias(resource),
            _ => return None,
        };
        Some(Self { partition, region, account, resource })
    }

    /// The bare key id, unless it is an alias.
    pub fn key_id(&self) -> Option<&'a str> {
        match self.resource {
            Resource::Key(id) => Some(id),
            Resource::Alias(_) => None,
        }
    }
}

/// Completes a bare key id from the account and Region it was used in. Bare ids only ever name keys of the
/// caller's own account and Region (KMS API reference, `KeyId`).
pub fn key_arn(id: &str, account: &str, region: &str) -> Option<String> {
    let fine = is_key_id(id) && is_account(account) && is_region(region);
    fine.then(|| format!("arn:{}:kms:{region}:{account}:key/{id}", partition_of(region)))
}

/// The partition a Region belongs to.
pub fn partition_of(region: &str) -> &'static str {
    PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

/// `aws` and its kin: `aws-cn`, `aws-us-gov`, `aws-iso`, `aws-iso-b`, …
pub fn is_partition(text: &str) -> bool {
    text == "aws"
        || text.strip_prefix("aws-").is_some_and(|rest| {
            (1..=16).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        })
}

/// A Region's code such as `eu-central-1` or `us-isob-east-1`.
pub fn is_region(text: &str) -> bool {
    (5..=32).contains(&text.len())
        && text.contains('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(|c: char| c.is_ascii_digit())
}

/// An account id: digits, at most twelve (documentation examples drop leading zeros).
pub fn is_account(text: &str) -> bool {
    (1..=12).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// A key id: a UUID, `mrk-` and 32 hex digits, or a documentation placeholder of the same letters.
pub fn is_key_id(text: &str) -> bool {
    (4..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// An alias name with its `alias/` prefix (KMS API reference, `CreateAlias`: at most 256 characters).
pub fn is_alias(text: &str) -> bool {
    text.len() <= 256
        && text.strip_prefix("alias/").is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-'))
        })
}

/// The KMS ARNs that stand as words of their own in running text, such as an `errorMessage`.
///
/// Words are what stands between spaces, without quotes and punctuation around: the path of an IAM user may hold any
/// printable character but no space, and could otherwise smuggle a key's ARN into "User: arn:…:user/<path>/name is not
/// authorized".
pub fn words(text: &str) -> impl Iterator<Item = KmsArn<'_>> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .filter_map(KmsArn::parse)
}

const ARN_BYTES_MAX: usize = 400;

/// Region prefixes of all partitions but `aws` (AWS General Reference, "Amazon Resource Names").
const PARTITIONS: &[(&str, &str)] = &[
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("us-iso-", "aws-iso"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_and_alias_arns_of_every_partition_are_read() {
        for (partition, region) in [
            ("aws", "eu-central-1"),
            ("aws-cn", "cn-north-1"),
            ("aws-us-gov", "us-gov-west-1"),
            ("aws-iso", "us-iso-east-1"),
            ("aws-iso-b", "us-isob-east-1"),
        ] {
            let text = format!("arn:{partition}:kms:{region}:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab");
            let arn = KmsArn::parse(&text).unwrap();
            assert_eq!(arn.key_id(), Some("mrk-1234abcd12ab34cd56ef1234567890ab"));
            assert_eq!(partition_of(region), partition);
        }
        let alias = KmsArn::parse("arn:aws:kms:eu-central-1:111122223333:alias/prod/ebs").unwrap();
        assert_eq!(alias.resource, Resource::Alias("alias/prod/ebs"));
    }

    #[test]
    fn what_is_no_arn_is_refused() {
        for text in [
            "",
            "arn:aws:kms:eu-central-1:111122223333:key/",
            "arn:aws:kms:eu-central-1:111122223333:key/a b",
            "arn:aws:kms:eu-central-1:111122223333:key/1234abcd;reboot",
            "arn:aws:kms:eu-central-1:11112222333a:key/1234abcd",
            "arn:aws:kms:$(id):111122223333:key/1234abcd",
            "arn:aws:kms::111122223333:key/1234abcd",
            "arn:aws:iam::111122223333:user/1234abcd",
            "arn:evil:kms:eu-central-1:111122223333:key/1234abcd",
            "arn:aws:kms:eu-central-1:111122223333:alias/",
            "arn:aws:kms:eu-central-1:111122223333:alias/a<b>",
            "arn:aws:kms:eu-central-1:111122223333:key/--query",
        ] {
            assert_eq!(KmsArn::parse(text), None, "{text}");
        }
        assert_eq!(KmsArn::parse(&format!("arn:aws:kms:eu-central-1:111122223333:key/{}", "a".repeat(500))), None);
    }

    #[test]
    fn only_words_that_start_with_an_arn_count() {
        let text = "User: arn:aws:iam::111122223333:user/x,'arn:aws:kms:eu-central-1:111122223333:key/aaaa',/mallory is not \
                    authorized; Key 'arn:aws:kms:eu-central-1:111122223333:key/bbbb' does not exist.";
        assert_eq!(words(text).filter_map(|a| a.key_id()).collect::<Vec<_>>(), ["bbbb"]);
    }

    #[test]
    fn bare_ids_are_completed_only_from_sound_parts() {
        assert_eq!(
            key_arn("1234abcd-12ab", "111122223333", "cn-north-1").unwrap(),
            "arn:aws-cn:kms:cn-north-1:111122223333:key/1234abcd-12ab"
        );
        assert_eq!(key_arn("1234abcd", "111122223333", "`id`"), None);
        assert_eq!(key_arn("../etc", "111122223333", "eu-central-1"), None);
    }
}
