//! Gathers the rules in force: the built-in pack, rule files and the configuration's own, changed as it says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Document;
use super::fields;
use super::sections::{RuleOverride, RulesConfig};
use crate::base::diagnostic::{Diagnostic, Level, Problem, did_you_mean};
use crate::core::lint::{self, Delivers};
use crate::core::rule::{BUILTIN, Mode, Rule, RuleFile, RuleSpec, compile, compile_proven};
use crate::core::ruletest::{self, TestSpec};

/// The rules in force and what was found on the way.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Findings in the configuration itself.
    pub(super) problems: Vec<Problem>,
    /// Ids of all rules there are, in force or not.
    pub(super) ids: BTreeSet<String>,
    /// Rule files and the folders in which new ones may appear.
    pub(super) watched: Vec<PathBuf>,
    /// Rules with the tests they carry.
    pub(super) suites: Vec<Suite>,
}

/// A rule as it is written, whatever the configuration changes about it, and the tests it carries.
#[derive(Debug)]
pub struct Suite {
    pub rule: Arc<Rule>,
    /// The file it is in, or in words what it is instead.
    pub file: PathBuf,
    /// Each with its line.
    pub tests: Vec<(TestSpec, usize)>,
}

/// How closely rules in force are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Scrutiny {
    /// Whether to say what can never fire.
    pub(super) strict: bool,
    /// What the queues are handed, where that is known of all of them.
    pub(super) delivers: Option<Vec<Delivers>>,
}

/// One file's name and text.
struct Written {
    name: PathBuf,
    text: String,
    /// It is of the built-in pack: tests of ours have tried its templates and its tests.
    proven: bool,
}

/// Rules of a configuration. `folder` is where relative names start.
pub(super) fn of_config(
    own: &[RuleSpec],
    settings: &RulesConfig,
    document: &Document<'_>,
    folder: &Path,
    scrutiny: Scrutiny,
) -> Gathered {
    let mut gathered = Gathered::default();
    let mut texts = if settings.built_in { built_in() } else { Vec::new() };
    for pattern in &settings.files {
        match files(folder, pattern.get_ref()) {
            Ok(found) => {
                if found.is_empty() {
                    gathered.problems.push(
                        Problem::warning(pattern.span(), format!("no file matches `{}`", pattern.get_ref()))
                            .hint(format!("names are relative to the folder of the configuration, {}", shown(folder))),
                    );
                }
                gathered.watched.extend(folder.join(pattern.get_ref()).parent().map(Path::to_owned));
                for file in found {
                    if !gathered.watched.contains(&file) {
                        gathered.watched.push(file.clone());
                        match fs::read_to_string(&file) {
                            Ok(text) => texts.push(Written { name: file, text, proven: false }),
                            Err(error) => {
                                let (message, hint) = why_unreadable(&file, &error);
                                gathered.problems.push(Problem::error(pattern.span(), message).hint(hint));
                            }
                        }
                    }
                }
            }
            Err(problem) => gathered.problems.push(Problem { span: pattern.span(), ..problem }),
        }
    }
    gather(gathered, &texts, Some((own, settings, document)), scrutiny)
}

/// The rules of these files alone, or the built-in pack if there are none.
pub(super) fn of_files(names: &[PathBuf], scrutiny: Scrutiny) -> Gathered {
    let mut gathered = Gathered { watched: names.to_vec(), ..Gathered::default() };
    let mut texts = if names.is_empty() { built_in() } else { Vec::new() };
    for name in names {
        match fs::read_to_string(name) {
            Ok(text) => texts.push(Written { name: name.clone(), text, proven: false }),
            Err(error) => gathered.diagnostics.push(unreadable(name, &error)),
        }
    }
    gather(gathered, &texts, None, scrutiny)
}

type Configured<'c> = (&'c [RuleSpec], &'c RulesConfig, &'c Document<'c>);

