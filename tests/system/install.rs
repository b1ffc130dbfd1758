//! `install to-disk` into a raw image: what the firmware, the kernel and a check of the file systems find there.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use gptman::GPT;
use reroot::boot::bls::BlsEntry;
use reroot::fsx::{self, LoopDevice};
use serde_json::Value;

use crate::support::boot_menu;
use crate::support::image::{Image, Layer, Layout, bootable_layer};
use crate::support::raw_disk::RawDisk;
use crate::support::reroot::{Ran, Reroot};
use crate::support::skip::{scratch, skip};
use crate::support::tools::{command, missing_for_root, run};

const SECTOR: u64 = 512;
/// What the version of systemd-boot is read from.
const LOADER: &str = "MZ #### LoaderInfo: systemd-boot 257 ####";

pub struct Place {
    pub directory: tempfile::TempDir,
    pub reroot: Reroot,
}

impl Place {
    /// `None` where nothing can be installed; the test is skipped then.
    pub fn new(test: &str) -> Option<Self> {
        let obstacle = missing_for_root(&["mkfs.ext4", "e2fsck", "losetup", "sfdisk", "mcopy", "fsck.vfat"])
            .or_else(|| {
                let control = File::options().read(true).write(true).open("/dev/loop-control");
                control.err().map(|error| format!("/dev/loop-control: {error}"))
            });
        if let Some(reason) = obstacle {
            skip(&format!("install::{test}"), reason);
            return None;
        }
        let directory = scratch();
        let reroot = Reroot::at(directory.path());
        reroot.configure("etc/reroot/.keep", "");
        Some(Self { directory, reroot })
    }

    pub fn image(&self, image: &Image) -> String {
        let mut layout = Layout::new(self.directory.path().join("image"));
        layout.tag("v1", image);
        layout.reference("v1")
    }

    pub fn disk(&self) -> std::path::PathBuf {
        self.directory.path().join("disk.img")
    }

    /// Copies the EFI system partition, the first of the disk, to a file of its own.
    pub fn esp(&self, table: &GPT) -> std::path::PathBuf {
        let (disk, esp) = (self.disk(), self.directory.path().join("esp.img"));
        let (start, length) = partition(&disk, table, 1);
        run(command("dd").args(["bs=1M", "status=none"]).args([
            format!("if={}", disk.display()),
            format!("of={}", esp.display()),
            format!("skip={}", start >> 20),
            format!("count={}", length >> 20),
        ]));
        esp
    }

    /// How many loop devices are attached to the disk.
    pub fn loop_devices(&self) -> usize {
        let devices = fs::read_dir("/sys/block").unwrap();
        let backing = devices
            .filter_map(|device| fs::read_to_string(device.unwrap().path().join("loop/backing_file")).ok());
        backing.filter(|file| Path::new(file.trim()) == self.disk()).count()
    }

    pub fn install(&self, more: &[&str]) -> Ran {
        let disk = self.disk();
        let words = ["install", "to-disk", disk.to_str().unwrap(), "--json"];
        self.reroot.run(words.into_iter().chain(more.iter().copied()))
    }
}

pub fn with_loader() -> Image {
    Image::new().layer(loader_layer())
}

/// A bootable layer with systemd-boot.
pub fn loader_layer() -> Layer {
    bootable_layer()
        .file("usr/lib/systemd/boot/efi/systemd-bootx64.efi", LOADER)
        .file("usr/lib/systemd/boot/efi/systemd-bootaa64.efi", LOADER)
        .file("usr/lib/bootc/kargs.d/10-console.toml", "kargs = [\"console=ttyS0\"]\n")
}

pub fn table(disk: &Path) -> Option<GPT> {
    let mut file = File::open(disk).unwrap();
    GPT::find_from(&mut file).ok()
}

/// Where a partition begins and how long it is, in bytes.
pub fn partition(disk: &Path, table: &GPT, number: u32) -> (u64, u64) {
    assert!(disk.exists());
    (table[number].starting_lba * SECTOR, table[number].size().unwrap() * SECTOR)
}

pub fn open_esp(esp: &Path) -> fatfs::FileSystem<File> {
    let file = File::options().read(true).write(true).open(esp).unwrap();
    fatfs::FileSystem::new(file, fatfs::FsOptions::new()).unwrap()
}

