//! Actions, requests and errors as they travel: AWS JSON 1.0, `X-Amz-Target: AmazonSQS.<Action>`.
//!
//! Requests borrow from the body they came in; a message's text stays JSON (`RawValue`) on its way through, so that a
//! receive is a copy.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What can be asked of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    CreateQueue,
    DeleteQueue,
    GetQueueUrl,
    GetQueueAttributes,
    SetQueueAttributes,
    ListQueues,
    PurgeQueue,
    SendMessage,
    SendMessageBatch,
    ReceiveMessage,
    DeleteMessage,
    DeleteMessageBatch,
    ChangeMessageVisibility,
    ChangeMessageVisibilityBatch,
}

/// Every action, in the order of the enum.
pub(super) const ACTIONS: [(&str, Action); 14] = [
    ("CreateQueue", Action::CreateQueue),
    ("DeleteQueue", Action::DeleteQueue),
    ("GetQueueUrl", Action::GetQueueUrl),
    ("GetQueueAttributes", Action::GetQueueAttributes),
    ("SetQueueAttributes", Action::SetQueueAttributes),
    ("ListQueues", Action::ListQueues),
    ("PurgeQueue", Action::PurgeQueue),
    ("SendMessage", Action::SendMessage),
    ("SendMessageBatch", Action::SendMessageBatch),
    ("ReceiveMessage", Action::ReceiveMessage),
    ("DeleteMessage", Action::DeleteMessage),
    ("DeleteMessageBatch", Action::DeleteMessageBatch),
    ("ChangeMessageVisibility", Action::ChangeMessageVisibility),
    ("ChangeMessageVisibilityBatch", Action::ChangeMessageVisibilityBatch),
];

impl Action {
    /// Reads the `X-Amz-Target` header.
    pub(super) fn of_target(target: &str) -> Option<Self> {
        let name = target.strip_prefix("AmazonSQS.")?;
        ACTIONS.iter().find(|(known, _)| *known == name).map(|(_, action)| *action)
    }
}

/// A string that borrows where it holds no escapes. (A bare `Cow` field of a sequence would always copy.)
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateQueue {
    pub(super) queue_name: String,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueName<'a> {
    #[serde(borrow)]
    pub(super) queue_name: Text<'a>,
}

/// `DeleteQueue` and `PurgeQueue`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueOnly<'a> {
    #[serde(borrow)]
    pub(super) queue_url: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ListQueues {
    pub(super) queue_name_prefix: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetQueueAttributes<'a> {
    #[serde(borrow)]
    pub(super) queue_url: Text<'a>,
    #[serde(default)]
    pub(super) attribute_names: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SetQueueAttributes<'a> {
    #[serde(borrow)]
    pub(super) queue_url: Text<'a>,
    pub(super) attributes: BTreeMap<String, String>,
}

/// What `SendMessage` and an entry of `SendMessageBatch` have in common.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    /// The body as a JSON string literal, quotes included.
    pub(super) body: Option<&'a RawValue>,
    pub(super) delay_seconds: Option<i64>,
    pub(super) attributes: BTreeMap<String, AttributeValue>,
    pub(super) system_attributes: BTreeMap<String, AttributeValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendMessage<'a> {
    #[serde(borrow)]
    pub(super) queue_url: Text<'a>,
    #[serde(borrow, default)]
    message_body: Option<&'a RawValue>,
    #[serde(default)]
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: BTreeMap<String, AttributeValue>,
    #[serde(default)]
    message_system_attributes: BTreeMap<String, AttributeValue>,
}

impl<'a> SendMessage<'a> {
    pub(super) fn outgoing(self) -> Outgoing<'a> {
        Outgoing {
            body: self.message_body,
            delay_seconds: self.delay_seconds,
            attributes: self.message_attributes,
            system_attributes: self.message_system_attributes,
        }
    }
}

