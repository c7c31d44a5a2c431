//! What a queue's own numbers mean for whether we hear in time.

use jiff::SignedDuration;

use super::event::KeyRef;
use super::incident::{Incident, State};
use super::rule::Severity;

/// SQS hands out no more once so many messages are in flight, and says nothing about it to a long poll.
pub const IN_FLIGHT_LIMIT: u64 = 120_000;

/// The same of a FIFO queue.
pub const IN_FLIGHT_LIMIT_FIFO: u64 = 20_000;

/// Families whose incidents say that a key cannot be used.
const UNUSABLE: &str = "key-unusable";

/// States in which a key works, or is about to.
const USABLE: &[&str] = &["Enabled", "Creating", "Updating"];

/// From where on a number is trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub behind_after: SignedDuration,
    pub in_flight: u64,
}

/// What is known of a queue between two looks; `None` where it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Age of the oldest message that was handed out for the first time; none came if it is not there.
    pub oldest: Option<SignedDuration>,
    pub waiting: Option<u64>,
    pub in_flight: Option<u64>,
}

/// What is to be said of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    Trouble(String),
    Well(String),
    /// Neither: what was said stands.
    Nothing,
}

/// Whether we fall behind. One late look may be the rest of a backlog after a restart: it takes two in a row, and it is over
/// only at half the limit. `late_before` is whether the look before this one was late.
pub fn behind(limits: Limits, late_before: bool, numbers: Numbers) -> Word {
    match numbers.oldest {
        Some(oldest) if oldest > limits.behind_after => {
            if !late_before {
                return Word::Nothing;
            }
            let waiting = numbers.waiting.map_or(String::new(), |waiting| format!("; about {waiting} wait"));
            Word::Trouble(format!("messages are {} old when they are received{waiting}", rounded(oldest)))
        }
        Some(oldest) if oldest <= limits.behind_after / 2 => {
            Word::Well(format!("messages are {} old when they are received", rounded(oldest)))
        }
        None if numbers.waiting == Some(0) => Word::Well("no message waits".to_owned()),
        Some(_) | None => Word::Nothing,
    }
}

/// Whether the queue may stop handing out messages; over at four fifths of the limit.
pub fn in_flight(limits: Limits, numbers: Numbers) -> Word {
    match numbers.in_flight {
        Some(many) if many >= limits.in_flight => Word::Trouble(format!("about {many} messages are in flight")),
        Some(many) if many < limits.in_flight - limits.in_flight / 5 => {
            Word::Well(format!("about {many} messages are in flight"))
        }
        _ => Word::Nothing,
    }
}

/// Whether the key that encrypts a queue is in danger: by its state as KMS tells it, or by an open incident about it. `names` are
/// its ARN, its id or its alias, as far as they are known.
pub fn queue_key(names: &[&str], state: Option<&str>, open: &[Incident]) -> Word {
    let Some(shown) = names.first() else { return Word::Nothing };
    if let Some(state) = state.filter(|state| !USABLE.contains(state)) {
        return Word::Trouble(format!("the queue's own key {shown} is {state}"));
    }
    let about = |incident: &&Incident| {
        let key = incident.key.as_ref();
        let is_it = |key: &KeyRef| {
            let own = key.arn.iter().chain(&key.id).chain(&key.aliases);
            own.into_iter().any(|name| names.contains(&name.as_str()))
        };
        incident.state != State::Resolved
            && (incident.family == UNUSABLE || incident.severity == Severity::Critical)
            && key.is_some_and(is_it)
    };
    match open.iter().find(about) {
        Some(incident) => {
            Word::Trouble(format!("the queue's own key {shown} has an open incident: {}", incident.voice.title))
        }
        None => Word::Well(format!("nothing is known against the queue's own key {shown}")),
    }
}

/// The names under which a queue's `KmsMasterKeyId` may be met: its ARN first, where it can be told.
pub fn key_names(master_key: &str, queue_arn: Option<&str>) -> Vec<String> {
    let mut names = vec![];
    let parts: Vec<&str> = queue_arn.unwrap_or_default().splitn(6, ':').collect();
    if let ["arn", partition, "sqs", region, account, _] = parts.as_slice()
        && !master_key.starts_with("arn:")
    {
        let resource =
            if master_key.starts_with("alias/") { master_key.to_owned() } else { format!("key/{master_key}") };
        names.push(format!("arn:{partition}:kms:{region}:{account}:{resource}"));
    }
    names.push(master_key.to_owned());
    if let Some((_, alias)) = master_key.split_once(":alias/") {
        names.push(format!("alias/{alias}"));
    }
    names
}

