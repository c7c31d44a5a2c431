//! Looks at keys as closely as KMS lets us: page by page, one key at a time, paced below KMS's quotas, and with each
//! permission missing by itself.
//!
//! | file | is |
//! |---|---|
//! | `call` | the calls, and the pace of each |
//! | `pace` | who may go when: one pace for the whole process |
//! | `refusals` | what we are not allowed to ask, and need not be told for each key |
//! | `read` | from KMS's answers to an inspection's parts |

mod call;
mod pace;
mod read;
mod refusals;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::clients::{Clients, Place};
use super::kms::{KeyArn, count, describe_key, failure};
use super::{Config, Inspect, Page, Refusal, Scope};
use crate::base::aws::{Access, Failure, FailureClass};
use crate::base::clock::Clock;
use crate::core::inspection::{Details, Grants, Inspection, LastUsage, Material, Part, Rotation, Wants};
use call::Call;
use pace::Pace;
use refusals::Refusals;

/// Keys that are looked at at once; and beside them those for which a page waits.
const KEYS_MAX: usize = 8;
const URGENT_MAX: usize = 8;
/// Tries of one call; those that KMS asked to slow down have more.
const TRIES: u32 = 3;
const TRIES_WHEN_THROTTLED: u32 = 8;
/// Keys of one page.
const KEYS_OF_A_PAGE: i32 = 1000;
/// Pages of one answer that belongs to one key, and of all aliases of a Region (100 each).
const PAGES_MAX: usize = 20;
const ALIAS_PAGES_MAX: usize = 2_000;

/// Looks at keys. Cheap to clone; all clones share one pace.
#[derive(Clone)]
pub struct Inspector(Arc<Inner>);

struct Inner {
    clients: Clients,
    pace: Pace,
    refusals: Refusals,
    calls: [AtomicU64; Call::ALL.len()],
    keys: Semaphore,
    urgent: Semaphore,
    clock: Arc<dyn Clock>,
}

impl Inspector {
    /// Makes no request.
    pub fn new(config: &Config, access: &Access, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            // Tries are ours, so that each of them keeps to the pace.
            clients: Clients::new(config.clone(), access.clone(), 1),
            pace: Pace::default(),
            refusals: Refusals::default(),
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
            keys: Semaphore::new(KEYS_MAX),
            urgent: Semaphore::new(URGENT_MAX),
            clock,
        }))
    }

    /// The Region that the environment, the profile or the machine names.
    pub async fn default_region(&self) -> Option<String> {
        self.0.clients.default_region().await
    }

    fn place(&self, scope: &Scope) -> Place {
        self.0.clients.place(&scope.region, scope.account.as_deref())
    }

    /// One call, repeated while that makes sense. `key` is the ARN of the key that it is about.
    async fn call<T, R>(&self, place: &Place, call: Call, key: Option<&str>, send: impl Fn(Client) -> R) -> Part<T>
    where
        R: Future<Output = Result<T, Failure>>,
    {
        if let Some(refused) = self.0.refusals.standing(place, call, key, Instant::now()) {
            return refused.part();
        }
        let mut tries = 0;
        loop {
            tries += 1;
            self.0.pace.wait(place, call).await;
            let client = self.0.clients.get(place).await;
            // Boxed: the SDK's futures are large.
            let answer = Box::pin(send(client)).await;
            self.0.calls.get(call as usize).map(|calls| calls.fetch_add(1, Ordering::Relaxed));
            count(call.metric(), answer.as_ref().err());
            let failure = match answer {
                Ok(answer) => {
                    self.0.pace.went_well(place, call);
                    self.0.refusals.allowed(place, call, key, Instant::now());
                    return Part::Known(answer);
                }
                Err(failure) => failure,
            };
            let more = match failure.class {
                FailureClass::Throttled => {
                    self.0.pace.slow_down(place, call);
                    tries < TRIES_WHEN_THROTTLED
                }
                FailureClass::Network | FailureClass::Timeout | FailureClass::Server => {
                    tokio::time::sleep(backoff(tries)).await;
                    tries < TRIES
                }
                FailureClass::Credentials => {
                    self.0.clients.forget(place).await;
                    false
                }
                FailureClass::AccessDenied | FailureClass::Other => false,
            };
            if !more {
                return self.ended(place, call, key, failure);
            }
        }
    }

    /// What a failure means for the part that was asked for.
    fn ended<T>(&self, place: &Place, call: Call, key: Option<&str>, failure: Failure) -> Part<T> {
        match (failure.class, failure.code.as_deref()) {
            (FailureClass::AccessDenied, _) => {
                self.0.refusals.denied(place, call, key, &failure.detail, Instant::now());
                Part::Denied
            }
            (_, Some("NotFoundException")) => Part::NotFound,
            // It makes no sense for a key of this kind, or in this state.
            (_, Some("UnsupportedOperationException" | "KMSInvalidStateException")) => Part::NotAsked,
            (_, Some("UnknownOperationException" | "NotImplemented")) => {
                let refused = self.0.refusals.unknown(place, call, Instant::now());
                refused.part()
            }
            _ => Part::Failed(failure.detail),
        }
    }

    /// Page after page of one answer. Says whether there is more than was read.
    async fn pages<T, R>(
        &self,
        place: &Place,
        call: Call,
        key: Option<&str>,
        most: usize,
        send: impl Fn(Client, Option<String>) -> R,
    ) -> Part<(Vec<T>, bool)>
    where
        R: Future<Output = Result<(Vec<T>, Option<String>), Failure>>,
    {
        let mut all = vec![];
        let mut marker: Option<String> = None;
        for _ in 0..most {
            match self.call(place, call, key, |client| send(client, marker.clone())).await {
                Part::Known((page, next)) => {
                    all.extend(page);
                    marker = next;
                    if marker.is_none() {
                        return Part::Known((all, false));
                    }
                }
                other => return other.map(|_: (Vec<T>, Option<String>)| (Vec::new(), false)),
            }
        }
        Part::Known((all, true))
    }
}

