use std::sync::atomic::AtomicUsize;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use serde_json::{Value, json};

use super::*;
use crate::base::aws::fake::{Reply, Request, Server};

async fn queue_at(url: &str, more: &str) -> SqsQueue {
    queue_as(url, more, &Access::unchecked()).await
}

async fn queue_as(url: &str, more: &str, access: &Access) -> SqsQueue {
    let config: Config = toml::from_str(&format!("url = \"{url}/111122223333/q\"\n{more}")).unwrap();
    SqsQueue::connect("test", &config, access).await
}

fn handles(names: &[&str]) -> Vec<Handle> {
    names.iter().map(|name| Handle((*name).to_owned())).collect()
}

fn ids(request: &Request) -> Vec<String> {
    request.body["Entries"].as_array().unwrap().iter().map(|entry| entry["Id"].as_str().unwrap().to_owned()).collect()
}

/// Answers that every entry of the batch is done.
fn all_done(request: &Request) -> Reply {
    let done: Vec<Value> = ids(request).into_iter().map(|id| json!({"Id": id})).collect();
    Reply::ok(&json!({"Successful": done, "Failed": []}))
}

#[tokio::test]
async fn a_receive_asks_for_little_and_keeps_all_of_it() {
    let server = Server::start(|_, _| {
        Reply::ok(&json!({"Messages": [
            {"MessageId": "m-1", "ReceiptHandle": "h-1", "Body": "{\"a\":1}",
             "Attributes": {"SentTimestamp": "1700000000123", "ApproximateReceiveCount": "3"},
             "MessageAttributes": {
                 "RULE_ARN": {"DataType": "String", "StringValue": "arn:aws:events:eu-central-1:111122223333:rule/r"},
                 "ERROR_CODE": {"DataType": "String", "StringValue": "NO_PERMISSIONS"}}},
            {"MessageId": "m-2", "Body": "without a handle"},
            {"ReceiptHandle": "h-3", "Attributes": {"SentTimestamp": "yesterday", "ApproximateReceiveCount": "-1"}},
        ]}))
    })
    .await;
    let queue = queue_at(&server.url, "visibility = \"90s\"").await;
    let messages = queue.receive().await.unwrap();
    assert_eq!(messages.len(), 2, "a message without a handle cannot be handled");
    assert_eq!(messages[0].body, "{\"a\":1}");
    assert_eq!(messages[0].sent_at.unwrap().as_millisecond(), 1_700_000_000_123);
    assert_eq!(messages[0].receive_count, 3);
    assert_eq!(messages[0].attributes[0], ("ERROR_CODE".to_owned(), "NO_PERMISSIONS".to_owned()));
    assert_eq!(messages[0].attributes.len(), 2);
    assert_eq!((messages[1].sent_at, messages[1].receive_count), (None, 1));
    queue.receive_bare().await.unwrap();
    let bare = &server.requests()[1].body;
    assert_eq!(bare["MessageSystemAttributeNames"], Value::Null, "the ages are left out, and nothing else");
    assert_eq!(bare["MessageAttributeNames"], server.requests()[0].body["MessageAttributeNames"]);
    let request = &server.requests()[0];
    assert_eq!(request.operation, "ReceiveMessage");
    assert_eq!(request.body["QueueUrl"], format!("{}/111122223333/q", server.url));
    assert_eq!(
        (&request.body["WaitTimeSeconds"], &request.body["VisibilityTimeout"], &request.body["MaxNumberOfMessages"]),
        (&json!(20), &json!(90), &json!(10))
    );
    assert_eq!(request.body["MessageSystemAttributeNames"], json!(["SentTimestamp", "ApproximateReceiveCount"]));
    assert!(!request.body["MessageAttributeNames"].as_array().unwrap().contains(&json!("All")));
    assert!(
        request.headers["user-agent"].to_str().unwrap().contains("kmswatch"),
        "{:?}",
        request.headers["user-agent"]
    );
}

