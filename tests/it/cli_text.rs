//! What people see: the help of every command, and the words, hints and exit codes of a deployment's life, played
//! with the demo image. A change of a word shows up here before anybody is surprised by it.

use std::path::{Path, PathBuf};
use std::process::Command;

use insta::{assert_snapshot, with_settings};

/// A sandbox with the demo image as `os`, in which `stable` is one of its releases.
pub struct Sandbox(tempfile::TempDir);

impl Sandbox {
    pub fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        for name in ["root", "config"] {
            std::fs::create_dir(this.path().join(name)).unwrap();
        }
        let copy =
            Command::new("cp").arg("-r").arg(demo().join("image")).arg(this.path().join("os")).status();
        assert!(copy.unwrap().success());
        this
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn release(&self, version: &str) {
        let script = demo().join("publish.sh");
        let done = Command::new("sh")
            .arg(script)
            .args([self.path().join("os").as_os_str(), version.as_ref()])
            .status();
        assert!(done.unwrap().success());
    }

    /// What a command line shows: stdout, then stderr, then the exit code when it is not 0.
    pub fn run(&self, line: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_reroot"))
            .args(line.split_whitespace())
            .current_dir(self.path())
            .env("REROOT_SYSROOT", self.path().join("root"))
            .env("REROOT_CONFIG_ROOT", self.path().join("config"))
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let mut shown = text(output.stdout) + &text(output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(code) => shown += &format!("[exit code {code}]\n"),
            None => shown += "[ended by a signal]\n",
        }
        shown.replace(self.path().to_str().unwrap(), "/srv")
    }
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo")
}

/// Compares with what time changes taken out.
macro_rules! assert_shown {
    ($text:expr, @$expected:literal) => {
        with_settings!({ filters => [
            (r"built [^(\n]* ago", "built AGO"),
            (r"\d+ months ago", "MONTHS"),
            (r"[0-9.]+ [KMGT]iB of [0-9.]+ [KMGT]iB free", "SOME OF MUCH free"),
            (r"(?m)(Deployed: ).*$", "${1}WHEN"),
            (r"\d+ min ago|just now", "WHEN"),
            (" for a user without privileges", ""),
            // The demo image has one manifest for each architecture.
            (r"sha256:[0-9a-f]{12,64}", "sha256:DIGEST"),
        ]}, { assert_snapshot!($text, @$expected) })
    };
}

#[test]
fn every_command_explains_itself() {
    let page = Command::new(env!("CARGO_BIN_EXE_reroot")).args(["man", "--markdown"]).output().unwrap();
    let kept = include_str!("../../docs/commands.md");
    // A whole page of differences helps nobody: the first line that is not as it was.
    let made = String::from_utf8(page.stdout).unwrap();
    let first = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(made == kept, "`reroot man --markdown > docs/commands.md` makes it anew: {first:?}");
}

