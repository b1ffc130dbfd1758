//! The agent: updates that happen by themselves, on one host or in a fleet.
//!
//! It decides when which verb of [`crate::ops`] is called, and does nothing that they do not offer to people as well.

pub mod fleet_lock;
pub mod graph;
pub mod http;
pub mod identity;
pub mod metrics;
pub mod template;
