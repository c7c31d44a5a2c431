//! `deploy/cloudformation/kmswatch.yaml`, deployed to a CloudFormation-compatible server that delivers events to queues.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use serde_json::Value;

use super::emulator::Emulator;
use super::sqs_client::sqs_client;

pub(crate) const TEMPLATE: &str = "deploy/cloudformation/kmswatch.yaml";

const REGION: &str = "eu-central-1";

/// Runs a program of the virtual environment; its standard output.
pub(crate) fn run(venv: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(venv.join("bin").join(program))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", REGION)])
        .env("AWS_PAGER", "")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}:\n{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server with the template deployed to it.
pub(crate) struct Stack {
    venv: PathBuf,
    server: Emulator,
}

impl Stack {
    pub(crate) fn deploy(venv: PathBuf, parameters: &[(&str, &str)]) -> Self {
        let server = Emulator::start(&venv, "moto");
        let stack = Self { venv, server };
        let body = format!("file://{TEMPLATE}");
        let mut arguments =
            vec!["cloudformation", "create-stack", "--stack-name", "kmswatch", "--template-body", &body];
        arguments.extend(["--capabilities", "CAPABILITY_IAM", "--parameters"]);
        let given = |(name, value): &(&str, &str)| format!("ParameterKey={name},ParameterValue={value}");
        let parameters: Vec<_> = parameters.iter().map(given).collect();
        arguments.extend(parameters.iter().map(String::as_str));
        stack.aws(&arguments);
        stack
    }

    fn aws(&self, arguments: &[&str]) -> String {
        let endpoint = ["--endpoint-url", &self.server.url];
        run(&self.venv, "aws", &[&endpoint[..], arguments].concat())
    }

    /// The answer of the AWS command line.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.aws(arguments)).unwrap()
    }

    pub(crate) fn output(&self, name: &str) -> String {
        let stacks = self.json(&["cloudformation", "describe-stacks", "--stack-name", "kmswatch"]);
        let outputs = stacks["Stacks"][0]["Outputs"].as_array().unwrap_or_else(|| panic!("no outputs: {stacks}"));
        let output = outputs.iter().find(|output| output["OutputKey"] == name);
        output.unwrap_or_else(|| panic!("no output {name} in {outputs:?}"))["OutputValue"].as_str().unwrap().to_owned()
    }

    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        sqs_client(&self.server.url, REGION)
    }

    pub(crate) fn event_bridge(&self) -> EventBridge {
        let config = aws_sdk_eventbridge::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&self.server.url)
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .build();
        EventBridge(aws_sdk_eventbridge::Client::from_conf(config))
    }
}

/// The default event bus.
pub(crate) struct EventBridge(aws_sdk_eventbridge::Client);

impl EventBridge {
    /// Lets one event happen; `resources` are the ARNs its envelope names.
    pub(crate) async fn put(&self, source: &str, detail_type: &str, resources: &[&str], detail: &Value) {
        let resources = resources.iter().map(|&arn| arn.to_owned()).collect();
        let entry = PutEventsRequestEntry::builder()
            .source(source)
            .detail_type(detail_type)
            .set_resources(Some(resources))
            .detail(detail.to_string())
            .build();
        let put = self.0.put_events().entries(entry).send().await.unwrap();
        assert_eq!(put.failed_entry_count, 0, "{put:?}");
    }
}
