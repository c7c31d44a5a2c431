//! What SQS's own error codes mean; the codes of every service are in [`crate::base::aws`].
//!
//! SQS gives an error two names: the one of its model (`KmsDisabled`) and the older one of the query protocol
//! (`KMS.DisabledException`), which the SDK prefers.

use super::QueueError;
use super::QueueErrorClass as Class;
use crate::base::aws::{Failure, FailureClass, class_of, without_namespace};

pub(super) fn classify(failure: Failure) -> QueueError {
    let own = failure.code.as_deref().and_then(own_class);
    QueueError { class: own.unwrap_or_else(|| general(failure.class)), detail: failure.detail }
}

fn own_class(code: &str) -> Option<Class> {
    Some(match code {
        // A throttled key passes by itself, unlike the key's other troubles.
        "KmsThrottled" | "KMS.ThrottlingException" => Class::Throttled,
        _ if code.starts_with("Kms") || code.starts_with("KMS.") => Class::QueueKey,
        "QueueDoesNotExist"
        | "NonExistentQueue"
        | "AWS.SimpleQueueService.NonExistentQueue"
        | "QueueDeletedRecently"
        | "AWS.SimpleQueueService.QueueDeletedRecently"
        | "InvalidAddress" => Class::NoSuchQueue,
        "OverLimit" | "AWS.SimpleQueueService.OverLimit" => Class::OverLimit,
        _ => return None,
    })
}

fn general(class: FailureClass) -> Class {
    match class {
        FailureClass::AccessDenied => Class::AccessDenied,
        FailureClass::Credentials => Class::Credentials,
        FailureClass::Throttled => Class::Throttled,
        FailureClass::Network => Class::Network,
        FailureClass::Timeout => Class::Timeout,
        FailureClass::Server => Class::Server,
        FailureClass::Other => Class::Other,
    }
}

/// Whether trying one entry of a batch again may help.
pub(super) fn retry_entry(code: &str, sender_fault: bool) -> bool {
    let class = own_class(without_namespace(code)).unwrap_or_else(|| general(class_of(code, 0)));
    !sender_fault || matches!(class, Class::Throttled | Class::Server | Class::QueueKey | Class::Timeout)
}

/// Whether an entry failed only because its message is gone or its handle has run out.
pub(super) fn is_late(code: &str, message: Option<&str>) -> bool {
    match without_namespace(code) {
        "ReceiptHandleIsInvalid" | "MessageNotInflight" | "AWS.SimpleQueueService.MessageNotInflight" => true,
        // FIFO queues say so in words only.
        "InvalidParameterValue" | "InvalidParameterValueException" => {
            message.is_some_and(|text| text.contains("receipt handle has expired"))
        }
        _ => false,
    }
}