#[tokio::test]
async fn every_error_is_classified() {
    use QueueErrorClass as Class;
    // Status, `__type`, the query protocol's name of it (which the real service sends along), class.
    let table: Vec<(u16, &str, &str, Class)> = vec![
        (400, "com.amazonaws.sqs#KmsDisabled", "KMS.DisabledException", Class::QueueKey),
        (400, "com.amazonaws.sqs#KmsInvalidState", "KMS.InvalidStateException", Class::QueueKey),
        (400, "com.amazonaws.sqs#KmsAccessDenied", "KMS.AccessDeniedException", Class::QueueKey),
        (400, "com.amazonaws.sqs#KmsNotFound", "KMS.NotFoundException", Class::QueueKey),
        (400, "com.amazonaws.sqs#KmsOptInRequired", "KMS.OptInRequired", Class::QueueKey),
        (400, "com.amazonaws.sqs#KmsInvalidKeyUsage", "KMS.InvalidKeyUsageException", Class::QueueKey),
        (400, "com.amazonaws.sqs#KmsThrottled", "KMS.ThrottlingException", Class::Throttled),
        (400, "com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", Class::NoSuchQueue),
        (400, "com.amazonaws.sqs#InvalidAddress", "", Class::NoSuchQueue),
        (403, "com.amazonaws.sqs#AccessDenied", "AccessDenied", Class::AccessDenied),
        (400, "AccessDeniedException", "", Class::AccessDenied),
        (403, "ExpiredToken", "", Class::Credentials),
        (400, "ExpiredTokenException", "", Class::Credentials),
        (403, "InvalidClientTokenId", "", Class::Credentials),
        (400, "UnrecognizedClientException", "", Class::Credentials),
        (403, "SignatureDoesNotMatch", "", Class::Credentials),
        (400, "InvalidSignatureException", "", Class::Credentials),
        (400, "com.amazonaws.sqs#InvalidSecurity", "", Class::Credentials),
        (400, "com.amazonaws.sqs#RequestThrottled", "RequestThrottled", Class::Throttled),
        (400, "ThrottlingException", "", Class::Throttled),
        (503, "RequestLimitExceeded", "", Class::Throttled),
        (400, "com.amazonaws.sqs#OverLimit", "OverLimit", Class::OverLimit),
        (500, "InternalFailure", "", Class::Server),
        (503, "ServiceUnavailable", "", Class::Server),
        (500, "NeverHeardOf", "", Class::Server),
        (400, "com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", Class::Other),
        (400, "NeverHeardOf", "", Class::Other),
    ];
    for with_query_name in [true, false] {
        let replies = table.clone();
        let server = Server::start(move |_, n| {
            let (status, kind, query, _) = &replies[n];
            let reply = Reply::error(*status, kind, "no\nway");
            if with_query_name && !query.is_empty() {
                reply.header("x-amzn-query-error", &format!("{query};Sender"))
            } else {
                reply
            }
        })
        .await;
        let queue = queue_at(&server.url, "").await;
        for (status, kind, query, class) in &table {
            let error = queue.receive().await.unwrap_err();
            assert_eq!(error.class, *class, "{status} {kind} {query}: {error}");
            assert!(error.detail.chars().all(|c| !c.is_control()), "{error}");
        }
        assert_eq!(server.requests().len(), table.len(), "a receive is never repeated by the SDK");
    }
}

#[tokio::test]
async fn answers_that_are_no_answers_are_classified_too() {
    use QueueErrorClass as Class;
    let table: Vec<(Reply, Class)> = vec![
        (Reply::text(502, "<html>Bad gateway</html>"), Class::Server),
        (Reply::text(403, "<html>Blocked by proxy</html>"), Class::AccessDenied),
        (Reply::text(429, ""), Class::Throttled),
        (Reply::text(200, "<html>Sign in to the airport's network</html>"), Class::Other),
        (Reply::text(200, "{\"Messages\": [{"), Class::Other),
    ];
    let replies = table.clone();
    let server = Server::start(move |_, n| replies[n].0.clone()).await;
    let queue = queue_at(&server.url, "").await;
    for (reply, class) in table {
        let error = queue.receive().await.unwrap_err();
        assert_eq!(error.class, class, "{reply:?}: {error}");
        assert!(error.detail.chars().count() <= 300);
    }
}

