//! The loop: asks, answers, and what happens outside, one after the other.
//!
//! ```text
//! outside   signals, words from the command line, the watchdog
//! driver    the state machine with its memory: events in, asks out
//! notes     what people and programs get to see: journal, status, metrics, systemd
//! ```
//!
//! Nothing but a signal ends it. What fails is an answer; a configuration that does not parse leaves the one before in
//! place, and without one the agent waits for a better one.

mod driver;
mod notes;
mod outside;

pub use driver::{Mode, run};
pub use notes::{follows, reboots, shown};
