//! The scenarios: each boils a server's answers down to one line.

use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};

/// Every scenario and its answer.
const TABLE: &[(&str, &str)] = &[
    ("queue_url", "same url twice, ends in the name"),
    (
        "missing_queue",
        "GetQueueUrl AWS.SimpleQueueService.NonExistentQueue, receive AWS.SimpleQueueService.NonExistentQueue",
    ),
    ("round_trip", "same id, same body, sum 6cdee15ebb697ccb93f12f9c658c0bd7"),
    ("system_attributes", "count 1, sent and first received are recent"),
    ("message_attributes", "ERROR_CODE NO_PERMISSIONS, RAW 2 bytes, sum 294f90603b5ddd14e566b9bb9e4a970e"),
    ("unasked_attributes", "none"),
    ("empty_poll", "nothing after the whole wait"),
    ("early_return", "one message well before the end of the wait"),
    ("redelivery_mid_poll", "counts 1 2, after the timeout"),
    ("batch_of_ten", "10 sent, 10 received at once"),
    ("give_back", "counts 1 2 at once"),
    ("change_batch", "changed good, failed bad"),
    ("change_deleted", "InvalidParameterValue"),
    ("delete_batch", "deleted good, failed bad ReceiptHandleIsInvalid"),
    ("delete_twice", "ok, ok"),
    ("bad_handle", "ReceiptHandleIsInvalid"),
    ("dead_letter", "counts 1 2, then dead with the source's arn"),
    ("delay", "hidden, then there"),
    ("counts", "visible 1, in flight 1"),
    ("set_attributes", "VisibilityTimeout 77"),
    ("bad_attribute", "InvalidAttributeValue"),
    ("big_message", "accepted and whole"),
    ("too_big", "InvalidParameterValue"),
    ("empty_batch", "AWS.SimpleQueueService.EmptyBatchRequest"),
    ("same_ids", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
    ("eleven_entries", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
    ("eleven_messages", "InvalidParameterValue"),
    ("purge", "empty"),
];

pub(crate) const NAMES: &[&str] = &names();

const fn names() -> [&'static str; TABLE.len()] {
    let mut names = [""; TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        names[at] = TABLE[at].0;
        at += 1;
    }
    names
}

/// Plays all scenarios: name, expected answer, answer.
pub(crate) async fn all(client: &Client) -> Vec<(&'static str, &'static str, String)> {
    let mut played = vec![];
    for (name, expected) in TABLE {
        let queue = Queue::new(client, name, &[]).await;
        let answer = play(name, &queue).await;
        played.push((*name, *expected, answer));
    }
    played
}

async fn play(name: &str, queue: &Queue<'_>) -> String {
    match name {
        "queue_url" => queue_url(queue).await,
        "missing_queue" => missing_queue(queue).await,
        "round_trip" => round_trip(queue).await,
        "system_attributes" => system_attributes(queue).await,
        "message_attributes" => message_attributes(queue).await,
        "unasked_attributes" => unasked_attributes(queue).await,
        "empty_poll" => empty_poll(queue).await,
        "early_return" => early_return(queue).await,
        "redelivery_mid_poll" => redelivery_mid_poll(queue).await,
        "batch_of_ten" => batch_of_ten(queue).await,
        "give_back" => give_back(queue).await,
        "change_batch" => change_batch(queue).await,
        "change_deleted" => change_deleted(queue).await,
        "delete_batch" => delete_batch(queue).await,
        "delete_twice" => delete_twice(queue).await,
        "bad_handle" => code(&queue.delete("not a handle").await),
        "dead_letter" => dead_letter(queue).await,
        "delay" => delay(queue).await,
        "counts" => counts(queue).await,
        "set_attributes" => set_attributes(queue).await,
        "bad_attribute" => bad_attribute(queue).await,
        "big_message" => big_message(queue).await,
        "too_big" => {
            code(&queue.client.send_message().queue_url(&queue.url).message_body("x".repeat(1_048_577)).send().await)
        }
        "empty_batch" => {
            code(&queue.client.send_message_batch().queue_url(&queue.url).set_entries(Some(vec![])).send().await)
        }
        "same_ids" => code(&queue.send_batch(&["a", "a"]).await),
        "eleven_entries" => code(&queue.send_batch(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]).await),
        "eleven_messages" => {
            code(&queue.client.receive_message().queue_url(&queue.url).max_number_of_messages(11).send().await)
        }
        "purge" => purge(queue).await,
        other => panic!("{other} has no play"),
    }
}

struct Queue<'c> {
    client: &'c Client,
    name: String,
    url: String,
}

