//! One finding about a file that a person wrote, with its place and a hint, and the ways to show it.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level as Shown, Origin, Renderer, Snippet};

use super::literal;

/// A finding inside one file, before it is known which file that is: what a part's own `check` reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub level: Level,
    /// Byte range in the file; `0..0` where there is none (a value from the environment).
    pub span: Range<usize>,
    /// Where that is a text, the part of it that is meant, as a byte range of the text as read.
    pub inside: Option<Range<usize>>,
    /// What is wrong, starting in lower case, without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { level: Level::Error, span, inside: None, message: message.into(), hint: None }
    }

    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, span, inside: None, message: message.into(), hint: None }
    }

    pub fn note(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { level: Level::Note, span, inside: None, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What was found inside of a text, with a place in that text, is in the file that has the text at `span`.
    #[must_use]
    pub fn within(self, span: Range<usize>) -> Self {
        Self { inside: Some(self.span), span, ..self }
    }

    /// Whether it points at something; `0..0` does not.
    pub fn has_place(&self) -> bool {
        self.span != (0..0)
    }
}

/// Only an [`Level::Error`] keeps a configuration from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Note,
    Warning,
    Error,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A [`Problem`] and the file it is in. `Display` is the one-line form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, or in words what it is instead ("environment variable X").
    pub file: PathBuf,
    pub problem: Problem,
    /// The text that the span points into, secrets masked; `None` where there is nothing to show.
    text: Option<Arc<str>>,
}

/// Where something stands in a text. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Diagnostic {
    /// A finding in a file whose text is at hand. The text is shown to people: mask secrets in it first
    /// (byte for byte, so that places stay right).
    pub fn new(file: impl Into<PathBuf>, text: Arc<str>, mut problem: Problem) -> Self {
        if let Some(inside) = problem.inside.take() {
            problem.span = literal::inside(&text, &problem.span, &inside);
        }
        Self { file: file.into(), problem, text: Some(text) }
    }

    /// A finding about a file as a whole, such as one that cannot be read.
    pub fn whole_file(file: impl Into<PathBuf>, problem: Problem) -> Self {
        Self { file: file.into(), problem, text: None }
    }

    pub fn is_error(&self) -> bool {
        self.problem.level == Level::Error
    }

    /// `None` for a finding about the whole file.
    pub fn position(&self) -> Option<Position> {
        let text = self.text.as_deref()?;
        self.problem.has_place().then(|| position(text, self.problem.span.start))
    }

    /// The form for people: the line of the file with a caret under what is meant, and the hint below. No line feed at the end.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.problem.level {
            Level::Note => Shown::NOTE,
            Level::Warning => Shown::WARNING,
            Level::Error => Shown::ERROR,
        };
        let file = self.file.display().to_string();
        let place = self.text.as_deref().filter(|_| self.problem.has_place());
        let group = match place {
            Some(text) => Group::with_title(level.primary_title(&*self.problem.message)).element(
                Snippet::source(text)
                    .path(&*file)
                    .annotation(AnnotationKind::Primary.span(shown_span(text, &self.problem.span))),
            ),
            None => Group::with_title(level.primary_title(&*self.problem.message)).element(Origin::path(&*file)),
        };
        let group = match &self.problem.hint {
            Some(hint) => group.element(Shown::HELP.message(&**hint)),
            None => group,
        };
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    /// The form for programs.
    pub fn to_json(&self) -> serde_json::Value {
        let position = self.position();
        serde_json::json!({
            "kind": "diagnostic",
            "file": self.file.display().to_string(),
            "line": position.map(|p| p.line),
            "column": position.map(|p| p.column),
            "level": self.problem.level.as_str(),
            "message": self.problem.message,
            "hint": self.problem.hint,
        })
    }
}

impl std::fmt::Display for Diagnostic {
    /// `file:line:column: error: message (hint)`, on one line whatever the texts hold.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut line = self.file.display().to_string();
        if let Some(Position { line: row, column }) = self.position() {
            write!(line, ":{row}:{column}")?;
        }
        write!(line, ": {}: {}", self.problem.level.as_str(), self.problem.message)?;
        if let Some(hint) = &self.problem.hint {
            write!(line, " ({hint})")?;
        }
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        f.write_str(&line)
    }
}

/// How many of each level there are, in words: `2 errors, 1 warning`. Empty when there are none.
pub fn counts(diagnostics: &[Diagnostic]) -> String {
    let mut parts = Vec::new();
    for level in [Level::Error, Level::Warning, Level::Note] {
        let number = diagnostics.iter().filter(|d| d.problem.level == level).count();
        if number > 0 {
            parts.push(format!("{number} {}{}", level.as_str(), if number == 1 { "" } else { "s" }));
        }
    }
    parts.join(", ")
}

