//! One run, from the kernel's command line to the record of what is mounted.

use std::io;
use std::path::Path;
use std::time::Instant;

use rustix::io::Errno;
use serde::Deserialize;

use super::choose::{self, Target};
use super::mounts::{Job, RUN};
use super::observe::Found;
use super::record::{BOOTED, Booted, LIMIT};
use super::settings::{self, Etc, Root, Settings};
use super::var::Var;
use super::{Error, Failure, Result, observe, recover};
use crate::boot::cmdline::KernelArgs;
use crate::fsx::{self, Dir};

const FSTAB: &str = "fstab";
const FSTAB_LIMIT: u64 = 1 << 20;
/// No kernel takes a longer command line.
const CMDLINE_LIMIT: u64 = 64 << 10;

/// A machine with a thousand mounts in its initramfs is none.
const MOUNTINFO_LIMIT: u64 = 1 << 20;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The command line names no deployment.
    NotAsked,
    /// An earlier run did it.
    AlreadyDone(Target),
    Mounted {
        target: Target,
        millis: u64,
    },
}

/// Mounts the deployment that the kernel's command line names at `sysroot`, where the physical root is mounted.
/// `started` is when the program began.
pub fn run(sysroot: &Path, started: Instant) -> Result<Outcome, Failure> {
    let arguments = command_line()?;
    let Some(target) = choose::target(&arguments)? else { return Ok(Outcome::NotAsked) };
    let mut root = None;
    run_for(&target, &arguments, sysroot, started, &mut root).map_err(|error| {
        let deployments = root.as_ref().map_or_else(Vec::new, observe::deployments);
        Failure { error, target: Some(target), deployments }
    })
}

/// Leaves the physical root in `root` as soon as it is open, for a message.
fn run_for(
    target: &Target,
    arguments: &KernelArgs,
    sysroot: &Path,
    started: Instant,
    root: &mut Option<Dir>,
) -> Result<Outcome> {
    let run = run_directory()?;
    if let Some(path) = mounted_before(&run)? {
        return match path == target.to_string() {
            true => Ok(Outcome::AlreadyDone(target.clone())),
            false => Err(Error::Unfit {
                path: format!("{RUN}/{BOOTED}"),
                problem: "says that another deployment is mounted already",
                advice: "it is written once in each boot; restart the machine",
            }),
        };
    }
    recover::take_back(sysroot, &run)?;
    let root = root.insert(physical_root(sysroot)?);
    let settings = settings::load()?;
    let Bootable { found, var, device, inode } = look(target, &settings, arguments, root)?;
    let run_path = Path::new(RUN);
    let mounts = Job { target, settings, var, sysroot, root, found: &found, run: &run, run_path }.run()?;
    if settings.root == Root::Transient {
        let device = if rustix::fs::major(device) == 0 { source(sysroot)? } else { Some(device) };
        device.map_or(Ok(()), name_root_device)?;
    }
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Booted { mounts, millis, ..Booted::new(target, &settings, (device, inode)) }.write(&run, BOOTED)?;
    Ok(Outcome::Mounted { target: target.clone(), millis })
}

/// A deployment with all that it requires.
pub(super) struct Bootable {
    pub found: Found,
    pub var: Var,
    /// `st_dev` and `st_ino` of its directory.
    pub device: u64,
    pub inode: u64,
}

/// Looks at a deployment in the physical root; an error says what keeps it from being booted.
pub(super) fn look(
    target: &Target,
    settings: &Settings,
    arguments: &KernelArgs,
    root: &Dir,
) -> Result<Bootable> {
    let found = observe::observe(root, &choose::requirements(target, settings))?;
    let etc = match settings.etc {
        Etc::Own => format!("{target}/etc"),
        Etc::Transient => format!("{target}/usr/etc"),
    };
    let var = Var::of(arguments, &fstab(&found, &etc))?;
    choose::check(target, settings, &var, &found.observed)?;
    let path = target.to_string();
    let stat = rustix::fs::fstat(found.directory(&path)?).map_err(Error::io(format!("looking at {path}")))?;
    Ok(Bootable { found, var, device: stat.st_dev, inode: stat.st_ino })
}

