//! The credential chain reads the environment of its process, so each test runs the test binary again with one of its own.

use std::process::Command;

use serde_json::json;

use super::*;
use crate::base::aws::fake::{Reply, Request, Server};

/// Where the child finds its queue.
const URL: &str = "KMSWATCH_TEST_QUEUE_URL";

#[tokio::test]
#[ignore = "run by the other tests of this file, in a process of its own"]
#[expect(clippy::disallowed_methods, reason = "the parent passes the URL in the environment")]
async fn child() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let queue = SqsQueue::connect("test", &Config::at(&url), &Access::from_environment()).await;
    for _ in 0..2 {
        queue.receive().await.unwrap();
    }
}

/// Receives twice in a process with nothing but this environment; gives what the server heard: who asked for what.
async fn heard(server: &Server, environment: &[(&str, String)]) -> Vec<(String, Option<String>)> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "queue::sqs::chain_tests::child", "--ignored"])
        .env_clear()
        .env(URL, format!("{}/111122223333/q", server.url))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().map(|(name, value)| (*name, value)));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let signed = |request: &Request| request.headers.contains_key("authorization").then(|| request.access_key());
    server.requests().iter().map(|request| (request.operation.clone(), signed(request))).collect()
}

/// Half a minute, which is within the refresh margin.
fn soon() -> String {
    let now = crate::base::clock::Clock::now(&crate::base::clock::SystemClock);
    (now + jiff::SignedDuration::from_secs(30)).to_string()
}

fn expected(sequence: [(&str, Option<&str>); 4]) -> Vec<(String, Option<String>)> {
    sequence.map(|(operation, key)| (operation.to_owned(), key.map(str::to_owned))).to_vec()
}

#[tokio::test]
async fn container_credentials_are_refreshed_before_they_expire() {
    let server = Server::start(|request, n| {
        if request.operation == "ReceiveMessage" {
            Reply::ok(&json!({}))
        } else {
            assert_eq!(request.headers["authorization"], "Credential=t/");
            Reply::ok(&json!({
                "AccessKeyId": format!("POD{n}"), "SecretAccessKey": "s", "Token": "t", "Expiration": soon()}))
        }
    })
    .await;
    // As EKS Pod Identity and ECS set it. The token has the form that the helper reads an access key from.
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/v1/credentials", server.url)),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Credential=t/".to_owned()),
    ];
    let sequence =
        [("", Some("t")), ("ReceiveMessage", Some("POD0")), ("", Some("t")), ("ReceiveMessage", Some("POD2"))];
    assert_eq!(heard(&server, &environment).await, expected(sequence));
}

#[tokio::test]
async fn web_identity_is_refreshed_before_it_expires() {
    let server = Server::start(|request, n| {
        if request.operation == "ReceiveMessage" {
            Reply::ok(&json!({}))
        } else {
            assert!(request.text.contains("WebIdentityToken=t0ken"), "{}", request.text);
            let until = soon();
            Reply::text(
                200,
                &format!(
                    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                     <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>IRSA{n}</AccessKeyId>\
                     <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{until}</Expiration>\
                     </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                ),
            )
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken").unwrap();
    let environment = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap().to_owned()),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/kmswatch".to_owned()),
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_ENDPOINT_URL_STS", server.url.clone()),
        // The queue's own host wins over the environment.
        ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9".to_owned()),
    ];
    let operation = "AssumeRoleWithWebIdentity";
    let sequence =
        [(operation, None), ("ReceiveMessage", Some("IRSA0")), (operation, None), ("ReceiveMessage", Some("IRSA2"))];
    assert_eq!(heard(&server, &environment).await, expected(sequence));
}
