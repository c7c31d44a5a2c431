//! A list that keeps its beginning and its end.

use std::collections::VecDeque;

use crate::store::{FIRST_KEPT, NEWEST_KEPT};

pub(super) struct Lines<T> {
    first: Vec<T>,
    newest: VecDeque<T>,
    forgotten: u64,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { first: vec![], newest: VecDeque::new(), forgotten: 0 }
    }
}

impl<T> Lines<T> {
    pub(super) fn push(&mut self, line: T) {
        if self.first.len() < FIRST_KEPT {
            self.first.push(line);
            return;
        }
        if self.newest.len() >= NEWEST_KEPT {
            self.newest.pop_front();
            self.forgotten += 1;
        }
        self.newest.push_back(line);
    }

    /// Oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.newest)
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.newest.len()
    }

    /// How many were dropped between the first and the newest.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