/// The deployment's fstab(5). One that cannot be read stops no boot: systemd will say what is wrong with it.
fn fstab(found: &Found, etc: &str) -> Vec<u8> {
    let read = |etc| fsx::read_limited(etc, FSTAB, FSTAB_LIMIT).ok().flatten();
    found.directory(etc).ok().and_then(read).unwrap_or_default()
}

fn command_line() -> Result<KernelArgs> {
    let read = || fsx::read_limited(&fsx::open_dir(Path::new("/proc"))?, "cmdline", CMDLINE_LIMIT);
    let bytes = read().and_then(|bytes| bytes.ok_or_else(|| Errno::NOENT.into()));
    Ok(KernelArgs::of_running_kernel(&bytes.map_err(Error::io("reading /proc/cmdline"))?))
}

fn run_directory() -> Result<Dir> {
    let make = || fsx::ensure_dir(&fsx::open_dir(Path::new("/run"))?, "reroot", 0o755);
    make().map_err(Error::io(format!("making {RUN}")))
}

/// The path of the deployment that an earlier run mounted.
fn mounted_before(run: &Dir) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Path {
        path: String,
    }
    let context = || Error::io(format!("reading {RUN}/{BOOTED}"));
    let Some(bytes) = fsx::read_limited(run, BOOTED, LIMIT).map_err(context())? else {
        return Ok(None);
    };
    let Path { path } = serde_json::from_slice(&bytes).map_err(|e| context()(io::Error::from(e)))?;
    Ok(Some(path))
}

/// Opens what is mounted at `path`.
pub(super) fn physical_root(path: &Path) -> Result<Dir> {
    let shown = path.display();
    match recover::mount_point(path).map_err(Error::io(format!("opening {shown}")))? {
        Some(dir) => Ok(dir),
        None => Err(Error::Unfit {
            path: shown.to_string(),
            problem: "is not a mount point",
            advice: "the root file system was not mounted: does root= name it, and has its driver been loaded?",
        }),
    }
}

/// Tells systemd on which device the root is, which an overlay hides: its generators for partitions and growing look
/// there (`/run/systemd/volatile-root`, as systemd-volatile-root.service writes it).
fn name_root_device(device: u64) -> Result<()> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let make = || {
        let systemd = fsx::ensure_dir(&fsx::open_dir(Path::new("/run"))?, "systemd", 0o755)?;
        match rustix::fs::symlinkat(format!("/dev/block/{major}:{minor}"), &systemd, "volatile-root") {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    };
    make().map_err(Error::io::<io::Error>("making /run/systemd/volatile-root"))
}

/// The device that the physical root, now below `sysroot`, was mounted from, where its files do not tell it (btrfs).
fn source(sysroot: &Path) -> Result<Option<u64>> {
    let read = || {
        let mounts =
            fsx::read_limited(&fsx::open_dir(Path::new("/proc/self"))?, "mountinfo", MOUNTINFO_LIMIT)?;
        let mounts = String::from_utf8_lossy(&mounts.unwrap_or_default()).into_owned();
        let place = sysroot.join("sysroot");
        // proc_pid_mountinfo(5): the place is the fifth word, the source the second after a dash.
        let line = mounts.lines().find(|line| line.split(' ').nth(4).map(Path::new) == Some(&place));
        let source = line.and_then(|line| line.split_once(" - ")?.1.split(' ').nth(1));
        let Some(source) = source.filter(|source| source.starts_with("/dev/")) else { return Ok(None) };
        Ok(Some(rustix::fs::stat(source)?.st_rdev))
    };
    read().map_err(Error::io::<io::Error>("looking for the device of the root file system"))
}
