//! One TOML file as a tree in which everything knows its place, read into types with *all* errors collected:
//! what cannot be read is reported, taken out, and the rest is read again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::mask;
use super::overrides::Override;
use super::words::{self, Slip};
use crate::base::diagnostic::{Diagnostic, Problem, position};

/// More errors than anybody reads in one go.
const ERRORS_MAX: usize = 100;

/// No secret is shorter, its quotes included.
const SECRET_MIN: usize = 10;

/// A parsed file with the environment laid over it.
#[derive(Debug)]
pub(super) struct Document<'t> {
    file: PathBuf,
    text: &'t str,
    table: DeTable<'t>,
    overrides: &'t [Override],
    /// Byte ranges that are never shown.
    masked: Vec<Range<usize>>,
    /// Ranges of the items (`sinks.x`, one `[[rule]]`) in which something could not be read.
    broken: Vec<Range<usize>>,
    /// Keys that stand at the top and that nobody knows.
    pub unknown_tables: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl<'t> Document<'t> {
    /// Parses the text; reports every syntax error that can be told from its neighbours.
    pub(super) fn parse(file: &Path, text: &'t str) -> Result<Self, Vec<Diagnostic>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Self {
            file: file.to_owned(),
            text,
            table: table.into_inner(),
            overrides: &[],
            masked: Vec::new(),
            broken: Vec::new(),
            unknown_tables: false,
        };
        if errors.is_empty() {
            return Ok(document);
        }
        document.masked = mask::secrets(text);
        let mut problems: Vec<Problem> = Vec::new();
        for error in &errors {
            let (message, hint, echoes) = words::syntax(error.message());
            let span = error.span().unwrap_or(0..0);
            let line = |offset: usize| text.get(..offset).map_or(0, |before| before.matches('\n').count());
            // A second complaint about the same line is an echo of the first.
            if !problems.iter().any(|p| line(p.span.start) == line(span.start)) {
                problems.push(Problem::error(widened(text, span), message).hint(hint));
            }
            if echoes {
                break;
            }
        }
        Err(document.diagnostics(problems))
    }

    /// Lays the environment over the file.
    pub(super) fn overlay(&mut self, overrides: &'t [Override]) -> Vec<Problem> {
        self.overrides = overrides;
        overrides.iter().filter_map(|layer| layer.apply(&mut self.table).err()).collect()
    }

    /// Reads the whole document into a type. What cannot be read is reported and left out of the value; `None` only
    /// together with problems.
    pub(super) fn read<T: DeserializeOwned>(&mut self) -> (Option<T>, Vec<Problem>) {
        let mut table = self.table.clone();
        let mut problems = Vec::new();
        let mut removed: Vec<(Vec<Step>, String)> = Vec::new();
        while problems.len() < ERRORS_MAX {
            let root = Spanned::new(0..0, DeValue::Table(table.clone()));
            let error = match serde_path_to_error::deserialize::<_, T>(ValueDeserializer::from(root)) {
                Ok(value) => return (Some(value), problems),
                Err(error) => error,
            };
            let mut path = steps(error.path());
            let inner = error.into_inner();
            let span = inner.span().unwrap_or(0..0);
            if self.say_it_in_text(&mut table, &path, &span) {
                continue;
            }
            let last = path.last().cloned();
            if let Slip::UnknownKey(word) = words::plain(inner.message(), "").slip
                && last == Some(Step::Key(word))
            {
                path.pop();
            }
            let said = words::plain(inner.message(), &dotted(container(&table, &path)));
            if path.is_empty() && matches!(said.slip, Slip::UnknownKey(_)) {
                self.unknown_tables = true;
            }
            match &said.slip {
                Slip::UnknownKey(word) => {
                    path.push(Step::Key(word.clone()));
                    let text = at(&table, &path).filter(|value| value.get_ref().is_str());
                    // Whatever it was meant to be, it may be a secret if it is long enough for one.
                    self.masked.extend(text.map(Spanned::span).filter(|span| span.len() >= SECRET_MIN).map(unquoted));
                }
                Slip::BadValue if inner.message().contains("secret") => {
                    let text = at(&table, &path).filter(|value| value.get_ref().is_str());
                    self.masked.extend(text.map(Spanned::span).map(unquoted));
                }
                Slip::BadValue | Slip::MissingKey(_) => {}
            }
            // What is wrong with a table only because something was taken out of it is no news.
            let echo = match &said.slip {
                Slip::UnknownKey(_) => false,
                Slip::MissingKey(word) => removed.contains(&(path.clone(), word.clone())),
                Slip::BadValue => removed.iter().any(|(table, _)| *table == path),
            };
            if !echo {
                let span = match said.slip {
                    Slip::BadValue => span,
                    Slip::MissingKey(_) | Slip::UnknownKey(_) => header(&table, &path).unwrap_or(span),
                };
                let problem = Problem::error(span, said.message);
                problems.push(match said.hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                });
            }
            if let Some(item) = item(&table, &path) {
                self.broken.push(item);
            }
            let Some(taken) = take(&mut table, &path) else { break };
            match taken.split_last() {
                Some((Step::Key(key), parent)) => removed.push((parent.to_vec(), key.clone())),
                // The list's next entry now stands at this path.
                _ => removed.retain(|(parent, _)| !parent.starts_with(taken)),
            }
        }
        (None, problems)
    }

    /// A value of the environment that looks like a number where text is wanted (an account id) is text.
    fn say_it_in_text(&self, table: &mut DeTable<'t>, path: &[Step], span: &Range<usize>) -> bool {
        let Some(layer) = self.overrides.iter().find(|layer| !layer.is_text() && layer.span == *span) else {
            return false;
        };
        let Some(value) = at_mut(table, path) else { return false };
        if value.get_ref().is_str() {
            return false;
        }
        *value = layer.as_text();
        true
    }

    /// The place of a table's or value's own name.
    pub(super) fn place(&self, path: &[&str]) -> Range<usize> {
        let path: Vec<Step> = path.iter().map(|name| Step::Key((*name).to_owned())).collect();
        header(&self.table, &path).unwrap_or(0..0)
    }

    /// The names in a table, whether they could be read or not.
    pub(super) fn names(&self, table: &str) -> Vec<String> {
        let members = self.table.get(table).and_then(|value| value.get_ref().as_table());
        members.map(|members| members.keys().map(|key| key.get_ref().to_string()).collect()).unwrap_or_default()
    }

    /// The line on which a place is.
    pub(super) fn line(&self, place: &Range<usize>) -> usize {
        position(self.text, place.start).line
    }

    /// The header of the entry of a list of tables that holds a place; without a place the first entry's.
    pub(super) fn entry_around(&self, list: &str, place: Option<&Range<usize>>) -> Range<usize> {
        let entries = self.table.get(list).and_then(|value| value.get_ref().as_array());
        let entry = entries.into_iter().flatten().find(|entry| {
            let mut hull = entry.span();
            widen(&mut hull, entry);
            place.is_none_or(|place| hull.start <= place.start && place.end <= hull.end)
        });
        entry.map_or(0..0, Spanned::span)
    }

    /// Whether a part of the item that holds this place could not be read; then what its remains lack is no error.
    pub(super) fn is_broken(&self, place: &Range<usize>) -> bool {
        self.broken.iter().any(|item| item.start <= place.start && place.end <= item.end)
    }

    /// Whether a place is the `[header]` of a table.
    pub(super) fn is_header(&self, place: &Range<usize>) -> bool {
        self.text.get(place.clone()).is_some_and(|text| text.starts_with('[') && text.ends_with(']'))
            && has_table_at(&self.table, place)
    }

    /// Gives problems their file and text. The environment's have the variable's name for a file.
    pub(super) fn diagnostics(&self, mut problems: Vec<Problem>) -> Vec<Diagnostic> {
        let mut text = self.text.as_bytes().to_vec();
        for range in &self.masked {
            if let Some(bytes) = text.get_mut(range.clone()) {
                bytes.iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b'*');
            }
        }
        let text: Arc<str> = String::from_utf8_lossy(&text).into();
        problems.sort_by_key(|problem| problem.span.start);
        problems
            .into_iter()
            .map(|problem| match self.overrides.iter().find(|layer| layer.holds(&problem.span)) {
                Some(layer) => Diagnostic::whole_file(layer.origin(), in_variable(problem)),
                None => Diagnostic::new(&self.file, Arc::clone(&text), problem),
            })
            .collect()
    }
}

