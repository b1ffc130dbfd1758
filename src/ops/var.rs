//! Filling a stateroot's `/var` from the image, once, while it is empty.
//!
//! The copy is made beside it, synced, and renamed over the empty directory: an interrupted copy never looks
//! like a filled `/var`. Where `var` is a file system of its own nothing can be renamed over it: the copy is made
//! inside, under a name that says whether it is complete, and its entries then move up one by one; a run that is
//! interrupted there is finished by the next deployment.
//!
//! A `/var` that the running system mounts ([`SeparateVar`]) is filled by the installation and by nothing else.

use std::io;

use super::space::Needed;
use super::{Error, Result, ResultExt};
use crate::crashpoint;
use crate::fsx::{self, Dir, FilesystemSync};
use crate::names::ImagePath;
use crate::repo::{CheckoutOptions, Files, Repo, Reserve, Tree};
use crate::sysroot::{SeparateVar, Stateroot, layout};

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
pub(super) fn populate(repo: &Repo, stateroot: &Stateroot, image: &Tree, reserve: Reserve) -> Result<Var> {
    if SeparateVar::read(stateroot)?.is_some() {
        return Ok(Var::Kept);
    }
    let shown = format!("{}/{}", layout::stateroot_path(&stateroot.name), layout::VAR);
    let var =
        fsx::subdir_optional(&stateroot.dir, layout::VAR).map_err(Error::io(format!("opening {shown}")))?;
    let filler = Filler { repo, parent: &stateroot.dir, image, reserve, shown: &shown };
    match var {
        None => filler.fill_by_rename(),
        Some(var) if filler.is_mount(&var)? => filler.fill_inside(&var),
        Some(var) if filler.is_empty(&var)? => filler.fill_by_rename(),
        Some(_) => Ok(Var::Kept),
    }
}

/// Copies the image's `/var` into a file system that becomes it. Durable when it returns.
pub(super) fn populate_separate(repo: &Repo, var: &Dir, image: &Tree, reserve: Reserve) -> Result<Var> {
    Filler { repo, parent: var, image, reserve, shown: "/var" }.fill_inside(var)
}

struct Filler<'a> {
    repo: &'a Repo,
    /// What holds `var`.
    parent: &'a Dir,
    image: &'a Tree,
    reserve: Reserve,
    shown: &'a str,
}

impl Filler<'_> {
    fn fill_by_rename(&self) -> Result<Var> {
        let dir = self.parent;
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
            for fsx::Listed { name, .. } in fsx::list_dir(&from)? {
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
        let top = ImagePath::new(b"var").expect("a constant in canonical form");
        let mut needed = Needed::default();
        needed.add_copied(self.image.below(&top));
        needed.check(self.shown, dir, self.reserve)?;
        let written = FilesystemSync::begin(dir).map_err(self.error("filling"))?;
        let scratch = fsx::ensure_dir(dir, name, 0o755).map_err(self.error("filling"))?;
        let options = CheckoutOptions { files: Files::Copy, ..CheckoutOptions::default() };
        let copied = self.repo.checkout(self.image.entries(), &top, &scratch, &options);
        if let Err(error) = copied {
            // A full disk must not stay full; what cannot be removed is swept later.
            let _ = fsx::remove_tree(dir, name);
            return Err(error).context(|| format!("filling {}", self.shown));
        }
        crashpoint!("var.copied").map_err(self.error("filling"))?;
        written.sync().map_err(self.error("syncing"))
    }

    /// A fresh file system has `lost+found`; an interrupted copy does not count.
    fn is_empty(&self, var: &Dir) -> Result<bool> {
        let names = fsx::list_dir(var).map_err(self.error("listing"))?;
        let counts = |name: &[u8]| name != b"lost+found" && name != INCOMPLETE.as_bytes();
        Ok(!names.iter().any(|entry| counts(&entry.name)))
    }

    fn is_mount(&self, var: &Dir) -> Result<bool> {
        let device = |dir: &Dir| rustix::fs::fstat(dir).map(|s| s.st_dev);
        let differs = device(var).and_then(|a| Ok(a != device(self.parent)?));
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

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::env::Env;
    use crate::fsx::lock::Wait;
    use crate::repo::{Meta, Mode, Mtime, Node, TreeEntry};
    use crate::sysroot::Sysroot;

    fn image() -> Tree {
        let entry = |(path, node): (&str, Node)| TreeEntry {
            path: ImagePath::new(path.as_bytes()).unwrap(),
            meta: Meta { mode: 0o755, ..own() },
            mtime: Mtime::default(),
            node,
        };
        let entries = [
            ("", Node::Directory),
            ("var", Node::Directory),
            ("var/lib", Node::Directory),
            ("var/lib/state", Node::Empty),
            ("var/log", Node::Directory),
        ];
        Tree::new(entries.map(entry).into()).unwrap()
    }

    /// Whoever runs the test.
    fn own() -> Meta {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Meta { uid, gid, ..Meta::default() }
    }

    /// Runs `test` with a stateroot whose `var` has these names, as if it were a mount point, and gives the
    /// names afterwards.
    fn after(names: &[&str]) -> (Var, Vec<String>) {
        let temp = tempfile::tempdir().unwrap();
        let env = Env::fixed(temp.path(), std::time::SystemTime::UNIX_EPOCH);
        let sysroot = Sysroot::init(temp.path(), Mode::BareUser, &env).unwrap();
        let locked = sysroot.lock(Wait::No).unwrap();
        let stateroot = locked.ensure_stateroot(&"default".parse().unwrap()).unwrap();
        let var = fsx::ensure_dir(&stateroot.dir, "var", 0o755).unwrap();
        let image = image();
        let filler = Filler {
            repo: sysroot.repo(),
            parent: &stateroot.dir,
            image: &image,
            reserve: Reserve { percent: 0 },
            shown: "var",
        };
        for name in names {
            match *name {
                // What a complete copy leaves when the run ends in the middle of moving.
                COMPLETE => {
                    filler.copy(&var, COMPLETE).unwrap();
                    rename_bytes(&fsx::open_subdir(&var, COMPLETE).unwrap(), &var, b"lib").unwrap();
                }
                name => drop(fsx::ensure_dir(&var, name, 0o755).unwrap()),
            }
        }
        let outcome = filler.fill_inside(&var).unwrap();
        let names = fsx::list_dir(&var)
            .unwrap()
            .into_iter()
            .map(|entry| std::ffi::OsStr::from_bytes(&entry.name).to_string_lossy().into_owned());
        (outcome, names.collect())
    }

    #[test]
    fn a_var_that_is_a_mount_point_is_filled_inside() {
        let (outcome, names) = after(&["lost+found"]);
        assert_eq!((outcome, names.join(" ").as_str()), (Var::Filled, "lib log lost+found"));
    }

    #[test]
    fn an_interrupted_filling_is_finished() {
        assert_eq!(after(&[COMPLETE]).1, ["lib", "log"]);
        assert_eq!(after(&[INCOMPLETE]).1, ["lib", "log"]);
    }

    #[test]
    fn what_is_there_stays_alone() {
        assert_eq!(after(&["mine"]), (Var::Kept, vec!["mine".to_string()]));
    }
}
