//! Tells at a glance which patterns an event can possibly match.
//!
//! A pattern matches if one of its combinations does, and a combination needs all of its fields. So each combination
//! is entered under the one field that says most: under strings, or parts of strings, of which an event must hold one
//! there. An event's own values at those paths then lead to the few combinations worth a closer look. What no such
//! text binds, such as `exists` alone, is looked at for each event.

mod affixes;
mod choice;
mod pieces;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::core::decode;
use crate::core::pattern::Pattern;
use crate::core::pattern::marks::Mark;
use crate::core::pattern::tree::Tree;
use crate::core::peek::{PathId, Paths, Peek};

use affixes::Affixes;
use choice::Choice;
use pieces::Pieces;

/// Patterns by what an event must hold to match them.
#[derive(Debug, Clone)]
pub struct Index {
    /// All paths that any pattern reads, and those by which a body is known for an event.
    paths: Paths,
    patterns: Vec<Numbered>,
    /// For documents, and for bodies that were read at all paths.
    full: Lists,
    /// For events of which no more is known than what every plain envelope and record tells.
    brief: Lists,
}

/// Combinations by text.
#[derive(Debug, Clone)]
struct Lists {
    all: Vec<List>,
    /// For each path its tables; `None` where no combination is entered.
    tables: Vec<Option<Box<Tables>>>,
    /// For each path whether there are tables at it or further down.
    leads: Vec<bool>,
}

/// A pattern and its number, which the caller chose.
#[derive(Debug, Clone)]
struct Numbered {
    number: usize,
    pattern: Pattern,
}

/// Combinations that one text selects.
type List = Vec<Entry>;

/// Place of a [`List`].
type ListId = u32;

/// The combinations that no text selects.
const OTHERS: ListId = 0;

/// Paths that are known of every plain envelope and record.
const BRIEF: &[&[&str]] = &[&["source"], &["detail-type"], &["detail", "eventName"], &["detail", "errorCode"]];

/// One combination of one pattern.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Place in [`Index::patterns`].
    pattern: u32,
    branch: u32,
}

/// What leads from the strings at one path to lists.
#[derive(Debug, Clone, Default)]
struct Tables {
    whole: HashMap<Box<str>, ListId>,
    starts: Affixes,
    ends: Affixes,
    pieces: Pieces,
}

impl Index {
    /// Indexes `patterns`, each under a number of the caller's choice; several may share one.
    pub fn new<'p>(patterns: impl IntoIterator<Item = (usize, &'p Pattern)>) -> Self {
        let patterns: Vec<Numbered> =
            patterns.into_iter().map(|(number, pattern)| Numbered { number, pattern: pattern.clone() }).collect();
        let read = patterns.iter().flat_map(|numbered| numbered.pattern.clauses());
        let read = read.map(|clause| clause.steps().collect());
        let paths = Paths::new(read.chain(decode::PEEKED.iter().map(|path| path.to_vec())));
        let choice = Choice::new(&paths, patterns.iter().map(|numbered| &numbered.pattern));
        let full = Lists::new(&patterns, &paths, &choice, |_| true);
        let known: Vec<PathId> = BRIEF.iter().filter_map(|path| paths.find(path.iter().copied())).collect();
        let brief = Lists::new(&patterns, &paths, &choice, |path| known.contains(&path));
        drop(choice);
        Self { paths, patterns, full, brief }
    }

    /// Reads a message's body as far as the patterns ask. `None` for everything but a plain EventBridge envelope, which
    /// then takes the full way through [`decode::decode`].
    pub fn peek<'b>(&'b self, body: &'b str) -> Option<Peek<'b>> {
        decode::peek(body, &self.paths)
    }

    /// All paths that the patterns read, and those by which a body is known.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Whether any pattern may match an event that peeks so. False only if provably none does, provided that `peek`
    /// came from [`decode::peek`], be it through this index or another.
    pub fn concerned(&self, peek: &Peek<'_>) -> bool {
        let (view, lists) = (peek.view(), self.lists(peek));
        lists.entries(&lists.found(&self.paths, view)).any(|entry| self.admits(entry, view))
    }

    /// Numbers of the patterns that may match an event that peeks so, ascending, each once. Exactly those that do
    /// match where the patterns read no members that decoding adds.
    pub fn possible(&self, peek: &Peek<'_>) -> Vec<usize> {
        let (view, lists) = (peek.view(), self.lists(peek));
        self.numbers(lists.entries(&lists.found(&self.paths, view)).filter(|entry| self.admits(*entry, view)))
    }

    /// Numbers of the patterns that may match `document`, ascending, each once: those worth a closer look.
    pub fn candidates(&self, document: &Value) -> Vec<usize> {
        self.numbers(self.full.entries(&self.full.found(&self.paths, document)))
    }

    /// Numbers of the patterns that match `document`, ascending, each once.
    pub fn matching(&self, document: &Value) -> Vec<usize> {
        let found = self.full.found(&self.paths, document);
        self.numbers(self.full.entries(&found).filter(|entry| self.admits(*entry, document)))
    }

    /// The lists that a peek can be looked up in: in one that asked for less, most of what selects is unknown.
    fn lists(&self, peek: &Peek<'_>) -> &Lists {
        if std::ptr::eq(peek.paths(), &raw const self.paths) { &self.full } else { &self.brief }
    }

    fn numbers(&self, entries: impl Iterator<Item = Entry>) -> Vec<usize> {
        let mut numbers: Vec<usize> =
            entries.filter_map(|entry| self.patterns.get(entry.pattern as usize)).map(|p| p.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn admits<'d>(&self, entry: Entry, document: impl Tree<'d>) -> bool {
        let pattern = self.patterns.get(entry.pattern as usize).map(|numbered| &numbered.pattern);
        pattern.is_some_and(|pattern| pattern.admits(entry.branch as usize, document))
    }
}

