//! A toy updater that is right or wrong in a known way: the proof that this test finds what it looks for.
//!
//! Version N is a directory `vN` of files with known content; the symlink `current` names the version in use.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::check::Workload;

const FILES: usize = 12;

/// What the updater does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    None,
    /// The new version gets its name before its content is on disk.
    NamesBeforeContent,
    /// Success is reported before the new name is on disk.
    ReportsTooEarly,
    /// The old version is removed before the new one is in use.
    RemovesTooEarly,
    /// One sync at the end for everything: the file system chooses the order, all the more when others sync.
    SyncsOnlyAtTheEnd,
}

pub struct Updater(pub Mistake);

impl Workload for Updater {
    fn steps(&self) -> Vec<&'static str> {
        vec!["update to v0", "update to v1", "update to v2"]
    }

    fn run(&self, step: usize, root: &Path) -> Result<()> {
        let (scratch, name) = (root.join("new"), root.join(format!("v{step}")));
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        fs::create_dir(&scratch)?;
        for file in 0..FILES {
            File::create(scratch.join(file.to_string()))?.write_all(&content(step, file))?;
        }
        if !matches!(self.0, Mistake::NamesBeforeContent | Mistake::SyncsOnlyAtTheEnd) {
            rustix::fs::syncfs(File::open(root)?)?;
        }
        if !name.exists() {
            fs::rename(&scratch, &name)?;
        }
        if self.0 == Mistake::SyncsOnlyAtTheEnd {
            // The next package of a slow download.
            sleep(Duration::from_millis(20));
        } else {
            File::open(root)?.sync_all()?;
        }
        if self.0 == Mistake::RemovesTooEarly {
            self.remove_others(step, root)?;
            File::open(root)?.sync_all()?;
        }
        let link = root.join("current.new");
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(format!("v{step}"), &link)?;
        fs::rename(&link, root.join("current"))?;
        match self.0 {
            Mistake::ReportsTooEarly => return Ok(()),
            Mistake::SyncsOnlyAtTheEnd => rustix::fs::syncfs(File::open(root)?)?,
            _ => File::open(root)?.sync_all()?,
        }
        self.remove_others(step, root)
    }

    fn check(&self, root: &Path, done: usize) -> Result<()> {
        let current = match fs::read_link(root.join("current")) {
            Ok(target) => target,
            Err(error) if done == 0 && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).context("reading the link current"),
        };
        let version: usize = current.to_string_lossy().trim_start_matches('v').parse()?;
        ensure!(version + 1 >= done, "v{version} is in use, but {done} updates reported success");
        for file in 0..FILES {
            let path = root.join(&current).join(file.to_string());
            let found = fs::read(&path).with_context(|| format!("reading {file} of v{version}"))?;
            ensure!(found == content(version, file), "{file} of v{version} is not what was written");
        }
        Ok(())
    }
}

impl Updater {
    fn remove_others(&self, step: usize, root: &Path) -> Result<()> {
        for other in (0..3).filter(|&other| other != step) {
            let path = root.join(format!("v{other}"));
            if path.exists() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}

fn content(version: usize, file: usize) -> Vec<u8> {
    format!("file {file} of version {version}\n").repeat(100 + 40 * file).into_bytes()
}
