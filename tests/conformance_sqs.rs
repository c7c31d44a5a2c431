//! One list of scenarios, asked through the AWS SDK of our own endpoint and of two servers that others wrote.
//!
//! Every server must give the answer in the table. Where one is known to differ, `QUIRKS` says what it answers
//! instead and why; a quirk that is no longer true fails, so the table stays honest.

#![cfg(test)]

#[path = "support/emulator.rs"]
mod emulator;
#[path = "conformance_sqs/scenarios.rs"]
mod scenarios;
#[path = "support/sqs_client.rs"]
mod sqs_client;
#[path = "support/venv.rs"]
mod venv;

use emulator::Emulator;
use kmswatch::localsqs::LocalSqs;
use sqs_client::sqs_client;
use venv::venv;

/// Server, scenario, its answer, and why it differs.
const QUIRKS: &[(&str, &str, &str, &str)] = &[
    ("moto", "change_deleted", "ReceiptHandleIsInvalid", DELETED),
    ("ministack", "change_deleted", "ReceiptHandleIsInvalid", DELETED),
    (
        "moto",
        "dead_letter",
        "counts 1 2, then dead without the source's arn",
        "the API reference lists DeadLetterQueueSourceArn; moto does not keep it",
    ),
    ("moto", "bad_attribute", "ok", "the API reference gives the range 0 to 43,200; moto does not check it"),
    (
        "ministack",
        "delete_twice",
        "ok, ReceiptHandleIsInvalid",
        "the API reference: DeleteMessage is idempotent for a receipt handle; ministack forgets the handle",
    ),
];

const DELETED: &str = "the service says InvalidParameterValue, \"Message does not exist or is not available for \
                       visibility timeout change\"; both servers look the handle up only";

async fn hold(server: &str, url: &str) {
    let client = sqs_client(url, "us-east-1");
    let mut wrong = vec![];
    for (name, expected, answer) in scenarios::all(&client).await {
        let quirk = QUIRKS.iter().find(|(who, what, _, _)| *who == server && *what == name);
        let expected = quirk.map_or(expected, |(_, _, answer, _)| answer);
        if answer != expected {
            wrong.push(format!("{server}, {name}:\n  expected {expected}\n  answered {answer}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn our_endpoint() {
    let server = LocalSqs::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    hold("ours", &server.url).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto() {
    if let Some(venv) = venv("conformance with moto") {
        let server = Emulator::start(&venv, "moto");
        hold("moto", &server.url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ministack() {
    if let Some(venv) = venv("conformance with ministack") {
        let server = Emulator::start(&venv, "ministack");
        hold("ministack", &server.url).await;
    }
}

#[test]
fn quirks_name_real_scenarios() {
    for (server, scenario, _, why) in QUIRKS {
        assert!(["moto", "ministack"].contains(server), "{server}: our own endpoint has no quirks");
        assert!(scenarios::NAMES.contains(scenario) && !why.is_empty(), "{scenario}");
    }
}