fn gather(
    mut gathered: Gathered,
    texts: &[Written],
    configured: Option<Configured<'_>>,
    scrutiny: Scrutiny,
) -> Gathered {
    let mut book = Book::new(configured.map(|(_, settings, _)| settings), scrutiny);
    // One file at a time: read, they are many times as large as what is kept of them.
    for Written { name, text, proven } in texts {
        match Document::parse(name, text) {
            Ok(mut document) => {
                let (file, problems) = document.read::<RuleFile>();
                gathered.diagnostics.extend(document.diagnostics(problems));
                for spec in file.map(|file| file.rule).unwrap_or_default() {
                    book.add(&spec, *proven, &document, &mut gathered);
                }
            }
            Err(diagnostics) => gathered.diagnostics.extend(diagnostics),
        }
    }
    if let Some((own, settings, document)) = configured {
        for spec in own {
            book.add(spec, false, document, &mut gathered);
        }
        book.check_names(settings, document, &mut gathered.problems);
        check_trials(&gathered.rules, document, &mut gathered.problems);
        if gathered.rules.is_empty() && gathered.diagnostics.is_empty() {
            gathered.problems.push(
                Problem::warning(document.place(&["rules"]), "no rule is in force, so nothing will ever be told")
                    .hint("leave `built_in` on, or name rule files in `files`"),
            );
        }
    }
    gathered
}

/// Which ids were seen, and what the configuration changes.
struct Book<'c> {
    seen: HashMap<String, String>,
    disabled: BTreeSet<&'c str>,
    changes: BTreeMap<&'c str, &'c RuleOverride>,
    changes_problems: Vec<Problem>,
    scrutiny: Scrutiny,
}

