//! Runs a workload once, on a logged device.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::check::Workload;
use crate::device::{LoggedDevice, Scratch};
use crate::filesystem::Filesystem;
use crate::log::Log;
use crate::replay::Disk;

/// What else happens on the file system while the workload runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// Nothing.
    Quiet,
    /// Another program that appends to its own file and syncs it, all the time. Each such sync commits everybody's
    /// metadata, but nobody else's data: the order of things that a workload did not ask for comes apart.
    Busy,
}

/// The log of a workload, with where in the log each step ended.
pub struct Recording {
    pub filesystem: Filesystem,
    pub scratch: Scratch,
    pub base: PathBuf,
    pub log: Log,
    /// The length of the log when step N had reported success.
    ends: Vec<u64>,
}

impl Recording {
    /// How many steps had reported success before operation `index` was sent.
    pub fn steps_done(&self, index: usize) -> usize {
        let position = self.log.position(index);
        self.ends.iter().take_while(|&&end| end <= position).count()
    }
}

/// Runs all steps of `workload` on a fresh file system and checks that the log explains the disk, byte for byte.
pub fn record(
    workload: &mut dyn Workload,
    filesystem: Filesystem,
    neighbour: Neighbour,
) -> Result<Recording> {
    let scratch = Scratch::new()?;
    let base = filesystem.make_image(&scratch, "base.img")?;
    let disk = scratch.join("disk.img");
    // Copies only what is not a hole, from file to file.
    crate::device::tool("cp", &["--sparse=always", &base.to_string_lossy(), &disk.to_string_lossy()])?;
    let root = scratch.directory("root")?;

    let device = LoggedDevice::start(&scratch, &disk)?;
    let mounted = filesystem.mount_strict(device.path(), &root)?;
    let stop = AtomicBool::new(false);
    let ends = std::thread::scope(|scope| {
        let busy = (neighbour == Neighbour::Busy).then(|| scope.spawn(|| append_and_sync(&root, &stop)));
        let ends = run_steps(workload, &root, &device);
        stop.store(true, Ordering::Relaxed);
        if let Some(busy) = busy {
            busy.join().expect("the neighbour does not panic")?;
        }
        ends
    })?;
    mounted.unmount()?;
    let log = device.finish()?;

    Disk::create(&scratch.join("verify.img"), &base)?.verify(&log, &disk).context("checking the log")?;
    fs::remove_file(scratch.join("verify.img"))?;
    fs::remove_file(disk)?;
    Ok(Recording { filesystem, scratch, base, log, ends })
}

fn run_steps(workload: &mut dyn Workload, root: &Path, device: &LoggedDevice) -> Result<Vec<u64>> {
    let names = workload.steps();
    let mut ends = Vec::new();
    for (step, name) in names.iter().enumerate() {
        workload.prepare(step).with_context(|| format!("preparing `{name}`"))?;
        workload.run(step, root).with_context(|| format!("recording `{name}`"))?;
        ends.push(device.log_position()?);
        workload.learn(step, root).with_context(|| format!("looking at what `{name}` made"))?;
    }
    Ok(ends)
}

fn append_and_sync(root: &Path, stop: &AtomicBool) -> Result<()> {
    let mut file = File::create(root.join("neighbour"))?;
    while !stop.load(Ordering::Relaxed) {
        file.write_all(b"busy\n")?;
        file.sync_all()?;
        std::thread::sleep(Duration::from_millis(3));
    }
    Ok(())
}