impl Lists {
    /// Enters every combination under its best text at one of the paths that `may` allows.
    fn new(patterns: &[Numbered], paths: &Paths, choice: &Choice<'_>, may: impl Fn(PathId) -> bool) -> Self {
        let mut all =
            Self { all: vec![List::new()], tables: vec![None; paths.count()], leads: vec![false; paths.count()] };
        for (place, Numbered { pattern, .. }) in (0..).zip(patterns) {
            for (branch, best) in (0..).zip(choice.best(pattern, paths, &may)) {
                let entry = Entry { pattern: place, branch };
                let Some((path, marks)) = best else {
                    all.add(OTHERS, entry);
                    continue;
                };
                for mark in marks {
                    let list = all.list(path, mark);
                    all.add(list, entry);
                }
            }
        }
        all.settle(paths, PathId::ROOT);
        all
    }

    fn list(&mut self, path: PathId, mark: Mark<'_>) -> ListId {
        let fresh = u32::try_from(self.all.len()).unwrap_or(OTHERS);
        let Some(tables) = self.tables.get_mut(path.index()) else { return OTHERS };
        let list = tables.get_or_insert_default().list(mark, fresh);
        if list == fresh {
            self.all.push(List::new());
        }
        list
    }

    fn add(&mut self, list: ListId, entry: Entry) {
        if let Some(list) = self.all.get_mut(list as usize) {
            list.push(entry);
        }
    }

    /// Readies the tables at `path` and below for look-ups; gives whether there are any.
    fn settle(&mut self, paths: &Paths, path: PathId) -> bool {
        let mut leads = false;
        if let Some(Some(tables)) = self.tables.get_mut(path.index()) {
            tables.starts.settle();
            tables.ends.settle();
            leads = true;
        }
        for (_, next) in paths.all_next(path) {
            leads |= self.settle(paths, next);
        }
        if let Some(here) = self.leads.get_mut(path.index()) {
            *here = leads;
        }
        leads
    }

    /// The combinations of these lists.
    fn entries(&self, lists: &[ListId]) -> impl Iterator<Item = Entry> {
        lists.iter().filter_map(|list| self.all.get(*list as usize)).flatten().copied()
    }

    /// The lists that the document's own texts lead to, and that of the combinations that none selects.
    fn found<'d>(&self, paths: &Paths, document: impl Tree<'d>) -> Vec<ListId> {
        let seen = vec![0; self.all.len().div_ceil(64)];
        let mut hits = Hits { seen, lists: Vec::new(), unknown: HashSet::new() };
        hits.add(OTHERS);
        self.gather(paths, PathId::ROOT, document, &mut hits);
        hits.lists
    }

    fn gather<'d, T: Tree<'d>>(&self, paths: &Paths, at: PathId, value: T, hits: &mut Hits) {
        if !self.leads.get(at.index()).is_some_and(|leads| *leads) {
            return;
        }
        if value.is_unknown() {
            if hits.unknown.insert(at) {
                self.everything(paths, at, hits);
            }
            return;
        }
        if let Some(elements) = value.elements() {
            return elements.for_each(|element| self.gather(paths, at, element, hits));
        }
        if let Some(leaf) = value.leaf() {
            if let Some(Some(tables)) = self.tables.get(at.index()) {
                leaf.strings().for_each(|text| tables.look_up(text, hits));
            }
            return;
        }
        value.each_named(paths, at, &mut |next, member| self.gather(paths, next, member, hits));
    }

    /// Every list at a path and below.
    fn everything(&self, paths: &Paths, at: PathId, hits: &mut Hits) {
        if let Some(Some(tables)) = self.tables.get(at.index()) {
            tables.all().for_each(|list| _ = hits.add(list));
        }
        paths.all_next(at).for_each(|(_, next)| self.everything(paths, next, hits));
    }
}

impl Tables {
    /// The list of a mark: the one there is, or `fresh`.
    fn list(&mut self, mark: Mark<'_>, fresh: ListId) -> ListId {
        match mark {
            Mark::Whole(text) => *self.whole.entry(text.into()).or_insert(fresh),
            Mark::Start(text) => self.starts.list(text.bytes().collect(), fresh),
            Mark::End(text) => self.ends.list(text.bytes().rev().collect(), fresh),
            Mark::Within(piece) => self.pieces.list(piece, fresh),
        }
    }

    fn look_up(&self, text: &str, hits: &mut Hits) {
        if let Some(list) = self.whole.get(text) {
            hits.add(*list);
        }
        if !self.starts.is_empty() {
            self.starts.look_up(text.as_bytes(), hits);
        }
        if !self.ends.is_empty() {
            let backwards: Vec<u8> = text.bytes().rev().collect();
            self.ends.look_up(&backwards, hits);
        }
        self.pieces.look_up(text.as_bytes(), hits);
    }

    fn all(&self) -> impl Iterator<Item = ListId> {
        self.whole.values().copied().chain(self.starts.all()).chain(self.ends.all()).chain(self.pieces.all())
    }
}

/// The lists found so far, each once: a value that stands in an event a thousand times costs nothing more.
struct Hits {
    seen: Vec<u64>,
    lists: Vec<ListId>,
    /// Paths at which everything was added.
    unknown: HashSet<PathId>,
}

impl Hits {
    /// Gives whether it is a new one.
    fn add(&mut self, list: ListId) -> bool {
        let Some(word) = self.seen.get_mut(list as usize / 64) else { return false };
        let bit = 1 << (list % 64);
        let new = *word & bit == 0;
        *word |= bit;
        if new {
            self.lists.push(list);
        }
        new
    }
}

#[cfg(test)]
mod tests;
