//! What the agent does next: a pure state machine.
//!
//! ```text
//!            ┌──────────┐ booted on trial ┌─────────┐
//!  start ──> │ Begin  ? │ <─────────────> │ Waiting │
//!            └────┬─────┘                 └─────────┘
//!                 v lock of an earlier boot
//!            ┌───────────┐ refused ┌───────────────┐
//!            │ Releasing?│ <─────> │ ReleaseFailed │
//!            └────┬──────┘         └───────────────┘
//!                 v
//!   ┌──────> ┌────────┐ due  ┌─────────┐ yes  ┌───────────┐
//!   │        │  Idle  │ ───> │ Asking? │ ───> │ Checking? │ ── nothing, refused, held, error ──> Idle
//!   │        └────────┘      └─────────┘      └─────┬─────┘
//!   │                                               v an update
//!   │  given up      ┌───────────┐  fails     ┌──────────┐
//!   ├─────────────── │ Available │ <───────── │ Staging? │
//!   │                └───────────┘ ─────────> └────┬─────┘
//!   │  dropped, withdrawn, superseded              v
//!   └────────────────────────────────────── ┌────────────┐ window open, nobody disturbed, lock
//!                                           │   Staged   │ ──> Looking? Hook? Users? Locking? ──> Finalizing? ──> Rebooting
//!                                           └────────────┘ <── anything that speaks against it
//! ```
//!
//! A state with a question mark waits for one answer; the others rest until a time ([`State::until`]). [`step()`] takes a
//! state, an event and what is known of the world, and gives the next state with what is to be asked and told; it does
//! nothing itself. So a simulated fleet runs the same code as a host does ([`super::simulate`]).

mod event;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod world;

pub use event::{Ask, Event, Failure, Found, Observation, Step, Tell};
pub use state::{Agent, Attempts, Blocker, Memory, Source, State, Target};
pub use step::step;
pub use world::{Closed, Hold, Policy, Rules, World, later};
