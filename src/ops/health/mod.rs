//! Whether a boot turned out well, and what follows from that.
//!
//! ```text
//! boot-complete   1. what the loader gave up is bad: its record, failed.json, the order, the menu    fall_back
//!                 2. the machine's checks                                                            checks, run
//!                 3. decide                                                                          decide
//!                    good      the record, the menu without counters, prune                          boot_complete
//!                    failed    the record; on trial the machine restarts, so that the loader counts
//! deadline        a boot on trial that is not good by now restarts                                   deadline
//! ```
//!
//! On trial nothing that cannot be written keeps the machine from restarting: the loader counts, not we. And it restarts only
//! while that can help: attempts are left, or there is another deployment to fall back to.

mod boot_complete;
mod checks;
mod deadline;
mod decide;
mod events;
mod fall_back;
mod greenboot;
mod mark;
mod refuse;
mod report;
mod run;

pub use boot_complete::boot_complete;
pub use checks::CheckKind;
pub use deadline::{Deadline, boot_deadline};
pub use mark::{MarkOptions, Marked, mark_bad, mark_good};
pub use refuse::{KnownFailed, refuse_failed};
pub use report::{BootCompleted, BootState, FailedDeployment, last_boot};
pub use run::CheckResult;
