//! What was not understood.

use crate::core::render::clean;

/// Remarks for people: bounded, cleaned, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    lines: Vec<String>,
    left_out: usize,
}

const NOTES_MAX: usize = 20;
const NOTE_CHARS_MAX: usize = 200;

impl Notes {
    pub fn add(&mut self, note: &str) {
        let note = clean(note, NOTE_CHARS_MAX);
        if self.lines.contains(&note) {
            return;
        }
        if self.lines.len() < NOTES_MAX { self.lines.push(note) } else { self.left_out += 1 }
    }

    pub fn lines(&self) -> Vec<String> {
        let more = (self.left_out > 0).then(|| format!("and {} more", self.left_out));
        self.lines.iter().cloned().chain(more).collect()
    }
}
