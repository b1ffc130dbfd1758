//! A fleet in memory: many hosts that run the agent's state machine ([`super::machine`]) and choose from a graph of updates
//! ([`super::graph`]) as real ones do, with a clock, deployments, a graph server and a lock server that are simulated.
//!
//! ```text
//! plan      what is simulated: hosts, their configuration, releases and how they are rolled out
//! releases  the graph server
//! locks     the lock server
//! host      a machine: its agent, what it runs, what it has staged
//! fleet     all of them in the order of time
//! outcome   what came of it, and the curve
//! text svg  for people
//! ```
//!
//! The same plan gives the same curve, on every machine.

mod fleet;
mod host;
mod locks;
mod outcome;
mod plan;
mod releases;
mod svg;
mod text;

pub use fleet::simulate;
pub use outcome::{Outcome, ReleaseOutcome, Sample};
pub use plan::{LockPlan, Plan, ReleasePlan};
pub use svg::svg;
pub use text::text;