pub fn read(volume: &fatfs::FileSystem<File>, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    volume.root_dir().open_file(path).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_disk_has_everything_that_boots_it() {
    let Some(place) = Place::new("a_disk_has_everything_that_boots_it") else { return };
    let image = place.image(&with_loader());
    let keys = place.directory.path().join("keys");
    fs::write(&keys, "ssh-ed25519 AAAA tester\n").unwrap();
    let report: Value = place
        .install(&[
            "--image",
            &image,
            "--target-imgref",
            "quay.io/acme/os:stable",
            "--size",
            "1G",
            "--karg",
            "panic=1",
            "--root-ssh-authorized-keys",
            keys.to_str().unwrap(),
        ])
        .ok()
        .json();
    let disk = place.disk();
    assert_eq!(fs::metadata(&disk).unwrap().len(), 1 << 30);
    let table = table(&disk).expect("a partition table");
    assert_eq!(table[1].partition_name.as_str(), "EFI system");
    assert_eq!(table[2].partition_name.as_str(), "root");

    // The EFI system partition, as firmware reads it.
    let esp = place.esp(&table);
    run(command("fsck.vfat").arg("-n").arg(&esp));
    let volume = open_esp(&esp);
    let fallback = if cfg!(target_arch = "aarch64") { "BOOTAA64.EFI" } else { "BOOTX64.EFI" };
    assert_eq!(read(&volume, &format!("EFI/BOOT/{fallback}")), LOADER.as_bytes());
    let entry = read(&volume, "loader/entries/reroot-0000000001.conf");
    let entry = BlsEntry::parse(&entry, "entry").unwrap();
    let uuid = report["rootUuid"].as_str().unwrap();
    assert_eq!(
        entry.options(),
        format!("console=ttyS0 root=UUID={uuid} rw panic=1 reroot=/reroot/deploy/default/deploy/1")
    );

    // The root file system, as the kernel reads it.
    let (start, length) = partition(&disk, &table, 2);
    run(command("e2fsck").arg("-fn").arg(format!("{}?offset={start}", disk.display())));
    let file = File::options().read(true).write(true).open(&disk).unwrap();
    let device = LoopDevice::attach(&file, start, length).unwrap();
    let root = fsx::mount_detached(device.path(), "ext4").unwrap();
    let open = |path: &str| fsx::read_in_root(&root, path.as_bytes(), 1 << 20).unwrap();
    let deployment = "reroot/deploy/default/deploy/1";
    let modules = format!("{deployment}/usr/lib/modules");
    let kernel = report["kernel"].as_str().unwrap();
    for (name, path) in
        [("vmlinuz", entry.linux().unwrap()), ("initramfs.img", entry.initrds().next().unwrap())]
    {
        let in_deployment = open(&format!("{modules}/{kernel}/{name}")).unwrap();
        assert!(read(&volume, path.trim_start_matches('/')) == in_deployment, "{name}");
    }
    let origin = String::from_utf8(open(&format!("{deployment}.origin")).unwrap()).unwrap();
    assert!(origin.contains("reference = \"docker://quay.io/acme/os:stable\""), "{origin}");
    assert_eq!(
        open("reroot/deploy/default/var/roothome/.ssh/authorized_keys").unwrap(),
        b"ssh-ed25519 AAAA tester\n"
    );
    let provenance: Value = serde_json::from_slice(&open("reroot/install.json").unwrap()).unwrap();
    assert_eq!(provenance["image"], image);
    assert_eq!(provenance["digest"], report["digest"]);
    assert!(open("reroot/.tmp-boot/loader/loader.conf").is_none());
    drop(root);
    let written = RawDisk::open(&disk);
    assert_eq!(boot_menu::check_settled(&written.root(), &written.boot(), "installed").len(), 1);
}

#[test]
fn what_cannot_be_installed_is_refused_and_says_what_to_do() {
    let Some(place) = Place::new("what_cannot_be_installed_is_refused_and_says_what_to_do") else { return };
    let image = place.image(&with_loader());
    let refused = |more: &[&str], expected: &str| {
        let ran = place.install(&[&["--image", &image], more].concat());
        assert_ne!(ran.code, Some(0), "{more:?}");
        assert!(ran.stderr.contains(expected), "{more:?}: {}", ran.stderr);
    };
    refused(&[], "`--size 8G`");
    refused(&["--size", "300M"], "the disk has 314572800 bytes; the partitions need at least");
    refused(&["--size", "many"], "is not a size");
    fs::write(place.disk(), "something that people may want to keep").unwrap();
    refused(&["--size", "1G"], "is not empty; `--wipe`");
    assert!(fs::read(place.disk()).unwrap().starts_with(b"something that people may want to keep"));
}

#[test]
fn an_installation_that_fails_leaves_a_disk_that_does_not_boot() {
    let Some(place) = Place::new("an_installation_that_fails_leaves_a_disk_that_does_not_boot") else {
        return;
    };
    let image = place.image(&with_loader());
    place.install(&["--image", &image, "--size", "1G"]).ok();
    assert!(table(&place.disk()).is_some());
    // What the new image has for a boot loader is none, which is found out late.
    let programs = ["x64", "aa64"].map(|arch| format!("usr/lib/systemd/boot/efi/systemd-boot{arch}.efi"));
    let layer = programs.into_iter().fold(Layer::new(), |layer, program| layer.file(program, "MZ"));
    let image = place.image(&with_loader().layer(layer));
    let ran = place.install(&["--image", &image, "--wipe"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("is not systemd-boot: it does not say its version"), "{}", ran.stderr);
    assert!(table(&place.disk()).is_none(), "a table is left");
    assert_eq!(place.loop_devices(), 0, "a loop device is left");
}