impl<'c> Queue<'c> {
    async fn new(client: &'c Client, name: &str, attributes: &[(QueueAttributeName, String)]) -> Self {
        let attributes = attributes.iter().cloned().collect();
        let made = client.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await.unwrap();
        Self { client, name: name.to_owned(), url: made.queue_url.unwrap() }
    }

    async fn send(&self, body: &str) -> String {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.unwrap().message_id.unwrap()
    }

    async fn send_batch(
        &self,
        ids: &[&str],
    ) -> Result<
        aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput,
        SdkError<aws_sdk_sqs::operation::send_message_batch::SendMessageBatchError>,
    > {
        let entry = |id: &&str| SendMessageBatchRequestEntry::builder().id(*id).message_body(*id).build().unwrap();
        let entries = ids.iter().map(entry).collect();
        self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await
    }

    /// Up to ten messages with everything that belongs to them.
    async fn receive(&self, wait: i32, visibility: i32) -> Vec<Message> {
        let receive = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .wait_time_seconds(wait)
            .visibility_timeout(visibility)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        receive.send().await.unwrap().messages.unwrap_or_default()
    }

    async fn one(&self) -> Message {
        self.receive(5, 30).await.pop().expect("a message")
    }

    async fn delete(
        &self,
        handle: &str,
    ) -> Result<
        aws_sdk_sqs::operation::delete_message::DeleteMessageOutput,
        SdkError<aws_sdk_sqs::operation::delete_message::DeleteMessageError>,
    > {
        self.client.delete_message().queue_url(&self.url).receipt_handle(handle).send().await
    }

    async fn attribute(&self, name: QueueAttributeName) -> String {
        let get = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        get.send().await.unwrap().attributes.unwrap().remove(&name).unwrap_or_default()
    }
}

/// `ok`, or the error code.
fn code<T, E: ProvideErrorMetadata>(result: &Result<T, SdkError<E>>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}

fn handle(message: &Message) -> String {
    message.receipt_handle.clone().unwrap()
}

fn system(message: &Message, name: &MessageSystemAttributeName) -> String {
    message.attributes.as_ref().and_then(|all| all.get(name)).cloned().unwrap_or_default()
}

fn count(message: &Message) -> String {
    system(message, &MessageSystemAttributeName::ApproximateReceiveCount)
}

async fn queue_url(queue: &Queue<'_>) -> String {
    let found = queue.client.get_queue_url().queue_name(&queue.name).send().await.unwrap().queue_url.unwrap();
    let again = Queue::new(queue.client, &queue.name, &[]).await;
    assert_eq!((&found, &again.url), (&queue.url, &queue.url));
    format!("same url twice, ends in {}", if found.ends_with("/queue_url") { "the name" } else { &found })
}

async fn missing_queue(queue: &Queue<'_>) -> String {
    let url = queue.url.replace(&queue.name, "no_such_queue");
    let get = queue.client.get_queue_url().queue_name("no_such_queue").send().await;
    let receive = queue.client.receive_message().queue_url(url).send().await;
    let (get, received) = (code(&get), code(&receive));
    assert!(receive.unwrap_err().into_service_error().is_queue_does_not_exist(), "the SDK must know the type");
    format!("GetQueueUrl {get}, receive {received}")
}

async fn round_trip(queue: &Queue<'_>) -> String {
    let body = "{\"detail\":{\"eventName\":\"DisableKey\",\"who\":\"J\u{fc}rgen \u{1f511}\"}}\n";
    let sent = queue.client.send_message().queue_url(&queue.url).message_body(body).send().await.unwrap();
    let got = queue.one().await;
    assert_eq!(got.message_id, sent.message_id);
    assert_eq!(got.body.as_deref(), Some(body));
    assert_eq!(got.md5_of_body, sent.md5_of_message_body);
    format!("same id, same body, sum {}", got.md5_of_body.unwrap())
}

