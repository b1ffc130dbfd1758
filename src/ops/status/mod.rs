//! Status: what runs, what boots next and why, and everything about the deployments, in boot order.
//!
//! | file | has |
//! |---|---|
//! | `report` | what is told, as it is printed as JSON |
//! | `look` | reading: the state of the sysroot, and what else is told of the machine |
//! | `assemble` | from what was read to the report; pure |
//! | `next` | what boots next, and why; pure |
//! | `usage` | sizes |

mod assemble;
mod look;
mod next;
mod report;
mod usage;

pub use look::status;
pub(super) use report::timestamp;
pub use report::{
    BootDirectorySpace, BootHealth, DeploymentStatus, FailedBootStatus, FailedImageStatus, FinalizeFailed,
    GivenUp, HealthStatus, ImageStatus, NextBoot, Room, Space, StagedStatus, Status, Trial, Why,
};
pub(super) use usage::{usage, warm_usage};