/// A text's place without its quotes.
fn unquoted(span: Range<usize>) -> Range<usize> {
    span.start + 1..span.end.saturating_sub(1)
}

/// The name of the entry at a path, or the header of the list entry.
fn header(table: &DeTable<'_>, path: &[Step]) -> Option<Range<usize>> {
    let (last, parent) = path.split_last()?;
    let entry = at(table, path)?;
    let Step::Key(name) = last else { return Some(entry.span()) };
    let members = if parent.is_empty() { table } else { at(table, parent)?.get_ref().as_table()? };
    members.get_key_value(name.as_str()).map(|(key, _)| key.span())
}

/// From the first to the last byte of the item that a path leads into: `sinks.x`, one `[[rule]]`, or a section.
fn item(table: &DeTable<'_>, path: &[Step]) -> Option<Range<usize>> {
    let first = at(table, path.get(..1)?)?;
    let named = matches!(path.first(), Some(Step::Key(name)) if NAMED.contains(&name.as_str()));
    let length = if named || first.get_ref().is_array() { 2 } else { 1 };
    let item = path.get(..length.min(path.len()))?;
    let mut hull = header(table, item)?;
    widen(&mut hull, at(table, item)?);
    Some(hull)
}

/// Sections whose members are named by the person who writes them.
const NAMED: &[&str] = &["queues", "sinks", "canaries"];