async fn system_attributes(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    let got = queue.one().await;
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let recent = |name| (now - system(&got, &name).parse::<i64>().unwrap_or(0)).abs() < 60_000;
    let both = recent(MessageSystemAttributeName::SentTimestamp)
        && recent(MessageSystemAttributeName::ApproximateFirstReceiveTimestamp);
    format!("count {}, sent and first received {} recent", count(&got), if both { "are" } else { "are not" })
}

async fn message_attributes(queue: &Queue<'_>) -> String {
    let text = MessageAttributeValue::builder().data_type("String").string_value("NO_PERMISSIONS").build().unwrap();
    let raw = MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new([0, 255])).build().unwrap();
    let bare = queue.client.send_message().queue_url(&queue.url).message_body("x");
    let whole = bare.message_attributes("ERROR_CODE", text).message_attributes("RAW", raw);
    let sent = whole.send().await.unwrap();
    let got = queue.one().await;
    assert_eq!(got.md5_of_message_attributes, sent.md5_of_message_attributes);
    let all = got.message_attributes.unwrap();
    let text = all["ERROR_CODE"].string_value.as_deref().unwrap();
    let raw = all["RAW"].binary_value.as_ref().unwrap().as_ref().len();
    format!("ERROR_CODE {text}, RAW {raw} bytes, sum {}", sent.md5_of_message_attributes.unwrap())
}

async fn unasked_attributes(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    let got = queue.client.receive_message().queue_url(&queue.url).wait_time_seconds(5).send().await.unwrap();
    let got = got.messages.unwrap().pop().unwrap();
    match (got.attributes, got.message_attributes) {
        (None, None) => "none".to_owned(),
        some => format!("{some:?}"),
    }
}

async fn empty_poll(queue: &Queue<'_>) -> String {
    let start = Instant::now();
    let got = queue.receive(1, 30).await;
    assert!(got.is_empty());
    let took = start.elapsed();
    if took > Duration::from_millis(950) { "nothing after the whole wait".to_owned() } else { format!("{took:?}") }
}

async fn early_return(queue: &Queue<'_>) -> String {
    let start = Instant::now();
    let (got, ()) = tokio::join!(queue.receive(20, 30), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        queue.send("x").await;
    });
    let took = start.elapsed();
    if got.len() == 1 && took < Duration::from_secs(10) {
        "one message well before the end of the wait".to_owned()
    } else {
        format!("{} after {took:?}", got.len())
    }
}

async fn redelivery_mid_poll(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    let first = queue.receive(5, 1).await;
    let start = Instant::now();
    let second = queue.receive(20, 30).await;
    let took = start.elapsed();
    let when =
        if (700..10_000).contains(&took.as_millis()) { "after the timeout".to_owned() } else { format!("{took:?}") };
    format!("counts {} {}, {when}", count(&first[0]), count(&second[0]))
}

async fn batch_of_ten(queue: &Queue<'_>) -> String {
    let sent = queue.send_batch(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]).await.unwrap();
    let got = queue.receive(5, 30).await;
    format!("{} sent, {} received at once", sent.successful.len(), got.len())
}

async fn give_back(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    let first = queue.one().await;
    let change = queue.client.change_message_visibility().queue_url(&queue.url).receipt_handle(handle(&first));
    change.visibility_timeout(0).send().await.unwrap();
    let start = Instant::now();
    let second = queue.one().await;
    assert_ne!(first.receipt_handle, second.receipt_handle, "each receive has its own handle");
    let when = if start.elapsed() < Duration::from_secs(4) { "at once" } else { "late" };
    format!("counts {} {} {when}", count(&first), count(&second))
}

async fn change_batch(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    let got = queue.one().await;
    let entry = |id: &str, handle: &str| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(60).build().unwrap()
    };
    let change = queue.client.change_message_visibility_batch().queue_url(&queue.url);
    let change = change.entries(entry("good", &handle(&got))).entries(entry("bad", "not a handle"));
    let changed = change.send().await.unwrap();
    let good: Vec<_> = changed.successful.iter().map(|entry| entry.id.as_str()).collect();
    let bad: Vec<_> = changed.failed.iter().map(|entry| entry.id.as_str()).collect();
    format!("changed {}, failed {}", good.join(" "), bad.join(" "))
}

