//! The agent: updates that happen by themselves, on one host or in a fleet.
//!
//! It decides when which verb of [`crate::ops`] is called, and does nothing that they do not offer to people as well.
//!
//! ```text
//! config      what the configuration says: fragment, merged, settings
//! machine     what happens next: pure
//!   simulate    the same for ten thousand hosts
//! look facts  the machine as it is
//! version     tags that are versions            window       when a restart is welcome
//! graph       what the fleet goes to            fleet_lock   whose turn it is
//! people      who would be disturbed            hooks        programs that may say no
//! effects     doing what the machine asks for
//! run         the loop around all of it
//! store runtime status journal metrics          what is kept, and what is told
//! ```

pub mod config;
mod effects;
mod facts;
pub mod fleet_lock;
pub mod graph;
pub mod hooks;
pub mod http;
pub mod identity;
mod journal;
mod look;
pub mod machine;
pub mod metrics;
pub mod people;
mod run;
pub mod runtime;
pub mod simulate;
pub mod status;
pub mod store;
mod template;
pub mod version;
pub mod window;

pub use config::parse_duration;
pub use effects::Setup;
pub use run::{Mode, follows, reboots, run};
