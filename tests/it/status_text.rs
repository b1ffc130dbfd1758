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
            (r"built [^(\n]* ago", "built AGO"),
            (r"\d+ months ago", "MONTHS"),
            (r"(?m)(Deployed: ).*$", "${1}WHEN"),
            (r"\d+ min ago|just now", "WHEN"),
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
    assert_told!(machine.run("status --pending-exit-77"), @"
    ▸ 2: oci:/srv/os:stable  (staged)
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN

    ● 1: oci:/srv/os:stable  (booted, default)
        Version: 1 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN

        Running: 1, version 1
      Next boot: 2, version 2 (staged, finalized at the shutdown)
       Its /etc: 1 change kept, 4 taken from the image
       Rollback: nothing to go back to
           /etc: 1 change on this machine (`reroot etc diff`)
          Space: SOME OF MUCH free; deployments 131.68 KiB
    [exit code 77]
    ");
    machine.run("finalize-staged --lock");
    assert_told!(machine.run("status --pending-exit-77"), @"
      2: oci:/srv/os:stable  (staged, locked)
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN

    ● 1: oci:/srv/os:stable  (booted, default)
        Version: 1 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN

        Running: 1, version 1
      Next boot: the same (the newest)
         Staged: 2, version 2 (locked; `reroot upgrade --from-downloaded` lets the
                 next reboot take it)
       Its /etc: 1 change kept, 4 taken from the image
       Rollback: nothing to go back to
           /etc: 1 change on this machine (`reroot etc diff`)
          Space: SOME OF MUCH free; deployments 131.68 KiB
    ");
    machine.run("finalize-staged --unlock");
    machine.run("finalize-staged");
    machine.boot(2);
    machine.run("rollback");
    assert_told!(machine.run("status"), @"
    ▸ 1: oci:/srv/os:stable  (default)
        Version: 1 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN

    ● 2: oci:/srv/os:stable  (booted, rollback)
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN

        Running: 2, version 2
      Next boot: 1, version 1 (rolled back from 2)
       Rollback: goes to 2, version 2
           /etc: 1 change on this machine (`reroot etc diff`)
          Space: SOME OF MUCH free; deployments 131.68 KiB
    ");
}

#[test]
fn a_power_cut_and_a_shutdown_that_failed() {
    let machine = Machine::new();
    machine.run("upgrade");
    machine.boot(1);
    assert_told!(machine.run("status"), @"
      2: oci:/srv/os:stable
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN
          State: was staged and lost at a power cut; `reroot prune` removes it

    ● 1: oci:/srv/os:stable  (booted, default)
        Version: 1 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN

        Running: 1, version 1
      Next boot: the same (the newest)
       Rollback: nothing to go back to
           /etc: as the image has it
          Space: SOME OF MUCH free; deployments 131.68 KiB
    ");
    machine.run("upgrade");
    fs::remove_dir_all(machine.deployment("3/usr")).unwrap();
    machine.run("finalize-staged");
    machine.boot(1);
    assert_told!(machine.run("status"), @"
      3: oci:/srv/os:stable
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 337 B of its own
       Deployed: WHEN
          State: was staged and lost at a power cut; `reroot prune` removes it

      2: oci:/srv/os:stable
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 337 B of its own
       Deployed: WHEN
          State: was staged and lost at a power cut; `reroot prune` removes it

    ● 1: oci:/srv/os:stable  (booted, default)
        Version: 1 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN

        Running: 1, version 1
      Next boot: the same (the newest)
       Rollback: nothing to go back to
           /etc: as the image has it
          Space: SOME OF MUCH free; deployments 132.01 KiB

    warning: deployment 3 was staged, and the shutdown could not finish it:
        finalizing deployment 3: opening the new defaults of /etc: No such file or
        directory (os error 2)
    ");
}

#[test]
fn a_trial_and_its_end() {
    let machine = Machine::new();
    machine.run("upgrade");
    machine.run("finalize-staged");
    machine.boot(2);
    machine.count_boots(2);
    assert_told!(machine.run("status"), @"
    ● 2: oci:/srv/os:stable  (booted, default)
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN
         Health: on trial: 2 of 3 tries left

      1: oci:/srv/os:stable  (rollback)
        Version: 1 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN

        Running: 2, version 2, on trial: 2 of 3 tries left
      Next boot: the same (the newest)
       Rollback: goes to 1, version 1
           /etc: as the image has it
          Space: SOME OF MUCH free; deployments 131.68 KiB
          $BOOT: SOME OF MUCH free; one more kernel needs 86.89 KiB
    ");
    let entries = machine.0.path().join("root/boot/loader/entries");
    let (now, then) = ("reroot-0000000002+2-1.conf", "reroot-0000000002+0-3.conf");
    fs::rename(entries.join(now), entries.join(then)).unwrap();
    machine.boot(1);
    machine.run("boot-complete");
    assert_told!(machine.run("status"), @"
    ● 1: oci:/srv/os:stable  (booted, default)
        Version: 1 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN

      2: oci:/srv/os:stable
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN
         Health: bad: none of its 3 boots completed

        Running: 1, version 1: good
      Next boot: the same (fell back from 2: none of its 3 boots completed)
       Rollback: nothing to go back to
           /etc: as the image has it
          Space: SOME OF MUCH free; deployments 131.68 KiB
          $BOOT: SOME OF MUCH free; one more kernel needs 86.89 KiB

    warning: the boot loader gave up deployment 2 before this boot: none of its 3
        boots completed
    ");
    assert_told!(machine.run("upgrade --check"), @"
    An update that is not taken: oci:/srv/os:stable, version 2
      digest sha256:DIGEST
      built 2026-02-02T00:00:00Z (MONTHS)
      everything is in the store already
      deployment 1 has version 1
      it failed here as deployment 2, WHEN: none of its 3 boots completed
      `upgrade --allow-failed` takes it again
      from deployment 1: 2 paths added, 1 removed, 5 changed
      package + greeter 1.0-1
      package ↑ hello 2.10-3 -> 2.12-1
    ");
}

#[test]
fn everything_is_in_the_long_form() {
    let machine = Machine::new();
    fs::write(machine.deployment("1/etc/hostname"), "night\n").unwrap();
    fs::write(machine.deployment("1/etc/motd"), "mine\n").unwrap();
    machine.run("upgrade");
    machine.run("finalize-staged");
    machine.boot(2);
    assert_told!(machine.run("status -v"), @"
    ● 2: oci:/srv/os:stable  (booted, default)
        Version: 2 (built 2026-02-02T00:00:00Z)
         Digest:
            sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN
         Kernel: 6.12.41-demo
           Tree: 7c4c5346f9d4255c4ffdf2e07f4751123c7f227f81c05822c634c40a334efa19
           Path: /reroot/deploy/default/deploy/2
          Order: 2
           /etc: 2 changes kept, 3 taken from the image, 1 changed on both sides
                 modified here: /etc/hostname, /etc/motd
                 updated: /etc/hello.conf
                 new: /etc/greeter.conf
                 gone: /etc/legacy.conf
                 changed on both sides: /etc/motd (this machine's kept)

      1: oci:/srv/os:stable  (rollback)
        Version: 1 (built 2026-01-02T00:00:00Z)
         Digest:
            sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN
         Kernel: 6.12.41-demo
           Tree: d25464ead368f35de53dcac94576be5fafd0c2647216b9632037ba48c813c6a0
           Path: /reroot/deploy/default/deploy/1
          Order: 1

        Running: 2, version 2
      Next boot: the same (the newest)
       Rollback: goes to 1, version 1
           /etc: 2 changes on this machine (`reroot etc diff`)
          Space: SOME OF MUCH free; deployments 131.68 KiB
    ");
}
