//! A `$BOOT` in a temporary directory, and what a boot loader makes of it. The reader is its own: it shares no code
//! with what it judges.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use reroot::boot::Error;
use reroot::boot::execute::{Outside, Report, execute};
use reroot::boot::file_name::BootOrder;
use reroot::boot::kernel::{Pair, PairSource};
use reroot::boot::plan::{Menu, Observed, Plan, Wanted, plan};
use reroot::fsx::{self, Dir};

/// The files of kernel `n`.
pub fn source(n: u64) -> PairSource {
    let file = |name: &str, repeated: usize| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(format!("{name} {n}\n").repeat(repeated).as_bytes()).unwrap();
        file
    };
    PairSource { vmlinuz: file("kernel", 200), initrd: file("initramfs", 300) }
}

/// Deployment `id` with kernel `kernel`, as number `order`.
pub fn wanted(order: u64, id: u64, kernel: u64) -> Wanted {
    Wanted {
        order: BootOrder::new(order).unwrap(),
        title: reroot::boot::bls::title("Debian GNU/Linux 13 (trixie)", &id.to_string()),
        options: format!("root=UUID=1A2B-3C4D ro reroot=/reroot/deploy/default/deploy/{id}"),
        pair: source(kernel).identify().unwrap(),
        machine_id: None,
        tries: None,
        extra: Vec::new(),
    }
}

/// The same, with so many attempts.
pub fn on_trial(order: u64, id: u64, kernel: u64, tries: u32) -> Wanted {
    Wanted { tries: std::num::NonZeroU32::new(tries), ..wanted(order, id, kernel) }
}

/// A `$BOOT`.
pub struct Boot {
    pub temp: tempfile::TempDir,
    pub dir: Dir,
    pub menu: Menu,
}

impl Boot {
    pub fn new(menu: Menu) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = fsx::open_dir(temp.path()).unwrap();
        Self { temp, dir, menu }
    }

    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    pub fn plan(&self, wanted: &[Wanted]) -> Plan {
        plan(wanted, &self.menu, &Observed::read(&self.dir).unwrap()).unwrap()
    }

    pub fn execute(&self, plan: &Plan) -> Result<Report, Error> {
        let mut source =
            |pair: &Pair| Ok((1..100).map(source).find(|s| s.identify().unwrap() == *pair).unwrap());
        execute(plan, &self.dir, &mut Outside { source: &mut source, settle: &mut || Ok(()) })
    }

    /// Brings `$BOOT` to what is wanted.
    pub fn reach(&self, wanted: &[Wanted]) -> Report {
        self.execute(&self.plan(wanted)).unwrap()
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// All files by path, with their contents.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let (mut files, mut open) = (BTreeMap::new(), vec![self.path().to_path_buf()]);
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                let name = path.strip_prefix(self.path()).unwrap().to_str().unwrap().to_string();
                files.insert(name, fs::read(path).unwrap());
            }
        }
        files
    }

    /// What the loader of this `$BOOT` would boot, and everything else that it lists.
    pub fn listed(&self) -> Vec<Listed> {
        match &self.menu {
            Menu::Entries => systemd_boot(self.path()),
            Menu::Grub(root) => grub(self.path(), root.prefix()),
        }
    }
}

/// An entry as a loader has it in its menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub file_name: String,
    pub linux: String,
    pub initrd: String,
    /// Without what a trial adds.
    pub options: String,
}

impl Listed {
    /// Which deployment it boots.
    pub fn deployment(&self) -> u64 {
        self.options.rsplit('/').next().unwrap().parse().unwrap()
    }

    /// The files are there, and their digest is the name of their directory.
    pub fn assert_complete(&self, boot: &Path) {
        let read = |path: &str| {
            fs::read(boot.join(path.trim_start_matches('/')))
                .unwrap_or_else(|e| panic!("{}: {path}: {e}", self.file_name))
        };
        let mut hasher = blake3::Hasher::new();
        for bytes in [read(&self.linux), read(&self.initrd)] {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        }
        let named = self.linux.split('/').nth(2).unwrap();
        assert_eq!(hasher.finalize().to_hex()[..32], *named, "{self:?}");
    }
}

fn settled(options: &str) -> String {
    let added = format!(" {}", super::boot_menu::TRIAL.join(" "));
    options.strip_suffix(added.as_str()).unwrap_or(options).into()
}

/// The menu of systemd-boot: every `.conf` file whose kernel is there; bad ones last, then by sort key, machine id and
/// version. Made for entries that all have a sort key and a number for a version.
fn systemd_boot(boot: &Path) -> Vec<Listed> {
    let mut menu = Vec::new();
    let Ok(directory) = fs::read_dir(boot.join("loader/entries")) else { return Vec::new() };
    for entry in directory {
        let file_name = entry.unwrap().file_name().into_string().unwrap();
        if file_name.starts_with('.') || !file_name.ends_with(".conf") {
            continue;
        }
        let text = fs::read_to_string(boot.join("loader/entries").join(&file_name)).unwrap();
        let key = |wanted: &str| {
            let pair = text.lines().filter_map(|line| line.split_once(' ')).find(|(key, _)| *key == wanted);
            pair.map(|(_, value)| value.to_string())
        };
        let Some(linux) = key("linux").filter(|path| boot.join(&path[1..]).exists()) else { continue };
        let is_bad = file_name.contains("+0");
        let version = std::cmp::Reverse(key("version").and_then(|v| v.parse::<u64>().ok()));
        let place = (is_bad, key("sort-key").unwrap(), key("machine-id"), version);
        let listed = Listed {
            file_name,
            linux,
            initrd: key("initrd").unwrap(),
            options: settled(&key("options").unwrap()),
        };
        menu.push((place, listed));
    }
    menu.sort_by(|a, b| a.0.cmp(&b.0));
    menu.into_iter().map(|(_, listed)| listed).collect()
}

/// GRUB's menu, the default first.
fn grub(boot: &Path, prefix: &str) -> Vec<Listed> {
    let Ok(text) = fs::read_to_string(boot.join("loader/grub.cfg")) else { return Vec::new() };
    let default = text.lines().find_map(|line| line.strip_prefix("set default=")).unwrap();
    let mut menu: Vec<Listed> = text
        .split("menuentry ")
        .skip(1)
        .map(|entry| {
            // An entry on trial tries what another does at once.
            let line = |command: &str| {
                let lines = entry.lines().map(|line| line.trim().trim_start_matches("if "));
                lines
                    .map(|line| line.trim_end_matches("; then"))
                    .find_map(|line| line.strip_prefix(command))
                    .unwrap()
            };
            let (linux, options) = line("linux ").split_once(' ').unwrap();
            let without_prefix = |path: &str| path.strip_prefix(prefix).unwrap().to_string();
            let id = entry.split("--id ").nth(1).unwrap().split(' ').next().unwrap();
            Listed {
                file_name: id.into(),
                linux: without_prefix(linux),
                initrd: without_prefix(line("initrd ")),
                options: settled(options),
            }
        })
        .collect();
    let first = menu.iter().position(|entry| entry.file_name == default).unwrap();
    menu[..=first].rotate_right(1);
    menu
}