#[async_trait]
impl Inspect for Inspector {
    async fn list(&self, scope: &Scope, marker: Option<&str>) -> Part<Page> {
        let place = self.place(scope);
        self.call(&place, Call::ListKeys, None, |client| async move {
            let request = client.list_keys().limit(KEYS_OF_A_PAGE).set_marker(marker.map(str::to_owned));
            let answer = request.send().await.map_err(failure)?;
            let next = answer.next_marker.filter(|_| answer.truncated);
            let keys = answer.keys.unwrap_or_default();
            Ok(Page { keys: keys.into_iter().filter_map(|key| key.key_arn).collect(), next })
        })
        .await
    }

    async fn aliases(&self, scope: &Scope) -> Part<HashMap<String, Vec<String>>> {
        let place = self.place(scope);
        let pages = self.pages(&place, Call::ListAliases, None, ALIAS_PAGES_MAX, |client, marker| async move {
            let answer = client.list_aliases().limit(100).set_marker(marker).send().await.map_err(failure)?;
            Ok((answer.aliases.unwrap_or_default(), answer.next_marker.filter(|_| answer.truncated)))
        });
        pages.await.map(|(all, _)| {
            let mut names: HashMap<String, Vec<String>> = HashMap::new();
            for alias in all {
                if let (Some(key), Some(name)) = (alias.target_key_id, alias.alias_name) {
                    names.entry(key).or_default().push(name);
                }
            }
            for names in names.values_mut() {
                names.sort_unstable();
            }
            names
        })
    }

    async fn look(&self, scope: &Scope, arn: &str, wants: Wants) -> Inspection {
        let mut seen = Inspection::of(arn, self.0.clock.now());
        let Some(arn) = KeyArn::parse(arn).map(|arn| arn.text) else {
            seen.details = Part::Failed("this is not the ARN of a key".to_owned());
            return seen;
        };
        let turns = if wants.urgent { &self.0.urgent } else { &self.0.keys };
        let Ok(_turn) = turns.acquire().await else { return seen };
        let place = self.place(scope);
        let key = arn.as_str();
        let described =
            self.call(&place, Call::DescribeKey, Some(key), |client| async move { describe_key(&client, key).await });
        seen.details = described.await.map(read::details);
        let details = seen.details.known();
        let passed_over = details.is_some_and(|details| details.is_managed_by_aws() && !wants.managed_by_aws);
        if seen.is_gone() || passed_over {
            return seen;
        }
        // What cannot be there is not asked for; what is not known to be absent is.
        let has_rotations = details.and_then(Details::has_rotations) != Some(false);
        let (aliases, tags, rotation, rotations, policy, grants, last_usage) = tokio::join!(
            self.if_wanted(wants.aliases, self.aliases_of(&place, key)),
            self.if_wanted(wants.tags, self.tags(&place, key)),
            self.if_wanted(wants.rotation && has_rotations, self.rotation(&place, key)),
            self.if_wanted(wants.rotations && has_rotations, self.rotations(&place, key)),
            self.if_wanted(wants.policy, self.policy(&place, key)),
            self.if_wanted(wants.grants, self.grants(&place, key)),
            self.if_wanted(wants.last_usage, self.last_usage(&place, key)),
        );
        Inspection { aliases, tags, rotation, rotations, policy, grants, last_usage, ..seen }
    }

