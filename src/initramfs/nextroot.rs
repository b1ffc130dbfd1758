//! In the running system: makes a deployment what a soft reboot goes over to (systemd-soft-reboot.service(8)).
//!
//! ```text
//! /run/nextroot          the deployment as the initramfs would have mounted it, with its etc, var and boot
//! /run/nextroot/sysroot  the physical root, which stays mounted at /sysroot as well
//! ```
//!
//! The tree is put together in a file system in RAM that is private, so that nothing of it is propagated half made and it
//! can be moved, and appears at `/run/nextroot` in one step. The record of it is on disk before: a process that is killed
//! never leaves a tree there that nobody knows.

use std::path::Path;
use std::time::Instant;

use rustix::mount::{MountPropagationFlags, UnmountFlags};

use super::choose::Target;
use super::mounts::{Access, Job, NEW, Scratch, bind, make_private, mount_ram, set_access};
use super::record::Booted;
use super::run::{Bootable, look, physical_root};
use super::settings::Settings;
use super::{Error, Result, recover};
use crate::boot::cmdline::KernelArgs;
use crate::fsx::{self, Dir, attach};

/// Where the private file system is mounted, below `/run/reroot`.
const PRIVATE: &str = "next";

/// What is to be prepared, and where.
#[derive(Debug)]
pub struct Next<'a> {
    pub target: &'a Target,
    /// Those of the initramfs that the running kernel came with.
    pub settings: Settings,
    pub arguments: &'a KernelArgs,
    /// Where the physical root is mounted.
    pub sysroot: &'a Path,
    /// `/run/reroot`
    pub run: &'a Dir,
    pub run_path: &'a Path,
    /// `/run/nextroot`; made when it is missing.
    pub place: &'a Path,
}

impl Next<'_> {
    /// Does it. `announce` makes the record durable, right before the tree appears.
    pub fn prepare(&self, announce: impl FnOnce(&Booted) -> Result<()>) -> Result<()> {
        let started = Instant::now();
        let Self { target, settings, arguments, sysroot, run, run_path, place } = *self;
        let root = physical_root(sysroot)?;
        let Bootable { found, var, device, inode } = look(target, &settings, arguments, &root)?;

        // What a process that was killed has left.
        while is_mounted(&run_path.join(PRIVATE))? {
            unmount(&run_path.join(PRIVATE))?;
        }
        let scratch = Scratch::make(run, run_path, PRIVATE)?;
        let private = mount_ram(&scratch.dir)?;
        rustix::mount::mount_change(scratch.path(), MountPropagationFlags::PRIVATE)
            .map_err(Error::io("making a mount private"))?;
        let job = Job {
            target,
            settings,
            var,
            sysroot,
            root: &root,
            found: &found,
            run: &private,
            run_path: scratch.path(),
        };
        let inside = Scratch::make(&private, scratch.path(), NEW)?;
        let new = job.build(&inside.dir)?;
        let again = || {
            let physical = bind(&root)?;
            attach(&physical, &new.sysroot)?;
            make_private(&physical)?;
            set_access(&physical, Access::ReadOnly)
        };
        again().map_err(Error::io(format!("mounting {} a second time", sysroot.display())))?;

        let stat = rustix::fs::fstat(&new.mount).map_err(Error::io("looking at the new root"))?;
        announce(&Booted {
            mounts: new.mounts,
            root_device: Some(stat.st_dev),
            root_inode: Some(stat.st_ino),
            millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..Booted::new(target, &settings, (device, inode))
        })?;
        let appear = || {
            match rustix::fs::mkdir(place, rustix::fs::Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            attach(&new.mount, &fsx::open_dir(place)?)
        };
        appear().map_err(Error::io(format!("mounting the new root at {}", place.display())))?;
        inside.keep_mount();
        Ok(())
    }
}

/// Whether anything is mounted at `place`.
pub fn is_mounted(place: &Path) -> Result<bool> {
    let mounted =
        recover::mount_point(place).map_err(Error::io(format!("looking at {}", place.display())))?;
    Ok(mounted.is_some())
}

/// Unmounts everything at `place` and below it.
pub fn unmount(place: &Path) -> Result<()> {
    rustix::mount::unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(Error::io(format!("unmounting {}", place.display())))
}
