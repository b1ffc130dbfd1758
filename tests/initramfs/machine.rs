//! A machine at the moment when its initramfs has mounted the physical root.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::skip::{scratch, skip};

/// What every machine begins with: a root shared as systemd makes it, the program with its libraries, `/proc` with a
/// command line of our own, `/run`, and a physical root with deployments 1 and 3 of stateroot `os`.
const BEGIN: &str = r#"
mount -t tmpfs initramfs "$T"
cd "$T"
mkdir -p proc run dev sysroot etc/reroot usr/lib/reroot
cp "$PROGRAM" usr/lib/reroot/reroot-prepare-root
ldd "$PROGRAM" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "./${library%/*}"
    cp "$library" "./$library"
done
mount --bind /proc proc
printf '%s' "$CMDLINE" > cmdline
mount --bind cmdline proc/cmdline
mount -t tmpfs run run
mount --make-rshared /

mount_physical() { mount -t tmpfs -o mode=0755 physical sysroot; }
deployment() {
    mkdir -p sysroot/reroot/deploy/os/var
    d=sysroot/reroot/deploy/os/deploy/$1
    for directory in usr/etc etc var sysroot boot dev proc run sys tmp; do mkdir -p "$d/$directory"; done
    echo "of $1" > "$d/usr/name"
    echo default > "$d/usr/etc/default"
    echo default > "$d/etc/default"
    echo mine > "$d/etc/mine"
    echo '{"version":1}' > "$d.json"
}
populate() { chmod 700 sysroot/reroot; echo data > sysroot/reroot/deploy/os/var/data; }
prepare_root() { chroot "$T" /usr/lib/reroot/reroot-prepare-root "$@" < /dev/null; }
# Where the deployment is before, and where it is after.
D=sysroot/reroot/deploy/os/deploy/3
P=sysroot/sysroot/reroot/deploy/os/deploy/3
"#;

const RUN: &str = r#"
status=0
prepare_root /sysroot > "$R/stdout" 2> "$R/stderr" || status=$?
echo $status > "$R/status"
cat /proc/self/mountinfo > "$R/mountinfo"
ls -A run/reroot > "$R/run" 2> /dev/null || :
cat run/reroot/booted.json > "$R/booted" 2> /dev/null || :
"#;

/// What to do differently.
pub struct Machine {
    cmdline: String,
    mount: String,
    prepare: String,
}

/// How it went.
#[derive(Debug)]
pub struct Booted {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// Below the initramfs's root, in the order of mounting.
    pub mounts: Vec<Mount>,
    /// Names in `/run/reroot`.
    pub run: Vec<String>,
    booted: String,
    /// What the commands afterwards printed.
    pub after: String,
}

/// A line of proc_pid_mountinfo(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub place: String,
    /// The directory of the file system that is mounted.
    pub root: String,
    pub kind: String,
    pub options: Vec<String>,
    pub propagation: String,
}

impl Mount {
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|o| o == option)
    }
}

impl Machine {
    /// A sound one that boots deployment 3.
    pub fn new() -> Self {
        Self {
            cmdline: "root=/dev/vda4 reroot=/reroot/deploy/os/deploy/3 quiet\n".into(),
            mount: "mount_physical; deployment 1; deployment 3; populate".into(),
            prepare: String::new(),
        }
    }

    pub fn cmdline(mut self, text: &str) -> Self {
        self.cmdline = text.into();
        self
    }

    /// Shell commands in place of those that mount and fill the physical root.
    pub fn mount(mut self, commands: &str) -> Self {
        self.mount = commands.into();
        self
    }

    /// Shell commands before the program runs, in the root of the initramfs.
    pub fn prepare(mut self, commands: &str) -> Self {
        self.prepare = commands.into();
        self
    }

    /// Runs the program, then more shell commands. `None` where that cannot be done, which is noted for `test`.
    pub fn boot(&self, test: &str, after: &str) -> Option<Booted> {
        if !rustix::process::geteuid().is_root() {
            skip(test, "mounting needs root");
            return None;
        }
        if let Some(missing) = missing() {
            skip(test, format!("not installed: {missing}"));
            return None;
        }
        let temp = scratch();
        let (root, results) = (temp.path().join("root"), temp.path().join("results"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&results).unwrap();
        let script = format!(
            "set -eu\n{BEGIN}\n{}\n{}\n{RUN}\n{{ :\n{after}\n}} > \"$R/after\"\n",
            self.mount, self.prepare
        );
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .env("T", &root)
            .env("R", &results)
            .env("PROGRAM", env!("CARGO_BIN_EXE_reroot-prepare-root"))
            .env("CMDLINE", &self.cmdline)
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(SKIPPED) {
            skip(test, stderr.trim());
            return None;
        }
        assert!(output.status.success(), "{}: {stderr}", output.status);
        Some(Booted::read(&results, &root))
    }
}

/// A script that exits with this could not prepare what it wanted; stderr says why.
pub const SKIPPED: i32 = 99;

fn missing() -> Option<&'static str> {
    let found = |name: &&&str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(name).exists())
    };
    ["unshare", "mount", "chroot", "ldd"].iter().find(|name| !found(name)).copied()
}

impl Booted {
    fn read(results: &Path, root: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(results.join(name)).unwrap();
        let prefix = root.to_str().unwrap();
        let mounts = text("mountinfo").lines().filter_map(|line| parse_mount(line, prefix)).collect();
        Self {
            code: text("status").trim().parse().unwrap(),
            stdout: text("stdout"),
            stderr: text("stderr"),
            mounts,
            run: text("run").lines().map(String::from).collect(),
            booted: text("booted"),
            after: text("after"),
        }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    /// What is mounted at a place of the initramfs: the last one counts.
    #[track_caller]
    pub fn at(&self, place: &str) -> &Mount {
        let mount = self.mounts.iter().rfind(|m| m.place == place);
        mount.unwrap_or_else(|| panic!("nothing is mounted at {place}: {:#?}", self.mounts))
    }

    pub fn places(&self) -> Vec<&str> {
        self.mounts.iter().map(|m| m.place.as_str()).collect()
    }

    /// `/run/reroot/booted.json`
    pub fn record(&self) -> Value {
        serde_json::from_str(&self.booted).unwrap_or_else(|e| panic!("{e}: {:?}", self.booted))
    }

    pub fn record_bytes(&self) -> &[u8] {
        self.booted.as_bytes()
    }
}

fn parse_mount(line: &str, prefix: &str) -> Option<Mount> {
    let fields: Vec<&str> = line.split(' ').collect();
    let place = fields[4].strip_prefix(prefix)?;
    let dash = fields.iter().position(|f| *f == "-").unwrap();
    Some(Mount {
        place: if place.is_empty() { "/".into() } else { place.into() },
        root: fields[3].into(),
        kind: fields[dash + 1].into(),
        options: fields[5].split(',').map(String::from).collect(),
        propagation: fields[6..dash].join(" "),
    })
}
