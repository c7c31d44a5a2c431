//! Rules carry their own tests: a few events, of which only what matters is said, and what must come of them. They
//! run through the very steps that run live ([`crate::core::world`]), in virtual time.

mod event;
mod run;
mod spec;

#[cfg(test)]
mod tests;

pub use event::{CONTROLS, samples};
pub use run::{Failure, Result, run};
pub use spec::{EndState, ExpectSpec, PartialEvent, TestSpec, Words, check};
