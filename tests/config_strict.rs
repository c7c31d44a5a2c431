//! Every configuration in `tests/strict` loads, and `check --strict` says why a rule of it never fires. The snapshots beside
//! the files are what a person sees.

#![cfg(test)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use kmswatch::base::diagnostic::{Diagnostic, Level};
use kmswatch::config::{self, Loaded};

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/strict")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|x| x == "toml"))
        .collect();
    files.sort();
    files
}

fn loaded(result: Result<Loaded, Vec<Diagnostic>>) -> Loaded {
    result.unwrap_or_else(|found| panic!("{}", found.iter().map(|d| d.render(false)).collect::<String>()))
}

#[test]
fn what_a_person_sees() {
    let files = files();
    assert!(files.len() >= 15, "only {} files", files.len());
    for file in files {
        let found = loaded(config::load_strict(&file, [])).warnings;
        assert!(!found.is_empty(), "{}: nothing was found", file.display());
        for diagnostic in &found {
            assert_eq!(diagnostic.problem.level, Level::Warning, "{diagnostic}");
            assert!(diagnostic.problem.hint.is_some() && diagnostic.position().is_some(), "{diagnostic}");
        }
        let shown: Vec<String> = found.iter().map(|diagnostic| diagnostic.render(false)).collect();
        insta::with_settings!({ snapshot_path => "strict", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(file.file_stem().unwrap().to_str().unwrap(), shown.join("\n\n"));
        });
    }
}

#[test]
fn only_the_strict_look_says_it() {
    for file in files() {
        let found = loaded(config::load(&file, [])).warnings;
        assert_eq!(found, [], "{}", file.display());
    }
}

#[test]
fn what_we_ship_has_nothing_to_find() {
    for (name, strict) in [("config/kmswatch.toml", false), ("config/rules/key-unusable.toml", true)] {
        let path = PathBuf::from(name);
        let loaded = loaded(if strict { config::load_rules_strict(&[path]) } else { config::load_strict(&path, []) });
        assert_eq!(loaded.warnings, [], "{name}");
    }
}

#[test]
fn the_shell_learns_of_it_by_the_exit_code() {
    let check = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kmswatch"))
            .arg("check")
            .args(arguments)
            .env_remove("KMSWATCH_CONFIG")
            .output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let file = "tests/strict/decrypt_on_a_lean_queue.toml";
    assert_eq!(check(&["--strict", file]).0, Some(1));
    let (code, said) = check(&[file]);
    assert_eq!(code, Some(0));
    assert!(said.contains("remark: ") && said.contains(": team.a\n"), "{said}");
    let (_, said) = check(&["--format", "json", file]);
    assert!(said.contains("\"needs_full\":[\"team.a\"]"), "{said}");
    assert_eq!(check(&["--strict", "config/kmswatch.toml"]).0, Some(0));
    assert_eq!(check(&["--strict", file, "tests/broken/syntax.toml"]).0, Some(78));
}
