//! Filling a stateroot's `/var` from the image, once, while it is empty.
//!
//! The copy is made beside it, synced, and renamed over the empty directory: an interrupted copy never looks
//! like a filled `/var`. Where `var` is a file system of its own nothing can be renamed over it: the copy is made
//! inside, under a name that says whether it is complete, and its entries then move up one by one; a run that is
//! interrupted there is finished by the next deployment.

use std::io;

use super::{Error, Result};
use crate::crashpoint;
use crate::fsx::{self, Dir};
use crate::names::ImagePath;
use crate::repo::{CheckoutOptions, Files, Repo, Tree};
use crate::sysroot::{Stateroot, layout};

/// Inside a `var` that is a mount point: the copy while it is made.
const INCOMPLETE: &str = ".reroot-var.tmp";
/// Inside a `var` that is a mount point: the complete copy while its entries move up.
const COMPLETE: &str = ".reroot-var";

/// Whether `/var` was filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Var {
    Filled,
    /// It had content, which is left alone.
    Kept,
}

/// Copies the image's `/var` into the stateroot's when that is missing or empty. Durable when it returns.
pub(super) fn populate(repo: &Repo, stateroot: &Stateroot, image: &Tree) -> Result<Var> {
    let shown = format!("{}/{}", layout::stateroot_path(&stateroot.name), layout::VAR);
    let var =
        fsx::subdir_optional(&stateroot.dir, layout::VAR).map_err(Error::io(format!("opening {shown}")))?;
    let filler = Filler { repo, stateroot, image, shown: &shown };
    match var {
        None => filler.fill_by_rename(),
        Some(var) if filler.is_mount(&var)? => filler.fill_inside(&var),
        Some(var) if filler.is_empty(&var)? => filler.fill_by_rename(),
        Some(_) => Ok(Var::Kept),
    }
}

struct Filler<'a> {
    repo: &'a Repo,
    stateroot: &'a Stateroot,
    image: &'a Tree,
    shown: &'a str,
}

impl Filler<'_> {
    fn fill_by_rename(&self) -> Result<Var> {
        let dir = &self.stateroot.dir;
        self.copy(dir, layout::VAR_SCRATCH)?;
        crashpoint!("var.synced").map_err(self.error("filling"))?;
        match fsx::rename(dir, layout::VAR_SCRATCH, dir, layout::VAR) {
            Ok(()) => {}
            // Somebody who knows of no lock put something into it: theirs wins.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                fsx::remove_tree(dir, layout::VAR_SCRATCH).map_err(self.error("sweeping beside"))?;
                return Ok(Var::Kept);
            }
            Err(error) => return Err(self.error("filling")(error)),
        }
        fsx::sync_dir(dir).map_err(self.error("syncing"))?;
        crashpoint!("var.renamed").map_err(self.error("filling"))?;
        Ok(Var::Filled)
    }

    fn fill_inside(&self, var: &Dir) -> Result<Var> {
        let complete = fsx::subdir_optional(var, COMPLETE).map_err(self.error("opening"))?.is_some();
        if !complete {
            if !self.is_empty(var)? {
                return Ok(Var::Kept);
            }
            self.copy(var, INCOMPLETE)?;
            fsx::rename(var, INCOMPLETE, var, COMPLETE).map_err(self.error("filling"))?;
            fsx::sync_dir(var).map_err(self.error("syncing"))?;
        }
        crashpoint!("var.complete").map_err(self.error("filling"))?;
        let move_up = || {
            let from = fsx::open_subdir(var, COMPLETE)?;
            for (name, _) in fsx::list_dir(&from)? {
                // A name that is taken was moved before, or is newer than the image.
                rename_bytes(&from, var, &name)?;
                crashpoint!("var.moved")?;
            }
            fsx::sync_dir(var)?;
            fsx::remove_tree(var, COMPLETE)?;
            fsx::sync_dir(var)
        };
        move_up().map_err(self.error("filling"))?;
        Ok(Var::Filled)
    }

    /// Makes a synced copy of the image's `/var` as `name` in `dir`.
    fn copy(&self, dir: &Dir, name: &str) -> Result<()> {
        fsx::remove_tree(dir, name).map_err(self.error("sweeping beside"))?;
        let scratch = fsx::ensure_dir(dir, name, 0o755).map_err(self.error("filling"))?;
        let top = ImagePath::new(b"var").expect("a constant in canonical form");
        let options = CheckoutOptions { files: Files::Copy, ..CheckoutOptions::default() };
        self.repo.checkout(self.image.entries(), &top, &scratch, &options)?;
        crashpoint!("var.copied").map_err(self.error("filling"))?;
        fsx::sync_filesystem(dir).map_err(self.error("syncing"))
    }

    /// A fresh file system has `lost+found`; an interrupted copy does not count.
    fn is_empty(&self, var: &Dir) -> Result<bool> {
        let names = fsx::list_dir(var).map_err(self.error("listing"))?;
        let counts = |name: &[u8]| name != b"lost+found" && name != INCOMPLETE.as_bytes();
        Ok(!names.iter().any(|(name, _)| counts(name)))
    }

    fn is_mount(&self, var: &Dir) -> Result<bool> {
        let device = |dir: &Dir| rustix::fs::fstat(dir).map(|s| s.st_dev);
        let differs = device(var).and_then(|a| Ok(a != device(&self.stateroot.dir)?));
        differs.map_err(|e| self.error("looking at")(e.into()))
    }

    fn error(&self, step: &str) -> impl FnOnce(io::Error) -> Error {
        Error::io(format!("{step} {}", self.shown))
    }
}

fn rename_bytes(from: &Dir, to: &Dir, name: &[u8]) -> io::Result<()> {
    use rustix::fs::RenameFlags;
    use rustix::io::Errno;
    match rustix::fs::renameat_with(from, name, to, name, RenameFlags::NOREPLACE) {
        Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
