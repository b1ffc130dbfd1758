//! Small ext4 file systems of our own, in a file (losetup(8)).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::world::World;

/// A mounted file system that goes away with this value.
pub struct Disk {
    mount: PathBuf,
    temp: TempDir,
}

impl Disk {
    /// Makes and mounts one of so many MiB; `options` go to mkfs.ext4(8). An error says why that cannot be done
    /// here.
    pub fn new(mib: u64, options: &[&str]) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a file system needs root".into());
        }
        let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let image = temp.path().join("image");
        fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).args(options).arg(&image))?;
        let mount = temp.path().join("mount");
        fs::create_dir(&mount).unwrap();
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(&image).arg(&mount))?;
        Ok(Self { mount, temp })
    }

    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// A sysroot on it.
    pub fn world(&self) -> World {
        World::at(&self.mount, &self.temp.path().join("config"))
    }

    /// Bytes and inodes that are free, when everything is on disk.
    pub fn free(&self) -> (u64, u64) {
        rustix::fs::syncfs(fs::File::open(&self.mount).unwrap()).unwrap();
        let space = rustix::fs::statvfs(&self.mount).unwrap();
        (space.f_bavail * space.f_frsize, space.f_favail)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(&self.mount)) {
            crate::support::skip::say(&format!("{error}; unmounting it when nobody uses it any more"));
            let _ = run(Command::new("umount").arg("-l").arg(&self.mount));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Err(error) => Err(format!("{program}: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
