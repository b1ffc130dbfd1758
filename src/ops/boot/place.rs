//! Where `$BOOT` is.

use std::path::PathBuf;

use super::record::Loader;
use crate::fsx::{self, Dir};
use crate::ops::{Error, Result};
use crate::sysroot::Sysroot;

/// The directories that `$BOOT` is mounted at, in the order of UAPI.1 and of systemd-gpt-auto-generator(8).
const MOUNT_POINTS: [&str; 3] = ["boot", "efi", "boot/efi"];
/// Where the entries are, below `$BOOT`.
const ENTRIES: &str = "loader/entries";

/// Which `$BOOT`.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// This directory.
    Given(&'a Dir),
    /// Where the running system, or a person, mounted it.
    Mounted,
}

impl Place<'_> {
    pub(super) fn open(&self, sysroot: &Sysroot, loader: &Loader) -> Result<Dir> {
        match self {
            Self::Given(dir) => dir.try_clone().map_err(Error::io("opening $BOOT")),
            Self::Mounted => find(sysroot, loader),
        }
    }
}

/// Looks where `$BOOT` is: a directory of the physical root, or mounted below `/` of the running system for its own
/// sysroot, else below the sysroot.
pub(super) fn find(sysroot: &Sysroot, loader: &Loader) -> Result<Dir> {
    if loader.boots_from_root() {
        return fsx::open_subdir(sysroot.root(), MOUNT_POINTS[0])
            .map_err(Error::io(format!("opening /boot of the physical root {}", sysroot.path().display())));
    }
    let root: PathBuf = sysroot.running_root().unwrap_or(sysroot.path()).into();
    for mount_point in MOUNT_POINTS {
        let path = root.join(mount_point);
        // An automount point is mounted by being opened.
        let Ok(dir) = fsx::open_dir(&path) else { continue };
        if fsx::open_dir(&path.join(ENTRIES)).is_ok() {
            return Ok(dir);
        }
    }
    Err(Error::not_found(format!(
        "the boot partition is not mounted: none of {} below {} has {ENTRIES}; mount it there",
        MOUNT_POINTS.join(", "),
        root.display()
    )))
}
