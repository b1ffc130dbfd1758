//! A machine that runs from a deployment, as far as that can be had without one: a sysroot with a `$BOOT`, a host with
//! `/run`, and the real program. A reboot is the shutdown's finalization, a new `/run`, and what the initramfs makes of
//! the command line of the menu's first entry, which is read by the tests' own reader.

use std::fs;
use std::path::{Path, PathBuf};

use reroot::boot::cmdline::KernelArgs;
use reroot::digest::Sha256;
use reroot::fsx;
use reroot::initramfs::choose::{check, requirements, target};
use reroot::initramfs::observe::observe;
use reroot::initramfs::settings::Settings;
use reroot::initramfs::var::Var;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::boot_menu::{self, Bootable};
use crate::support::image::{Image, Layer, Layout, bootable_layer};
use crate::support::reroot::{Ran, Reroot};

/// What reads the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    SystemdBoot,
    Grub,
    None,
}

impl Loader {
    pub const ALL: [Self; 3] = [Self::SystemdBoot, Self::Grub, Self::None];

    fn record(self) -> &'static str {
        match self {
            Self::SystemdBoot => r#"{"version": 1, "loader": "systemd-boot"}"#,
            Self::Grub => {
                r#"{"version": 1, "loader": "grub", "root": {"fsUuid": "1A2B-3C4D", "prefix": "/boot"}}"#
            }
            Self::None => r#"{"version": 1, "loader": "none"}"#,
        }
    }
}

pub struct Machine {
    pub loader: Loader,
    pub reroot: Reroot,
    pub layout: Layout,
    temp: TempDir,
}

impl Machine {
    /// A sysroot with a boot loader and without deployments; nothing runs from it.
    pub fn installed(loader: Loader) -> Self {
        let temp = scratch();
        let reroot = Reroot::init(temp.path());
        fs::create_dir_all(reroot.sysroot.join("boot/loader/entries")).unwrap();
        fs::write(reroot.sysroot.join("reroot/boot.json"), loader.record()).unwrap();
        // The running system has the same $BOOT.
        std::os::unix::fs::symlink("../sysroot/boot", reroot.config.join("boot")).unwrap();
        std::os::unix::fs::symlink("../sysroot", reroot.config.join("sysroot")).unwrap();
        let layout = Layout::new(temp.path().join("images"));
        Self { loader, reroot, layout, temp }
    }

    /// Deployment 1, version 1 of `stable`, runs.
    pub fn running(loader: Loader) -> Self {
        let mut machine = Self::installed(loader);
        machine.release(1);
        machine.ok(&["deploy", &machine.stable()]);
        machine.boot();
        machine
    }

    /// The same, and version 2 of `stable` is out.
    pub fn outdated(loader: Loader) -> Self {
        let mut machine = Self::running(loader);
        machine.release(2);
        machine
    }

    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// Publishes version `n` as `stable`.
    pub fn release(&mut self, n: u32) {
        self.publish("stable", n, Layer::new());
    }

    /// Publishes version `n` with more files as `tag`; gives the digest.
    pub fn publish(&mut self, tag: &str, n: u32, more: Layer) -> String {
        self.layout.tag(tag, &os(n, more)).digest().to_string()
    }

    /// The same, in an index; gives the digest of that.
    pub fn publish_index(&mut self, tag: &str, n: u32) -> Sha256 {
        self.layout.tag_index(tag, &[os(n, Layer::new())])
    }

    pub fn stable(&self) -> String {
        self.layout.reference("stable")
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.reroot.run([&["--quiet"], arguments].concat())
    }

