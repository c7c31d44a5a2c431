//! Every broken configuration in `tests/broken` says what is wrong, where, and what to do. The snapshots beside the
//! files are what a person sees.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use kmswatch::base::diagnostic::Diagnostic;
use kmswatch::config;

/// The files with, for each, the variables named in its first lines.
fn broken() -> Vec<(PathBuf, Vec<(String, String)>)> {
    let mut files: Vec<PathBuf> = fs::read_dir("tests/broken")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|x| x == "toml"))
        .collect();
    files.sort();
    let environment = |file: &Path| {
        fs::read_to_string(file)
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("# environment: ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    files.into_iter().map(|file| (file.clone(), environment(&file))).collect()
}

fn findings(file: &Path, environment: Vec<(String, String)>) -> Vec<Diagnostic> {
    config::load(file, environment).map_or_else(|found| found, |_| panic!("{} is not broken", file.display()))
}

#[test]
fn what_a_person_sees() {
    for (file, environment) in broken() {
        let shown: Vec<String> =
            findings(&file, environment).iter().map(|diagnostic| diagnostic.render(false)).collect();
        insta::with_settings!({ snapshot_path => "broken", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(file.file_stem().unwrap().to_str().unwrap(), shown.join("\n\n"));
        });
    }
}

#[test]
fn every_error_has_a_place_and_says_what_to_do() {
    let files = broken();
    assert!(files.len() >= 30, "only {} files", files.len());
    for (file, environment) in files {
        let from_environment = !environment.is_empty();
        let found = findings(&file, environment);
        assert!(found.iter().any(Diagnostic::is_error), "{}", file.display());
        for diagnostic in found {
            let line = diagnostic.to_string();
            assert!(diagnostic.problem.hint.is_some(), "no hint: {line}");
            assert!(!line.contains('\n') && line.len() < 600, "{line}");
            assert!(diagnostic.position().is_some() || from_environment, "no place: {line}");
            assert!(diagnostic.problem.message.starts_with(|c: char| !c.is_uppercase()), "{line}");
            assert!(!diagnostic.problem.message.ends_with('.'), "{line}");
        }
    }
}

#[test]
fn no_finding_comes_twice() {
    for (file, environment) in broken() {
        let mut lines: Vec<String> = findings(&file, environment).iter().map(ToString::to_string).collect();
        let number = lines.len();
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), number, "{}: {lines:#?}", file.display());
    }
}

#[test]
fn a_secret_in_the_file_is_not_repeated() {
    let shown: String = findings(Path::new("tests/broken/inline_secret.toml"), vec![])
        .iter()
        .map(|diagnostic| diagnostic.render(false) + &diagnostic.to_string() + &diagnostic.to_json().to_string())
        .collect();
    assert!(shown.contains("token = \"***"), "{shown}");
    assert!(!shown.contains("not-a-real"), "{shown}");
}

/// Every line of the example left out, cut in half, doubled, or with its value replaced: whatever comes of it is said with
/// a place and a hint.
#[test]
fn no_slip_of_the_pen_goes_unexplained() {
    let example = fs::read_to_string("config/kmswatch.toml").unwrap();
    let lines: Vec<&str> = example.lines().collect();
    let folder = tempfile::tempdir().unwrap();
    let written = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let places: Vec<usize> = (0..lines.len()).filter(|at| written(&lines[*at])).collect();
    // Each slip loads the whole pack of rules; two at a time.
    let refused: usize = std::thread::scope(|scope| {
        let halves = places.chunks(places.len().div_ceil(2)).enumerate();
        let run = |(number, half): (usize, &[usize])| {
            let (file, half, lines) = (folder.path().join(format!("{number}.toml")), half.to_vec(), lines.clone());
            scope.spawn(move || half.into_iter().map(|at| slips(&lines, at, &file)).sum::<usize>())
        };
        halves.map(run).collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(refused > 300, "only {refused} were refused");
}

/// Changes one line in several ways; every refusal must have a place and a hint. Returns how many were refused.
fn slips(lines: &[&str], at: usize, file: &Path) -> usize {
    let line = lines[at];
    let half: String = line.chars().take(line.chars().count() / 2).collect();
    let key = line.split('=').next().unwrap_or_default();
    let changes =
        [String::new(), half, format!("{line}\n{line}"), format!("{key} = 7.5"), format!("{key} = [{{ x = 'y' }}]")];
    let mut refused = 0;
    for changed in changes {
        let mut text = lines.to_vec();
        text[at] = &changed;
        fs::write(file, text.join("\n")).unwrap();
        let Err(found) = config::load(file, []) else { continue };
        refused += 1;
        assert!(found.iter().any(Diagnostic::is_error), "line {}: {changed}", at + 1);
        for diagnostic in found {
            assert!(diagnostic.problem.hint.is_some(), "line {}: {changed}: no hint: {diagnostic}", at + 1);
            assert!(diagnostic.position().is_some(), "line {}: {changed}: no place: {diagnostic}", at + 1);
            assert!(!diagnostic.render(false).is_empty());
        }
    }
    refused
}
