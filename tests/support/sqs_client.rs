//! The SDK's SQS client, pointed at a local server.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};

/// A client that neither retries nor waits longer than a long poll and a bit.
pub(crate) fn sqs_client(url: &str, region: &'static str) -> Client {
    let timeouts = TimeoutConfig::builder().operation_timeout(std::time::Duration::from_secs(40)).build();
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .endpoint_url(url)
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}
