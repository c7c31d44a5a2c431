//! What a queue's URL says, and what it leaves to the SDK.

use crate::base::aws::{HttpUrl, is_account, is_region};

/// What a queue's URL says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct UrlParts {
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
    /// The URL's own origin, where the SDK would call another one.
    pub(super) endpoint: Option<String>,
    pub(super) fips: bool,
    pub(super) dual_stack: bool,
}

impl UrlParts {
    /// `None` where the path is not `/ACCOUNT/NAME`. A local server may put any word for the account.
    pub(super) fn read(text: &str) -> Option<Self> {
        let url = HttpUrl::parse(text).ok()?;
        let path: Vec<&str> = url.path().trim_start_matches('/').trim_end_matches('/').split('/').collect();
        let name = path.last().filter(|name| is_queue_name(name))?;
        let account = path.get(path.len().checked_sub(2)?).filter(|account| !account.is_empty())?;
        let labels: Vec<&str> = url.host().split('.').collect();
        let aws = is_aws(&labels) && path.as_slice() == [*account, *name];
        if aws && !is_account(account) {
            return None;
        }
        // `sqs.REGION.…`, `vpce-….sqs.REGION.vpce.…`, and the old `REGION.queue.…`.
        let service = labels.iter().position(|label| matches!(*label, "sqs" | "sqs-fips"));
        let region = match (service, labels.iter().position(|label| *label == "queue")) {
            (Some(at), _) => labels.get(at + 1),
            (None, Some(0)) if aws => Some(&"us-east-1"),
            (None, Some(at)) => at.checked_sub(1).and_then(|at| labels.get(at)),
            (None, None) => None,
        };
        let region = region.filter(|region| is_region(region)).map(|region| (*region).to_owned());
        Some(Self {
            account: is_account(account).then(|| (*account).to_owned()),
            // A server on this machine does not care; the signature needs one.
            region: region.or_else(|| url.is_loopback().then(|| "us-east-1".to_owned())),
            endpoint: (!aws || labels.contains(&"vpce")).then(|| url.origin()),
            fips: aws && labels.contains(&"sqs-fips"),
            dual_stack: aws && labels.ends_with(&["api", "aws"]),
        })
    }
}

/// Hosts that the SDK finds by itself, given the region.
fn is_aws(labels: &[&str]) -> bool {
    const ENDS: &[&[&str]] = &[
        &["amazonaws", "com"],
        &["amazonaws", "com", "cn"],
        &["amazonaws", "eu"],
        &["api", "aws"],
        &["c2s", "ic", "gov"],
        &["sc2s", "sgov", "gov"],
    ];
    ENDS.iter().any(|end| labels.ends_with(end))
}

pub(super) fn is_queue_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    !stem.is_empty() && name.len() <= 80 && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use crate::queue::Config;

    #[test]
    fn a_url_says_where_to_call() {
        let read = |url: &str| Config::at(url).aws();
        let plain = read("https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch");
        assert_eq!(
            (plain.region.as_deref(), plain.endpoint.as_deref(), plain.fips),
            (Some("eu-central-1"), None, false)
        );
        let china = read("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/q");
        assert_eq!((china.region.as_deref(), china.endpoint), (Some("cn-north-1"), None));
        let fips = read("https://sqs-fips.us-gov-west-1.amazonaws.com/111122223333/q.fifo");
        assert_eq!((fips.region.as_deref(), fips.endpoint, fips.fips), (Some("us-gov-west-1"), None, true));
        let dual = read("https://sqs.eu-west-1.api.aws/111122223333/q");
        assert_eq!((dual.region.as_deref(), dual.endpoint, dual.dual_stack), (Some("eu-west-1"), None, true));
        let old = read("https://eu-west-1.queue.amazonaws.com/111122223333/q");
        assert_eq!((old.region.as_deref(), old.endpoint), (Some("eu-west-1"), None));
        assert_eq!(read("https://queue.amazonaws.com/111122223333/q").region.as_deref(), Some("us-east-1"));
        let vpce = read("https://vpce-0123-abcd.sqs.eu-central-1.vpce.amazonaws.com/111122223333/q");
        assert_eq!(vpce.region.as_deref(), Some("eu-central-1"));
        assert_eq!(vpce.endpoint.as_deref(), Some("https://vpce-0123-abcd.sqs.eu-central-1.vpce.amazonaws.com"));
        let local = read("http://127.0.0.1:9324/000000000000/kmswatch");
        assert_eq!(
            (local.region.as_deref(), local.endpoint.as_deref()),
            (Some("us-east-1"), Some("http://127.0.0.1:9324"))
        );
        let stack = read("http://sqs.eu-west-1.localhost.localstack.cloud:4566/000000000000/q");
        assert_eq!(stack.region.as_deref(), Some("eu-west-1"));
        assert_eq!(stack.endpoint.as_deref(), Some("http://sqs.eu-west-1.localhost.localstack.cloud:4566"));
    }
}