#[tokio::test]
async fn a_signature_error_does_not_repeat_the_session_token() {
    let server = Server::start(|_, n| match n {
        0 => Reply::error(403, "SignatureDoesNotMatch", "expected x-amz-security-token:t0ken"),
        _ => Reply::error(403, "NewCode", "the String-to-Sign holds t0ken"),
    })
    .await;
    let queue = queue_at(&server.url, "").await;
    for _ in 0..2 {
        let error = queue.receive().await.unwrap_err();
        assert!(!error.detail.contains("t0ken"), "{error}");
    }
}

#[tokio::test]
async fn a_dead_or_cut_connection_is_the_network() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let error = queue_at(&format!("http://{address}"), "").await.receive().await.unwrap_err();
    assert_eq!(error.class, QueueErrorClass::Network, "{error}");
    let cutter = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = cutter.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = cutter.accept().await.unwrap();
            let mut head = [0; 64];
            let _read = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await;
        }
    });
    let error = queue_at(&format!("http://{address}"), "").await.receive().await.unwrap_err();
    task.abort();
    assert_eq!(error.class, QueueErrorClass::Network, "{error}");
}

#[tokio::test]
async fn a_receive_outlasts_the_long_poll_and_then_ends() {
    let server = Server::start(|_, n| match n {
        0 => Reply::ok(&json!({})),
        _ => Reply::ok(&json!({})).after(Duration::from_hours(1)),
    })
    .await;
    let queue = queue_at(&server.url, "").await;
    // The connection is made on the real clock; from then on only time-outs move the paused one.
    assert!(queue.receive().await.unwrap().is_empty());
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let error = queue.receive().await.unwrap_err();
    assert_eq!(error.class, QueueErrorClass::Timeout, "{error}");
    assert_eq!(start.elapsed().as_secs(), 30, "20 s of long poll and 10 s of grace");
}

#[tokio::test]
async fn each_entry_of_a_delete_has_its_own_fate() {
    let server = Server::start(|request, _| {
        assert_eq!(request.operation, "DeleteMessageBatch");
        Reply::ok(&json!({
            "Successful": [{"Id": "0"}],
            "Failed": [
                {"Id": "1", "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": "gone"},
                {"Id": "2", "SenderFault": true, "Code": "InvalidParameterValue",
                 "Message": "Value x for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."},
                {"Id": "3", "SenderFault": false, "Code": "InternalError"},
                {"Id": "4", "SenderFault": true, "Code": "InvalidParameterValue", "Message": "no"},
            ],
        }))
    })
    .await;
    let queue = queue_at(&server.url, "").await;
    let failed = queue.delete(&handles(&["a", "b", "c", "d", "e", "f", "a", "d"])).await.unwrap();
    let request = &server.requests()[0];
    assert_eq!(ids(request), ["0", "1", "2", "3", "4", "5"], "a handle named twice is sent once");
    let failed: Vec<_> = failed.iter().map(|f| (f.handle.0.as_str(), f.code.as_str(), f.retry)).collect();
    assert_eq!(
        failed,
        [("d", "InternalError", true), ("e", "InvalidParameterValue", false), ("f", "NoAnswer", true)],
        "gone and expired handles count as deleted; one that the answer does not name does not"
    );
}

#[tokio::test]
async fn deletes_and_extends_go_in_tens_and_are_repeated() {
    let server = Server::start(|request, n| match n {
        0 | 1 => Reply::error(503, "ServiceUnavailable", "try again"),
        _ => all_done(request),
    })
    .await;
    let queue = queue_at(&server.url, "").await;
    let twelve: Vec<Handle> = (0..12).map(|n| Handle(n.to_string())).collect();
    assert!(queue.delete(&twelve).await.unwrap().is_empty());
    let sizes: Vec<usize> = server.requests().iter().map(|request| ids(request).len()).collect();
    assert_eq!(sizes, [10, 10, 10, 2], "two failures, the repetition, the rest");
    assert!(queue.extend(&handles(&["x"]), Duration::from_millis(1500)).await.unwrap().is_empty());
    assert_eq!(server.requests()[4].body["Entries"][0]["VisibilityTimeout"], 2, "rounded up");
    assert!(queue.extend(&handles(&["x"]), Duration::from_secs(100_000)).await.unwrap().is_empty());
    assert_eq!(server.requests()[5].body["Entries"][0]["VisibilityTimeout"], 43_200, "12 hours at most");
    assert!(queue.delete(&[]).await.unwrap().is_empty());
    assert_eq!(server.requests().len(), 6, "nothing to delete, nothing to ask");
}