/// The candidate that somebody most likely meant: the one with the fewest slips, if those are few enough for its length.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = folded(word);
    let slips_max = match wanted.len() {
        0 => return None,
        1..=3 => 1,
        4..=7 => 2,
        length => length / 3,
    };
    candidates
        .into_iter()
        .map(|candidate| (slips(&wanted, &folded(candidate)), candidate))
        .filter(|(slips, candidate)| *slips <= slips_max && *slips < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// The hint for a word that is none of the known ones.
pub fn did_you_mean(word: &str, candidates: &[&str], what: &str) -> String {
    match (closest(word, candidates.iter().copied()), candidates) {
        (Some(candidate), _) => format!("did you mean `{candidate}`?"),
        (None, []) => format!("there are no {what}"),
        (None, _) => {
            let listed: Vec<String> = candidates.iter().map(|c| format!("`{c}`")).collect();
            format!("{what}: {}", listed.join(", "))
        }
    }
}

/// The position of a byte offset; an offset behind the end is the end.
pub fn position(text: &str, offset: usize) -> Position {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Position {
        line: before.bytes().filter(|b| *b == b'\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
    }
}

/// The span on whole characters, inside the text and cut at the end of its first line.
fn shown_span(text: &str, span: &Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let line_end = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| start + length);
    let mut end = span.end.clamp(start, line_end);
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

fn folded(word: &str) -> Vec<char> {
    word.chars().flat_map(char::to_lowercase).map(|c| if c == '-' { '_' } else { c }).collect()
}

/// Optimal string alignment distance: letters added, missing, wrong, or two neighbours swapped.
fn slips(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, wanted) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, found) in b.iter().enumerate() {
            let same = usize::from(wanted != found);
            let mut best = (last[j] + same).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *wanted == b[j - 1] && a[i - 1] == *found {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(span: Range<usize>) -> Diagnostic {
        let text = "a = 1\ngrüße = \"ö🦀x\"\n";
        Diagnostic::new("x.toml", text.into(), Problem::error(span, "it is wrong").hint("do it right"))
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let crab = "a = 1\ngrüße = \"ö".len();
        assert_eq!(sample(crab..crab + 4).position(), Some(Position { line: 2, column: 11 }));
        assert_eq!(sample(crab + 1..crab + 2).to_string(), "x.toml:2:11: error: it is wrong (do it right)");
        assert_eq!(sample(999..1000).position(), Some(Position { line: 3, column: 1 }));
        assert_eq!(sample(0..0).position(), None);
    }

    #[test]
    fn people_see_the_line_the_caret_and_the_hint() {
        let crab = "a = 1\ngrüße = \"ö".len();
        let shown = sample(crab..crab + 4).render(false);
        assert!(shown.contains("--> x.toml:2:11"), "the renderer and we count alike:\n{shown}");
        assert!(shown.contains("grüße = \"ö🦀x\""), "{shown}");
        assert!(shown.contains('^') && shown.contains("= help: do it right"), "{shown}");
        assert!(!shown.contains('\u{1b}'), "plain means plain");
        assert!(sample(crab..crab + 4).render(true).contains('\u{1b}'));
        assert!(sample(crab + 1..999).render(false).contains("x.toml:2"), "a broken span is bent, not a panic");
        assert!(sample(0..0).render(false).contains("--> x.toml"));
    }

    #[test]
    fn one_line_stays_one_line() {
        let diagnostic = Diagnostic::whole_file("a\nb.toml", Problem::warning(0..0, "first\nsecond\u{1b}[31m"));
        assert_eq!(diagnostic.to_string(), "a b.toml: warning: first second [31m");
        let json = diagnostic.to_json();
        assert_eq!((&json["kind"], &json["line"]), (&"diagnostic".into(), &serde_json::Value::Null));
    }

    #[test]
    fn the_closest_word_is_found_and_a_stranger_is_not() {
        let kinds = ["slack", "pagerduty", "webhook", "stdout", "file"];
        assert_eq!(closest("slak", kinds), Some("slack"));
        assert_eq!(closest("pager_duty", kinds), Some("pagerduty"));
        assert_eq!(closest("PagerDuty", kinds), Some("pagerduty"));
        assert_eq!(closest("sdtout", kinds), Some("stdout"));
        assert_eq!(closest("teams", kinds), None);
        assert_eq!(closest("", kinds), None);
        assert_eq!(closest("x", ["a"]), None, "a one-letter word resembles every other");
        assert_eq!(did_you_mean("teams", &["a", "b"], "known kinds"), "known kinds: `a`, `b`");
    }

    #[test]
    fn counting_is_said_in_words() {
        let error = sample(0..1);
        let warning = Diagnostic::whole_file("y", Problem::warning(0..0, "w"));
        assert_eq!(counts(&[error.clone(), error, warning]), "2 errors, 1 warning");
        assert_eq!(counts(&[]), "");
    }
}
