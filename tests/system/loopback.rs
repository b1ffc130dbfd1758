//! Small file systems on loop devices.

use std::fs::{self, File};
use std::path::PathBuf;

use crate::support::skip::scratch;
use crate::support::tools::{command, missing_for_root, run};

/// Why none can be made here, if so.
pub fn obstacle() -> Option<String> {
    missing_for_root(&["mkfs.ext4", "mount"])
        .or_else(|| (!std::path::Path::new("/dev/loop-control").exists()).then(|| "no loop devices".into()))
}

/// A mounted ext4 of the wanted size; unmounted and deleted when dropped.
pub struct SmallDisk {
    directory: tempfile::TempDir,
}

impl SmallDisk {
    /// `mkfs` are further arguments, such as `-N400` for few inodes.
    pub fn new(bytes: u64, mkfs: &[&str]) -> Self {
        let directory = scratch();
        let image = directory.path().join("disk.img");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        run(command("mkfs.ext4").args(["-q", "-F", "-m0"]).args(mkfs).arg(&image));
        let disk = Self { directory };
        fs::create_dir(disk.path()).unwrap();
        // The kernel lets go of a loop device of mount(8)'s making when it is unmounted.
        run(command("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()));
        disk
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// A directory beside the file system, for images.
    pub fn beside(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = command("umount").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            let _ = command("umount").arg("--lazy").arg(self.path()).status();
        }
    }
}
