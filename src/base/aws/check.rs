//! What AWS names look like, checked before anything is called.

use serde_spanned::Spanned;

use super::{AssumeRole, HttpUrl};
use crate::base::diagnostic::Problem;
use crate::base::region::is_region;

/// Whether this has the form of an account id: 12 digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The partition of a region: the second part of every ARN in it.
pub fn partition(region: &str) -> &'static str {
    const BY_PREFIX: &[(&str, &str)] = &[
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-isob-", "aws-iso-b"),
        ("us-isof-", "aws-iso-f"),
        ("us-iso-", "aws-iso"),
        ("eu-isoe-", "aws-iso-e"),
        ("eusc-", "aws-eusc"),
    ];
    BY_PREFIX.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
}

/// What the host names of a region's services end with.
pub fn dns_suffix(region: &str) -> &'static str {
    match partition(region) {
        "aws-cn" => "amazonaws.com.cn",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        "aws-eusc" => "amazonaws.eu",
        _ => "amazonaws.com",
    }
}

/// Reports what is no region.
pub fn check_region(region: &Spanned<String>, problems: &mut Vec<Problem>) {
    if !is_region(region.get_ref()) {
        problems.push(
            Problem::error(region.span(), format!("`{}` is not a region", region.get_ref()))
                .hint("write it like \"eu-central-1\""),
        );
    }
}

/// Reports what is no account id.
pub fn check_account(account: &Spanned<String>, problems: &mut Vec<Problem>) {
    if !is_account(account.get_ref()) {
        problems.push(
            Problem::error(account.span(), format!("`{}` is not an account id", account.get_ref()))
                .hint("an account id has 12 digits and stands in quotes: \"111122223333\""),
        );
    }
}

/// Reports an endpoint that is no origin, is in clear, or is set beside a switch that it would make meaningless.
pub fn check_endpoint(endpoint: &Spanned<String>, fips: bool, dual_stack: bool, problems: &mut Vec<Problem>) {
    let text = endpoint.get_ref();
    match HttpUrl::parse(text) {
        Err(wrong) => problems.push(
            Problem::error(endpoint.span(), format!("`{text}` is not an endpoint: {wrong}"))
                .hint("write it like \"https://vpce-0123-abcd.sqs.eu-central-1.vpce.amazonaws.com\""),
        ),
        Ok(url) if !matches!(url.path(), "" | "/") => problems.push(
            Problem::error(endpoint.span(), format!("`{text}` is not an endpoint: it has a path"))
                .hint(format!("an endpoint is scheme, host and port: \"{}\"", url.origin())),
        ),
        Ok(url) if !url.https() && !url.is_loopback() => problems.push(
            Problem::warning(endpoint.span(), format!("calls to `{text}` go over the network unencrypted"))
                .hint("use https:// for everything but servers on this machine"),
        ),
        Ok(_) => {}
    }
    for (switch, on) in [("fips", fips), ("dual_stack", dual_stack)] {
        if on {
            problems.push(
                Problem::error(endpoint.span(), format!("`endpoint` and `{switch}` exclude each other"))
                    .hint(format!("name the endpoint that you want, or drop it and keep `{switch} = true`")),
            );
        }
    }
}

impl AssumeRole {
    /// The role's ARN, the names and the endpoint have the form AWS gives them.
    pub fn check(&self, problems: &mut Vec<Problem>) {
        if !is_role_arn(self.role_arn.get_ref()) {
            problems.push(
                Problem::error(self.role_arn.span(), format!("`{}` is not the ARN of a role", self.role_arn.get_ref()))
                    .hint("write it like \"arn:aws:iam::111122223333:role/kmswatch-reader\""),
            );
        }
        if let Some(name) = &self.session_name
            && !((2..=64).contains(&name.get_ref().len()) && name.get_ref().bytes().all(|b| is_name_byte(b, b"")))
        {
            problems.push(
                Problem::error(name.span(), "this is not a session name".to_owned())
                    .hint("a session name has 2 to 64 letters, digits or _+=,.@-"),
            );
        }
        if let Some(id) = &self.external_id
            && !((2..=1224).contains(&id.get_ref().len()) && id.get_ref().bytes().all(|b| is_name_byte(b, b":/")))
        {
            problems.push(
                Problem::error(id.span(), "this is not an external id".to_owned())
                    .hint("an external id has 2 to 1224 letters, digits or _+=,.@:/-"),
            );
        }
        if let Some(endpoint) = &self.endpoint {
            check_endpoint(endpoint, false, false, problems);
        }
    }
}

/// `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`.
fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
        return false;
    };
    let Some(path) = resource.strip_prefix("role/") else {
        return false;
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    (*partition == "aws" || partition.starts_with("aws-"))
        && partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        && is_account(account)
        && path.len() <= 512 + 64
        && path.bytes().all(|b| is_name_byte(b, b"/"))
        && (1..=64).contains(&name.len())
}

fn is_name_byte(byte: u8, more: &[u8]) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte) || more.contains(&byte)
}
