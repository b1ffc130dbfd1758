//! Opening and making a sysroot.

use std::path::{Path, PathBuf};

use super::{Error, LockedSysroot, Observed, Result, layout, observe};
use crate::env::Env;
use crate::fsx::lock::{LockError, LockFile, SharedGuard, Wait};
use crate::fsx::{self, Dir};
use crate::repo::{self, Repo};

/// A managed physical root. Reads need no lock: every file is replaced in one step.
#[derive(Debug)]
pub struct Sysroot {
    path: PathBuf,
    root: Dir,
    reroot: Dir,
    deploy: Dir,
    repo: Repo,
    /// `/run/reroot` of the system that runs from this sysroot.
    run: Option<Dir>,
    /// The root directory of what is running.
    running_root: PathBuf,
}

impl Sysroot {
    /// Opens the sysroot in `path`. `/` means the physical root below `/sysroot` when the running system was
    /// booted from a deployment.
    pub fn open(path: &Path, env: &Env) -> Result<Self> {
        let path = physical_root(path, env);
        let shown = path.display();
        let root = fsx::open_dir(&path).map_err(Error::io(format!("opening sysroot {shown}")))?;
        // A running system has it mounted read-only. Who may not change that may not write either.
        let is_booted = path == env.config_root.join(layout::BOOTED_SYSROOT);
        let root = if is_booted && env.privileged { fsx::writable(&root).unwrap_or(root) } else { root };
        let not_a_sysroot = || Error::NotASysroot { path: shown.to_string() };
        let open = |dir: &Dir, name: &str| {
            fsx::subdir_optional(dir, name).map_err(Error::io(format!("opening {name} in sysroot {shown}")))
        };
        let reroot = open(&root, layout::REROOT)?.ok_or_else(not_a_sysroot)?;
        let deploy = open(&reroot, layout::DEPLOY)?.ok_or_else(not_a_sysroot)?;
        let repo = match Repo::open(&reroot) {
            Err(repo::Error::NotFound { .. }) => return Err(not_a_sysroot()),
            other => other?,
        };
        let run = run_directory(&reroot, env)?;
        Ok(Self { path, root, reroot, deploy, repo, run, running_root: env.config_root.clone() })
    }

    /// Makes a sysroot in the existing directory `path`; completes one that is half made. Durable when it
    /// returns.
    pub fn init(path: &Path, mode: repo::Mode, env: &Env) -> Result<Self> {
        let path = physical_root(path, env);
        let shown = path.display();
        let root = fsx::open_dir(&path).map_err(Error::io(format!("opening {shown}")))?;
        let make = || {
            let reroot = fsx::ensure_dir(&root, layout::REROOT, 0o700)?;
            fsx::ensure_dir(&reroot, layout::DEPLOY, 0o755)?;
            fsx::sync_dir(&reroot)?;
            fsx::sync_dir(&root)?;
            Ok(reroot)
        };
        let reroot = make().map_err(Error::io(format!("making {shown}/{}", layout::REROOT)))?;
        Repo::init(&reroot, mode)?;
        Self::open(&path, env)
    }

    /// The physical root as it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The physical root; writable in the running system as well.
    pub fn root(&self) -> &Dir {
        &self.root
    }

    /// The `/reroot` directory.
    pub fn reroot(&self) -> &Dir {
        &self.reroot
    }

    /// The directory of the stateroots.
    pub fn deploy(&self) -> &Dir {
        &self.deploy
    }

    /// `/run/reroot`, when the running system was booted from this sysroot.
    pub fn run(&self) -> Option<&Dir> {
        self.run.as_ref()
    }

    /// The root directory of the system that runs from this sysroot.
    pub fn running_root(&self) -> Option<&Path> {
        self.run.as_ref().map(|_| &*self.running_root)
    }

    /// Keeps gc and everything else that removes or renames things away; several may hold it.
    pub fn shared(&self, wait: Wait) -> Result<SharedGuard> {
        self.lock_file()?.shared(wait).map_err(|e| self.lock_error(e))
    }

    /// As [`Self::shared`], for bringing objects in. What a killed process left is removed first, when nobody else
    /// is at work: it may be what a full disk is full of.
    pub fn shared_for_fetching(&self, wait: Wait) -> Result<SharedGuard> {
        match self.lock(Wait::No) {
            Ok(locked) => drop(locked),
            Err(Error::Busy { .. }) => {}
            Err(error) => return Err(error),
        }
        self.shared(wait)
    }

    /// Takes the lock that changing anything needs, and sweeps what a killed process left behind.
    pub fn lock(&self, wait: Wait) -> Result<LockedSysroot<'_>> {
        let locked = self.lock_unchanged(wait)?;
        locked.sweep()?;
        Ok(locked)
    }

    /// Takes the same lock without sweeping: for dry runs, which change nothing.
    pub fn lock_unchanged(&self, wait: Wait) -> Result<LockedSysroot<'_>> {
        let guard = self.lock_file()?.exclusive(wait).map_err(|e| self.lock_error(e))?;
        Ok(LockedSysroot::new(self, guard))
    }

    /// Reads everything there is to know before deciding something. Damaged files are part of the result.
    pub fn observe(&self) -> Result<Observed> {
        observe::observe(self)
    }

    fn lock_file(&self) -> Result<LockFile> {
        let context = format!("opening the lock of sysroot {}", self.path.display());
        LockFile::open(&self.reroot, layout::LOCK).map_err(Error::io(context))
    }

    fn lock_error(&self, error: LockError) -> Error {
        match error {
            LockError::Io(source) => {
                Error::Io { context: format!("locking sysroot {}", self.path.display()), source }
            }
            holders => Error::Busy { sysroot: format!("sysroot {}", self.path.display()), holders },
        }
    }
}

/// Where the physical root is when people say `path`.
fn physical_root(path: &Path, env: &Env) -> PathBuf {
    let booted = env.config_root.join(layout::RUN).join(layout::BOOTED);
    if path == Path::new("/") && rustix::fs::access(&booted, rustix::fs::Access::EXISTS).is_ok() {
        return env.config_root.join(layout::BOOTED_SYSROOT);
    }
    path.into()
}

/// `/run/reroot` says what is booted from `/sysroot`; it says nothing about another disk.
fn run_directory(reroot: &Dir, env: &Env) -> Result<Option<Dir>> {
    let inode = |dir: &Dir| rustix::fs::fstat(dir).map(|s| (s.st_dev, s.st_ino));
    let context = || Error::io("comparing the sysroot with the one that was booted");
    let running = match fsx::open_dir(&env.config_root.join(layout::BOOTED_SYSROOT).join(layout::REROOT)) {
        Ok(dir) => dir,
        Err(_) => return Ok(None),
    };
    let same = inode(&running).and_then(|a| Ok(a == inode(reroot)?));
    if !same.map_err(|e| context()(e.into()))? {
        return Ok(None);
    }
    match fsx::open_dir(&env.config_root.join(layout::RUN)) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("opening /{}", layout::RUN))(error)),
    }
}
