//! OCSF documents, of one pinned version of its schema: an incident as a Detection Finding, the call behind it as API Activity.
//!
//! The finding's `uid` is the incident's id from the first notification to the last, so that "create", "update" and "close"
//! speak of one finding. Only members that the schema knows are written; what it has no place for is in `unmapped`.

mod activity;
mod finding;
mod parts;

pub(super) use activity::activity;
pub(super) use finding::finding;

/// The version of the schema that documents say of themselves and are held to.
const SCHEMA_VERSION: &str = "1.8.0";

#[cfg(test)]
mod tests;
