//! Faults of the embedded endpoint, seen through the AWS SDK, and its bounds.

#![cfg(test)]

#[path = "support/sqs_client.rs"]
mod sqs_client;

use std::time::{Duration, Instant};

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use kmswatch::localsqs::{Action, Depth, Fault, LocalSqs, Options, Server, StartError};
use sqs_client::sqs_client;

async fn start() -> (Server, aws_sdk_sqs::Client, String) {
    let server = LocalSqs::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let client = sqs_client(&server.url, "us-east-1");
    let url = client.create_queue().queue_name("q").send().await.unwrap().queue_url.unwrap();
    (server, client, url)
}

#[tokio::test]
async fn only_loopback_is_bound() {
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let refused = LocalSqs::start(address.parse().unwrap()).await;
        assert!(matches!(refused, Err(StartError::NotLoopback(_))), "{address}");
    }
}

#[tokio::test]
async fn an_injected_error_is_the_typed_one_and_hits_as_often_as_told() {
    let (server, client, url) = start().await;
    server.faults().inject(Action::ReceiveMessage, 2, Fault::Error("KmsDisabled"));
    for _ in 0..2 {
        let error = client.receive_message().queue_url(&url).send().await.unwrap_err();
        assert!(error.into_service_error().is_kms_disabled());
    }
    assert!(client.receive_message().queue_url(&url).send().await.is_ok());
    assert_eq!(server.counts().of(Action::ReceiveMessage), 3, "requests that meet a fault count");
}

#[tokio::test]
async fn other_errors_keep_their_code_and_status() {
    let (server, client, url) = start().await;
    for (fault, code, status) in [
        (Fault::Error("OverLimit"), Some("OverLimit"), 400),
        (Fault::Error("ExpiredTokenException"), Some("ExpiredTokenException"), 400),
        (Fault::Error("ServiceUnavailable"), Some("ServiceUnavailable"), 503),
        (Fault::Http(500), None, 500),
        (Fault::Http(429), None, 429),
    ] {
        server.faults().inject(Action::ReceiveMessage, 1, fault.clone());
        let error = client.receive_message().queue_url(&url).send().await.unwrap_err();
        assert_eq!(error.raw_response().map(|raw| raw.status().as_u16()), Some(status), "{fault:?}");
        assert_eq!(error.code(), code, "{fault:?}");
    }
}

#[tokio::test]
async fn a_cut_connection_is_no_answer_and_may_have_done_its_work() {
    let (server, client, url) = start().await;
    server.faults().inject(Action::SendMessage, 1, Fault::Drop);
    server.faults().inject(Action::SendMessage, 1, Fault::DropAfter);
    for there in [0, 1] {
        let error = client.send_message().queue_url(&url).message_body("x").send().await.unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(_)), "not a byte may be answered: {error:?}");
        assert_eq!(server.depth("q"), Some(Depth { visible: there, ..Depth::default() }));
    }
}

#[tokio::test]
async fn entries_of_a_batch_can_fail_alone() {
    let (server, client, url) = start().await;
    for body in ["a", "b"] {
        client.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    }
    let got =
        client.receive_message().queue_url(&url).max_number_of_messages(10).send().await.unwrap().messages.unwrap();
    let delete = || {
        let entries = got.iter().enumerate().map(|(at, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
            entry.receipt_handle(message.receipt_handle.as_ref().unwrap()).build().unwrap()
        });
        client.delete_message_batch().queue_url(&url).set_entries(Some(entries.collect())).send()
    };
    let fault = Fault::FailEntries { entries: 1, code: "InternalError", sender: false };
    server.faults().inject(Action::DeleteMessageBatch, 1, fault);
    let first = delete().await.unwrap();
    assert_eq!((first.successful.len(), first.failed.len()), (1, 1));
    assert_eq!((first.failed[0].code.as_str(), first.failed[0].sender_fault), ("InternalError", false));
    assert_eq!(server.depth("q").unwrap().in_flight, 1);
    assert_eq!(delete().await.unwrap().failed.len(), 0);
    assert_eq!((server.counts().deleted(), server.bytes_used()), (2, 0));
}

#[tokio::test]
async fn a_delayed_request_is_late_and_whole() {
    let (server, client, url) = start().await;
    server.faults().inject(Action::SendMessage, 1, Fault::Delay(Duration::from_millis(300)));
    let start = Instant::now();
    client.send_message().queue_url(&url).message_body("x").send().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(server.bodies("q"), ["x"]);
}

#[tokio::test]
async fn memory_is_bounded_and_a_delete_frees_it() {
    let options = Options { bytes_max: 10_000, ..Options::default() };
    let server = LocalSqs::start_with("127.0.0.1:0".parse().unwrap(), options).await.unwrap();
    let client = sqs_client(&server.url, "us-east-1");
    let url = client.create_queue().queue_name("q").send().await.unwrap().queue_url.unwrap();
    let send = || client.send_message().queue_url(&url).message_body("x".repeat(8000)).send();
    send().await.unwrap();
    assert!(send().await.unwrap_err().into_service_error().is_request_throttled());
    client.purge_queue().queue_url(&url).send().await.unwrap();
    send().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_cuts_long_polls_and_frees_the_port() {
    let (server, client, url) = start().await;
    let address = server.addr;
    let poll = tokio::spawn(async move { client.receive_message().queue_url(url).wait_time_seconds(20).send().await });
    while server.counts().of(Action::ReceiveMessage) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    server.shutdown().await;
    assert!(poll.await.unwrap().is_err());
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// Four pollers and messages that come one by one: each is handed to exactly one of them, at once.
#[tokio::test]
async fn no_poller_sleeps_while_there_is_a_message() {
    let (server, client, url) = start().await;
    let pollers: Vec<_> = (0..4)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                let receive = client.receive_message().queue_url(url).wait_time_seconds(20).visibility_timeout(60);
                receive.send().await.unwrap().messages.unwrap().len()
            })
        })
        .collect();
    while server.counts().of(Action::ReceiveMessage) < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    for body in ["a", "b", "c", "d"] {
        client.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    }
    for poller in pollers {
        assert_eq!(poller.await.unwrap(), 1);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(server.depth("q").unwrap().in_flight, 4);
}
