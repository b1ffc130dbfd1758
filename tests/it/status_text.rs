//! What `status` says at night: a machine in each of its states, played on a directory, 80 columns wide.

use std::fs;
use std::path::PathBuf;

use insta::{assert_snapshot, with_settings};

use super::cli_text::Sandbox;

/// A sandbox whose sysroot is the one that was booted.
struct Machine(Sandbox);

impl Machine {
    /// Release 1 runs, and release 2 is out.
    fn new() -> Self {
        let machine = Self(Sandbox::new());
        machine.run("init");
        machine.0.release("v1");
        machine.run("deploy oci:os:stable");
        std::os::unix::fs::symlink("../root", machine.0.path().join("config/sysroot")).unwrap();
        machine.boot(1);
        machine.0.release("v2");
        machine
    }

    fn run(&self, line: &str) -> String {
        self.0.run(&format!("{line} --quiet"))
    }

    /// Makes it look as if a deployment came up.
    fn boot(&self, id: u64) {
        let run = self.0.path().join("config/run");
        let _ = fs::remove_dir_all(&run);
        fs::create_dir_all(run.join("reroot")).unwrap();
        let booted = format!(r#"{{"version":1,"stateroot":"default","id":{id}}}"#);
        fs::write(run.join("reroot/booted.json"), booted).unwrap();
    }

    fn deployment(&self, path: &str) -> PathBuf {
        self.0.path().join("root/reroot/deploy/default/deploy").join(path)
    }

    /// Gives it a boot loader that has `left` tries for deployment 2, which is the first; 1 is good.
    fn count_boots(&self, left: u32) {
        for (id, health) in [(1, "good"), (2, "untried")] {
            let file = self.deployment(&format!("{id}.json"));
            let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            record["tries"] = 3.into();
            record["health"] = serde_json::json!({ "state": health });
            fs::write(file, record.to_string()).unwrap();
        }
        let entries = self.0.path().join("root/boot/loader/entries");
        fs::create_dir_all(&entries).unwrap();
        fs::write(self.0.path().join("root/reroot/boot.json"), r#"{"version":1,"loader":"systemd-boot"}"#)
            .unwrap();
        std::os::unix::fs::symlink("../root/boot", self.0.path().join("config/boot")).unwrap();
        self.run("pin 1");
        self.run("unpin 1");
        self.run("finalize-staged");
        let counted = format!("reroot-0000000002+{left}-{}.conf", 3 - left);
        fs::rename(entries.join("reroot-0000000002+3.conf"), entries.join(counted)).unwrap();
    }
}

/// Compares with what time and the machine change taken out; no line is too long.
macro_rules! assert_told {
    ($text:expr, @$expected:literal) => {{
        let text: String = $text;
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(long, [""; 0]);
        with_settings!({ filters => [
            (r"built [^)\n]* ago", "built AGO"),
            (r"(?m)(Deployed: ).*$", "${1}WHEN"),
            (r"\d+ min ago|just now", "WHEN"),
            (r"\d+ min|\d+ h", "SOME TIME"),
            (r"[0-9.]+ [KMGT]iB of [0-9.]+ [KMGT]iB free", "SOME OF MUCH free"),
            (r"sha256:[0-9a-f]{12,64}", "sha256:DIGEST"),
        ]}, { assert_snapshot!(text, @$expected) })
    }};
}

#[test]
fn an_upgrade_from_staging_to_the_reboot_and_back() {
    let machine = Machine::new();
    fs::write(machine.deployment("1/etc/hostname"), "night\n").unwrap();
    machine.run("upgrade");
    assert_told!(machine.run("status --pending-exit-77"), @"");
    machine.run("finalize-staged --lock");
    assert_told!(machine.run("status --pending-exit-77"), @"");
    machine.run("finalize-staged --unlock");
    machine.run("finalize-staged");
    machine.boot(2);
    machine.run("rollback");
    assert_told!(machine.run("status"), @"");
}

#[test]
fn a_power_cut_and_a_shutdown_that_failed() {
    let machine = Machine::new();
    machine.run("upgrade");
    machine.boot(1);
    assert_told!(machine.run("status"), @"");
    machine.run("upgrade");
    fs::remove_dir_all(machine.deployment("3/usr")).unwrap();
    machine.run("finalize-staged");
    machine.boot(1);
    assert_told!(machine.run("status"), @"");
}

#[test]
fn a_trial_and_its_end() {
    let machine = Machine::new();
    machine.run("upgrade");
    machine.run("finalize-staged");
    machine.boot(2);
    machine.count_boots(2);
    assert_told!(machine.run("status"), @"");
    let entries = machine.0.path().join("root/boot/loader/entries");
    let (now, then) = ("reroot-0000000002+2-1.conf", "reroot-0000000002+0-3.conf");
    fs::rename(entries.join(now), entries.join(then)).unwrap();
    machine.boot(1);
    machine.run("boot-complete");
    assert_told!(machine.run("status"), @"");
    assert_told!(machine.run("upgrade --check"), @"");
}

#[test]
fn everything_is_in_the_long_form() {
    let machine = Machine::new();
    fs::write(machine.deployment("1/etc/hostname"), "night\n").unwrap();
    fs::write(machine.deployment("1/etc/motd"), "mine\n").unwrap();
    machine.run("upgrade");
    machine.run("finalize-staged");
    machine.boot(2);
    assert_told!(machine.run("status -v"), @"");
}
