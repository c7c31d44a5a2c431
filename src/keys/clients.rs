//! A client per Region and role, made when first needed.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_kms::Client;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use tokio::sync::Mutex;

use super::Config;
use crate::base::aws::{Access, AwsConfig};

/// One try, and all tries together, of one call. A read goes on in the background after its deadline.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

/// Regions times roles. Region names come from events, so their number must have a bound; made-up ones must not keep real ones out.
pub(super) const CLIENTS_MAX: usize = 64;

/// Where and as whom KMS is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) region: String,
    /// The account whose role is taken on.
    pub(super) role: Option<String>,
}

#[derive(Debug)]
pub(super) struct Clients {
    pub(super) config: Config,
    access: Access,
    /// How often the SDK tries by itself.
    attempts: u32,
    made: Mutex<HashMap<Place, Client>>,
}

impl Clients {
    pub(super) fn new(config: Config, access: Access, attempts: u32) -> Self {
        Self { config, access, attempts, made: Mutex::default() }
    }

    /// With the role of an account, if the configuration has one for it.
    pub(super) fn place(&self, region: &str, account: Option<&str>) -> Place {
        let role = account.filter(|account| self.config.assume_role.contains_key(*account));
        Place { region: region.to_owned(), role: role.map(str::to_owned) }
    }

    pub(super) async fn get(&self, place: &Place) -> Client {
        let mut made = self.made.lock().await;
        if let Some(client) = made.get(place) {
            return client.clone();
        }
        if made.len() >= CLIENTS_MAX {
            // Any will do: it is made again when it is needed.
            let victim = made.keys().next().cloned();
            victim.and_then(|victim| made.remove(&victim));
        }
        let role = place.role.as_ref().and_then(|account| self.config.assume_role.get(account)).cloned();
        let aws = AwsConfig { assume_role: role, ..self.aws(Some(place.region.clone())) };
        let shared = aws.load(&self.access).await;
        let limits = shared
            .timeout_config()
            .map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT);
        let config = aws_sdk_kms::config::Builder::from(&shared)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(self.attempts)
                    .with_initial_backoff(Duration::from_millis(200)),
            )
            .timeout_config(limits.build());
        let client = Client::from_conf(config.build());
        made.insert(place.clone(), client.clone());
        client
    }

    /// The SDK would keep the credentials of a rotated file for ever.
    pub(super) async fn forget(&self, place: &Place) {
        self.made.lock().await.remove(place);
    }

    /// The Region that the environment, the profile or the machine names.
    pub(super) async fn default_region(&self) -> Option<String> {
        self.aws(None).load(&self.access).await.region().map(|region| region.as_ref().to_owned())
    }

    fn aws(&self, region: Option<String>) -> AwsConfig {
        AwsConfig {
            region,
            endpoint: self.config.endpoint.as_ref().map(|url| url.get_ref().clone()),
            fips: self.config.fips,
            dual_stack: self.config.dual_stack,
            profile: self.config.profile.clone(),
            assume_role: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn made_up_regions_keep_no_real_one_out() {
        let clients = Clients::new(Config::default(), Access::unchecked(), 1);
        for n in 0..CLIENTS_MAX + 2 {
            clients.get(&clients.place(&format!("xx-nowhere-{n}"), None)).await;
        }
        let real = clients.place("eu-central-1", Some("111122223333"));
        let client = clients.get(&real).await;
        assert_eq!(client.config().region().map(AsRef::as_ref), Some("eu-central-1"));
        let made = clients.made.lock().await;
        assert!(made.contains_key(&real) && made.len() == CLIENTS_MAX, "{}", made.len());
    }
}