#[tokio::test]
async fn a_failed_extend_names_its_handles() {
    let server = Server::start(|_, _| {
        Reply::ok(&json!({"Successful": [{"Id": "1"}],
            "Failed": [{"Id": "0", "SenderFault": true, "Code": "MessageNotInflight"}]}))
    })
    .await;
    let queue = queue_at(&server.url, "").await;
    assert_eq!(queue.extend(&handles(&["a", "b"]), Duration::from_mins(1)).await.unwrap(), handles(&["a"]));
}

#[tokio::test]
async fn a_queue_given_by_name_is_found_when_it_is_needed() {
    let server = Server::start(|request, n| match (request.operation.as_str(), n) {
        ("GetQueueUrl", 0) => Reply::error(400, "com.amazonaws.sqs#QueueDoesNotExist", "no such queue"),
        ("GetQueueUrl", _) => Reply::ok(&json!({"QueueUrl": "https://example.com/111122223333/q"})),
        _ => Reply::ok(&json!({})),
    })
    .await;
    let toml =
        format!("name = \"q\"\nregion = \"eu-west-1\"\naccount = \"444455556666\"\nendpoint = \"{}\"", server.url);
    let config: Config = toml::from_str(&toml).unwrap();
    let queue = SqsQueue::connect("test", &config, &Access::unchecked()).await;
    assert!(server.requests().is_empty(), "connecting calls nobody");
    assert_eq!(queue.receive().await.unwrap_err().class, QueueErrorClass::NoSuchQueue);
    for _ in 0..2 {
        queue.receive().await.unwrap();
    }
    assert_eq!((server.count("GetQueueUrl"), server.count("ReceiveMessage")), (2, 2));
    assert_eq!(server.requests()[0].body, json!({"QueueName": "q", "QueueOwnerAWSAccountId": "444455556666"}));
    assert_eq!(server.requests()[2].body["QueueUrl"], "https://example.com/111122223333/q");
}

#[tokio::test]
async fn facts_hold_what_the_queue_says_and_do_without_the_rest() {
    let server = Server::start(|request, n| match (request.body["QueueUrl"].as_str().unwrap(), n) {
        (url, 0 | 2) if url.ends_with("/111122223333/q") => Reply::ok(&json!({"Attributes": {
            "QueueArn": "arn:aws:sqs:us-east-1:111122223333:q",
            "ApproximateNumberOfMessages": "7", "ApproximateNumberOfMessagesNotVisible": "2",
            "VisibilityTimeout": "30", "MessageRetentionPeriod": "345600", "KmsMasterKeyId": "alias/queue",
            "RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:111122223333:q-dead\",\"maxReceiveCount\":\"5\"}",
        }})),
        (url, 1) if url.ends_with("/111122223333/q-dead") => {
            Reply::ok(&json!({"Attributes": {"ApproximateNumberOfMessages": "3"}}))
        }
        (_, 3) => Reply::error(403, "AccessDenied", "not this one"),
        (_, 4) => Reply::ok(&json!({"Attributes": {}})),
        (url, _) => panic!("unexpected: {url}"),
    })
    .await;
    let queue = queue_at(&server.url, "").await;
    let facts = queue.facts().await.unwrap();
    assert_eq!((facts.waiting, facts.in_flight), (Some(7), Some(2)));
    assert_eq!((facts.visibility, facts.retention), (Some(Duration::from_secs(30)), Some(Duration::from_hours(96))));
    assert_eq!(facts.kms_key.as_deref(), Some("alias/queue"));
    let dead = facts.dead_letters.unwrap();
    assert_eq!((dead.receives_max, dead.depth), (5, Ok(3)));
    let dead = queue.facts().await.unwrap().dead_letters.unwrap();
    assert_eq!(dead.depth.unwrap_err().class, QueueErrorClass::AccessDenied, "the queue's own facts stay");
    assert_eq!(queue.facts().await.unwrap(), QueueFacts::default(), "a queue that says nothing");
}

