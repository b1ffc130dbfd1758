//! `$BOOT` as a directory of the physical root, which GRUB reads: the running system writes to it at `/boot`.

use std::io;

use super::{Error, Result};
use crate::fsx::{self, Dir};

/// Where it is, and where it is mounted.
pub const BOOT: &str = "boot";

/// The physical root's directory `boot`, when boot entries are in it (`boot/loader`) and the deployment has an empty
/// directory for it. Another `$BOOT` is a partition, which systemd mounts.
pub fn find(root: &Dir, deployment: &Dir) -> Result<Option<Dir>> {
    let find = || -> io::Result<Option<Dir>> {
        let Some(boot) = directory(root, BOOT)? else { return Ok(None) };
        if directory(&boot, "loader")?.is_none() {
            return Ok(None);
        }
        let place = directory(deployment, BOOT)?;
        let is_empty = place.map_or(Ok(false), |place| fsx::list_dir(&place).map(|list| list.is_empty()))?;
        Ok(is_empty.then_some(boot))
    };
    find().map_err(Error::io("looking at /boot"))
}

/// `None` also for what is not a directory: links are not followed.
fn directory(dir: &Dir, name: &str) -> io::Result<Option<Dir>> {
    match fsx::subdir_optional(dir, name) {
        Err(error) if [Some(20), Some(40)].contains(&error.raw_os_error()) => Ok(None),
        found => found,
    }
}
