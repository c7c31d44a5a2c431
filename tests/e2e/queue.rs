//! A queue with a DLQ on the embedded SQS-compatible endpoint, driven by the real SDK.

use std::time::{Duration, Instant};

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use kmswatch::localsqs::{LocalSqs, Server};

pub(crate) struct TestQueue {
    pub(crate) server: Server,
    pub(crate) url: String,
    client: aws_sdk_sqs::Client,
}

impl TestQueue {
    /// `visibility` in seconds; the DLQ takes over after two receives when it is given, after five otherwise.
    pub(crate) async fn start(visibility: Option<u32>) -> Self {
        let server = LocalSqs::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(format!("http://{}", server.addr))
            .build();
        let client = aws_sdk_sqs::Client::from_conf(config);
        client.create_queue().queue_name("dead").send().await.unwrap();
        let times = if visibility.is_some() { 2 } else { 5 };
        let redrive = format!(r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":{times}}}"#, server.queue_arn("dead"));
        client
            .create_queue()
            .queue_name("kms")
            .attributes(QueueAttributeName::RedrivePolicy, redrive)
            .attributes(QueueAttributeName::VisibilityTimeout, visibility.unwrap_or(60).to_string())
            .send()
            .await
            .unwrap();
        let url = server.queue_url("kms");
        Self { server, url, client }
    }

    pub(crate) async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    /// Sends many, ten at a time.
    pub(crate) async fn send_all(&self, bodies: &[String]) {
        for chunk in bodies.chunks(10) {
            let entries = chunk.iter().enumerate().map(|(n, body)| {
                SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body).build().unwrap()
            });
            let answer = self
                .client
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries.collect()))
                .send()
                .await
                .unwrap();
            assert!(answer.failed().is_empty(), "{:?}", answer.failed());
        }
    }

    /// Messages that are neither deleted nor dead.
    pub(crate) fn left(&self) -> usize {
        let depth = self.server.depth("kms").unwrap();
        depth.visible + depth.in_flight + depth.delayed
    }

    pub(crate) fn dead(&self) -> Vec<String> {
        self.server.bodies("dead")
    }

    pub(crate) async fn until_empty(&self, limit: Duration) {
        let started = Instant::now();
        while self.left() > 0 {
            assert!(started.elapsed() < limit, "{} messages are left after {limit:?}", self.left());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
