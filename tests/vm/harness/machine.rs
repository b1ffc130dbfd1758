//! A virtual machine: started, waited for, asked, and ended by its own process id whatever happens.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::channel::{Channel, Ran};
use super::console::Console;
use crate::support::skip::{scratch, target};
use crate::support::tools::command;

/// For a whole boot. Without KVM an idle machine needs 30 seconds, one that builds at the same time two minutes.
const BOOT: Duration = Duration::from_secs(400);
/// For a script, unless the test says otherwise.
const RUN: Duration = Duration::from_secs(120);
/// For a shutdown: systemd itself gives each service 90 seconds.
const SHUTDOWN: Duration = Duration::from_secs(200);
/// The disk for files on their way in or out, here and (virtio-…) there; and how much it can hold. It is sparse.
const IN_TRANSIT: &str = "in-transit";
const TRANSIT_SIZE: u64 = 4 << 30;
/// QEMU's end of the channel.
const SOCKET: &str = "channel";
/// What the console says when nobody will ever log in.
const LOST: [&str; 5] = [
    "Kernel panic",
    "You are in emergency mode",
    "Entering emergency mode",
    "(initramfs)",
    "No bootable device",
];

/// How the machine comes to its kernel.
#[derive(Debug, Clone)]
pub enum Boot {
    /// QEMU puts kernel and initramfs into memory.
    Direct { kernel: PathBuf, initrd: PathBuf, arguments: String },
    /// UEFI firmware (OVMF), with its variables in this file, which is made when it is missing.
    Uefi { variables: PathBuf },
    /// SeaBIOS.
    Bios,
}

/// What a machine is made of. Its disks outlive it, so that another can be started from them.
#[derive(Debug, Clone)]
pub struct Spec {
    /// For messages and for the name of the copy of the console.
    pub name: String,
    pub boot: Boot,
    /// Raw images; the first is /dev/vda.
    pub disks: Vec<PathBuf>,
    /// An interface with QEMU's own network behind it: 127.0.0.1 of this machine is 10.0.2.2 there.
    pub network: bool,
}

/// A running machine.
#[derive(Debug)]
pub struct Vm {
    pub spec: Spec,
    process: Child,
    console: Console,
    channel: Channel,
    /// Of the boot that we talk to.
    boot_id: Option<String>,
    /// Where on the console the last reboot was asked for.
    since: usize,
    /// Files of this run only: the socket, the disk for files in transit.
    directory: tempfile::TempDir,
    _slot: Slot,
}

