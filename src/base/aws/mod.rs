//! AWS client set-up: credentials, region, endpoint and the HTTP client that all clients share.
//!
//! Credentials come from the SDK's whole chain (environment, profile, web identity, ECS and EKS Pod Identity,
//! instance metadata) and are refreshed by it a minute before they expire.

mod check;
mod failure;
mod identity;
mod sign;
mod url;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider as TlsProvider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_spanned::Spanned;

pub use check::{check_account, check_endpoint, check_region, dns_suffix, is_account, partition};
pub use failure::{Failure, FailureClass, class_of, without_namespace};
pub use sign::{Signer, Unsigned};
pub use url::HttpUrl;

pub use crate::base::region::is_region;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Credentials are refreshed this long before they expire: longer than clocks differ and than a call takes to be signed.
const REFRESH_BEFORE: Duration = Duration::from_mins(1);

/// The session name of assumed roles, where the configuration names none: what CloudTrail shows.
const SESSION_NAME: &str = "kmswatch";

/// What all AWS clients of one process share: connections, and where credentials come from.
#[derive(Debug, Clone)]
pub struct Access {
    https: SharedHttpClient,
    /// For `http://` endpoints. Loads no root certificates and uses no proxy.
    plain: SharedHttpClient,
    credentials: Option<SharedCredentialsProvider>,
}

impl Access {
    /// Credentials from the SDK's chain.
    pub fn from_environment() -> Self {
        let https = Builder::new().build_with_connector_fn(|settings, components| {
            let mut connector = ConnectorBuilder::default().tls_provider(TlsProvider::rustls(CryptoMode::AwsLc));
            connector.set_connector_settings(settings.cloned());
            connector.set_proxy_config(Some(ProxyConfig::from_env()));
            if let Some(components) = components {
                connector.set_sleep_impl(components.sleep_impl());
            }
            connector.build()
        });
        Self { https, plain: Builder::new().build_http(), credentials: None }
    }

    /// These credentials instead of the chain.
    pub fn with_credentials(credentials: SharedCredentialsProvider) -> Self {
        Self { credentials: Some(credentials), ..Self::from_environment() }
    }

    /// Made-up credentials, for a server that checks none.
    pub fn unchecked() -> Self {
        Self::with_credentials(SharedCredentialsProvider::new(Credentials::new(
            "unchecked",
            "unchecked",
            None,
            None,
            "kmswatch",
        )))
    }
}

/// Where and as whom to call one AWS service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsConfig {
    /// Where it is missing, the SDK looks for it in the environment, the profile and the instance metadata.
    pub region: Option<String>,
    /// Scheme, host and port to call instead of the service's own: a VPC endpoint or a local server.
    pub endpoint: Option<String>,
    pub fips: bool,
    pub dual_stack: bool,
    /// A profile of the shared configuration files.
    pub profile: Option<String>,
    pub assume_role: Option<AssumeRole>,
}

/// A role to take on before calling: for queues and keys of other accounts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssumeRole {
    /// The role's ARN, such as `arn:aws:iam::111122223333:role/kmswatch-reader`.
    #[schemars(with = "String")]
    pub role_arn: Spanned<String>,
    /// The external id that the role's trust policy asks for.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub external_id: Option<Spanned<String>>,
    /// The session's name, which CloudTrail shows. Default `kmswatch`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub session_name: Option<Spanned<String>>,
    /// Where STS is called, if not at its own endpoint: a VPC endpoint without private DNS.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub endpoint: Option<Spanned<String>>,
}

impl AwsConfig {
    /// Makes the SDK's configuration. Reads the environment and the shared configuration files; calls the network
    /// only where no region is given and neither of them names one. Credentials are fetched with the first request.
    pub async fn load(&self, access: &Access) -> SdkConfig {
        let endpoint = self.endpoint.as_deref();
        let config = self.loader(access, endpoint).load().await;
        let Some(role) = &self.assume_role else {
            return speak_plainly(config, endpoint, access);
        };
        // The service's endpoint is not the one of STS.
        let sts_endpoint = role.endpoint.as_ref().map(|url| url.get_ref().as_str());
        let sts_config = speak_plainly(self.loader(access, sts_endpoint).load().await, sts_endpoint, access);
        let mut provider = AssumeRoleProvider::builder(role.role_arn.get_ref())
            .session_name(role.session_name.as_ref().map_or(SESSION_NAME, |name| name.get_ref()))
            .configure(&sts_config);
        if let Some(id) = &role.external_id {
            provider = provider.external_id(id.get_ref());
        }
        let provider = SharedCredentialsProvider::new(provider.build().await);
        speak_plainly(config.into_builder().credentials_provider(provider).build(), endpoint, access)
    }

    fn loader(&self, access: &Access, endpoint: Option<&str>) -> ConfigLoader {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(access.https.clone())
            .identity_cache(IdentityCache::lazy().buffer_time(REFRESH_BEFORE).build())
            // Every call has a bound of its own; a long poll has nothing to stream.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build());
        if let Ok(name) = aws_config::AppName::new(Cow::Borrowed(concat!("kmswatch-", env!("CARGO_PKG_VERSION")))) {
            loader = loader.app_name(name);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        // Switches that are off leave it to the environment (`AWS_USE_FIPS_ENDPOINT`).
        if self.fips {
            loader = loader.use_fips(true);
        }
        if self.dual_stack {
            loader = loader.use_dual_stack(true);
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(credentials) = &access.credentials {
            loader = loader.credentials_provider(credentials.clone());
        }
        loader
    }
}

/// Uses the client without TLS where the endpoint has none, so that a local server needs no root certificates.
fn speak_plainly(config: SdkConfig, endpoint: Option<&str>, access: &Access) -> SdkConfig {
    if endpoint.is_some_and(|url| url.starts_with("http://")) {
        config.into_builder().http_client(access.plain.clone()).build()
    } else {
        config
    }
}
