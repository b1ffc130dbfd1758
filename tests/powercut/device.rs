//! A block device that logs, and what is needed around it: mounts of our own and a scratch directory.
//!
//! ```text
//! file system on /dev/loopN -> export.img (FUSE) -> qemu-storage-daemon -> disk.img
//!                                                                      \-> log.img
//! ```
//! Every value cleans up when it is dropped, also while panicking. The kernel ends mounts, loop devices and the daemon of
//! a killed test run; its scratch directories, which carry its process id, are swept by the next run.
//!
//! The loop device over the export must not use direct I/O, and by default does not: the kernel then sends one write at a
//! time. QEMU 7.2 does not bear several: it reads the next request over the data of a write that it has not finished.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reroot::fsx::LoopDevice;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

use crate::log::Log;

const DAEMON: &str = "qemu-storage-daemon";
const TOOLS: [&str; 3] = [DAEMON, "setpriv", "timeout"];
const SCRATCH_PREFIX: &str = "reroot-powercut.";
/// Base, log, final image and the working copies of all threads.
const SCRATCH_BYTES: u64 = 1 << 30;
const CAP_SYS_ADMIN: u32 = 21;

/// Why this machine cannot log a block device, if it cannot.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".into());
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    if capabilities & (1 << CAP_SYS_ADMIN) == 0 {
        return Some("needs CAP_SYS_ADMIN to mount".into());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if let Err(error) = File::open(device) {
            return Some(format!("{device}: {error}"));
        }
    }
    if !Path::new("/dev/loop0").exists() {
        return Some("there are no loop devices".into());
    }
    if let Some(missing) = TOOLS.into_iter().find(|tool| !installed(tool)) {
        return Some(format!("{missing} is not installed"));
    }
    match tool(DAEMON, &["--help"]) {
        Ok(help) if help.contains("type=]fuse") => None,
        Ok(_) => Some(format!("{DAEMON} is built without FUSE exports")),
        Err(error) => Some(format!("{error:#}")),
    }
}

pub fn installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

/// Runs a program with a time limit and returns what it printed.
pub fn tool(program: &str, arguments: &[&str]) -> Result<String> {
    run(Command::new("timeout").args(["--signal=KILL", "60", program]).args(arguments))
}

