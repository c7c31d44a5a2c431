//! What KMS itself says of a key, as an event: whoever asks KMS (a sweep over all keys, the verification of one) makes an
//! [`Observation`] of the answer, and its event goes through the same evaluate and decide as any other.
//!
//! What an observation means beside its document (it settles before it clears, it is no news where the state is known) hangs
//! on [`Family::Observation`], which no message can have: decoding refuses a `source` of ours.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::decode::arn::KmsArn;
use super::enrich::{KeyDetails, Lookup};
use super::event::{Actor, Event, EventId, Family, KeyRef, Outcome};
use super::inspection::Inspection;
use super::keystate::KeyState;

/// `source` of the document.
pub const SOURCE: &str = "kmswatch";

/// `detail-type` of the document, and the event's name.
pub const DETAIL_TYPE: &str = "KMS Key Observation";

/// Who asked KMS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// All keys are compared with what is known, again and again.
    Sweep,
    /// One key is looked at, because its incident is open or has just ended.
    Verification,
}

impl By {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Verification => "verification",
        }
    }
}

/// A key as KMS describes it at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    pub by: By,
    /// When KMS was asked.
    pub at: Timestamp,
    /// The key with all that is known of it; its ARN is there. `state`, `deletion_date` and `valid_to` are as KMS says.
    pub key: KeyRef,
    /// No sweep looked at this key before: what is found was perhaps always so.
    pub first: bool,
    /// Further members of `detail`: what else the answer says, such as `rotation`.
    pub more: Map<String, Value>,
}

impl Observation {
    /// Of a `DescribeKey`; `None` where it names no key, or no state.
    pub fn of_details(by: By, details: &KeyDetails) -> Option<Self> {
        let KeyDetails { arn, id, aliases, state, manager, origin, multi_region, tags, .. } = details.clone();
        state.as_ref()?;
        let key = KeyRef {
            arn,
            id,
            aliases,
            state,
            manager,
            origin,
            multi_region,
            tags,
            deletion_date: details.deletion_date,
            valid_to: details.valid_to,
            ..KeyRef::default()
        };
        Self::new(by, details.read_at, key)
    }

    /// Of a look-up: a key that KMS does not know (any more) is `Deleted`. `None` where KMS said nothing. `at` is when it was asked.
    pub fn of_lookup(by: By, key: &KeyRef, lookup: &Lookup, at: Timestamp) -> Option<Self> {
        match lookup {
            Lookup::Known(details) => Self::of_details(by, details),
            Lookup::NotFound => Self::new(by, at, key.clone()).map(Self::gone),
            Lookup::Denied | Lookup::TimedOut | Lookup::Failed(_) | Lookup::Off => None,
        }
    }

