//! Whether everything that a boot menu offers can be booted: every entry of ours is read anew after the Boot Loader
//! Specification (UAPI.1, "Type #1"), its `reroot=` is followed to a deployment, and the kernel and initramfs that it
//! names are compared with those of that deployment, byte by byte. Shares no code with what writes entries.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::grub_menu;

/// An entry of ours, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootable {
    pub file_name: String,
    /// The number in its name.
    pub order: u64,
    pub stateroot: String,
    /// Of the deployment that it boots.
    pub id: u64,
    /// The kernel's command line.
    pub options: String,
    /// Whether it restarts when something fails, and is counted when it is the default.
    pub is_on_trial: bool,
}

/// What a trial adds to a command line, each unless its key is there with any value.
pub const TRIAL: [&str; 3] = ["panic=10", "rd.shell=0", "rd.emergency=reboot"];

/// A command line with what a trial adds.
pub fn on_trial(options: &str) -> String {
    let missing = TRIAL.iter().filter(|argument| !has_key_of(options, argument));
    missing.fold(options.to_owned(), |options, argument| options + " " + argument)
}

fn has_key_of(options: &str, argument: &str) -> bool {
    let key = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
    options.split(' ').any(|word| key(word) == key(argument))
}

/// Checks all entries of ours below `boot`, which is `$BOOT` of the physical root `root`, and GRUB's menu when there is
/// one: a part of them in their order, since it is replaced after new entries are written and before old ones go. Gives
/// what is in the menu in its order, the default first.
pub fn check(root: &Path, boot: &Path, what: &str) -> Vec<Bootable> {
    let mut entries: Vec<Entry> = names(&boot.join("loader/entries"))
        .into_iter()
        .filter(|name| {
            name.starts_with("reroot-") && name.ends_with(".conf") && name[7..].starts_with(is_digit)
        })
        .map(|name| Entry::read(&boot.join("loader/entries"), name, what))
        .collect();
    // UAPI.1, "Sorting": what has no attempts left is last; the sort key is the same; the machine's id; the version,
    // higher first.
    entries.sort_by_key(|entry| {
        (entry.left == Some(0), entry.one("machine-id").map(str::to_owned), Reverse(entry.order))
    });
    let bootable = entries.iter().map(|entry| entry.check(root, boot, what)).collect::<Vec<_>>();
    match fs::read_to_string(boot.join("loader/grub.cfg")) {
        Ok(menu) => {
            check_environment(boot, what);
            let listed = grub_menu::check(&menu, &entries, what);
            let in_menu = |mut entry: Bootable| {
                let (_, trial) = listed.iter().find(|(id, _)| *id == entry.id_in_menu())?;
                entry.is_on_trial = *trial;
                Some(entry)
            };
            bootable.into_iter().filter_map(in_menu).collect()
        }
        Err(_) => bootable,
    }
}

/// GRUB can use it, or says that it cannot: 1024 bytes with its first line.
fn check_environment(boot: &Path, what: &str) {
    let Ok(block) = fs::read(boot.join("loader/grubenv")) else { return };
    assert_eq!(block.len(), 1024, "{what}: loader/grubenv");
    let text = String::from_utf8(block).unwrap();
    let lines = text.strip_prefix("# GRUB Environment Block\n").unwrap_or_else(|| panic!("{what}: {text}"));
    let (variables, rest) = lines.split_at(lines.find("##").expect("what is not used"));
    assert!(rest.chars().all(|c| c == '#'), "{what}: {text}");
    for line in variables.lines() {
        let (name, value) = line.split_once('=').unwrap();
        let is_id = value.strip_prefix("reroot-").is_some_and(|n| n.len() == 10 && n.chars().all(is_digit));
        let is_right = match name {
            "reroot_entry" => is_id,
            "reroot_once" => is_id || value.is_empty(),
            "reroot_tries" | "reroot_left" => value.parse::<u32>().is_ok(),
            _ => false,
        };
        assert!(is_right, "{what}: loader/grubenv: {line}");
    }
}

