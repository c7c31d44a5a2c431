//! Whose keys are swept, and where.

use serde_spanned::Spanned;

use super::Config;
use crate::keys::Scope;

impl Config {
    /// Our own account and each that has a role, in each Region. A queue on this machine is in no Region, unless KMS is here as well.
    pub fn swept(&self) -> Vec<Scope> {
        if !self.sweep.enabled || !self.lookups.enabled {
            return vec![];
        }
        let named = |regions: &[Spanned<String>]| regions.iter().map(|region| region.get_ref().clone()).collect();
        let mut regions: Vec<String> = named(&self.sweep.regions);
        if regions.is_empty() {
            regions = named(&self.lookups.regions);
        }
        if regions.is_empty() {
            let there = self.queues.values().filter(|queue| !queue.is_local() || self.lookups.endpoint.is_some());
            regions = there.filter_map(crate::queue::Config::region).collect();
        }
        regions.sort_unstable();
        regions.dedup();
        let accounts: Vec<Option<String>> =
            std::iter::once(None).chain(self.lookups.assume_role.keys().cloned().map(Some)).collect();
        let all = regions.iter().flat_map(|region| {
            accounts.iter().map(|account| Scope { account: account.clone(), region: region.clone() })
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_swept_follows_from_what_is_watched() {
        let of = |text: &str| -> Vec<String> {
            let config: Config = toml::from_str(text).unwrap();
            config.swept().iter().map(|s| format!("{} {}", s.account.as_deref().unwrap_or("own"), s.region)).collect()
        };
        let queue = "[queues.a]\nurl = 'https://sqs.eu-central-1.amazonaws.com/111122223333/kmswatch'\n";
        assert_eq!(of(queue), ["own eu-central-1"]);
        let role = "[lookups.assume_role.444455556666]\nrole_arn = 'arn:aws:iam::444455556666:role/r'\n";
        assert_eq!(of(&format!("{queue}{role}")), ["own eu-central-1", "444455556666 eu-central-1"]);
        assert_eq!(of(&format!("{queue}[lookups]\nregions = ['us-east-1']")), ["own us-east-1"]);
        assert_eq!(of(&format!("{queue}[sweep]\nregions = ['us-east-1']")), ["own us-east-1"]);
        assert_eq!(of(&format!("{queue}[sweep]\nenabled = false")), [""; 0]);
        assert_eq!(of(&format!("{queue}[lookups]\nenabled = false")), [""; 0]);
        let local = "[queues.a]\nurl = 'http://127.0.0.1:9/111122223333/q'\nregion = 'eu-central-1'\n";
        assert_eq!(of(local), [""; 0], "nothing here is AWS");
        assert_eq!(of(&format!("{local}[lookups]\nendpoint = 'http://127.0.0.1:8'")), ["own eu-central-1"]);
    }
}