/// Runs `command`; an exit status other than 0 is an error with the end of what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<_> = said.lines().rev().take(8).collect();
        bail!("{command:?}: {}: {}", output.status, tail.into_iter().rev().collect::<Vec<_>>().join(" / "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A directory for images, in memory if there is room.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let memory = Path::new("/dev/shm");
        let roomy = rustix::fs::statvfs(memory).is_ok_and(|fs| fs.f_bavail * fs.f_frsize >= SCRATCH_BYTES);
        let parent = if roomy { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
        sweep(parent)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("{SCRATCH_PREFIX}{}.{count}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path })
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a directory for a mount.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.join(name);
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Only images and empty mount points; a leftover is swept by the next run.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the scratch directories of test runs that are gone.
fn sweep(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let owner = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(SCRATCH_PREFIX)?.split('.').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// Works in a mount namespace of its own, which ends with the work.
///
/// Any program that makes a namespace (a container, a sandbox, another test) copies the mounts of the one that it is in.
/// A file system that is unmounted here then lives on there, and the next mount of the device does not read the disk,
/// but shows what the kernel remembers of an earlier state.
pub fn with_own_mounts<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let in_namespace = || {
        #[expect(unsafe_code, reason = "other flags than this one could do harm")]
        // SAFETY: file descriptors stay shared.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.context("making a mount namespace")?;
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", slave).context("parting from the mounts of others")?;
        work()
    };
    std::thread::scope(|scope| {
        scope.spawn(in_namespace).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Shows a part of a file as a block device.
pub fn attach(file: &Path, start: u64, length: u64) -> Result<LoopDevice> {
    let open = File::options().read(true).write(true).open(file);
    open.and_then(|open| LoopDevice::attach(&open, start, length))
        .with_context(|| format!("attaching a loop device to {}", file.display()))
}

/// Drops what the kernel remembers of a device, buffers that a processor still holds on to included. Fails where a
/// file system on it is in use: that remembers more.
pub fn forget(device: &LoopDevice) -> Result<()> {
    /// `BLKFLSBUF` of linux/fs.h.
    const FLUSH_BUFFERS: rustix::ioctl::Opcode = 0x1261;
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    let device = while_busy(|| rustix::fs::open(device.path(), flags, Mode::empty()))
        .with_context(|| format!("taking {}, which nobody may have mounted", device.path().display()))?;
    #[expect(unsafe_code, reason = "rustix has no wrapper for this ioctl")]
    // SAFETY: the ioctl takes no argument.
    unsafe { rustix::ioctl::ioctl(&device, rustix::ioctl::NoArg::<FLUSH_BUFFERS>::new()) }?;
    Ok(())
}

/// Tries again for some seconds while something is in use.
pub fn while_busy<T>(mut attempt: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        match attempt() {
            Err(rustix::io::Errno::BUSY) if Instant::now() < patience => sleep(Duration::from_millis(5)),
            result => return result,
        }
    }
}

/// A block device whose writes and flushes are logged.
pub struct LoggedDevice {
    // Dropped in this order: the loop device lets go of the export, then the daemon ends.
    device: LoopDevice,
    daemon: Daemon,
    log: PathBuf,
}

impl LoggedDevice {
    /// Shows the image `disk` as a block device.
    pub fn start(scratch: &Scratch, disk: &Path) -> Result<Self> {
        let size = fs::metadata(disk)?.len();
        let (export, log) = (scratch.join("export.img"), scratch.join("log.img"));
        File::create_new(&export)?;
        File::create_new(&log)?;
        let daemon = Daemon::start(disk, &log, &export, size)?;
        let device = attach(&export, 0, size)?;
        Ok(Self { device, daemon, log })
    }

    pub fn path(&self) -> &Path {
        self.device.path()
    }

    /// How long the log is now: what is logged from here on, was sent to the device after this call.
    pub fn log_position(&self) -> Result<u64> {
        Ok(fs::metadata(&self.log)?.len())
    }

    /// Ends the daemon and reads the log. Unmount first.
    pub fn finish(self) -> Result<Log> {
        let Self { device, daemon, log } = self;
        forget(&device)?;
        drop(device);
        daemon.finish()?;
        Log::parse(fs::read(&log).with_context(|| format!("reading {}", log.display()))?)
    }
}

/// A running qemu-storage-daemon.
struct Daemon {
    child: Child,
    export: PathBuf,
}

impl Daemon {
    fn start(disk: &Path, log: &Path, export: &Path, size: u64) -> Result<Self> {
        // The kernel ends the daemon if this process dies before it can.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", DAEMON])
            .arg("--blockdev")
            .arg(format!("driver=file,node-name=disk,filename={},discard=unmap", disk.display()))
            .arg("--blockdev")
            .arg(format!("driver=file,node-name=log,filename={}", log.display()))
            .arg("--blockdev")
            .arg("driver=blklogwrites,node-name=logged,file=disk,log=log,log-sector-size=512,discard=unmap")
            .arg("--export")
            .arg(format!("type=fuse,id=export,node-name=logged,mountpoint={},writable=on", export.display()))
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {DAEMON}"))?;
        let mut daemon = Self { child, export: export.to_owned() };
        let patience = Instant::now() + Duration::from_secs(20);
        // The export shows the size of the disk as soon as it is there.
        while fs::metadata(export)?.len() != size {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("{DAEMON} ended at its start: {status}");
            }
            ensure!(Instant::now() < patience, "{DAEMON} exports nothing");
            sleep(Duration::from_millis(5));
        }
        Ok(daemon)
    }

    /// Asks the daemon to end, which completes the log.
    fn finish(mut self) -> Result<()> {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{DAEMON}: {status}"),
                None => ensure!(Instant::now() < patience, "{DAEMON} does not end"),
            }
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After `finish` the child is gone and nothing is mounted: these then fail, and should.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = rustix::mount::unmount(&self.export, UnmountFlags::DETACH);
    }
}
