//! Every input that a fuzzer started from or found goes through the fuzz targets' bodies, on stable Rust.

#![cfg(test)]

#[path = "../fuzz/fuzz_targets/bodies.rs"]
mod bodies;

use std::path::Path;

/// Runs `target` on each corpus file; a panic of it fails the test under the file's name.
fn run(folder: &str, target: fn(&[u8]), at_least: usize) -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(folder);
    let mut seen = 0;
    for file in std::fs::read_dir(&folder)? {
        let path = file?.path();
        let data = std::fs::read(&path)?;
        // Cut short, too: a body that ends early is the commonest damage.
        for length in [data.len(), data.len() / 2, data.len() / 3] {
            let input = data.get(..length).unwrap_or_default();
            std::panic::catch_unwind(|| target(input)).map_err(|_| format!("{} ({length} bytes)", path.display()))?;
        }
        seen += 1;
    }
    if seen < at_least { Err(format!("only {seen} files in {}", folder.display()).into()) } else { Ok(()) }
}

#[test]
fn patterns() {
    run("pattern", bodies::pattern, 9).unwrap();
}

#[test]
fn bodies_of_messages() {
    run("decode", bodies::decode, 24).unwrap();
}

#[test]
fn key_policies() {
    run("policy", bodies::policy, 8).unwrap();
}

#[test]
fn rule_files() {
    run("rules", bodies::rules, 5).unwrap();
}

#[test]
fn sigma_rules() {
    run("sigma", bodies::sigma, 4).unwrap();
}