impl Bootable {
    fn id_in_menu(&self) -> String {
        id_in_menu(&self.file_name)
    }
}

/// Without counters, so that GRUB remembers the same name.
pub fn id_in_menu(file_name: &str) -> String {
    file_name.split(['+', '.']).next().unwrap().to_owned()
}

/// The same, and the menu is exactly what the records of the deployments say: each is there once, under its number.
pub fn check_settled(root: &Path, boot: &Path, what: &str) -> Vec<Bootable> {
    let menu = check(root, boot, what);
    let mut records = records(root);
    // What has no attempts left is last.
    let gave_up =
        |order: u64| menu.iter().any(|entry| entry.order == order && entry.file_name.contains("+0"));
    records.sort_by_key(|(order, ..)| (gave_up(*order), Reverse(*order)));
    let listed: Vec<_> = menu.iter().map(|e| (e.order, e.stateroot.clone(), e.id)).collect();
    assert_eq!(listed, records, "{what}: the menu (left) and the deployments");
    for entry in &menu {
        let record = record(&root.join("reroot/deploy").join(&entry.stateroot).join("deploy"), entry.id);
        let is_good = record["health"]["state"] == "good";
        let expected = record["tries"].is_u64() && !is_good;
        assert_eq!(entry.is_on_trial, expected, "{what}: {}: on trial", entry.file_name);
    }
    if root.join("reroot/boot.json").exists() && boot.join("loader/grub.cfg").exists() {
        assert!(boot.join("loader/grubenv").exists(), "{what}: no loader/grubenv");
    }
    let used = menu.iter().map(|entry| {
        let text = fs::read_to_string(boot.join("loader/entries").join(&entry.file_name)).unwrap();
        let linux = text.lines().find_map(|line| line.strip_prefix("linux ")).unwrap().trim();
        linux.split('/').nth_back(1).unwrap().to_owned()
    });
    let used: std::collections::BTreeSet<String> = used.collect();
    let there: Vec<String> = names(&boot.join("reroot"));
    assert_eq!(there, Vec::from_iter(used), "{what}: kernels on $BOOT (left) and those that entries name");
    menu
}

/// Order, stateroot and number of all deployments that are finalized.
fn records(root: &Path) -> Vec<(u64, String, u64)> {
    let mut records = Vec::new();
    for stateroot in names(&root.join("reroot/deploy")) {
        let deploy = root.join("reroot/deploy").join(&stateroot).join("deploy");
        for name in names(&deploy).iter().filter(|name| !name.starts_with('.')) {
            let Some(id) = name.strip_suffix(".json").and_then(|id| id.parse().ok()) else { continue };
            let record = record(&deploy, id);
            if record["finalized"] != false {
                records.push((record["order"].as_u64().unwrap(), stateroot.clone(), id));
            }
        }
    }
    records
}

fn record(deploy: &Path, id: u64) -> Value {
    serde_json::from_slice(&fs::read(deploy.join(format!("{id}.json"))).unwrap()).unwrap()
}

/// Sorted; none when the directory is missing.
fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

/// An entry as it is written.
pub struct Entry {
    pub file_name: String,
    order: u64,
    /// Attempts that are left, when they are counted.
    left: Option<u64>,
    keys: BTreeMap<String, Vec<String>>,
}

