//! Who may do what with a key: what a key policy or a grant in an event means, measured by who belongs to us.

mod facts;

pub use facts::{Access, Grant};
