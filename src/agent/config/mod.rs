//! Configuration of the agent: `agent.d/*.toml` below `/usr/lib/reroot`, `/etc/reroot` and `/run/reroot`.
//!
//! Found, replaced, masked and merged as the other configuration ([`crate::ops::config`]); `docs/agent-config.md` explains every key
//! to people. Of a key the last file wins, also of a list: the windows of two files do not add up.
//!
//! Three types, one for each stage: [`keys::fragment::File`] is a file as written, [`keys::merged::File`] all files together with where each
//! value came from, [`Settings`] what they mean, checked, with its defaults. A mistake is refused with its file and line, also in
//! what the rest of the configuration does not use.

mod check;
mod identity;
mod keys;
mod load;
mod settings;
#[cfg(test)]
mod tests;
mod text;
mod zone;

pub use keys::{Policy, SoftReboot, Users};
pub use load::{load, parse};
pub use settings::{FleetLockSettings, Follow, GraphSettings, Identity, MetricsSettings, Reboot, Settings};
pub use text::parse_duration;
