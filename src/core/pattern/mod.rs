//! EventBridge event patterns: compile, match. Same answers as AWS's own engine.

pub mod node;

pub use node::{Node, NodeKind};