/// Any batch: its queue and its entries.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<'a, E> {
    #[serde(borrow)]
    pub(super) queue_url: Text<'a>,
    #[serde(default = "Vec::new")]
    pub(super) entries: Vec<E>,
}

/// An entry of a batch, known by its id.
pub(super) trait Entry {
    fn id(&self) -> &str;
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendEntry<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    message_body: Option<&'a RawValue>,
    #[serde(default)]
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: BTreeMap<String, AttributeValue>,
    #[serde(default)]
    message_system_attributes: BTreeMap<String, AttributeValue>,
}

impl<'a> SendEntry<'a> {
    /// The size as JSON, which is never less than the size itself, and costs nothing to know.
    pub(super) fn bytes_at_most(&self) -> usize {
        self.message_body.map_or(0, |raw| raw.get().len()) + self.attribute_bytes()
    }

    /// The size that counts towards the batch's limit. A body that is no string counts as its JSON.
    pub(super) fn bytes(&self) -> usize {
        let body = self
            .message_body
            .map_or(0, |raw| serde_json::from_str::<Text<'_>>(raw.get()).map_or(raw.get().len(), |text| text.len()));
        body + self.attribute_bytes()
    }

    fn attribute_bytes(&self) -> usize {
        self.message_attributes.iter().map(|(name, value)| name.len() + value.bytes()).sum()
    }

    pub(super) fn outgoing(self) -> Outgoing<'a> {
        Outgoing {
            body: self.message_body,
            delay_seconds: self.delay_seconds,
            attributes: self.message_attributes,
            system_attributes: self.message_system_attributes,
        }
    }
}

impl Entry for SendEntry<'_> {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceiveMessage<'a> {
    #[serde(borrow)]
    pub(super) queue_url: Text<'a>,
    #[serde(default)]
    pub(super) attribute_names: Vec<String>,
    #[serde(default)]
    pub(super) message_system_attribute_names: Vec<String>,
    #[serde(default)]
    pub(super) message_attribute_names: Vec<String>,
    #[serde(default)]
    pub(super) max_number_of_messages: Option<i64>,
    #[serde(default)]
    pub(super) visibility_timeout: Option<i64>,
    #[serde(default)]
    pub(super) wait_time_seconds: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteMessage<'a> {
    #[serde(borrow)]
    pub(super) queue_url: Text<'a>,
    #[serde(borrow)]
    pub(super) receipt_handle: Text<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteEntry<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    pub(super) receipt_handle: Text<'a>,
}

impl Entry for DeleteEntry<'_> {
    fn id(&self) -> &str {
        &self.id
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeMessageVisibility<'a> {
    #[serde(borrow)]
    pub(super) queue_url: Text<'a>,
    #[serde(borrow)]
    pub(super) receipt_handle: Text<'a>,
    pub(super) visibility_timeout: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangeEntry<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    pub(super) receipt_handle: Text<'a>,
    #[serde(default)]
    pub(super) visibility_timeout: i64,
}

impl Entry for ChangeEntry<'_> {
    fn id(&self) -> &str {
        &self.id
    }
}

/// A message attribute's value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct AttributeValue {
    #[serde(rename = "DataType")]
    pub(super) data_type: String,
    #[serde(rename = "StringValue", default)]
    pub(super) string: Option<String>,
    #[serde(rename = "BinaryValue", default, deserialize_with = "from_base64")]
    pub(super) binary: Option<Vec<u8>>,
}

impl AttributeValue {
    /// Counts towards the message's size.
    pub(super) fn bytes(&self) -> usize {
        self.data_type.len() + self.string.as_ref().map_or(0, String::len) + self.binary.as_ref().map_or(0, Vec::len)
    }
}

fn from_base64<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text: Option<String> = Option::deserialize(input)?;
    text.map(|text| STANDARD.decode(text).map_err(serde::de::Error::custom)).transpose()
}

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    /// The type's name, as in `__type`.
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// Whose fault it is; `None` goes by the status.
    pub(super) sender: Option<bool>,
}

