//! kmswatch watches the AWS KMS keys that everything else hangs on, and tells the right people in time.
//!
//! The map of the floors. Imports only point down; modules on one floor never see each other
//! (`tests/architecture.rs` enforces both).
//!
//! | floor | module | is |
//! |---|---|---|
//! | 6 | [`cli`] | doors a person opens: one file per command |
//! | 5 | [`app`] | wiring: builds the parts, starts the loops in order, stops them in reverse |
//! | 4 | [`ingest`] [`deliver`] [`upkeep`] [`admin`] [`canary`] [`heartbeat`] | the loops |
//! | 4 | [`sweep`] | asks KMS about all keys, for the events that never came |
//! | 4 | [`replay`] | recorded events through the same engine |
//! | 3 | [`config`] [`engine`] | composes the parts' own `Config`s; the one door to the store for whatever decides |
//! | 2 | [`queue`] [`store`] [`sink`] [`keys`] [`localsqs`] [`archive`] [`spool`] [`sigma`] | ports to the world, and to rules of others; none knows another |
//! | 1 | [`core`] | the pure heart: decode, match, decide |
//! | 0 | [`base`] | clock, secret, diagnostic, telemetry, AWS client set-up |

pub mod admin;
pub mod app;
pub mod archive;
pub mod base;
pub mod canary;
pub mod cli;
pub mod config;
pub mod core;
pub mod deliver;
pub mod engine;
pub mod heartbeat;
pub mod ingest;
pub mod keys;
pub mod localsqs;
pub mod queue;
pub mod replay;
pub mod sigma;
pub mod sink;
pub mod spool;
pub mod store;
pub mod sweep;
pub mod upkeep;
