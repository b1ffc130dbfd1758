//! The verbs: read everything, decide, then act.
//!
//! Each file is one verb with its options and its report. A report is plain data that prints as JSON (camelCase;
//! sizes in bytes); words for people are the command line's. Nothing here prints.
//!
//! | verb | locks |
//! |---|---|
//! | [`status()`], [`history()`], [`diff()`], [`etc_drift`], [`kernel_arguments`], [`image::list`] … | none: every file is replaced in one step |
//! | [`deploy()`], [`upgrade()`], [`switch()`] | shared while fetching, exclusive while publishing |
//! | [`finalize_staged`], [`unstage`], [`set_finalization`] | exclusive |
//! | [`fsck::fsck()`] | shared; exclusive for a repair |
//! | [`rollback()`], [`boot_once()`], [`change_kernel_arguments`], [`pin()`], [`unpin()`], [`undeploy()`], [`prune()`] | exclusive |
//! | [`usr_overlay`], [`soft_reboot`] | exclusive: a deployment that is mounted must stay |
//! | [`boot_complete`], [`boot_deadline`], [`mark_good`], [`mark_bad`] | exclusive, but not while checks run |

mod apply;
mod boot;
mod check;
mod checkout;
pub mod config;
mod context;
mod deploy;
pub(crate) mod diff;
pub(crate) mod drop_in;
mod error;
mod etc;
mod fetch;
pub(crate) mod files;
mod finalize;
pub mod fsck;
pub mod health;
mod history;
pub mod image;
mod init;
pub(crate) mod initramfs;
pub mod install;
mod kargs;
mod merge;
mod own_mounts;
pub(crate) mod packages;
mod pin;
mod platform;
pub(crate) mod program;
mod prune;
mod publish;
pub mod pull;
mod reboot;
mod reboot_required;
mod retention;
mod rollback;
pub(crate) mod select;
pub mod soft_reboot;
mod space;
mod spool;
mod staging;
mod status;
mod switch;
mod tags;
#[cfg(test)]
mod tests;
mod undeploy;
mod upgrade;
pub mod usr_overlay;
mod var;

pub use apply::{Applied, Apply, apply};
pub use boot::Bootloader;
pub use boot::once::{
    BootOnce, BootOnceCancelled, boot_once, boots_once, cancel_boot_once, restart_for_boot_once,
};
pub use check::{ChangedFiles, Changes, Refused, UpdateCheck, check_upgrade};
pub use checkout::DeploymentTree;
pub use config::Config;
pub use context::{Context, Run};
pub use deploy::{DeployOptions, Deployed, deploy};
pub use diff::{Change, Diff, DiffOptions, DiffPath, DiffSide, PathChange, Side, Times, diff};
pub use error::{Error, ErrorKind, Result, ResultExt};
pub use etc::{EtcChange, EtcDrift, etc_drift, etc_drift_count};
pub use fetch::FetchPlan;
pub use finalize::{Finalized, finalize_staged};
pub use health::{KnownFailed, boot_complete, boot_deadline, mark_bad, mark_good};
pub use history::{HistoryEntry, HistoryOptions, HistoryReport, history, note};
pub use init::{InitOptions, Initialized, init};
pub use initramfs::ForeignInitramfs;
pub use kargs::{
    ChangedArguments, Edits, KernelArguments, KernelArgumentsChange, KernelArgumentsOf, ShownArgument,
    Source as ArgumentSource, change_kernel_arguments, editable, kernel_arguments,
};
use own_mounts::check_own_mounts;
pub use packages::{PackageChange, PackageDiff};
pub use pin::{Pinning, pin, unpin};
pub use prune::{PruneReport, RemovedDeployment, prune};
pub use publish::Finalization;
pub use retention::{Kept, Plan, Policy, Reason, Removed, decide};
pub use rollback::{EtcOfRollback, RollbackOptions, RolledBack, StagedOne, rollback};
pub use staging::{FinalizationLock, Unstaged, set_finalization, unstage};
pub use status::{
    BootDirectorySpace, BootHealth, DeploymentStatus, FailedBootStatus, FailedImageStatus, FinalizeFailed,
    GivenUp, HealthStatus, ImageStatus, NextBoot, Room, Space, StagedStatus, Status, Trial, Why, status,
};
pub use switch::switch;
pub use tags::list_tags;
pub use undeploy::{Undeployed, undeploy};
pub use upgrade::{Downgrade, UpgradeOptions, upgrade};