impl ApiError {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), sender: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// The code of the older query protocol. The service sends it along in `x-amzn-query-error`, and SDKs go by it.
    pub(super) fn query_code(&self) -> &'static str {
        query_code(self.kind)
    }

    /// The `__type` member, with the namespace that the service uses.
    pub(super) fn qualified(&self) -> String {
        let space = match self.kind {
            "AccessDeniedException"
            | "ExpiredTokenException"
            | "InternalFailure"
            | "InvalidParameterValue"
            | "InvalidSignatureException"
            | "MissingParameter"
            | "SerializationException"
            | "ServiceUnavailable"
            | "ThrottlingException"
            | "UnrecognizedClientException"
            | "UnknownOperationException" => "com.amazon.coral.service",
            _ => "com.amazonaws.sqs",
        };
        format!("{space}#{}", self.kind)
    }

    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        match self.kind {
            "InternalFailure" => 500,
            "ServiceUnavailable" => 503,
            _ => 400,
        }
    }

    /// Whose fault it is.
    pub(super) fn sender(&self) -> bool {
        self.sender.unwrap_or(self.status() < 500)
    }
}

/// The query protocol's code for an error type; most are the same.
/// Source: the service model's `awsQueryError` traits, as compiled into aws-sdk-sqs.
pub(super) fn query_code(kind: &'static str) -> &'static str {
    match kind {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue",
        "QueueNameExists" => "QueueAlreadyExists",
        "QueueDeletedRecently" => "AWS.SimpleQueueService.QueueDeletedRecently",
        "PurgeQueueInProgress" => "AWS.SimpleQueueService.PurgeQueueInProgress",
        "UnsupportedOperation" => "AWS.SimpleQueueService.UnsupportedOperation",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest",
        "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
        "BatchEntryIdsNotDistinct" => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
        "BatchRequestTooLong" => "AWS.SimpleQueueService.BatchRequestTooLong",
        "InvalidBatchEntryId" => "AWS.SimpleQueueService.InvalidBatchEntryId",
        "MessageNotInflight" => "AWS.SimpleQueueService.MessageNotInflight",
        "KmsAccessDenied" => "KMS.AccessDeniedException",
        "KmsDisabled" => "KMS.DisabledException",
        "KmsInvalidKeyUsage" => "KMS.InvalidKeyUsageException",
        "KmsInvalidState" => "KMS.InvalidStateException",
        "KmsNotFound" => "KMS.NotFoundException",
        "KmsOptInRequired" => "KMS.OptInRequired",
        "KmsThrottled" => "KMS.ThrottlingException",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_actions_is_in_the_order_of_the_enum() {
        for (at, (name, action)) in ACTIONS.iter().enumerate() {
            assert_eq!(*action as usize, at, "{name}");
            assert_eq!(format!("{action:?}"), *name);
            assert_eq!(Action::of_target(&format!("AmazonSQS.{name}")), Some(*action));
        }
        assert_eq!(Action::of_target("AmazonSQS.StartMessageMoveTask"), None);
        assert_eq!(Action::of_target("ReceiveMessage"), None);
    }

    #[test]
    fn a_body_is_borrowed_and_keeps_its_escapes() {
        let request = r#"{"QueueUrl":"http://x/1/q","MessageBody":"{\"a\":1}"}"#;
        let send: SendMessage<'_> = serde_json::from_str(request).unwrap();
        assert!(matches!(send.queue_url.0, Cow::Borrowed(_)));
        assert_eq!(send.outgoing().body.unwrap().get(), r#""{\"a\":1}""#);
    }

    #[test]
    fn binary_attributes_are_base64() {
        let value: AttributeValue = serde_json::from_str(r#"{"DataType":"Binary","BinaryValue":"AAE="}"#).unwrap();
        assert_eq!(value.binary, Some(vec![0, 1]));
        assert!(serde_json::from_str::<AttributeValue>(r#"{"DataType":"Binary","BinaryValue":"*"}"#).is_err());
    }
}