impl Entry {
    fn read(directory: &Path, file_name: String, what: &str) -> Self {
        let text = fs::read_to_string(directory.join(&file_name)).unwrap();
        assert!(text.ends_with('\n') && !text.contains('\0'), "{what}: {file_name} is not whole: {text:?}");
        let mut keys = BTreeMap::<String, Vec<String>>::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
            keys.entry(key.to_owned()).or_default().push(value.trim().to_owned());
        }
        let stem = file_name.strip_prefix("reroot-").and_then(|name| name.strip_suffix(".conf")).unwrap();
        let (order, counters) = stem.split_once('+').map_or((stem, None), |(o, c)| (o, Some(c)));
        assert!(order.len() == 10 && order.chars().all(is_digit), "{what}: {file_name}");
        let left = counters.map(|text| text.split('-').next().unwrap().parse().unwrap());
        Self { order: order.parse().unwrap(), left, file_name, keys }
    }

    pub fn one(&self, key: &str) -> Option<&str> {
        let values = self.keys.get(key)?;
        assert_eq!(values.len(), 1, "{}: {key}", self.file_name);
        Some(&values[0])
    }

    pub fn options(&self) -> String {
        self.keys.get("options").map(|lines| lines.join(" ")).unwrap_or_default()
    }

    fn check(&self, root: &Path, boot: &Path, what: &str) -> Bootable {
        let shown = format!("{what}: {}", self.file_name);
        let options = self.options();
        let ours: Vec<&str> = options.split(' ').filter_map(|word| word.strip_prefix("reroot=")).collect();
        let [path] = ours[..] else { panic!("{shown}: {options}") };
        let parts: Vec<&str> = path.split('/').collect();
        let ["", "reroot", "deploy", stateroot, "deploy", id] = parts[..] else { panic!("{shown}: {path}") };
        let id: u64 = id.parse().unwrap();
        let deploy = root.join("reroot/deploy").join(stateroot).join("deploy");
        let deployment = deploy.join(id.to_string());
        assert!(deployment.symlink_metadata().is_ok_and(|m| m.is_dir()), "{shown}: {path} does not exist");
        assert!(deploy.join(format!("{id}.json")).exists(), "{shown}: deployment {id} has no record");

        assert_eq!(self.one("version"), Some(self.order.to_string().as_str()), "{shown}");
        assert_eq!(self.one("sort-key"), Some("reroot"), "{shown}");
        let title = self.one("title").unwrap();
        let labels = [format!(" (reroot:{id})"), format!(" (reroot:{stateroot}:{id})")];
        assert!(labels.iter().any(|label| title.ends_with(label)), "{shown}: {title}");

        // One that does not read back says nothing: the entry of such a deployment stays as it was.
        let record = fs::read(deploy.join(format!("{id}.json"))).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap_or_default();
        assert_ne!(record["finalized"], false, "{shown}: deployment {id} is not finalized");
        let kernels = names(&deployment.join("usr/lib/modules"));
        let [kernel] = &kernels[..] else { panic!("{shown}: deployment {id} has kernels {kernels:?}") };
        let modules = deployment.join("usr/lib/modules").join(kernel);
        let (linux, initrd) = (self.one("linux").unwrap(), self.one("initrd").unwrap());
        let mut digest = blake3::Hasher::new();
        for (path, name) in [(linux, "vmlinuz"), (initrd, "initramfs.img")] {
            let there = inside(boot, path);
            let bytes = fs::read(&there).unwrap_or_else(|e| panic!("{shown}: {}: {e}", there.display()));
            let same = bytes == fs::read(modules.join(name)).unwrap();
            assert!(same, "{shown}: {path} is not {name} of deployment {id}");
            digest.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        }
        let digest = &digest.finalize().to_hex()[..32];
        assert_eq!(linux, format!("/reroot/{digest}/vmlinuz"), "{shown}");
        assert_eq!(initrd, format!("/reroot/{digest}/initrd"), "{shown}");
        // A key that the machine sets by itself is not set again.
        let is_on_trial = TRIAL.iter().all(|argument| has_key_of(&options, argument));
        assert!(is_on_trial || self.left.is_none(), "{shown}: counted, but it does not restart: {options}");
        let file_name = self.file_name.clone();
        Bootable { file_name, order: self.order, stateroot: stateroot.into(), id, options, is_on_trial }
    }
}

/// A path of an entry, from the root of the partition.
fn inside(boot: &Path, path: &str) -> PathBuf {
    boot.join(path.trim_start_matches('/'))
}