/// Gives another access key each time it is asked; every `fail`th time none.
#[derive(Debug, Default)]
struct Rotating {
    asked: AtomicUsize,
    fail_first: bool,
}

impl ProvideCredentials for Rotating {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let n = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        future::ProvideCredentials::ready(if self.fail_first && n == 1 {
            Err(CredentialsError::not_loaded("the metadata service is asleep"))
        } else {
            Ok(Credentials::new(format!("KEY{n}"), "secret", None, None, "test"))
        })
    }
}

#[tokio::test]
async fn refused_credentials_are_replaced_with_the_next_call() {
    let server = Server::start(|request, _| match request.access_key().as_str() {
        "KEY1" => Reply::error(400, "ExpiredToken", "The security token included in the request is expired"),
        _ => Reply::ok(&json!({})),
    })
    .await;
    let access = Access::with_credentials(SharedCredentialsProvider::new(Rotating::default()));
    let queue = queue_as(&server.url, "", &access).await;
    assert_eq!(queue.receive().await.unwrap_err().class, QueueErrorClass::Credentials);
    queue.receive().await.unwrap();
    queue.receive().await.unwrap();
    let keys: Vec<String> = server.requests().iter().map(Request::access_key).collect();
    assert_eq!(keys, ["KEY1", "KEY2", "KEY2"], "replaced once, then kept");
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_named_and_asked_for_again() {
    let server = Server::start(|_, _| Reply::ok(&json!({}))).await;
    let access =
        Access::with_credentials(SharedCredentialsProvider::new(Rotating { fail_first: true, ..Rotating::default() }));
    let queue = queue_as(&server.url, "", &access).await;
    let error = queue.receive().await.unwrap_err();
    assert_eq!(error.class, QueueErrorClass::Credentials, "{error}");
    queue.receive().await.unwrap();
}

#[tokio::test]
async fn an_assumed_role_is_taken_on_again_before_it_expires() {
    // The first credentials live shorter than the refresh margin, the second an hour.
    let times = AtomicUsize::new(0);
    let server = Server::start(move |request, _| {
        if request.operation != "AssumeRole" {
            return Reply::ok(&json!({}));
        }
        let n = times.fetch_add(1, Ordering::SeqCst) + 1;
        let now = crate::base::clock::Clock::now(&crate::base::clock::SystemClock);
        let life = if n == 1 { 30 } else { 3600 };
        let until = now + jiff::SignedDuration::from_secs(life);
        Reply::text(
            200,
            &format!(
                "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
                 <AccessKeyId>ROLE{n}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
                 <Expiration>{until}</Expiration></Credentials><AssumedRoleUser>\
                 <Arn>arn:aws:sts::444455556666:assumed-role/reader/kmswatch</Arn><AssumedRoleId>A:kmswatch</AssumedRoleId>\
                 </AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"
            ),
        )
    })
    .await;
    let role = format!(
        "assume_role = {{ role_arn = \"arn:aws:iam::444455556666:role/reader\", external_id = \"ext-1\", endpoint = \"{}\" }}",
        server.url
    );
    let queue = queue_at(&server.url, &role).await;
    assert!(server.requests().is_empty(), "connecting calls nobody");
    for _ in 0..3 {
        queue.receive().await.unwrap();
    }
    let sequence: Vec<(String, String)> =
        server.requests().iter().map(|request| (request.operation.clone(), request.access_key())).collect();
    let expected = [
        ("AssumeRole", "unchecked"),
        ("ReceiveMessage", "ROLE1"),
        ("AssumeRole", "unchecked"),
        ("ReceiveMessage", "ROLE2"),
        ("ReceiveMessage", "ROLE2"),
    ];
    assert_eq!(sequence, expected.map(|(operation, key)| (operation.to_owned(), key.to_owned())));
    let text = &server.requests()[0].text;
    assert!(text.contains("ExternalId=ext-1") && text.contains("RoleSessionName=kmswatch"), "{text}");
}