    /// Of an inspection: `detail.rotation` and `detail.last_rotation` say what it found of the key's rotation, so that rules may ask
    /// for it, and `detail.replica` that it is the replica of a multi-Region key, so that this is its primary key's. `None` where KMS did
    /// not say in which state the key is.
    pub fn of_inspection(by: By, inspection: &Inspection) -> Option<Self> {
        let mut one = Self::of_lookup(by, &inspection.key(), &inspection.lookup(), inspection.read_at)?;
        let rotation = inspection.rotation.known().and_then(|rotation| serde_json::to_value(rotation).ok());
        let last = inspection.last_rotation().map(|at| Value::from(at.to_string()));
        let multi_region = inspection.details.known().and_then(|details| details.multi_region.as_ref());
        let replica =
            multi_region.is_some_and(|all| !all.primary && all.primary_key.is_some()).then_some(Value::Bool(true));
        let parts = [("rotation", rotation), ("last_rotation", last), ("replica", replica)];
        one.more.extend(parts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Some(one)
    }

    /// Of a key as an answer described it; `None` where its ARN is none.
    pub fn new(by: By, at: Timestamp, mut key: KeyRef) -> Option<Self> {
        let arn = KmsArn::parse(key.arn.as_deref()?)?;
        let id = arn.key_id()?.to_owned();
        let (account, region) = (arn.account.to_owned(), arn.region.to_owned());
        key.id = Some(id);
        key.account = Some(account);
        key.region = Some(region);
        Some(Self { by, at, key, first: false, more: Map::new() })
    }

    /// The same of a key that KMS says there is not.
    #[must_use]
    pub fn gone(mut self) -> Self {
        self.key.state = Some(KeyState::Deleted.as_str().to_owned());
        (self.key.deletion_date, self.key.valid_to) = (None, None);
        self
    }

    /// The event: the document that rules match has the same members as one that EventBridge delivers, and `detail` says who asked
    /// (`by`), whether it was for the first time (`first`), and the `state` with its dates.
    pub fn event(&self) -> Event {
        let Self { by, at, key, first, more } = self;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let state = key.state.as_deref().unwrap_or(KeyState::Unknown.as_str());
        let mut detail = more.clone();
        let mut say = |name: &str, value: Value| detail.insert(name.to_owned(), value);
        say("by", by.as_str().into());
        say("state", state.into());
        say("first", (*first).into());
        for (name, date) in [("deletion_date", key.deletion_date), ("valid_to", key.valid_to)] {
            if let Some(date) = date {
                say(name, date.to_string().into());
            }
        }
        let id = format!("kmswatch:observed:{}:{state}:{}", text(&key.arn), at.as_millisecond());
        let document = json!({
            "version": "0", "id": id, "source": SOURCE, "detail-type": DETAIL_TYPE,
            "account": key.account, "region": key.region, "time": at.to_string(), "resources": [key.arn],
            "detail": detail, "outcome": Outcome::Success.as_str(), "key": key,
        });
        Event {
            id: EventId(id),
            family: Family::Observation,
            name: DETAIL_TYPE.to_owned(),
            source: SOURCE.to_owned(),
            account: key.account.clone(),
            region: key.region.clone(),
            time: *at,
            read_only: Some(true),
            outcome: Outcome::Success,
            denied_by: None,
            error_code: None,
            error_message: None,
            key: Some(key.clone()),
            other_keys: vec![],
            actor: Actor::default(),
            late: None,
            shared_id: None,
            fact: None,
            document,
        }
    }
}

/// What an observation made at `at` speaks for: of what happened within the settle time before, KMS may not know yet.
pub fn settled(at: Timestamp, settle: SignedDuration) -> Timestamp {
    at.checked_sub(settle).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::inspection::{Details, Part, Rotation};

    fn details(state: &str) -> KeyDetails {
        KeyDetails {
            arn: Some("arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".to_owned()),
            state: Some(state.to_owned()),
            aliases: vec!["alias/prod".to_owned()],
            deletion_date: Some("2026-11-30T00:00:00Z".parse().unwrap()),
            read_at: "2026-11-23T09:14:05Z".parse().unwrap(),
            ..KeyDetails::default()
        }
    }

    #[test]
    fn an_answer_is_an_event_with_a_document_of_the_usual_shape() {
        let observation = Observation::of_details(By::Sweep, &details("PendingDeletion")).unwrap();
        let event = observation.event();
        assert_eq!(event.family, Family::Observation);
        assert_eq!(event.account.as_deref(), Some("111122223333"));
        let document = &event.document;
        assert_eq!(document["source"], "kmswatch");
        assert_eq!(document["detail-type"], "KMS Key Observation");
        assert_eq!(document["time"], "2026-11-23T09:14:05Z");
        assert_eq!(document["key"]["state"], "PendingDeletion");
        assert_eq!(document["key"]["aliases"], json!(["alias/prod"]));
        assert_eq!(document["key"]["deletion_date"], "2026-11-30T00:00:00Z");
        let detail = json!({
            "by": "sweep", "first": false, "state": "PendingDeletion", "deletion_date": "2026-11-30T00:00:00Z"
        });
        assert_eq!(document["detail"], detail);
        assert_eq!(event.id, observation.event().id, "a retry is the same event");
        let later = KeyDetails { read_at: "2026-11-23T09:14:06Z".parse().unwrap(), ..details("PendingDeletion") };
        assert_ne!(event.id, Observation::of_details(By::Sweep, &later).unwrap().event().id);
    }

    #[test]
    fn an_inspection_says_more() {
        let known = details("Enabled");
        let mut inspection = Inspection::of(known.arn.as_deref().unwrap(), known.read_at);
        assert_eq!(Observation::of_inspection(By::Sweep, &inspection), None, "nothing was asked");
        inspection.details = Part::Known(Details {
            state: Some("Enabled".to_owned()),
            valid_to: known.deletion_date,
            ..Details::default()
        });
        inspection.rotation = Part::Known(Rotation { enabled: false, ..Rotation::default() });
        let event = Observation::of_inspection(By::Sweep, &inspection).unwrap().event();
        assert_eq!(event.document["detail"]["rotation"]["enabled"], false);
        assert_eq!(event.document["detail"]["valid_to"], "2026-11-30T00:00:00Z");
        assert_eq!(event.document["key"]["valid_to"], "2026-11-30T00:00:00Z");
    }

    #[test]
    fn a_key_that_kms_does_not_know_is_gone_and_silence_says_nothing() {
        let key = KeyRef { arn: details("Enabled").arn, ..KeyRef::default() };
        let at = Timestamp::UNIX_EPOCH;
        let gone = Observation::of_lookup(By::Verification, &key, &Lookup::NotFound, at).unwrap().event();
        assert_eq!(gone.document["key"]["state"], "Deleted");
        for lookup in [Lookup::Denied, Lookup::TimedOut, Lookup::Failed("x".to_owned()), Lookup::Off] {
            assert_eq!(Observation::of_lookup(By::Verification, &key, &lookup, at), None, "{lookup:?}");
        }
        let alias =
            KeyRef { arn: Some("arn:aws:kms:eu-central-1:111122223333:alias/x".to_owned()), ..KeyRef::default() };
        assert_eq!(Observation::of_lookup(By::Verification, &alias, &Lookup::NotFound, at), None);
    }
}
