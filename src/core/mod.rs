//! Floor 1, the heart. PURE: no async, no I/O, no clock, no randomness; time comes in as an argument.
//!
//! A message's body becomes an [`event::Event`] (`decode`), the event is filled with what is known of its key
//! (`enrich`), rules are matched (`evaluate`), and [`decide::decide`] turns that into incidents,
//! notifications and the reason for each. Time is an input too: [`decide::tick`].

pub mod access;
pub mod audit;
pub mod canary;
pub mod catalog;
pub mod countdown;
pub mod dated;
pub mod decide;
pub mod decode;
pub mod enrich;
pub mod event;
pub mod explain;
pub mod hold;
pub mod incident;
pub mod inhibit;
pub mod inspection;
pub mod keystate;
pub mod lint;
pub mod notification;
pub mod observe;
pub mod pattern;
pub mod peek;
pub mod pipeline;
pub mod render;
pub mod reroute;
pub mod rotation;
pub mod route;
pub mod rule;
pub mod ruletest;
pub mod signals;
pub mod silence;
pub mod usage;
pub mod window;
pub mod world;