    fn refusals(&self) -> Vec<Refusal> {
        self.0.refusals.all()
    }

    fn calls(&self) -> BTreeMap<&'static str, u64> {
        let made = Call::ALL.iter().zip(&self.0.calls);
        made.map(|(call, made)| (call.name(), made.load(Ordering::Relaxed))).filter(|(_, made)| *made > 0).collect()
    }
}

impl Inspector {
    async fn if_wanted<T>(&self, wanted: bool, part: impl Future<Output = Part<T>>) -> Part<T> {
        if wanted { Box::pin(part).await } else { Part::NotAsked }
    }

    async fn aliases_of(&self, place: &Place, key: &str) -> Part<Vec<String>> {
        let pages = self.pages(place, Call::ListAliases, None, PAGES_MAX, |client, marker| async move {
            let answer = client.list_aliases().key_id(key).set_marker(marker).send().await.map_err(failure)?;
            let names = answer.aliases.unwrap_or_default().into_iter().filter_map(|alias| alias.alias_name);
            Ok((names.collect(), answer.next_marker.filter(|_| answer.truncated)))
        });
        pages.await.map(|(mut names, _): (Vec<String>, bool)| {
            names.sort_unstable();
            names
        })
    }

    async fn tags(&self, place: &Place, key: &str) -> Part<BTreeMap<String, String>> {
        let pages = self.pages(place, Call::ListResourceTags, Some(key), PAGES_MAX, |client, marker| async move {
            let answer = client.list_resource_tags().key_id(key).set_marker(marker).send().await.map_err(failure)?;
            let tags = answer.tags.unwrap_or_default().into_iter().map(|tag| (tag.tag_key, tag.tag_value));
            Ok((tags.collect(), answer.next_marker.filter(|_| answer.truncated)))
        });
        pages.await.map(|(tags, _): (Vec<(String, String)>, bool)| tags.into_iter().collect())
    }

    async fn rotation(&self, place: &Place, key: &str) -> Part<Rotation> {
        self.call(place, Call::GetKeyRotationStatus, Some(key), |client| async move {
            client
                .get_key_rotation_status()
                .key_id(key)
                .send()
                .await
                .map(|answer| read::rotation(&answer))
                .map_err(failure)
        })
        .await
    }

    async fn rotations(&self, place: &Place, key: &str) -> Part<Vec<Material>> {
        let pages = self.pages(place, Call::ListKeyRotations, Some(key), PAGES_MAX, |client, marker| async move {
            let request = client.list_key_rotations().key_id(key).set_marker(marker);
            let all = aws_sdk_kms::types::IncludeKeyMaterial::AllKeyMaterial;
            let answer = request.include_key_material(all).send().await.map_err(failure)?;
            let materials = answer.rotations.unwrap_or_default().into_iter().map(read::material);
            Ok((materials.collect(), answer.next_marker.filter(|_| answer.truncated)))
        });
        pages.await.map(|(materials, _)| materials)
    }

    async fn policy(&self, place: &Place, key: &str) -> Part<String> {
        self.call(place, Call::GetKeyPolicy, Some(key), |client| async move {
            let answer = client.get_key_policy().key_id(key).policy_name("default").send().await.map_err(failure)?;
            Ok(answer.policy.unwrap_or_default())
        })
        .await
    }

    async fn grants(&self, place: &Place, key: &str) -> Part<Grants> {
        let pages = self.pages(place, Call::ListGrants, Some(key), PAGES_MAX, |client, marker| async move {
            let request = client.list_grants().key_id(key).limit(100).set_marker(marker);
            let answer = request.send().await.map_err(failure)?;
            let grants = answer.grants.unwrap_or_default().into_iter().map(read::grant);
            Ok((grants.collect(), answer.next_marker.filter(|_| answer.truncated)))
        });
        pages.await.map(|(all, more)| Grants { all, more })
    }

    async fn last_usage(&self, place: &Place, key: &str) -> Part<LastUsage> {
        self.call(place, Call::GetKeyLastUsage, Some(key), |client| async move {
            client.get_key_last_usage().key_id(key).send().await.map(read::last_usage).map_err(failure)
        })
        .await
    }
}

/// A little longer each time, and never at the same moment as everybody else.
fn backoff(tries: u32) -> Duration {
    let least = 200_u64.saturating_mul(1 << tries.min(5));
    Duration::from_millis(fastrand::u64(least..=least * 2))
}