impl Vm {
    /// Switches a machine on.
    pub fn start(spec: &Spec) -> Self {
        let slot = Slot::take();
        let directory = scratch();
        File::create(directory.path().join(IN_TRANSIT)).unwrap().set_len(TRANSIT_SIZE).unwrap();

        // Should this process be killed, the machine is as well.
        let mut qemu = command("setpriv");
        qemu.args(["--pdeathsig", "KILL", "--"]);
        qemu.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/qemu.sh"));
        match &spec.boot {
            Boot::Direct { kernel, initrd, arguments } => {
                qemu.arg("--kernel").arg(kernel).arg("--initrd").arg(initrd).args(["--append", arguments])
            }
            Boot::Uefi { variables } => qemu.arg("--uefi").arg(variables),
            Boot::Bios => qemu.arg("--bios"),
        };
        for disk in &spec.disks {
            qemu.arg("--disk").arg(disk);
        }
        qemu.args(["--disk", &format!("{IN_TRANSIT}={IN_TRANSIT}")]);
        if spec.network {
            qemu.arg("--network");
        }
        qemu.arg("--");
        qemu.args(["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        qemu.args(["-chardev", &format!("socket,id=channel,path={SOCKET},server=on,wait=off")]);
        qemu.args(["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=channel"]);
        for (name, content) in credentials() {
            let content = STANDARD.encode(content);
            qemu.args(["-smbios", &format!("type=11,value=io.systemd.credential.binary:{name}={content}")]);
        }
        let mut process = qemu
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("starting {}: {error}", spec.name));
        let logs = target().join("vm");
        fs::create_dir_all(&logs).unwrap();
        let copy = logs.join(format!("{}.console", spec.name));
        let console = Console::new(process.stdin.take().unwrap(), process.stdout.take().unwrap(), &copy);
        let channel = Channel::new(connect(directory.path(), &mut process));
        Self {
            spec: spec.clone(),
            process,
            console,
            channel,
            boot_id: None,
            since: 0,
            directory,
            _slot: slot,
        }
    }

    /// Waits until the machine offers a login and can be asked.
    pub fn wait_for_login(&mut self) {
        let end = Instant::now() + BOOT;
        while Instant::now() < end {
            // The answer of a boot that is going down does not count.
            if let Some(boot_id) = self.channel.hello(Duration::from_secs(2))
                && self.boot_id.as_ref() != Some(&boot_id)
            {
                self.boot_id = Some(boot_id);
                return self.wait_for_console("login: ");
            }
            self.check_alive();
        }
        self.fail(&format!("no login within {} s", BOOT.as_secs()));
    }

    /// Waits until the console has said the text, since the start or the last reboot.
    pub fn wait_for_console(&mut self, text: &str) {
        self.wait_for_console_times(text, 1);
    }

    /// Waits until it has said the text so often: a machine that restarts by itself says it again.
    pub fn wait_for_console_times(&mut self, text: &str, times: usize) {
        let end = Instant::now() + BOOT;
        while Instant::now() < end {
            if self.console.text_since(self.since).matches(text).count() >= times {
                return;
            }
            self.check_running();
            std::thread::sleep(Duration::from_millis(200));
        }
        self.fail(&format!("the console does not say {text:?} ({times} times)"));
    }

    /// All that the console has said.
    pub fn console(&self) -> String {
        self.console.text()
    }

    /// Types on the console.
    pub fn type_text(&mut self, text: &str) {
        self.console.type_text(text);
    }

    /// Runs a script with `sh`, as root.
    pub fn run(&mut self, script: &str) -> Ran {
        self.run_within(RUN, script)
    }

    pub fn run_within(&mut self, limit: Duration, script: &str) -> Ran {
        match self.channel.run(script, limit) {
            Ok(ran) => ran,
            Err(problem) => self.fail(&format!("{problem} to {script:?}")),
        }
    }

    /// Runs a script that must succeed, and returns what it printed.
    #[track_caller]
    pub fn ok(&mut self, script: &str) -> String {
        let ran = self.run(script);
        assert_eq!(ran.code, 0, "{script}: {}", ran.output);
        ran.output.trim_end().to_owned()
    }

    /// Copies a file or directory into a directory of the machine, under its own name.
    pub fn copy_in(&mut self, from: &Path, to: &str) {
        let disk = File::options().write(true).open(self.transit()).unwrap();
        let mut archive = tar::Builder::new(&disk);
        archive.follow_symlinks(false);
        let name = from.file_name().expect("it has a name");
        match from.is_dir() {
            true => archive.append_dir_all(name, from).unwrap(),
            false => archive.append_path_with_name(from, name).unwrap(),
        }
        archive.finish().unwrap();
        drop(archive);
        disk.sync_all().unwrap();
        // Not from the machine's cache, which has what was there before.
        let dd = "dd if=/dev/disk/by-id/virtio-in-transit iflag=direct bs=1M status=none";
        self.ok(&format!("mkdir -p '{to}' && {dd} | tar -x -C '{to}'"));
    }

    /// Copies a file or directory of the machine into a directory here, under its own name.
    pub fn copy_out(&mut self, from: &str, to: &Path) {
        let (parent, name) = from.rsplit_once('/').expect("an absolute path");
        let dd = "dd of=/dev/disk/by-id/virtio-in-transit oflag=direct iflag=fullblock conv=sync bs=1M status=none";
        self.ok(&format!("tar -c -C '{parent}/' '{name}' | {dd}"));
        let disk = File::open(self.transit()).unwrap();
        tar::Archive::new(disk).unpack(to).unwrap();
    }

    fn transit(&self) -> PathBuf {
        self.directory.path().join(IN_TRANSIT)
    }

    /// Reboots as a person would, and waits for the login.
    pub fn reboot(&mut self) {
        self.since = self.console.position();
        self.ok(&in_a_moment("systemctl reboot"));
        self.wait_for_login();
    }

    /// Runs a command that reboots the machine, and waits for the login.
    pub fn reboot_with(&mut self, command: &str) {
        self.since = self.console.position();
        self.ok(&in_a_moment(command));
        self.wait_for_login();
    }

    /// Reboots, and waits for a boot in which the script succeeds, however many others come before it.
    pub fn reboot_until(&mut self, script: &str) {
        self.restart_until("systemctl reboot", script);
    }

    /// Runs a command that reboots the machine, and waits for a boot in which the script succeeds, however many others come
    /// before it.
    pub fn restart_until(&mut self, command: &str, script: &str) {
        self.since = self.console.position();
        self.ok(&in_a_moment(command));
        self.wait_for_boot(script);
    }

    /// Waits for another boot than the last that was seen, in which the script succeeds.
    pub fn wait_for_boot(&mut self, script: &str) {
        let end = Instant::now() + 2 * BOOT;
        while Instant::now() < end {
            if let Some(boot_id) = self.channel.hello(Duration::from_secs(2))
                && self.boot_id.as_ref() != Some(&boot_id)
                // One that goes down again may give no answer.
                && self.channel.run(script, Duration::from_secs(20)).is_ok_and(|ran| ran.code == 0)
            {
                self.boot_id = Some(boot_id);
                return;
            }
            self.check_running();
        }
        self.fail(&format!("no boot in which {script:?} succeeds within {} s", 2 * BOOT.as_secs()));
    }

    /// Runs a command that restarts all but the kernel, and waits for a system in which the script succeeds. The boot's id
    /// is the same.
    pub fn soft_reboot(&mut self, command: &str, script: &str) {
        self.since = self.console.position();
        self.ok(&in_a_moment(command));
        let end = Instant::now() + BOOT;
        while Instant::now() < end {
            if self.channel.hello(Duration::from_secs(2)).is_some()
                && self.channel.run(script, Duration::from_secs(20)).is_ok_and(|ran| ran.code == 0)
            {
                return;
            }
            self.check_alive();
        }
        self.fail(&format!("{script:?} does not succeed within {} s", BOOT.as_secs()));
    }

    /// What the console has said since the last reboot was asked for.
    pub fn console_since_reboot(&self) -> String {
        self.console.text_since(self.since)
    }

    /// Shuts down as a person would, and waits until the machine is off.
    pub fn power_off(mut self) {
        self.ok(&in_a_moment("systemctl poweroff"));
        let end = Instant::now() + SHUTDOWN;
        while Instant::now() < end {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{}: QEMU ended with {status}", self.spec.name);
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.fail(&format!("not off after {} s", SHUTDOWN.as_secs()));
    }

    /// Ends the machine between two instructions. What it had not yet given to its disk is lost.
    pub fn cut_power(mut self) {
        self.end();
    }

    /// Stops waiting when there is nothing to wait for.
    fn check_alive(&mut self) {
        self.check_running();
        let text = self.console.text_since(self.since);
        if let Some(sign) = LOST.iter().find(|sign| text.contains(*sign)) {
            // What comes after it says why.
            std::thread::sleep(Duration::from_secs(3));
            self.fail(&format!("the machine is lost: {sign:?}"));
        }
    }

    fn check_running(&mut self) {
        if let Some(status) = self.process.try_wait().unwrap() {
            self.fail(&format!("QEMU ended with {status}"));
        }
    }

    /// The end of the console is printed when this is dropped.
    fn fail(&self, problem: &str) -> ! {
        panic!("{}: {problem}", self.spec.name);
    }

    fn end(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (name, tail) = (&self.spec.name, self.console.tail());
            eprintln!(
                "---- end of the console of {name}\n{tail}\n---- (all of it is in target/vm/{name}.console)"
            );
        }
        self.end();
    }
}

/// The script ends, and its answer is on the way, before the command takes the machine down.
fn in_a_moment(command: &str) -> String {
    format!("(sleep 1; {command}) > /dev/null 2>&1 &")
}

/// Connects to QEMU's end of the channel as soon as it is there.
fn connect(directory: &Path, process: &mut Child) -> UnixStream {
    // The path of a socket has a hundred bytes at most, the way through a descriptor is always short.
    let directory = File::open(directory).unwrap();
    let socket = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => return stream,
            Err(error) => {
                let ended = process.try_wait().unwrap();
                if ended.is_some() || Instant::now() > end {
                    // Nobody else would end it.
                    let _ = process.kill();
                    let _ = process.wait();
                    panic!("QEMU does not open its socket: {error}, {ended:?}");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// What the virtual firmware tells systemd (257 has these names; systemd.system-credentials(7)): to run our agent on
/// the second serial line. The image needs nothing for it, and its login prompt on the first line is its own.
fn credentials() -> [(&'static str, String); 2] {
    let agent = STANDARD.encode(include_str!("agent.sh"));
    let shell = format!(
        "[Service]\nType=exec\nStandardInput=tty\nStandardOutput=tty\nStandardError=journal\nExecStart=\n\
         ExecStart=/bin/sh -c 'echo {agent} | base64 -d > /run/vm-agent.sh; exec sh /run/vm-agent.sh'\n"
    );
    let wanted = "[Unit]\nWants=serial-getty@hvc0.service\n".to_owned();
    [("systemd.unit-dropin.serial-getty@hvc0.service", shell), ("systemd.unit-dropin.getty.target", wanted)]
}

/// One of the machines that run at the same time: as many as there are processors, but two, for a scenario with two of
/// them, and four at most.
#[derive(Debug)]
struct Slot;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

impl Slot {
    fn take() -> Self {
        let slots = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4));
        let mut taken = FREED.wait_while(TAKEN.lock().unwrap(), |taken| *taken >= slots).unwrap();
        *taken += 1;
        Self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap() -= 1;
        FREED.notify_one();
    }
}
