//! The `[archive]` table.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

use crate::base::aws::{AssumeRole, check_account, check_endpoint, check_region};
use crate::base::diagnostic::Problem;
use crate::base::period::Period;

/// `[archive]`: where raw events are kept, if anywhere.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// An S3 bucket.
    pub s3: Option<S3Config>,
}

/// `[archive.s3]`: every event as it was received, in compressed files by hour. Needs `s3:PutObject`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// The bucket's name.
    #[schemars(with = "String")]
    pub bucket: Spanned<String>,
    /// The bucket's Region.
    #[schemars(with = "String")]
    pub region: Spanned<String>,
    /// What the objects' keys begin with, before the year. Default: `kmswatch`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub prefix: Option<Spanned<String>>,
    /// The account that must own the bucket, so that events never go to somebody else's bucket of that name.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub bucket_owner: Option<Spanned<String>>,
    /// ARN of the KMS key to encrypt objects with. Default: the bucket's own encryption.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub kms_key: Option<Spanned<String>>,
    /// Scheme, host and port to call instead of S3's own: a VPC endpoint or a local server. Buckets are then named in the path.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
    /// A role to take on before writing.
    #[serde(default)]
    pub assume_role: Option<AssumeRole>,
    /// The profile of the shared AWS configuration files to take credentials from.
    #[serde(default)]
    pub profile: Option<String>,
    /// The folder in which files wait until they are in the bucket; on a disk that survives a restart.
    #[serde(default = "spool")]
    #[schemars(with = "PathBuf", default = "shown_spool")]
    pub spool: Spanned<PathBuf>,
    /// The folder's bound in MiB, 16 to 1048576. When it is full, what is in it stays, and what comes is left out, counted and
    /// reported. Default: 1024.
    #[serde(default)]
    #[schemars(with = "Option<u32>")]
    pub spool_max_mib: Option<Spanned<u32>>,
    /// A file goes to the bucket when it is this old, when it holds 16 MiB, and when another hour begins.
    #[serde(default = "every")]
    #[schemars(with = "Period", default = "shown_every")]
    pub every: Spanned<Period>,
    /// When lines are synchronised to the disk. Default: `each_second`.
    #[serde(default)]
    pub sync: SyncWhen,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncWhen {
    /// Once a second: a machine that loses power loses up to two seconds of the archive, never of the pages.
    #[default]
    EachSecond,
    /// Also before a message is deleted: nothing that was deleted is missing. Costs a synchronisation for every ten messages.
    BeforeDelete,
}

impl Config {
    /// Pure: touches neither the folder nor the bucket.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        if let Some(s3) = &self.s3 {
            s3.check(problems);
        }
    }
}

impl S3Config {
    fn check(&self, problems: &mut Vec<Problem>) {
        if !is_bucket(self.bucket.get_ref()) {
            problems.push(
                Problem::error(self.bucket.span(), format!("`{}` is not the name of a bucket", self.bucket.get_ref()))
                    .hint("a bucket has 3 to 63 lower-case letters, digits, `-` and `.`; write the name alone, without s3://"),
            );
        }
        check_region(&self.region, problems);
        if let Some(prefix) = self.prefix.as_ref().filter(|prefix| !is_prefix(prefix.get_ref())) {
            problems.push(
                Problem::error(prefix.span(), "this is not the beginning of a key")
                    .hint("it has up to 200 letters, digits and -_./= , and neither begins nor ends with a slash"),
            );
        }
        if let Some(owner) = &self.bucket_owner {
            check_account(owner, problems);
        }
        if let Some(key) = self.kms_key.as_ref().filter(|key| !is_kms_key(key.get_ref())) {
            problems.push(Problem::error(key.span(), "this is not the ARN of a KMS key").hint(
                "write it like \"arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab\"",
            ));
        }
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint, false, false, problems);
        }
        if let Some(role) = &self.assume_role {
            role.check(problems);
        }
        if !self.spool.get_ref().is_absolute() {
            problems.push(
                Problem::error(self.spool.span(), "`spool` is not absolute")
                    .hint("a relative path depends on where the daemon is started; write it from `/` on"),
            );
        }
        if let Some(most) = self.spool_max_mib.as_ref().filter(|most| !(16..=1_048_576).contains(most.get_ref())) {
            problems.push(
                Problem::error(
                    most.span(),
                    format!("`spool_max_mib` is {}, not between 16 and 1048576", most.get_ref()),
                )
                .hint("1024 holds about half a million events while S3 cannot be reached"),
            );
        }
        let every = self.every.get_ref().unsigned();
        if !(Duration::from_secs(10)..=Duration::from_hours(1)).contains(&every) {
            problems.push(
                Problem::error(
                    self.every.span(),
                    format!("`every` is {}, not between 10s and 1h", self.every.get_ref()),
                )
                .hint("5m: shorter makes many small objects"),
            );
        }
    }

    pub(super) fn prefix(&self) -> &str {
        self.prefix.as_ref().map_or("kmswatch", |prefix| prefix.get_ref())
    }

    pub(super) fn bytes_max(&self) -> u64 {
        u64::from(self.spool_max_mib.as_ref().map_or(1024, |most| *most.get_ref())) * 1024 * 1024
    }
}

fn is_bucket(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        && edge(name.bytes().next())
        && edge(name.bytes().next_back())
        && !name.contains("..")
}

/// Keys are put into addresses as they are: nothing in them needs to be encoded.
fn is_prefix(prefix: &str) -> bool {
    (1..=200).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=".contains(&b))
        && prefix.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn is_kms_key(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "kms", region, account, resource] = parts.as_slice() else { return false };
    let fits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b));
    partition.starts_with("aws")
        && crate::base::aws::is_region(region)
        && crate::base::aws::is_account(account)
        && resource.split_once('/').is_some_and(|(kind, id)| matches!(kind, "key" | "alias") && fits(id))
        && arn.len() <= 2_048
}

fn spool() -> Spanned<PathBuf> {
    Spanned::new(0..0, PathBuf::from(shown_spool()))
}

fn shown_spool() -> &'static str {
    "/var/lib/kmswatch/archive"
}

fn every() -> Spanned<Period> {
    Spanned::new(0..0, Period::from_secs(300))
}

fn shown_every() -> &'static str {
    "5m"
}
