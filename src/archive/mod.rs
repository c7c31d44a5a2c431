//! Port to recorded events: finds archive files, opens and unpacks them, and takes them apart into single JSON values.
//! It knows the shapes of files (`Records`, lists, lines) and nothing of rules.
//!
//! [`Walk`] gives one file after the other without ever holding the list; a [`Reader`] hands out the values of one file
//! from buffers that it keeps, so that neither the number of files nor their size costs memory.

mod find;
mod read;
mod split;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::core::decode::Glance;

pub use find::{Found, Walk};
pub use read::{Progress, Reader};

/// Longest value that is looked into. CloudTrail's records stay below 1 MiB.
pub const VALUE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// One file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// `-` is standard input.
    pub path: PathBuf,
    /// Named by a person, not found in a folder.
    pub named: bool,
}

impl Input {
    pub fn is_stdin(&self) -> bool {
        self.named && self.path.as_os_str() == "-"
    }

    pub fn name(&self) -> String {
        if self.is_stdin() { "standard input".to_owned() } else { self.path.display().to_string() }
    }
}

/// One piece of a file.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Counts the pieces of the file from 1.
    pub number: u64,
    /// Where it begins in the unpacked text, in bytes.
    pub offset: u64,
    /// It stands in a list named `Records` or `Events`.
    pub listed: bool,
    pub what: What<'a>,
}

#[derive(Debug)]
pub enum What<'a> {
    /// A whole JSON value: an event, or a wrapper around some.
    Value { bytes: &'a [u8], event: Option<Glance<'a>> },
    /// No JSON, in words. What comes after it is read all the same.
    Broken(String),
    /// Longer than [`VALUE_BYTES_MAX`].
    TooLong,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The system does not let us read it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// What is in it is damaged, or is no archive.
    #[error("is damaged: {0}")]
    Damaged(String),
}
