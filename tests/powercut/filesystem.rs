//! The file systems that power cuts are tried on.

use std::ffi::CStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags};

use crate::device::{Scratch, installed, tool, while_busy};

/// Which promises a program gets beyond POSIX differs: ext4 commits all names in the order they were made, so that
/// syncing one directory covers every name before; btrfs does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    Ext4,
    Btrfs,
}

impl Filesystem {
    fn kind(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Btrfs => "btrfs",
        }
    }

    /// Why this machine cannot use it, if it cannot.
    pub fn obstacle(self) -> Option<String> {
        let kind = self.kind();
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !known.contains(&format!("\t{kind}\n")) {
            return Some(format!("the kernel has no {kind}"));
        }
        let mkfs = format!("mkfs.{kind}");
        (!installed(&mkfs)).then(|| format!("{mkfs} is not installed"))
    }

    /// Makes an image with an empty file system: small, because every state is compared with what it should be,
    /// and complete, so that the kernel has nothing to initialise later and the log holds the workload's writes.
    pub fn make_image(self, scratch: &Scratch, name: &str) -> Result<PathBuf> {
        let path = scratch.join(name);
        let text = path.to_str().context("scratch path is not UTF-8")?;
        let file = File::create_new(&path)?;
        match self {
            Self::Ext4 => {
                file.set_len(64 << 20)?;
                let later = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
                let for_grub = "-O^metadata_csum_seed,^orphan_file";
                tool(
                    "mkfs.ext4",
                    &["-q", "-F", for_grub, "-b4096", "-N8192", "-Jsize=4", "-m0", "-E", later, text],
                )?;
            }
            Self::Btrfs => {
                file.set_len(256 << 20)?;
                tool("mkfs.btrfs", &["--quiet", "--nodiscard", "--metadata=single", text])?;
            }
        }
        Ok(path)
    }

    /// Mounts for the recording.
    ///
    /// ext4 by itself writes out a file that is renamed over another one. Nothing promises that and other file
    /// systems do not do it, so that a missing sync must not hide behind it.
    pub fn mount_strict(self, device: &Path, point: &Path) -> Result<Mounted> {
        match self {
            Self::Ext4 => Mounted::new(device, point, "ext4", c"errors=remount-ro,noauto_da_alloc"),
            Self::Btrfs => self.mount(device, point),
        }
    }

    /// Mounts, which recovers what a power cut left. Errors of the file system make it read-only, so that they do
    /// not pass unseen.
    pub fn mount(self, device: &Path, point: &Path) -> Result<Mounted> {
        match self {
            Self::Ext4 => Mounted::new(device, point, "ext4", c"errors=remount-ro"),
            // Several threads mount copies of the one image: the kernel then makes up another id (Linux 6.7).
            Self::Btrfs => Mounted::new(device, point, "btrfs", c""),
        }
    }
}

/// A mounted file system.
pub struct Mounted {
    point: PathBuf,
}

impl Mounted {
    fn new(device: &Path, point: &Path, kind: &str, options: &CStr) -> Result<Self> {
        // Two that mount copies of one btrfs at the same moment may both be given the id that is made up.
        let patience = Instant::now() + Duration::from_secs(5);
        let mount = || loop {
            match rustix::mount::mount(device, point, kind, MountFlags::NOATIME, options) {
                Err(rustix::io::Errno::EXIST) if Instant::now() < patience => sleep(Duration::from_millis(5)),
                result => return result,
            }
        };
        mount().with_context(|| format!("mounting the {kind} on {}", device.display()))?;
        Ok(Self { point: point.to_owned() })
    }

    pub fn unmount(self) -> Result<()> {
        let point = self.point.clone();
        let unmounted = while_busy(|| rustix::mount::unmount(&point, UnmountFlags::empty()));
        if unmounted.is_ok() {
            std::mem::forget(self);
        }
        unmounted.with_context(|| format!("unmounting {}", point.display()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if while_busy(|| rustix::mount::unmount(&self.point, UnmountFlags::empty())).is_err() {
            let _ = rustix::mount::unmount(&self.point, UnmountFlags::DETACH);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};
    use std::sync::mpsc::channel;

    use super::*;
    use crate::device::{attach, forget, with_own_mounts};

    #[test]
    fn what_is_unmounted_lives_on_in_no_other_namespace() {
        let test = "filesystem::what_is_unmounted_lives_on_in_no_other_namespace";
        let Some(_turn) = crate::turn(test, Filesystem::Ext4) else { return };
        let (mounted_sender, mounted) = channel();
        let (copied_sender, copied) = channel();
        let ours = move || {
            let scratch = Scratch::new()?;
            let image = Filesystem::Ext4.make_image(&scratch, "disk.img")?;
            let device = attach(&image, 0, fs::metadata(&image)?.len())?;
            let mounted = Filesystem::Ext4.mount(device.path(), &scratch.directory("point")?)?;
            mounted_sender.send(())?;
            copied.recv()?;
            mounted.unmount()?;
            forget(&device)
        };
        let ours = std::thread::spawn(|| with_own_mounts(ours));
        let other = mounted.recv().map(|()| {
            let mut other = Command::new("unshare");
            let other = other.args(["--mount", "sh", "-c", "echo; exec sleep 60"]).stdout(Stdio::piped());
            let mut other = other.spawn().unwrap();
            other.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            copied_sender.send(()).unwrap();
            other
        });
        let result = ours.join();
        if let Ok(mut other) = other {
            other.kill().unwrap();
            other.wait().unwrap();
        }
        result.unwrap().unwrap();
    }
}
