//! The update graph: which releases there are, and from which one may go to which (Cincinnati).
//!
//! ```text
//! GET {base}/v1/graph?basearch=…&stream=…   client     bounded in bytes and time
//!   -> {"nodes": […], "edges": [[0, 1], …]}   document   bounded in number; what makes no sense is counted and left away
//!     -> the release to go to, or none          choose     pure
//!          rollout   which share of the hosts may have a release by now
//!   -> what people see when they log in to a release that leads nowhere     dead_end
//! ```
//! The protocol is that of Fedora CoreOS (its graph builder, its policy engine, zincati), with payloads that are images. A graph may
//! as well be a file that any web server has: phased rollouts are judged here too, by the same formula.

mod choose;
mod client;
mod dead_end;
mod document;
mod rollout;

pub use choose::{Choice, Ignored, Outcome, Request, Target, Why, choose};
pub use client::{Booted, GraphClient};
pub use dead_end::{MOTD, motd};
pub use document::{BYTES, Graph, Node, Oddities};
pub use rollout::Rollout;
