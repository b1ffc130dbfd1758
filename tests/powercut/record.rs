//! Runs a workload once, on a logged device.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::check::Workload;
use crate::cut::PowerCut;
use crate::device::{LoggedDevice, Scratch, tool};
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
    /// Steps that were done before it began.
    before: usize,
    /// The length of the log when each step had reported success.
    ends: Vec<u64>,
}

impl Recording {
    /// How many steps had reported success before operation `index` was sent.
    pub fn steps_done(&self, index: usize) -> usize {
        let position = self.log.position(index);
        self.before + self.ends.iter().take_while(|&&end| end <= position).count()
    }

    /// The power goes at `cut`, and the machine comes back: records how the interrupted step runs again.
    pub fn record_recovery(&self, workload: &dyn Workload, cut: &PowerCut) -> Result<Self> {
        let scratch = Scratch::new()?;
        let base = scratch.join("base.img");
        let mut disk = Disk::create(&scratch.join("cut.img"), &self.base)?;
        disk.cut(&self.log, cut)?;
        disk.copy(&base)?;
        drop(disk);
        let step = self.steps_done(cut.end).min(workload.steps().len() - 1);
        let (log, ends) = log_run(&scratch, &base, self.filesystem, Neighbour::Quiet, |root, device| {
            workload.reboot(root)?;
            run_step(workload, step, root, device).map(|end| vec![end])
        })?;
        Ok(Self { filesystem: self.filesystem, scratch, base, log, before: step, ends })
    }
}

/// Runs all steps of `workload` on a fresh file system.
pub fn record(
    workload: &mut dyn Workload,
    filesystem: Filesystem,
    neighbour: Neighbour,
) -> Result<Recording> {
    let scratch = Scratch::new()?;
    let base = filesystem.make_image(&scratch, "base.img")?;
    let (log, ends) = log_run(&scratch, &base, filesystem, neighbour, |root, device| {
        let mut ends = Vec::new();
        for (step, name) in workload.steps().into_iter().enumerate() {
            ends.push(run_step(workload, step, root, device)?);
            workload.learn(step, root).with_context(|| format!("looking at what `{name}` made"))?;
        }
        Ok(ends)
    })?;
    Ok(Recording { filesystem, scratch, base, log, before: 0, ends })
}

/// Runs one step and returns the length of the log when it reported success.
fn run_step(workload: &dyn Workload, step: usize, root: &Path, device: &LoggedDevice) -> Result<u64> {
    let name = workload.steps()[step];
    workload.prepare(step).with_context(|| format!("preparing `{name}`"))?;
    workload.run(step, root).with_context(|| format!("recording `{name}`"))?;
    device.log_position()
}

/// Mounts a copy of `base` on a logged device for `run`, and checks that the log explains the disk byte for byte.
fn log_run<T>(
    scratch: &Scratch,
    base: &Path,
    filesystem: Filesystem,
    neighbour: Neighbour,
    run: impl FnOnce(&Path, &LoggedDevice) -> Result<T>,
) -> Result<(Log, T)> {
    let image = scratch.join("disk.img");
    // Copies only what is not a hole.
    tool("cp", &["--sparse=always", &base.to_string_lossy(), &image.to_string_lossy()])?;
    let root = scratch.directory("root")?;

    let device = LoggedDevice::start(scratch, &image)?;
    let mounted = filesystem.mount_strict(device.path(), &root)?;
    let done = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        let _stop = SetOnDrop(&done);
        if neighbour == Neighbour::Busy {
            scope.spawn(|| append_and_sync(&root, &done).expect("appending to the neighbour's file"));
        }
        run(&root, &device)
    })?;
    mounted.unmount()?;
    let log = device.finish()?;

    Disk::create(&scratch.join("verify.img"), base)?.verify(&log, &image).context("checking the log")?;
    fs::remove_file(scratch.join("verify.img"))?;
    fs::remove_file(image)?;
    Ok((log, result))
}

/// Ends the neighbour also when the workload panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn append_and_sync(root: &Path, done: &AtomicBool) -> Result<()> {
    let mut file = File::create(root.join("neighbour"))?;
    while !done.load(Ordering::Relaxed) {
        file.write_all(b"busy\n")?;
        file.sync_all()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
