//! Who we are to AWS.

use std::time::Duration;

use aws_sdk_sts::Client;
use aws_sdk_sts::config::Builder;
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;

use super::{Access, AwsConfig, Failure};

/// A caller waits for this answer, and does without it if need be.
const TIMEOUT: Duration = Duration::from_secs(5);

impl AwsConfig {
    /// The ARN by which calls of this configuration are known, as STS tells it: of a user, or of a role's session. Needs no
    /// permission, but a way to STS; `endpoint` is where that is, if not at its own place.
    ///
    /// # Errors
    /// STS did not say.
    pub async fn identity(&self, access: &Access, endpoint: Option<&str>) -> Result<String, Failure> {
        // The service's own endpoint is not the one of STS.
        let place = Self { endpoint: endpoint.map(str::to_owned), ..self.clone() };
        let shared = place.load(access).await;
        let limits = shared.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let config = Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits.operation_timeout(TIMEOUT).build());
        let answer = Box::pin(Client::from_conf(config.build()).get_caller_identity().send()).await;
        let answer = answer.map_err(|error| Failure::of(&error))?;
        answer.arn.ok_or_else(|| Failure {
            class: super::FailureClass::Other,
            code: None,
            detail: "GetCallerIdentity answered without an ARN".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Reply, Server};
    use super::*;

    #[tokio::test]
    async fn sts_says_who_we_are_or_not() {
        let arn = "arn:aws:sts::111122223333:assumed-role/kmswatch/i-0123456789abcdef0";
        let body = format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>{arn}</Arn><UserId>A:i</UserId><Account>111122223333</Account></GetCallerIdentityResult>\
             </GetCallerIdentityResponse>"
        );
        let server = Server::start(move |request, _| {
            assert_eq!(request.operation, "GetCallerIdentity");
            Reply::text(200, &body)
        })
        .await;
        let aws = AwsConfig { region: Some("eu-central-1".to_owned()), ..AwsConfig::default() };
        let found = aws.identity(&Access::unchecked(), Some(&server.url)).await;
        assert_eq!(found.as_deref(), Ok(arn));
        let refusing = Server::start(|_, _| Reply::text(403, "no")).await;
        assert!(aws.identity(&Access::unchecked(), Some(&refusing.url)).await.is_err());
    }
}
