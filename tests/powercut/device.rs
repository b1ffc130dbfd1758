//! A block device that logs, and what is needed around it: a scratch directory and loop devices.
//!
//! ```text
//! file system on /dev/loopN -> export.img (FUSE) -> qemu-storage-daemon -> disk.img
//!                                                                      \-> log.img
//! ```
//! Every value cleans up when it is dropped, also while panicking. What a killed test run leaves behind, the next
//! one sweeps away: scratch directories carry the process id of their owner.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};

use crate::log::Log;

const DAEMON: &str = "qemu-storage-daemon";
const TOOLS: [&str; 4] = [DAEMON, "losetup", "setpriv", "timeout"];
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

/// Removes the scratch directories of test runs that are gone, with their mounts and loop devices.
fn sweep(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let owner = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(SCRATCH_PREFIX)?.split('.').next()?.parse::<u32>().ok());
        match owner {
            Some(pid) if !Path::new(&format!("/proc/{pid}")).exists() => sweep_one(&path)?,
            _ => {}
        }
    }
    Ok(())
}

fn sweep_one(scratch: &Path) -> Result<()> {
    // Asked before anything is unmounted: without its FUSE export a loop device no longer knows its file.
    let listed = tool("losetup", &["--list", "--noheadings", "--output=NAME,BACK-FILE"])?;
    let devices = listed.lines().filter_map(|line| line.split_once(' '));
    let ours = devices.filter(|(_, file)| Path::new(file.trim()).starts_with(scratch));
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let inside: Vec<_> = points.filter(|point| Path::new(point).starts_with(scratch)).collect();
    for point in inside.into_iter().rev() {
        let _ = rustix::mount::unmount(point, UnmountFlags::DETACH);
    }
    for (device, _) in ours {
        tool("losetup", &["--detach", device])?;
    }
    fs::remove_dir_all(scratch).with_context(|| format!("removing {}", scratch.display()))
}

/// A loop device over a file.
pub struct LoopDevice {
    device: PathBuf,
}

impl LoopDevice {
    /// Takes a free loop device, and waits for one if others use them all.
    pub fn attach(file: &Path) -> Result<Self> {
        let file = file.to_str().context("image path is not UTF-8")?;
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            match tool("losetup", &["--find", "--show", file]) {
                Ok(device) => return Ok(Self { device: device.trim().into() }),
                Err(error) if Instant::now() > patience => return Err(error),
                Err(_) => sleep(Duration::from_millis(200)),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.device
    }

    /// Drops what the kernel remembers of the device, buffers that a processor still holds on to included. The last
    /// one to close it does that too, but where udev or another program looks at devices, nobody knows who is last.
    pub fn forget(&self) -> Result<()> {
        /// `BLKFLSBUF` of linux/fs.h.
        const FLUSH_BUFFERS: rustix::ioctl::Opcode = 0x1261;
        let device = File::open(&self.device)?;
        #[expect(unsafe_code, reason = "rustix has no wrapper for this ioctl")]
        // SAFETY: the ioctl takes no argument.
        unsafe { rustix::ioctl::ioctl(&device, rustix::ioctl::NoArg::<FLUSH_BUFFERS>::new()) }?;
        Ok(())
    }

    /// Whether the kernel still has the file open.
    fn attached(&self) -> bool {
        let name = self.device.file_name().unwrap_or_default();
        Path::new("/sys/block").join(name).join("loop/backing_file").exists()
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = tool("losetup", &["--detach", &self.device.to_string_lossy()]);
        let patience = Instant::now() + Duration::from_secs(5);
        while self.attached() && Instant::now() < patience {
            sleep(Duration::from_millis(1));
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
        let device = LoopDevice::attach(&export)?;
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
