//! `import sigma` as the shell sees it: rules to stdout or a folder, talk to stderr, and what comes out passes `check`.

#![cfg(test)]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::Path;
use std::process::Output;

use program::text;

fn kmswatch(arguments: &[&str]) -> Output {
    program::run(Path::new("."), arguments, b"")
}

#[test]
fn a_folder_becomes_rules_that_pass_check() {
    let output = kmswatch(&["import", "sigma", "tests/data/sigma"]);
    assert_eq!(output.status.code(), Some(1), "one of the rules is not for us");
    let said = text(&output.stderr);
    assert!(
        said.contains("windows.yaml:3: not imported: \"Something on Windows\": its logsource is windows/security"),
        "{said}"
    );
    assert!(said.contains("wider: left out: `userAgent|re`: the regular expression"), "{said}");
    assert!(said.contains("2 Sigma rules from 2 files: 1 as they are, 1 wider, 0 narrower"), "{said}");
    let rules = text(&output.stdout);
    assert!(rules.contains("# wider: left out"), "the rule says it too: {rules}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    fs::write(&file, rules).unwrap();
    let checked = kmswatch(&["check", "--strict", file.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("fine: 2 rules"), "{}", text(&checked.stdout));
}

#[test]
fn one_file_for_each_rule_and_none_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("rules");
    let run = |more: &[&str]| {
        let mut arguments = vec!["import", "sigma", "tests/data/sigma/grants.yml", "--out", out.to_str().unwrap()];
        arguments.extend(more);
        kmswatch(&arguments)
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(output.stdout.is_empty());
    let file = out.join("sigma.grant-made-for-somebody-outside.toml");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("group_by = [\"key.arn\"]") && written.contains("\"attack.T1098\""), "{written}");
    assert_eq!(run(&[]).status.code(), Some(0), "the same content again is no change");
    fs::write(&file, "# mine\n").unwrap();
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--force overwrites it"), "{}", text(&refused.stderr));
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine\n");
    assert_eq!(run(&["--force"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
    let other = run(&["--prefix", "soc.", "--resolve-after", "2d"]);
    assert_eq!(other.status.code(), Some(0));
    let written = fs::read_to_string(out.join("soc.grant-made-for-somebody-outside.toml")).unwrap();
    assert!(written.contains("resolve_after = \"2d\""), "{written}");
}

#[test]
fn standard_input_and_wrong_usage() {
    let rules = fs::read("tests/data/sigma/grants.yml").unwrap();
    let output = program::run(Path::new("."), &["import", "sigma", "-"], &rules);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("id = \"sigma.grant-made-for-somebody-outside\""));

    for wrong in [
        &["import", "sigma"][..],
        &["import", "sigma", "x", "--resolve-after", "soon"],
        &["import", "sigma", "x", "--prefix", "kmswatch."],
        &["import", "sigma", "x", "--force"],
    ] {
        assert_eq!(kmswatch(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(
        kmswatch(&["import", "sigma", empty.path().to_str().unwrap()]).status.code(),
        Some(1),
        "nothing came of it"
    );
    let missing = kmswatch(&["import", "sigma", "tests/data/none.yml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("none.yml: not read: "), "{}", text(&missing.stderr));
}
