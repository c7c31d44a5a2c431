//! A queue's settings: defaults, ranges, how they are shown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::MESSAGE_BYTES_MAX;
use super::protocol::ApiError;

/// Attributes that are kept and shown, and mean nothing here.
const KEPT: &[&str] =
    &["KmsDataKeyReusePeriodSeconds", "KmsMasterKeyId", "Policy", "RedriveAllowPolicy", "SqsManagedSseEnabled"];

/// Attributes that count messages: shown, never set.
const COUNTED: &[&str] = &[
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// Attributes with a number: name, least, most. Source: Amazon SQS API reference, `SetQueueAttributes`.
const NUMBERS: &[(&str, u64, u64)] = &[
    ("DelaySeconds", 0, 900),
    ("MaximumMessageSize", 1024, MESSAGE_BYTES_MAX as u64),
    ("MessageRetentionPeriod", 60, 1_209_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20),
    ("VisibilityTimeout", 0, 43_200),
];

/// Where messages go that were received too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redrive {
    pub(super) target_arn: String,
    pub(super) receives_max: u32,
    /// The policy as it was set.
    text: String,
}

impl Redrive {
    /// The target's name: the last part of its ARN.
    pub(super) fn target_name(&self) -> &str {
        self.target_arn.rsplit(':').next().unwrap_or_default()
    }
}

/// What can be set on a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    numbers: BTreeMap<&'static str, u64>,
    kept: BTreeMap<&'static str, String>,
    redrive: Option<Redrive>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            numbers: BTreeMap::from([
                ("DelaySeconds", 0),
                ("MaximumMessageSize", MESSAGE_BYTES_MAX as u64),
                ("MessageRetentionPeriod", 345_600),
                ("ReceiveMessageWaitTimeSeconds", 0),
                ("VisibilityTimeout", 30),
            ]),
            kept: BTreeMap::from([("SqsManagedSseEnabled", "true".to_owned())]),
            redrive: None,
        }
    }
}

impl Settings {
    /// Changes what is named; all or nothing.
    ///
    /// # Errors
    /// An unknown name, a value out of range, a redrive policy that is none.
    pub(super) fn set(&mut self, attributes: &BTreeMap<String, String>) -> Result<(), ApiError> {
        let mut new = self.clone();
        for (name, value) in attributes {
            if let Some((name, least, most)) = NUMBERS.iter().find(|(known, _, _)| known == name) {
                let number = value.parse().ok().filter(|number| (least..=most).contains(&number));
                new.numbers.insert(name, number.ok_or_else(|| bad_value(name))?);
            } else if let Some(name) = KEPT.iter().find(|known| *known == name) {
                if value.is_empty() {
                    new.kept.remove(name);
                } else {
                    new.kept.insert(name, value.clone());
                }
            } else if name == "RedrivePolicy" {
                new.redrive = if value.is_empty() { None } else { Some(redrive(value)?) };
            } else if name.starts_with("Fifo") && value != "false" {
                return Err(ApiError::new("UnsupportedOperation", "this endpoint has standard queues only"));
            } else {
                return Err(ApiError::new("InvalidAttributeName", format!("Unknown Attribute {name}.")));
            }
        }
        *self = new;
        Ok(())
    }

    /// A value as it is shown; `None` where it is not set or is no setting.
    pub(super) fn shown(&self, name: &str) -> Option<String> {
        match self.numbers.get(name) {
            Some(number) => Some(number.to_string()),
            None if name == "RedrivePolicy" => self.redrive.as_ref().map(|redrive| redrive.text.clone()),
            None => self.kept.get(name).cloned(),
        }
    }

    /// The names of everything that can be shown.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        COUNTED.iter().chain(KEPT).copied().chain(NUMBERS.iter().map(|(name, _, _)| *name)).chain(["RedrivePolicy"])
    }

    pub(super) fn redrive(&self) -> Option<&Redrive> {
        self.redrive.as_ref()
    }

    pub(super) fn delay(&self) -> Duration {
        self.seconds("DelaySeconds")
    }

    pub(super) fn retention(&self) -> Duration {
        self.seconds("MessageRetentionPeriod")
    }

    pub(super) fn visibility(&self) -> Duration {
        self.seconds("VisibilityTimeout")
    }

    pub(super) fn wait(&self) -> Duration {
        self.seconds("ReceiveMessageWaitTimeSeconds")
    }

    pub(super) fn message_bytes_max(&self) -> usize {
        self.numbers.get("MaximumMessageSize").and_then(|n| usize::try_from(*n).ok()).unwrap_or(MESSAGE_BYTES_MAX)
    }

    fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs(self.numbers.get(name).copied().unwrap_or(0))
    }
}

fn bad_value(name: &str) -> ApiError {
    ApiError::new("InvalidAttributeValue", format!("Invalid value for the parameter {name}."))
}

/// Reads `{"deadLetterTargetArn": "…", "maxReceiveCount": 1..=1000}`; the count may be a number or its text.
fn redrive(text: &str) -> Result<Redrive, ApiError> {
    let policy: serde_json::Value = serde_json::from_str(text).map_err(|_| bad_value("RedrivePolicy"))?;
    let count = policy.get("maxReceiveCount");
    let receives_max = count
        .and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()))
        .filter(|count| (1..=1000).contains(count))
        .and_then(|count| u32::try_from(count).ok());
    let target = policy.get("deadLetterTargetArn").and_then(|arn| arn.as_str());
    match (target, receives_max) {
        (Some(arn), Some(receives_max)) => {
            Ok(Redrive { target_arn: arn.to_owned(), receives_max, text: text.to_owned() })
        }
        _ => Err(bad_value("RedrivePolicy")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn ranges_hold_and_a_refused_set_changes_nothing() {
        let mut settings = Settings::default();
        settings.set(&one("VisibilityTimeout", "60")).unwrap();
        assert_eq!(settings.visibility(), Duration::from_mins(1));
        for (name, value) in [("VisibilityTimeout", "43201"), ("DelaySeconds", "x"), ("MessageRetentionPeriod", "59")] {
            assert_eq!(settings.set(&one(name, value)).unwrap_err().kind, "InvalidAttributeValue", "{name}");
        }
        let mixed =
            BTreeMap::from([("DelaySeconds".to_owned(), "5".to_owned()), ("Colour".to_owned(), "1".to_owned())]);
        assert_eq!(settings.set(&mixed).unwrap_err().kind, "InvalidAttributeName");
        assert_eq!(settings.delay(), Duration::ZERO);
    }

    #[test]
    fn a_redrive_policy_is_read_shown_and_removed() {
        let mut settings = Settings::default();
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:111122223333:dead","maxReceiveCount":"3"}"#;
        settings.set(&one("RedrivePolicy", policy)).unwrap();
        assert_eq!(settings.redrive().map(|r| (r.target_name(), r.receives_max)), Some(("dead", 3)));
        assert_eq!(settings.shown("RedrivePolicy").as_deref(), Some(policy));
        assert!(settings.set(&one("RedrivePolicy", r#"{"maxReceiveCount":0}"#)).is_err());
        settings.set(&one("RedrivePolicy", "")).unwrap();
        assert!(settings.redrive().is_none());
    }

    #[test]
    fn fifo_is_refused_by_name() {
        assert_eq!(Settings::default().set(&one("FifoQueue", "true")).unwrap_err().kind, "UnsupportedOperation");
    }
}
