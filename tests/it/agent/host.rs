//! A machine with an agent, and programs of its own in place of those of systemd.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::day_two::machine::{Loader, Machine};

/// However slow the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Host {
    pub machine: Machine,
    agent: Option<Child>,
}

impl Host {
    /// Version 1 runs and is good; version 2 of the same tag is out. The agent does not run yet.
    pub fn outdated() -> Self {
        let machine = Machine::outdated(Loader::SystemdBoot);
        let mut this = Self { machine, agent: None };
        this.program("systemctl", "#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/called\"\n");
        this.program("busctl", "#!/bin/sh\nexit 1\n");
        this.program("loginctl", "#!/bin/sh\nexit 1\n");
        this.program("wall", "#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/wall\"\n");
        this.machine.ok(&["boot-complete"]);
        this.machine.reroot.configure("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        this.configure("[agent]\njitter = \"0\"\n");
        this
    }

    /// What the agent is told, beside what every host here is.
    pub fn configure(&self, text: &str) {
        self.machine.reroot.configure("etc/reroot/agent.d/50-test.toml", text);
    }

    /// A program that is found before the machine's.
    pub fn program(&mut self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let directory = self.machine.path().join("bin");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), text).unwrap();
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn start(&mut self) {
        assert!(self.agent.is_none(), "it runs");
        let log =
            File::options().create(true).append(true).open(self.machine.path().join("agent.log")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = self.machine.reroot.command(["agent", "run"]);
        command.env("PATH", format!("{}:{path}", self.machine.path().join("bin").display()));
        self.agent = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        self.wait("it says what it does", |status| status["running"] == true && status["agent"].is_object());
    }

    /// Ends it as systemd does, and waits for that.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.agent.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.agent.take().unwrap().wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        let agent = self.agent.as_ref().expect("it runs");
        kill_process(Pid::from_child(agent), signal).unwrap();
    }

    /// Shuts the machine down, and starts it: the boot turns out well.
    pub fn reboot(&mut self) -> u64 {
        self.stop();
        let _ = fs::remove_file(self.machine.path().join("bin/called"));
        let id = self.machine.reboot();
        self.machine.ok(&["boot-complete"]);
        id
    }

    pub fn status(&self) -> Value {
        self.machine.json(&["agent", "status"])
    }

    /// Waits until what the agent says of itself is so, and gives that.
    #[track_caller]
    pub fn wait(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if is_so(&status) {
                return status;
            }
            if let Some(ended) = self.agent.as_mut().expect("it runs").try_wait().unwrap() {
                panic!("{what}: the agent has ended: {ended}: {}", self.log());
            }
            assert!(Instant::now() < end, "{what}: {status:#}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has come to a state.
    #[track_caller]
    pub fn wait_for(&mut self, state: &str) -> Value {
        self.wait(state, |status| status["agent"]["state"] == state)
    }

    /// Waits until something keeps it from a reboot.
    #[track_caller]
    pub fn wait_blocked(&mut self, by: &str) -> Value {
        self.wait(by, |status| status["agent"]["blocker"]["by"] == by)
    }

    /// What would have restarted the machine.
    pub fn called(&self) -> String {
        fs::read_to_string(self.machine.path().join("bin/called")).unwrap_or_default()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.machine.path().join("agent.log")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}
