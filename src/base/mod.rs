//! Floor 0: what every floor may use. No `util`, no `common`: each module has one reason to exist.

pub mod aws;
pub mod clock;
pub mod diagnostic;
pub mod health;
mod literal;
pub mod moment;
pub mod period;
pub mod plain;
pub mod region;
pub mod secret;
pub mod stop;
pub mod telemetry;
