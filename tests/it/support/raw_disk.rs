//! What is on the disk of a machine that is switched off: its partitions as directories.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use reroot::fsx::{self, Dir, LoopDevice};
use serde_json::Value;

use super::skip::scratch;
use super::tools::{command, run};

/// Partition types, of the Discoverable Partitions Specification.
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
const XBOOTLDR: &str = "BC13C2FF-59E6-4262-A352-B275FD6F7172";
const ROOT: &str = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
const ROOT_ARM64: &str = "B921B045-1DF0-41C3-AF44-4C6F280D3FAE";

/// A disk that `install to-disk` has partitioned. Its file system is mounted for this process alone.
pub struct RawDisk {
    root: Dir,
    /// `$BOOT` when it is a partition: mounted, or a copy of it.
    boot: Option<(PathBuf, Box<dyn std::any::Any>)>,
}

/// A partition: its type, where it begins, and its length in bytes.
struct Partition {
    kind: String,
    start: u64,
    length: u64,
}

impl RawDisk {
    /// Opens a raw image. `$BOOT` is XBOOTLDR, else the ESP when it has entries, else a directory of the root.
    pub fn open(disk: &Path) -> Self {
        let partitions = partitions(disk);
        let of_kind = |kinds: &[&str]| partitions.iter().find(|p| kinds.contains(&p.kind.as_str()));
        let root = of_kind(&[ROOT, ROOT_ARM64]).expect("a root partition");
        let root = mount(disk, root).expect("the root has a file system that this kernel knows");
        let boot = [XBOOTLDR, ESP].iter().find_map(|kind| {
            let partition = of_kind(&[kind])?;
            if let Some(mounted) = mount(disk, partition) {
                return Some((path(&mounted), Box::new(mounted) as Box<dyn std::any::Any>));
            }
            // The kernel knows no FAT. Read by mtools, which shares nothing with what wrote it.
            let copy = scratch();
            let image = format!("{}@@{}", disk.display(), partition.start);
            run(command("mcopy").args(["-n", "-s", "-i", &image, "::/*"]).arg(copy.path()));
            let has_entries = copy.path().join("loader/entries").exists();
            has_entries.then(|| (copy.path().to_owned(), Box::new(copy) as Box<dyn std::any::Any>))
        });
        Self { root, boot }
    }

    /// The physical root.
    pub fn root(&self) -> PathBuf {
        path(&self.root)
    }

    /// `$BOOT`
    pub fn boot(&self) -> PathBuf {
        self.boot.as_ref().map_or_else(|| self.root().join("boot"), |(path, _)| path.clone())
    }
}

fn path(dir: &Dir) -> PathBuf {
    format!("/proc/self/fd/{}", dir.as_raw_fd()).into()
}

/// `None` for FAT, which the kernel may not know, or whose entries are elsewhere.
fn mount(disk: &Path, partition: &Partition) -> Option<Dir> {
    let file = File::options().read(true).write(true).open(disk).unwrap();
    let device = LoopDevice::attach(&file, partition.start, partition.length).unwrap();
    let kind = run(command("blkid").args(["-p", "-s", "TYPE", "-o", "value"]).arg(device.path()));
    match kind.trim() {
        "vfat" => None,
        kind => Some(fsx::mount_detached(device.path(), kind).unwrap_or_else(|e| panic!("{kind}: {e}"))),
    }
}

fn partitions(disk: &Path) -> Vec<Partition> {
    let table: Value = serde_json::from_str(&run(command("sfdisk").arg("--json").arg(disk))).unwrap();
    let table = &table["partitiontable"];
    let sector = table["sectorsize"].as_u64().unwrap_or(512);
    let partitions = table["partitions"].as_array().unwrap().iter().map(|partition| Partition {
        kind: partition["type"].as_str().unwrap().to_owned(),
        start: partition["start"].as_u64().unwrap() * sector,
        length: partition["size"].as_u64().unwrap() * sector,
    });
    partitions.collect()
}
