//! Configuration: `config.d/*.toml` below `/usr/lib/reroot`, `/etc/reroot` and `/run/reroot`, found as [`super::drop_in`] says.
//!
//! For each key the last file wins. Unknown keys are errors, so that a misspelt key does not go unnoticed.
//!
//! ```toml
//! # /etc/reroot/config.d/50-local.toml
//! retain = 5            # deployments that prune keeps for each stateroot, 1 to 1000; default 3
//! reserve-percent = 10  # share of the file system that a pull leaves free, 0 to 50; default 3
//! boot-tries = 3         # how often a new deployment is tried before the loader falls back, 0 (never) to 20; default 3
//! health-check-timeout = 300  # seconds that one health check may take, 1 to 3600; default 300
//! prune-after-boot = true     # prune when a new deployment has turned out well; default true
//! ```
//!
//! Three types, one for each stage: [`Fragment`] is a file as written, [`Merged`] all files together with where
//! each value came from, [`Config`] the checked settings with their defaults.

mod fragment;
mod load;
mod merged;
mod settings;

pub use fragment::Fragment;
pub use load::load;
pub use merged::Merged;
pub use settings::Config;