/// In whole seconds.
fn rounded(length: SignedDuration) -> String {
    format!("{:#}", SignedDuration::from_secs(length.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::decide::{Policy, Prepared, Snapshot, decide, evaluate};
    use crate::core::decode::decode;
    use crate::core::rule::{self, RuleSet};

    const LIMITS: Limits = Limits { behind_after: SignedDuration::from_mins(15), in_flight: 100_000 };

    /// The incident of a key that was disabled.
    fn disabled(arn: &str) -> Incident {
        let body = serde_json::json!({
            "source": "aws.kms", "detail-type": "AWS API Call via CloudTrail", "time": "2026-11-23T09:00:00Z",
            "account": "111122223333", "region": "eu-central-1", "id": "e",
            "detail": {
                "eventSource": "kms.amazonaws.com", "eventName": "DisableKey", "eventID": "e", "eventVersion": "1.11",
                "eventTime": "2026-11-23T09:00:00Z", "awsRegion": "eu-central-1", "eventType": "AwsApiCall",
                "resources": [{ "type": "AWS::KMS::Key", "ARN": arn }]
            }
        });
        let event = decode(&body.to_string()).events.remove(0);
        let (policy, now) = (Policy { rules: RuleSet::new(rule::classic()), ..Policy::default() }, event.time);
        let prepared = Prepared { event, marks: vec![], looked_up: None };
        let decision = decide(&policy, &[evaluate(&policy, &prepared, now)], &Snapshot::default(), now);
        decision.situations[0].incident.clone().unwrap()
    }

    fn oldest(minutes: i64) -> Numbers {
        Numbers { oldest: Some(SignedDuration::from_mins(minutes)), ..Numbers::default() }
    }

    #[test]
    fn a_backlog_that_is_gone_by_the_next_look_is_no_trouble() {
        assert_eq!(behind(LIMITS, false, oldest(600)), Word::Nothing);
        let word = behind(LIMITS, true, Numbers { waiting: Some(7), ..oldest(600) });
        assert_eq!(word, Word::Trouble("messages are 10h old when they are received; about 7 wait".to_owned()));
        assert_eq!(behind(LIMITS, true, oldest(15)), Word::Nothing, "not over the limit, and not far below it");
        assert!(matches!(behind(LIMITS, true, oldest(7)), Word::Well(_)));
    }

    #[test]
    fn silence_is_well_only_where_nothing_waits() {
        assert_eq!(behind(LIMITS, true, Numbers::default()), Word::Nothing);
        assert_eq!(behind(LIMITS, true, Numbers { waiting: Some(3), ..Numbers::default() }), Word::Nothing);
        assert!(matches!(behind(LIMITS, true, Numbers { waiting: Some(0), ..Numbers::default() }), Word::Well(_)));
    }

    #[test]
    fn many_in_flight_are_trouble_until_clearly_fewer_are() {
        let word = |many| in_flight(LIMITS, Numbers { in_flight: many, ..Numbers::default() });
        assert!(matches!(word(Some(100_000)), Word::Trouble(_)));
        assert_eq!(word(Some(99_999)), Word::Nothing);
        assert_eq!(word(Some(80_000)), Word::Nothing);
        assert!(matches!(word(Some(79_999)), Word::Well(_)));
        assert_eq!(word(None), Word::Nothing);
    }

    #[test]
    fn the_queues_own_key_is_in_danger_by_its_state_or_by_an_incident() {
        let names = ["arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"];
        assert!(matches!(queue_key(&names, Some("Enabled"), &[]), Word::Well(_)));
        assert!(matches!(queue_key(&names, None, &[]), Word::Well(_)));
        let Word::Trouble(said) = queue_key(&names, Some("PendingDeletion"), &[]) else { panic!() };
        assert!(said.ends_with("is PendingDeletion"), "{said}");

        let mut incident = disabled(names[0]);
        assert!(matches!(queue_key(&names, Some("Enabled"), std::slice::from_ref(&incident)), Word::Trouble(_)));
        incident.key = Some(KeyRef { aliases: vec!["alias/queue".to_owned()], ..KeyRef::default() });
        assert!(matches!(queue_key(&["alias/queue"], None, std::slice::from_ref(&incident)), Word::Trouble(_)));
        assert!(matches!(queue_key(&["alias/other"], None, std::slice::from_ref(&incident)), Word::Well(_)));
        (incident.severity, incident.family) = (Severity::High, "other".to_owned());
        assert!(
            matches!(queue_key(&["alias/queue"], None, &[incident]), Word::Well(_)),
            "not each incident is a danger"
        );
    }

    #[test]
    fn a_queues_key_is_known_by_its_names() {
        let queue = Some("arn:aws:sqs:eu-central-1:111122223333:kmswatch");
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        let arn = format!("arn:aws:kms:eu-central-1:111122223333:key/{id}");
        assert_eq!(key_names(id, queue), [arn.as_str(), id]);
        assert_eq!(key_names(&arn, queue), [arn.as_str()]);
        let alias = "arn:aws:kms:eu-central-1:111122223333:alias/queue";
        assert_eq!(key_names("alias/queue", queue), [alias, "alias/queue"]);
        assert_eq!(key_names(alias, queue), [alias, "alias/queue"]);
        assert_eq!(key_names(id, None), [id]);
    }
}
