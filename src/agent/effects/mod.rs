//! Doing what the state machine asks for ([`super::machine::Ask`]), with the verbs that people have.
//!
//! ```text
//! setup    settings, and the servers that they name
//! host     the machine: verbs run on a thread of their own, one at a time
//! find     what there is to install
//! perform  an ask to its answer
//! ```

mod failure;
mod find;
mod host;
mod perform;
mod setup;

pub use find::Seen;
pub use host::{Host, kind};
pub use perform::{Answer, Asked, perform, tell_hooks};
pub use setup::Setup;
