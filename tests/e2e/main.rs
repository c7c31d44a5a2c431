//! End to end: the real binary, a real SQS-compatible server, real sockets, receivers shaped like Slack, PagerDuty and a
//! webhook. `KMSWATCH_BIN` names another binary than the one of this profile (a release build).

#![cfg(test)]

mod daemon;
#[path = "../support/emulator.rs"]
mod emulator;
mod events;
mod queue;
mod receivers;
#[path = "../support/sqs_client.rs"]
mod sqs_client;
#[path = "../support/stack.rs"]
mod stack;
#[path = "../support/venv.rs"]
mod venv;

mod access;
mod archive;
mod canary;
mod commands;
mod eventbridge;
mod hostile;
mod incidents;
mod kill;
mod memory;
mod metrics;
mod outage;
mod silence;
mod stopping;
mod story;
