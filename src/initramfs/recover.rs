//! What a run that was killed has left: it is taken back, so that the next run finds the physical root where it was.
//!
//! ```text
//! killed                        what is there
//! before anything is moved      a new root below /run/reroot, mounted nowhere else
//! after the first move          the physical root in it, and nothing at /sysroot
//! after the last move           the new root at /sysroot, with the physical root in it, and no booted.json
//! ```

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
use rustix::mount::UnmountFlags;

use super::mounts::{NEW, RAM, RUN};
use super::{Error, Result};
use crate::fsx::{self, Dir, attach};

/// Brings the physical root back to `sysroot`. Only for a boot without a record of what is mounted; does nothing
/// where no run has begun. `run` is the directory [`RUN`].
pub fn take_back(sysroot: &Path, run: &Dir) -> Result<()> {
    let take_back = || -> io::Result<()> {
        let new = Path::new(RUN).join(NEW);
        let half_way = mount_point(&new.join("sysroot"))?;
        match half_way {
            Some(physical) if mount_point(sysroot)?.is_none() => attach(&physical, &fsx::open_dir(sysroot)?)?,
            _ => {
                // A physical root has the directory /reroot, a deployment a mount at /sysroot.
                let inside = mount_point(&sysroot.join("sysroot"))?;
                if let Some(physical) = inside
                    && fsx::subdir_optional(&physical, "reroot")?.is_some()
                    && fsx::subdir_optional(&fsx::open_dir(sysroot)?, "reroot")?.is_none()
                {
                    attach(&physical, &fsx::ensure_dir(run, NEW, 0o700)?)?;
                    detach(sysroot)?;
                    attach(&physical, &fsx::open_dir(sysroot)?)?;
                }
            }
        }
        for name in [NEW, RAM] {
            let path = Path::new(RUN).join(name);
            while mount_point(&path)?.is_some() {
                detach(&path)?;
            }
        }
        Ok(())
    };
    take_back().map_err(Error::io("taking back what an earlier run has mounted"))
}

/// What is mounted at `path`, if anything is.
pub fn mount_point(path: &Path) -> io::Result<Option<Dir>> {
    let dir = match fsx::open_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        dir => dir?,
    };
    let attributes = rustix::fs::statx(&dir, "", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
    Ok(attributes.stx_attributes.contains(StatxAttributes::MOUNT_ROOT).then_some(dir))
}

fn detach(path: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?)
}