impl<'c> Book<'c> {
    fn new(settings: Option<&'c RulesConfig>, scrutiny: Scrutiny) -> Self {
        let mut book = Self {
            seen: HashMap::new(),
            disabled: BTreeSet::new(),
            changes: BTreeMap::new(),
            changes_problems: Vec::new(),
            scrutiny,
        };
        if let Some(settings) = settings {
            book.disabled.extend(settings.disable.iter().map(|id| id.get_ref().as_str()));
            book.changes.extend(settings.r#override.iter().map(|(id, change)| (id.as_str(), change)));
        }
        book
    }

    fn add(&mut self, spec: &RuleSpec, proven: bool, document: &Document<'_>, gathered: &mut Gathered) {
        let id = spec.id.get_ref().as_str();
        let mut problems = Vec::new();
        let here = document.diagnostics(vec![Problem::note(spec.id.span(), "")]);
        let file = here.first().map(|diagnostic| diagnostic.file.clone()).unwrap_or_default();
        let here = here.first().map_or_else(String::new, |diagnostic| match diagnostic.position() {
            Some(at) => format!("{}:{}:{}", diagnostic.file.display(), at.line, at.column),
            None => diagnostic.file.display().to_string(),
        });
        if let Some(first) = self.seen.get(id) {
            problems.push(
                Problem::error(spec.id.span(), format!("there is already a rule `{id}`, at {first}")).hint(format!(
                    "give this one another id; to change the other rule write `[rules.override.\"{id}\"]`"
                )),
            );
        } else {
            self.seen.insert(id.to_owned(), here);
        }
        gathered.ids.insert(id.to_owned());
        fields::check_rule(spec, &mut problems);
        let broken = document.is_broken(&spec.id.span());
        let compile = if proven { compile_proven } else { compile };
        if !proven {
            spec.test.iter().for_each(|test| ruletest::check(test, !broken, &mut problems));
        }
        let faulty = problems.iter().any(|problem| problem.level == Level::Error);
        match compile(spec) {
            Ok(rule) if !faulty => {
                let lines = |test: &TestSpec| document.line(&test.name.span());
                let tests = spec.test.iter().map(|test| (test.clone(), lines(test))).collect();
                let rule = Arc::new(rule);
                gathered.suites.push(Suite { rule: Arc::clone(&rule), file, tests });
                let enabled = self.changes.get(id).and_then(|change| change.enabled).unwrap_or(spec.enabled);
                if enabled && !self.disabled.contains(id) {
                    gathered.rules.extend(self.changed(spec, rule, compile));
                    if self.scrutiny.strict {
                        problems.extend(lint::check(spec, self.scrutiny.delivers.as_deref()));
                    }
                }
            }
            Ok(_) => {}
            // Of a rule that could not be read in full only what its values say counts, not what it seems to lack.
            Err(found) => problems.extend(found.into_iter().filter(|p| !broken || p.span != spec.id.span())),
        }
        gathered.diagnostics.extend(document.diagnostics(problems));
        gathered.problems.append(&mut self.changes_problems);
    }

    /// The rule with the configuration's changes.
    fn changed(
        &mut self,
        spec: &RuleSpec,
        rule: Arc<Rule>,
        compile: impl Fn(&RuleSpec) -> Result<Rule, Vec<Problem>>,
    ) -> Option<Arc<Rule>> {
        let Some(change) = self.changes.get(rule.id.as_str()) else { return Some(rule) };
        change.except.iter().for_each(|pattern| fields::check_event_pattern(pattern, &mut self.changes_problems));
        let mut spec = spec.clone();
        spec.severity = change.severity.unwrap_or(spec.severity);
        spec.except.extend(change.except.iter().cloned());
        if change.mode == Some(Mode::Live) {
            spec.live_from = None;
        }
        spec.mode = change.mode.or(spec.mode);
        spec.live_from = change.live_from.clone().or(spec.live_from);
        if let Some(written) = &change.threshold {
            let Some(threshold) = &mut spec.threshold else {
                self.changes_problems.push(
                    Problem::error(written.span(), format!("rule `{}` has no threshold to change", rule.id))
                        .hint("write a rule of your own that has one, and disable this one"),
                );
                return None;
            };
            let wanted = written.get_ref();
            threshold.count = wanted.count.clone().unwrap_or_else(|| threshold.count.clone());
            threshold.within = wanted.within.clone().unwrap_or_else(|| threshold.within.clone());
        }
        spec.resolve_after = change.resolve_after.clone().or(spec.resolve_after);
        spec.repeat = change.repeat.clone().or(spec.repeat);
        spec.runbook = change.runbook.clone().or(spec.runbook);
        // The rule itself is fine, so what is wrong now is the change.
        compile(&spec).map(Arc::new).map_err(|problems| self.changes_problems.extend(problems)).ok()
    }

    fn check_names(&self, settings: &RulesConfig, document: &Document<'_>, problems: &mut Vec<Problem>) {
        let mut known: Vec<&str> = self.seen.keys().map(String::as_str).collect();
        known.sort_unstable();
        for id in settings.disable.iter().filter(|id| !self.seen.contains_key(id.get_ref())) {
            problems.push(
                Problem::error(id.span(), format!("there is no rule `{}` to disable", id.get_ref()))
                    .hint(did_you_mean(id.get_ref(), &known, "known rules")),
            );
        }
        for id in settings.r#override.keys().filter(|id| !self.seen.contains_key(*id)) {
            problems.push(
                Problem::error(
                    document.place(&["rules", "override", id]),
                    format!("there is no rule `{id}` to change"),
                )
                .hint(did_you_mean(id, &known, "known rules")),
            );
        }
    }
}

/// A rule on trial has incidents under its own id. A rule that names this id as its family would share them.
fn check_trials(rules: &[Arc<Rule>], document: &Document<'_>, problems: &mut Vec<Problem>) {
    for trial in rules.iter().filter(|rule| rule.shadow.is_some()) {
        if let Some(other) = rules.iter().find(|rule| rule.id != trial.id && rule.family == trial.id) {
            problems.push(
                Problem::error(
                    document.place(&["rules"]),
                    format!(
                        "rule `{}` is in shadow mode, but rule `{}` names it as its incident family",
                        trial.id, other.id
                    ),
                )
                .hint("its alerts would change incidents that people are told of: give the family a name of its own"),
            );
        }
    }
}