async fn change_deleted(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    let got = queue.one().await;
    queue.delete(&handle(&got)).await.unwrap();
    let change = queue.client.change_message_visibility().queue_url(&queue.url).receipt_handle(handle(&got));
    code(&change.visibility_timeout(60).send().await)
}

async fn delete_batch(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    let got = queue.one().await;
    let entry = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let delete = queue.client.delete_message_batch().queue_url(&queue.url);
    let delete = delete.entries(entry("good", &handle(&got))).entries(entry("bad", "not a handle"));
    let deleted = delete.send().await.unwrap();
    let good: Vec<_> = deleted.successful.iter().map(|entry| entry.id.as_str()).collect();
    let bad: Vec<_> = deleted.failed.iter().map(|entry| format!("{} {}", entry.id, entry.code)).collect();
    format!("deleted {}, failed {}", good.join(" "), bad.join(" "))
}

async fn delete_twice(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    let got = queue.one().await;
    let first = code(&queue.delete(&handle(&got)).await);
    format!("{first}, {}", code(&queue.delete(&handle(&got)).await))
}

async fn dead_letter(queue: &Queue<'_>) -> String {
    let dead = Queue::new(queue.client, "dead_letters", &[]).await;
    let arn = dead.attribute(QueueAttributeName::QueueArn).await;
    let policy = format!("{{\"deadLetterTargetArn\":\"{arn}\",\"maxReceiveCount\":2}}");
    let source = Queue::new(queue.client, "dead_letter_source", &[(QueueAttributeName::RedrivePolicy, policy)]).await;
    source.send("x").await;
    let first = source.receive(5, 1).await;
    let second = source.receive(5, 1).await;
    assert!(source.receive(2, 1).await.is_empty(), "the third time it is dead");
    let buried = dead.one().await;
    let from = system(&buried, &MessageSystemAttributeName::DeadLetterQueueSourceArn);
    let from = if from.ends_with(":dead_letter_source") { "with the source's arn" } else { "without the source's arn" };
    assert_eq!(buried.body.as_deref(), Some("x"));
    format!("counts {} {}, then dead {from}", count(&first[0]), count(&second[0]))
}

async fn delay(queue: &Queue<'_>) -> String {
    queue.client.send_message().queue_url(&queue.url).message_body("x").delay_seconds(1).send().await.unwrap();
    let early = queue.receive(0, 30).await.len();
    let late = queue.receive(10, 30).await.len();
    format!("{}, then {}", if early == 0 { "hidden" } else { "there" }, if late == 1 { "there" } else { "gone" })
}

async fn counts(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    queue.one().await;
    queue.send("y").await;
    let visible = queue.attribute(QueueAttributeName::ApproximateNumberOfMessages).await;
    let in_flight = queue.attribute(QueueAttributeName::ApproximateNumberOfMessagesNotVisible).await;
    format!("visible {visible}, in flight {in_flight}")
}

async fn set_attributes(queue: &Queue<'_>) -> String {
    let set = queue.client.set_queue_attributes().queue_url(&queue.url);
    set.attributes(QueueAttributeName::VisibilityTimeout, "77").send().await.unwrap();
    format!("VisibilityTimeout {}", queue.attribute(QueueAttributeName::VisibilityTimeout).await)
}

async fn bad_attribute(queue: &Queue<'_>) -> String {
    let set = queue.client.set_queue_attributes().queue_url(&queue.url);
    code(&set.attributes(QueueAttributeName::VisibilityTimeout, "43201").send().await)
}

async fn big_message(queue: &Queue<'_>) -> String {
    let body = "\"\u{fc}".repeat(300 * 1024 / 3);
    queue.send(&body).await;
    if queue.one().await.body.as_deref() == Some(&body) { "accepted and whole".to_owned() } else { "cut".to_owned() }
}

async fn purge(queue: &Queue<'_>) -> String {
    queue.send("x").await;
    queue.client.purge_queue().queue_url(&queue.url).send().await.unwrap();
    if queue.receive(0, 30).await.is_empty() { "empty".to_owned() } else { "not empty".to_owned() }
}
