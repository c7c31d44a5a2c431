//! `deploy/kubernetes/kmswatch.yaml`: its parts agree with each other, and its configuration loads.

#![cfg(test)]

#[path = "support/venv.rs"]
mod venv;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use venv::venv;

const MANIFEST: &str = "deploy/kubernetes/kmswatch.yaml";

/// The documents of the manifest, by kind.
struct Manifest(Vec<Value>);

impl Manifest {
    fn read(venv: &Path) -> Self {
        let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
        let mut python = Command::new(venv.join("bin/python"));
        let output = python.args(["-c", script, MANIFEST]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn kind(&self, kind: &str) -> &Value {
        self.0.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    }

    fn pod(&self) -> &Value {
        &self.kind("Deployment")["spec"]["template"]["spec"]
    }

    fn config(&self) -> &str {
        self.kind("ConfigMap")["data"]["kmswatch.toml"].as_str().unwrap()
    }
}

#[test]
fn the_configuration_loads_without_a_warning() {
    let Some(venv) = venv("the configuration in the Kubernetes manifest") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kmswatch.toml");
    std::fs::write(&file, Manifest::read(&venv).config()).unwrap();
    let loaded = kmswatch::config::load(&file, []).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.admin.listen.port(), 8080);
}

#[test]
fn what_the_pod_mounts_is_what_the_configuration_names() {
    let Some(venv) = venv("the mounts in the Kubernetes manifest") else { return };
    let manifest = Manifest::read(&venv);
    let container = &manifest.pod()["containers"][0];
    let mounted: Vec<_> =
        container["volumeMounts"].as_array().unwrap().iter().map(|mount| &mount["mountPath"]).collect();
    assert_eq!(mounted, ["/etc/kmswatch", "/run/secrets/kmswatch", "/var/lib/kmswatch"]);
    let config: toml::Table = manifest.config().parse().unwrap();
    let store = config["store"]["sqlite"]["path"].as_str().unwrap();
    assert_eq!(Path::new(store).parent(), Some(Path::new("/var/lib/kmswatch")));
    let secret = config["sinks"]["oncall"]["pagerduty"]["routing_key"]["file"].as_str().unwrap();
    assert_eq!(Path::new(secret).parent(), Some(Path::new("/run/secrets/kmswatch")));
    assert_eq!(container["args"], json!(["run", "--config", "/etc/kmswatch/kmswatch.toml"]));
    let port = container["ports"][0]["containerPort"].as_u64().unwrap();
    assert!(config["admin"]["listen"].as_str().unwrap().ends_with(&format!(":{port}")));
}

#[test]
fn the_pod_is_confined_and_alone() {
    let Some(venv) = venv("the confinement in the Kubernetes manifest") else { return };
    let manifest = Manifest::read(&venv);
    let (pod, deployment) = (manifest.pod(), &manifest.kind("Deployment")["spec"]);
    assert_eq!((&deployment["replicas"], &deployment["strategy"]["type"]), (&json!(1), &json!("Recreate")));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let confined = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    });
    assert_eq!(pod["containers"][0]["securityContext"], confined);
}
