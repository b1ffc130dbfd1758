//! The managed root: stateroots, deployments, what boots in which order.
//!
//! ```text
//! /reroot/lock                                  flock: shared for pulls, exclusive for everything that changes a name
//! /reroot/counters.json                         next deployment number of each stateroot, next boot order
//! /reroot/history.jsonl                         what happened, a line for each event; history.1.jsonl before that
//! /reroot/failed.json                           images that failed here and are not installed again
//! /reroot/repo/                                 the object repo, see [`crate::repo`]
//! /reroot/deploy/<stateroot>/var/               the one /var of the stateroot
//! /reroot/deploy/<stateroot>/deploy/<N>/        a deployment: hardlinked tree, usr/etc (defaults), etc (own copies)
//! /reroot/deploy/<stateroot>/deploy/<N>.origin  what it follows; TOML that people may edit
//! /reroot/deploy/<stateroot>/deploy/<N>.json    its record, written last: it makes the deployment exist
//! /run/reroot/{booted,staged,nextroot}.json     which one runs, which one waits for a reboot or soft reboot; gone at
//!                                               reboot by design
//! ```
//!
//! Names that start with `.` are work in progress: `.tmp-<N>` a deployment that is being checked out, `.del-<N>`
//! one that is being removed, `.tmp-…` a file that is being written. Whoever holds the exclusive lock next
//! sweeps them away; so are directories and origins without a record.
//!
//! [`Sysroot`] reads, [`LockedSysroot`] writes. [`Sysroot::observe`] reads everything once into [`Observed`],
//! plain data that the rest of the program decides on. Images and how to get them are not known here.

mod counters;
mod deployment;
mod error;
pub mod etc_merge;
mod failed;
mod handle;
mod health;
mod history;
pub mod layout;
mod locked;
mod observe;
mod origin;
mod record;
pub mod running;
mod separate_var;
mod slots;
mod staged;
mod stateroot;
#[cfg(test)]
pub mod testing;

pub use counters::Counters;
pub use deployment::{Deployment, DeploymentId, DeploymentKey, ParseDeploymentIdError};
pub use error::{Error, Result};
pub use failed::FailedImage;
pub use handle::Sysroot;
pub use health::{FailedBoot, Health, HealthState};
pub use history::{EventKind, History, HistoryEvent};
pub use locked::LockedSysroot;
pub use observe::{Leftover, Observed, Problem, ProblemKind};
pub use origin::{KernelArgument, Origin, line_of};
pub use record::{
    BootFacts, BootedRecord, BroughtArgument, DeployedImage, DeploymentRecord, StagedRecord, parse_state,
    print_state,
};
pub use separate_var::SeparateVar;
pub use slots::{Slot, Slots};
pub use staged::FinalizeFailure;
pub use stateroot::Stateroot;