#[test]
fn a_life_of_deployments_in_words() {
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.run(&format!("{line} --quiet"));
    assert_shown!(run("init"), @"Made /srv/root a sysroot");
    assert_shown!(run("status"), @"No deployments. `reroot deploy IMAGE` makes the first.");
    sandbox.release("v1");
    assert_shown!(run("deploy oci:os:stable --dry-run"), @"Would make deployment 1 from oci:/srv/os:stable, version 1: 3 layers to fetch (61.48 KiB of 61.48 KiB), 0 in the store");
    assert_shown!(run("deploy oci:os:stable --karg quiet"), @"
    Pulled 3 of 3 layers (61.48 KiB fetched; 132.20 KiB in 44 files new, 0 B shared)
    Made deployment 1 from oci:/srv/os:stable, version 1
    It is first in boot order
    ");
    assert_shown!(run("upgrade --check"), @"No update: deployment 1 is oci:/srv/os:stable, version 1");
    sandbox.release("v2");
    assert_shown!(run("upgrade --check"), @"
    Update available: oci:/srv/os:stable, version 2
      digest sha256:DIGEST
      built 2026-02-02T00:00:00Z (MONTHS)
      1 layer to fetch (6.60 KiB of 61.58 KiB), 2 in the store
      deployment 1 has version 1
    ");
    assert_shown!(run("upgrade --dry-run"), @"Would make deployment 2 from oci:/srv/os:stable, version 2: 1 layer to fetch (6.60 KiB of 61.58 KiB), 2 in the store");
    assert_shown!(run("upgrade"), @"
    Pulled 1 of 3 layers (6.60 KiB fetched; 1.78 KiB in 7 files new, 10.85 KiB shared)
    Made deployment 2 from oci:/srv/os:stable, version 2
    It is first in boot order
    ");
    assert_shown!(run("upgrade --unchanged-exit-77"), @"
    No change: deployment 2 is oci:/srv/os:stable, version 2 already
    [exit code 77]
    ");
    assert_shown!(run("status"), @"
    ▸ 2: oci:/srv/os:stable  (default)
        Version: 2 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN

      1: oci:/srv/os:stable  (rollback)
        Version: 1 (built AGO)
         Digest: sha256:DIGEST
           Size: 131.14 KiB, 529 B of its own
       Deployed: WHEN

      Next boot: 2, version 2 (the newest)
       Rollback: goes to 1, version 1
          Space: SOME OF MUCH free; deployments 131.68 KiB
    ");
    assert_shown!(run("status -v"), @"
    ▸ 2: oci:/srv/os:stable  (default)
        Version: 2 (built 2026-02-02T00:00:00Z)
         Digest:
            sha256:DIGEST
           Size: 131.16 KiB, 551 B of its own
       Deployed: WHEN
         Kernel: 6.12.41-demo
           Tree: 7c4c5346f9d4255c4ffdf2e07f4751123c7f227f81c05822c634c40a334efa19
           Path: /reroot/deploy/default/deploy/2
          Order: 2
      Arguments: quiet
           /etc: 0 changes kept, 4 taken from the image
                 updated: /etc/hello.conf, /etc/motd
                 new: /etc/greeter.conf
                 gone: /etc/legacy.conf

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
      Arguments: quiet

      Next boot: 2, version 2 (the newest)
       Rollback: goes to 1, version 1
          Space: SOME OF MUCH free; deployments 131.68 KiB
    ");
    assert_shown!(run("diff 1 2"), @"
    deployment 1 -> deployment 2
    package + greeter 1.0-1
    package ↑ hello 2.10-3 -> 2.12-1
    + /etc/greeter.conf
    + /usr/bin/greeter
    - /etc/legacy.conf
    * /etc/hello.conf (content, size 17 -> 31)
    * /etc/motd (content)
    * /usr/bin/hello (content)
    * /usr/lib/os-release (content)
    * /var/lib/dpkg/status (content, size 1428 -> 1611)
    ");
    assert_shown!(run("rollback --dry-run"), @"Would roll back from deployment 2 to deployment 1 (version 1)");
    assert_shown!(run("rollback"), @"Rolled back from deployment 2 to deployment 1 (version 1)");
    sandbox.release("v3");
    assert_shown!(run("switch oci:os:v3"), @"
    Pulled 2 of 3 layers (47.41 KiB fetched; 88.41 KiB in 6 files new, 12.65 KiB shared)
    Made deployment 3 from oci:/srv/os:v3, version 3
    It is first in boot order
    ");
    assert_shown!(run("pin 2"), @"Changed deployment 2: pinned");
    assert_shown!(run("undeploy 2"), @"
    error: deployment 2 is pinned; unpin it first
    [exit code 2]
    ");
    assert_shown!(run("unpin 2"), @"Changed deployment 2: not pinned");
    assert_shown!(run("prune --retain 2 --dry-run"), @"
    Keeping deployment 3: first in boot order, among the 2 retained
    Keeping deployment 1: to roll back to, among the 2 retained
    Would remove deployment 2 (oci:/srv/os:stable, 520 B of its own)
    Would remove 1 image and 6 files from the store; 2.08 KiB would be freed
    ");
    assert_shown!(run("prune --retain 2"), @"
    Keeping deployment 3: first in boot order, among the 2 retained
    Keeping deployment 1: to roll back to, among the 2 retained
    Removed deployment 2 (oci:/srv/os:stable, 520 B of its own)
    Removed 1 image and 6 files from the store; 2.08 KiB freed
    ");
    assert_shown!(run("undeploy 1"), @"
    Removed deployment 1
    First in boot order is deployment 3
    ");
    assert_shown!(run("fsck"), @"
    Checked 51 objects (220.64 KiB), 5 layers, 2 images and 1 deployment
    Everything is sound
    ");
}

#[test]
fn images_in_words() {
    let sandbox = Sandbox::new();
    let run = |line: &str| sandbox.run(&format!("{line} --quiet"));
    run("init");
    assert_shown!(run("image list"), @"No images. `reroot image pull IMAGE` fetches one.");
    assert_shown!(run("image pull oci:os:v1 --dry-run"), @"Would pull oci:/srv/os:v1, version 1: 3 layers to fetch (61.48 KiB of 61.48 KiB), 0 in the store");
    assert_shown!(run("image pull oci:os:v1"), @"
    Pulled 3 of 3 layers (61.48 KiB fetched; 132.20 KiB in 44 files new, 0 B shared)
    Stored oci:/srv/os:v1, version 1
    ");
    assert_shown!(run("image pull oci:os:v1"), @"
    Nothing to fetch: the image was in the store
    Stored oci:/srv/os:v1, version 1
    ");
    assert_shown!(run("image pull oci:os:v2"), @"
    Pulled 1 of 3 layers (6.60 KiB fetched; 1.78 KiB in 7 files new, 10.85 KiB shared)
    Stored oci:/srv/os:v2, version 2
    ");
    assert_shown!(run("image list"), @"
    DIGEST               VERSION  PULLED          SIZE  KEPT BY
    sha256:DIGEST  1        WHEN  132.20 KiB  oci:/srv/os:v1
    sha256:DIGEST  2        WHEN  132.41 KiB  oci:/srv/os:v2
    ");
    assert_shown!(run("image history oci:os:v2"), @"
         SIZE        NEW     SHARED  INSTRUCTION
    13.48 KiB  31.15 KiB        0 B  base: the root file system
    41.50 KiB  88.66 KiB        0 B  kernel: vmlinuz, initramfs and modules
            -          -          -  LABEL org.opencontainers.image.version=2
     6.60 KiB   1.78 KiB  10.85 KiB  system: what is new in release 2
    ");
    assert_shown!(run("image checkout oci:os:v1 tree"), @"Checked out sha256:DIGEST into tree: 45 files linked, 0 copied (0 B)");
    assert_shown!(run("image rm oci:os:v1"), @"Let go of oci:/srv/os:v1 (sha256:DIGEST); `reroot prune` removes what nothing else needs");
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let sandbox = Sandbox::new();
    assert_shown!(sandbox.run("status"), @"
    error: /srv/root is not a reroot sysroot (it has no `reroot/repo`)
    hint: `reroot --sysroot DIR init` makes a directory a sysroot
    [exit code 1]
    ");
    sandbox.run("init");
    assert_shown!(sandbox.run("upgrade"), @"
    error: stateroot default has no deployment to start from
    [exit code 1]
    ");
    assert_shown!(sandbox.run("rollback"), @"
    error: stateroot default has no deployment to roll back to
    [exit code 1]
    ");
    assert_shown!(sandbox.run("deploy oci:os:v9 --quiet"), @"
    error: resolving oci:/srv/os:v9: oci:/srv/os:v9 does not exist; there is v1, v2, v3
    [exit code 1]
    ");
    assert_shown!(sandbox.run("deploy oci:os:v1 --platform linux/mips --quiet"), @"
    error: resolving oci:/srv/os:v1: oci:/srv/os:v1: it has no image for linux/mips; there is linux/amd64, linux/arm64, linux/riscv64
    [exit code 1]
    ");
    assert_shown!(sandbox.run("deploy nonsense://x"), @"
    error: invalid value 'nonsense://x' for '<IMAGE>': `nonsense://x` does not name an image: `nonsense` is no transport; there are docker://, oci:, oci-archive: and docker-archive:

    For more information, try '--help'.
    [exit code 2]
    ");
    assert_shown!(sandbox.run("undeploy 9"), @"
    error: deployment 9 does not exist
    [exit code 1]
    ");
    assert_shown!(sandbox.run("image inspect quay.io/acme/os"), @"
    error: image quay.io/acme/os is not in the store
    [exit code 1]
    ");
    assert_shown!(sandbox.run("status --progress-fd 1"), @"
    error: --progress-fd 1: 0, 1 and 2 are stdin, stdout and stderr
    [exit code 2]
    ");
}

#[test]
fn what_was_changed_in_etc_is_listed() {
    let sandbox = Sandbox::new();
    sandbox.run("init");
    assert_shown!(sandbox.run("etc diff"), @"
    error: there is no deployment
    [exit code 1]
    ");
    sandbox.run("deploy oci:os:v1 --quiet");
    assert_shown!(sandbox.run("etc diff"), @"The /etc of deployment 1 is as its image has it");
    let etc = sandbox.path().join("root/reroot/deploy/default/deploy/1/etc");
    let first =
        std::fs::read_dir(&etc).unwrap().map(|e| e.unwrap()).find(|e| e.file_type().unwrap().is_file());
    std::fs::write(first.unwrap().path(), "mine").unwrap();
    std::fs::create_dir(etc.join("mine.d")).unwrap();
    assert_shown!(sandbox.run("etc diff 1"), @"
    M /etc/legacy.conf
    A /etc/mine.d
    ");
    assert_shown!(sandbox.run("etc diff --verbose"), @"
    M /etc/legacy.conf (content)
    A /etc/mine.d
    2 changes
    ");
    assert_shown!(sandbox.run("etc diff 2"), @"
    error: deployment 2 does not exist
    [exit code 1]
    ");
}