fn has_table_at(table: &DeTable<'_>, place: &Range<usize>) -> bool {
    table.iter().any(|(_, value)| match value.get_ref() {
        DeValue::Table(members) => value.span() == *place || has_table_at(members, place),
        _ => false,
    })
}

fn widen(hull: &mut Range<usize>, value: &Spanned<DeValue<'_>>) {
    let span = value.span();
    hull.start = hull.start.min(span.start);
    hull.end = hull.end.max(span.end);
    match value.get_ref() {
        DeValue::Table(members) => {
            for (key, member) in members {
                hull.end = hull.end.max(key.span().end);
                widen(hull, member);
            }
        }
        DeValue::Array(items) => items.iter().for_each(|item| widen(hull, item)),
        _ => {}
    }
}

/// A problem of a variable's value: nothing to point at, and no TOML to write.
fn in_variable(problem: Problem) -> Problem {
    let about_toml = |hint: &String| hint.contains("quote") || hint.contains("write a");
    let hint = problem.hint.filter(|hint| !about_toml(hint));
    let hint = hint.unwrap_or_else(|| "correct the variable, or unset it to use the file's value".to_owned());
    Problem { span: 0..0, hint: Some(hint), ..problem }
}

/// Syntax errors often point between two characters; the rest of the line shows better what is meant.
fn widened(text: &str, span: Range<usize>) -> Range<usize> {
    if span.start < span.end || span.start >= text.len() {
        return span;
    }
    let rest = text.get(span.start..).unwrap_or_default();
    let length = rest.chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
    span.start..span.start + length
}

/// The path without what `Spanned` puts into it.
fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } if !key.starts_with("$__serde_spanned") => Some(Step::Key(key.clone())),
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn dotted(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Index(_) => {}
        }
    }
    text
}

/// The part of a path that leads to a table.
fn container<'p>(table: &DeTable<'_>, path: &'p [Step]) -> &'p [Step] {
    match at(table, path) {
        Some(value) if value.get_ref().is_table() => path,
        _ => path.split_last().map_or(path, |(_, parent)| parent),
    }
}

fn at<'v, 't>(table: &'v DeTable<'t>, path: &[Step]) -> Option<&'v Spanned<DeValue<'t>>> {
    let (Step::Key(first), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(table.get(first.as_str())?, |value, step| match (value.get_ref(), step) {
        (DeValue::Table(members), Step::Key(key)) => members.get(key.as_str()),
        (DeValue::Array(items), Step::Index(index)) => items.get(*index),
        _ => None,
    })
}

fn at_mut<'v, 't>(table: &'v mut DeTable<'t>, path: &[Step]) -> Option<&'v mut Spanned<DeValue<'t>>> {
    let (Step::Key(first), rest) = path.split_first()? else { return None };
    rest.iter().try_fold(table.get_mut(first.as_str())?, |value, step| match (value.get_mut(), step) {
        (DeValue::Table(members), Step::Key(key)) => members.get_mut(key.as_str()),
        (DeValue::Array(items), Step::Index(index)) => items.get_mut(*index),
        _ => None,
    })
}

/// Takes out what a path leads to, or the nearest thing above it that is there; says what that was.
fn take<'p>(table: &mut DeTable<'_>, path: &'p [Step]) -> Option<&'p [Step]> {
    for length in (1..=path.len()).rev() {
        let taken = path.get(..length)?;
        if at(table, taken).is_none() {
            continue;
        }
        let (last, parent) = taken.split_last()?;
        match (last, parent.is_empty()) {
            (Step::Key(key), true) => {
                table.remove(key.as_str());
            }
            (last, _) => match (at_mut(table, parent)?.get_mut(), last) {
                (DeValue::Table(members), Step::Key(key)) => {
                    members.remove(key.as_str());
                }
                (DeValue::Array(items), Step::Index(index)) => {
                    let kept: Vec<_> =
                        items.iter().enumerate().filter(|(at, _)| at != index).map(|(_, v)| v.clone()).collect();
                    *items = kept.into_iter().collect();
                }
                _ => return None,
            },
        }
        return Some(taken);
    }
    None
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
