//! In the initramfs: makes the deployment that the kernel argument `reroot=` names the root file system.
//!
//! ```text
//! before                         after
//! /sysroot     physical root     /sysroot          the deployment, read-only (or an overlay in RAM)
//!                                /sysroot/etc      its own /etc, writable (or an overlay in RAM over usr/etc)
//!                                /sysroot/var      the stateroot's /var, writable; nothing when systemd will mount one
//!                                /sysroot/boot     the physical root's /boot, writable, when boot entries are in it
//!                                /sysroot/sysroot  the physical root, read-only
//!                                /run/reroot/booted.json
//! ```
//!
//! A deployment that is named and cannot be mounted is an error; another one is never mounted in its place. Without
//! the argument nothing is done, so that an image also boots where there is no reroot.
//!
//! [`choose`] thinks, [`observe`] looks, [`mounts`] acts, [`run()`] calls them in turn; `recover` begins, after a run that
//! was killed. Nothing is known of images,
//! objects or boot entries, and no record is parsed: a boot does not depend on what may be read from them.

mod boot_dir;
pub mod choose;
mod error;
pub mod mounts;
#[cfg(feature = "cli")]
pub mod nextroot;
pub mod observe;
mod record;
mod recover;
mod run;
pub mod settings;
pub mod var;

pub use error::{Error, Failure, Result};
pub use record::{BOOTED, Booted};
pub use run::{Outcome, run};