fn built_in() -> Vec<Written> {
    BUILTIN
        .iter()
        .map(|(name, text)| Written {
            name: PathBuf::from(format!("built-in {name}")),
            text: (*text).to_owned(),
            proven: true,
        })
        .collect()
}

/// What to say of a file that was asked for and cannot be read.
pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Diagnostic {
    let (message, hint) = why_unreadable(file, error);
    Diagnostic::whole_file(file, Problem::error(0..0, message).hint(hint))
}

fn why_unreadable(file: &Path, error: &std::io::Error) -> (String, &'static str) {
    let (why, hint) = match error.kind() {
        std::io::ErrorKind::NotFound => ("is not there", "check the name and the folder"),
        std::io::ErrorKind::PermissionDenied => {
            ("may not be read: permission denied", "let the user that kmswatch runs as read it")
        }
        std::io::ErrorKind::InvalidData => ("is not UTF-8 text", "save the file as UTF-8"),
        std::io::ErrorKind::IsADirectory => ("is a folder", "name the file in it"),
        _ => ("cannot be read", "see whether the disk and the file are in order"),
    };
    (format!("the file {} {why}", shown(file)), hint)
}

/// The files that a name means, sorted. `*` and `?` work in the last part of it only.
fn files(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, Problem> {
    let path = folder.join(pattern);
    let wild = |text: &str| text.contains(['*', '?']);
    if !wild(pattern) {
        return Ok(vec![path]);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(Problem::error(0..0, format!("`{pattern}` is not the name of a file")).hint("write `rules/*.toml`"));
    };
    if Path::new(pattern).parent().is_some_and(|parent| wild(&parent.to_string_lossy())) {
        return Err(Problem::error(0..0, format!("`{pattern}` has a `*` or `?` in the name of a folder"))
            .hint("they work in a file's name only; name every folder on its own"));
    }
    let entries = fs::read_dir(parent).map_err(|error| {
        let why = if error.kind() == std::io::ErrorKind::NotFound { "is not there" } else { "cannot be read" };
        Problem::error(0..0, format!("the folder {} {why}", shown(parent)))
            .hint("names are relative to the folder of the configuration")
    })?;
    let name: Vec<char> = name.chars().collect();
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            let file: Option<Vec<char>> = path.file_name().and_then(|name| name.to_str()).map(|n| n.chars().collect());
            // Kubernetes keeps the versions of a mounted folder in names that start with two dots.
            file.is_some_and(|file| file.first() != Some(&'.') && fits(&name, &file)) && path.is_file()
        })
        .collect();
    found.sort();
    Ok(found)
}

fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() { "`.`".to_owned() } else { format!("`{}`", path.display()) }
}

/// Whether a name fits a pattern of `*` (any characters) and `?` (one); linear but for the last `*`.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star_p, star_n)) = star else { return false };
                star = Some((star_p, star_n + 1));
                p = star_p + 1;
                n = star_n + 1;
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        let is_fit =
            |pattern: &str, name: &str| fits(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>());
        assert!(
            is_fit("*.toml", "a.toml") && is_fit("a?.toml", "ab.toml") && is_fit("*a*b*", "xaybz") && is_fit("*", "")
        );
        assert!(!is_fit("*.toml", "a.tomlx") && !is_fit("a?.toml", "a.toml") && !is_fit("", "a"));
    }

    #[test]
    fn files_come_sorted_and_hidden_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", ".hidden.toml", "note.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = files(folder.path(), "*.toml").unwrap();
        assert_eq!(found, [folder.path().join("a.toml"), folder.path().join("b.toml")]);
        assert!(files(folder.path(), "*/x.toml").unwrap_err().message.contains("folder"));
        assert!(files(folder.path(), "none/*.toml").is_err());
    }
}