    /// Runs what must succeed; gives what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(
            ran.code,
            Some(0),
            "{:?}: reroot {arguments:?}: {}{}",
            self.loader,
            ran.stdout,
            ran.stderr
        );
        ran.stdout
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Runs what must fail with this exit code, and for a reason that has all of these words in it. Nothing on disk or in
    /// `/run` may have changed.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = self.state();
        let ran = self.run(arguments);
        assert_eq!(
            ran.code,
            Some(code),
            "{:?}: reroot {arguments:?}: {}{}",
            self.loader,
            ran.stdout,
            ran.stderr
        );
        assert!(
            ran.stderr.contains("error: ") && !ran.stderr.contains("panicked"),
            "{arguments:?}: {}",
            ran.stderr
        );
        for word in words {
            assert!(ran.stderr.contains(word), "{arguments:?}: `{word}` is not in: {}", ran.stderr);
        }
        assert_eq!(self.state(), before, "{arguments:?} was refused, and did something");
    }

    /// Names, sizes and contents of small files: of deployments without what is in them, of `$BOOT`, and of `/run`.
    pub fn state(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for top in [self.deployments(), self.boot_dir(), self.reroot.config.join("run")] {
            let mut open = vec![top.clone()];
            while let Some(path) = open.pop() {
                let Ok(meta) = fs::symlink_metadata(&path) else { continue };
                let inside = path.strip_prefix(self.deployments()).is_ok_and(|p| p.components().count() > 0);
                if meta.is_dir() && !inside {
                    open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                }
                let text =
                    meta.is_file().then(|| String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
                lines.push(format!("{} {}", path.display(), text.unwrap_or_default()));
            }
        }
        lines.sort();
        lines
    }

    /// `$BOOT`
    pub fn boot_dir(&self) -> PathBuf {
        self.reroot.sysroot.join("boot")
    }

    pub fn run_dir(&self) -> PathBuf {
        self.reroot.config.join("run/reroot")
    }

    /// Where the deployments of the default stateroot are.
    pub fn deployments(&self) -> PathBuf {
        self.reroot.sysroot.join("reroot/deploy/default/deploy")
    }

    pub fn file(&self, id: u64, path: &str) -> PathBuf {
        self.deployments().join(id.to_string()).join(path)
    }

    /// A file of a deployment; `None` when there is none.
    pub fn read(&self, id: u64, path: &str) -> Option<String> {
        fs::read_to_string(self.file(id, path)).ok()
    }

    /// Writes a file of a deployment, with the directories that it needs.
    pub fn write(&self, id: u64, path: &str, text: &str) {
        let path = self.file(id, path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn record(&self, id: u64) -> Value {
        serde_json::from_slice(&fs::read(self.deployments().join(format!("{id}.json"))).unwrap()).unwrap()
    }

    pub fn status(&self) -> Value {
        self.json(&["status"])
    }

    /// `3:staged 1:booted+default`: the numbers in boot order, each with its slots.
    pub fn order(&self) -> String {
        let status = self.status();
        let words = status["deployments"].as_array().unwrap().iter().map(|deployment| {
            let slots = deployment["slots"].as_array().unwrap().iter().map(|slot| slot.as_str().unwrap());
            format!("{}:{}", deployment["id"], slots.collect::<Vec<_>>().join("+"))
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// Checks all entries; gives those of the menu, the default first.
    pub fn entries(&self, what: &str) -> Vec<Bootable> {
        let what = format!("{:?}, {what}", self.loader);
        boot_menu::check(&self.reroot.sysroot, &self.boot_dir(), &what)
    }

    /// The deployments in the menu, the default first.
    pub fn menu(&self, what: &str) -> Vec<u64> {
        self.entries(what).iter().map(|entry| entry.id).collect()
    }

    /// The same, and the menu is what the records say: no command has been interrupted.
    pub fn settled(&self, what: &str) -> Vec<u64> {
        let what = format!("{:?}, {what}", self.loader);
        let menu = boot_menu::check_settled(&self.reroot.sysroot, &self.boot_dir(), &what);
        menu.iter().map(|entry| entry.id).collect()
    }

    /// The kernel's command line in the menu's entry of a deployment of the default stateroot.
    pub fn options(&self, id: u64) -> String {
        let entries = self.entries("looking for an entry");
        let of = |entry: &&Bootable| entry.id == id && entry.stateroot == "default";
        entries
            .iter()
            .find(of)
            .unwrap_or_else(|| panic!("deployment {id} is not in the menu"))
            .options
            .clone()
    }

    /// The title of the entry of a deployment.
    pub fn title(&self, id: u64) -> String {
        let entries = self.entries("looking for a title");
        let entry = entries.iter().find(|entry| entry.id == id).unwrap();
        let text = fs::read_to_string(self.boot_dir().join("loader/entries").join(&entry.file_name)).unwrap();
        text.lines().find_map(|line| line.strip_prefix("title ")).unwrap().to_owned()
    }

    /// Every entry of the menu is one that the initramfs would boot.
    pub fn assert_all_boot(&self, what: &str) {
        for entry in self.entries(what) {
            self.choose(&entry.options)
                .unwrap_or_else(|error| panic!("{what}: {}: {error}", entry.file_name));
        }
    }

    /// What the initramfs mounts for a command line, or why it does not.
    fn choose(&self, options: &str) -> Result<(String, u64), String> {
        let arguments = KernelArgs::of_running_kernel(options.as_bytes());
        let root = fsx::open_dir(&self.reroot.sysroot).unwrap();
        let chosen = target(&arguments).map_err(|error| error.to_string())?.ok_or("no reroot=")?;
        let var = Var::of(&arguments, b"").map_err(|error| error.to_string())?;
        let settings = Settings::default();
        let found = observe(&root, &requirements(&chosen, &settings)).map_err(|error| error.to_string())?;
        check(&chosen, &settings, &var, &found.observed).map_err(|error| error.to_string())?;
        Ok((chosen.stateroot.to_string(), chosen.id))
    }

    /// Starts the machine: the first entry of the menu runs. Gives its number.
    pub fn boot(&self) -> u64 {
        let entries = self.entries("booting");
        let first = entries.first().expect("a menu that has an entry");
        let (stateroot, id) = self.choose(&first.options).unwrap();
        let _ = fs::remove_dir_all(self.reroot.config.join("run"));
        fs::create_dir_all(self.run_dir()).unwrap();
        let booted = serde_json::json!({"version": 1, "stateroot": stateroot, "id": id});
        fs::write(self.run_dir().join("booted.json"), booted.to_string()).unwrap();
        assert_eq!(self.booted(), id);
        id
    }

    /// Ends the running system without a shutdown, and starts the machine.
    pub fn cut_power(&self) -> u64 {
        fs::remove_dir_all(self.reroot.config.join("run")).unwrap();
        self.boot()
    }

    /// Shuts down, and starts the machine.
    pub fn reboot(&self) -> u64 {
        self.ok(&["finalize-staged"]);
        self.cut_power()
    }

    /// Which deployment runs, as `status` says.
    fn booted(&self) -> u64 {
        let status = self.status();
        let deployments = status["deployments"].as_array().unwrap();
        let runs = |d: &&Value| d["slots"].as_array().unwrap().contains(&"booted".into());
        deployments.iter().find(runs).expect("a booted deployment")["id"].as_u64().unwrap()
    }

    /// The store and all deployments are sound, and nothing lies about.
    pub fn assert_sound(&self, what: &str) {
        self.reroot.assert_sound(what);
        self.reroot.assert_tidy(what);
        self.settled(what);
        self.assert_all_boot(what);
    }
}

/// In memory where that is possible.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let is_writable = rustix::fs::access(memory, rustix::fs::Access::WRITE_OK).is_ok();
    let place = if is_writable { memory } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    tempfile::Builder::new().prefix("reroot-day-two-").tempdir_in(place).unwrap()
}

/// Version `n` of an operating system, built on day `n` of a month, with its own kernel and more files.
pub fn os(n: u32, more: Layer) -> Image {
    let modules = format!("usr/lib/modules/{}", crate::support::image::KERNEL);
    let layer = bootable_layer()
        .dir("sysroot")
        .file(format!("{modules}/vmlinuz"), format!("kernel {n}\n"))
        .file("usr/lib/version", format!("{n}\n"))
        .file("etc/release", format!("release {n}\n"))
        .file("etc/unchanged", "the same in all versions\n")
        .dir("etc/app.d")
        .file("etc/app.d/10-default.conf", format!("default {n}\n"))
        .file("var/lib/seed", "seed\n");
    Image::new()
        .layer(layer)
        .layer(more)
        .version(&n.to_string())
        .label("containers.bootc", "1")
        .created(&format!("2026-01-{n:02}T00:00:00Z"))
}
