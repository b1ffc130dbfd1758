//! `install to-filesystem`: into file systems that a person made and mounted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use reroot::fsx::LoopDevice;
use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::Value;

use crate::install::{Place, loader_layer};
use crate::support::image::{Image, Layer};
use crate::support::reroot::Ran;
use crate::support::skip::skip;
use crate::support::tools::{command, installed, run};

/// Something that is mounted until it is dropped.
struct Mounted {
    point: PathBuf,
    _device: Option<LoopDevice>,
}

impl Mounted {
    fn new(source: &Path, point: PathBuf, kind: &str, options: &str) -> Self {
        fs::create_dir_all(&point).unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        rustix::mount::mount(source, &point, kind, MountFlags::empty(), options.as_c_str()).unwrap();
        Self { point, _device: None }
    }

    fn tmpfs(point: PathBuf) -> Self {
        Self::new(Path::new("tmpfs"), point, "tmpfs", "mode=0755")
    }

    /// A new file system in a file beside it.
    fn disk(point: PathBuf, kind: &str, size: u64, options: &str) -> Self {
        let file = point.with_extension("img");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(file).unwrap();
        file.set_len(size).unwrap();
        let device = LoopDevice::attach(&file, 0, size).unwrap();
        let mkfs = if kind == "vfat" { vec!["-F32", "-i", "1234ABCD"] } else { vec!["-q"] };
        run(command(format!("mkfs.{kind}")).args(mkfs).arg(device.path()));
        let mut mounted = Self::new(device.path(), point, kind, options);
        mounted._device = Some(device);
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.point, UnmountFlags::DETACH);
    }
}

fn image() -> Image {
    Image::new().layer(loader_layer().dir("boot").dir("efi"))
}

fn install(place: &Place, root: &Path, more: &[&str]) -> Ran {
    let words = ["install", "to-filesystem", "--json", root.to_str().unwrap()];
    place.reroot.run(words.into_iter().chain(more.iter().copied()))
}

fn has_vfat() -> bool {
    fs::read_to_string("/proc/filesystems").unwrap().contains("\tvfat\n") && installed("mkfs.vfat")
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

#[test]
fn an_empty_file_system_has_everything_afterwards() {
    let Some(place) = Place::new("an_empty_file_system_has_everything_afterwards") else { return };
    let reference = place.image(&image());
    let root = place.directory.path().join("root");
    let mounted = Mounted::disk(root.clone(), "ext4", 512 << 20, "");
    let boot = Mounted::tmpfs(root.join("boot"));
    let words =
        ["--image", &reference, "--bootloader", "none", "--karg", "quiet", "--boot-mount-spec", "LABEL=B"];
    let report: Value = install(&place, &root, &words).ok().json();
    assert_eq!((&report["filesystem"], &report["boot"]), (&"ext4".into(), &"/boot".into()));
    let device = mounted._device.as_ref().unwrap().path();
    let uuid = run(command("blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(device));
    assert_eq!(report["rootMountSpec"], format!("UUID={}", uuid.trim()));
    let entry = read(root.join("boot/loader/entries/reroot-0000000001.conf"));
    let options = format!(
        "options console=ttyS0 root=UUID={} rw systemd.mount-extra=LABEL=B:/boot:tmpfs:nofail quiet \
         reroot=/reroot/deploy/default/deploy/1\n",
        uuid.trim()
    );
    assert!(entry.contains(&options), "{entry}");
    assert!(root.join("reroot/install.json").exists());
    let fsck = place.reroot.command(["fsck", "--sysroot", root.to_str().unwrap()]).output().unwrap();
    assert!(fsck.status.success(), "{fsck:?}");
    // A second deployment finds $BOOT below the sysroot.
    let words = ["deploy", "--sysroot", root.to_str().unwrap(), &reference];
    place.reroot.run(words).ok();
    assert!(root.join("boot/loader/entries/reroot-0000000002.conf").exists());

    // It is not empty now.
    let ran = install(&place, &root, &["--image", &reference]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("is not empty: it has reroot; `--replace wipe`"), "{}", ran.stderr);
    let words = ["--image", &reference, "--bootloader", "none", "--replace", "wipe"];
    install(&place, &root, &words).ok();
    let entries: Vec<_> = fs::read_dir(root.join("boot/loader/entries")).unwrap().collect();
    assert_eq!(entries.len(), 1);
    drop((boot, mounted));
}

#[test]
fn an_efi_system_partition_gets_systemd_boot() {
    let Some(place) = Place::new("an_efi_system_partition_gets_systemd_boot") else { return };
    if !has_vfat() {
        return skip("install::an_efi_system_partition_gets_systemd_boot", "the kernel has no vfat");
    }
    let reference = place.image(&image());
    let root = place.directory.path().join("root");
    let _mounted = Mounted::disk(root.clone(), "ext4", 512 << 20, "");
    fs::create_dir(root.join("boot")).unwrap();
    let esp = place.directory.path().join("esp");
    let esp = Mounted::disk(esp, "vfat", 64 << 20, "");
    let _esp = Mounted::new(esp._device.as_ref().unwrap().path(), root.join("boot/efi"), "vfat", "");
    let report: Value = install(&place, &root, &["--image", &reference]).ok().json();
    assert_eq!((&report["boot"], &report["bootloader"]), (&"/boot/efi".into(), &"systemd-boot".into()));
    assert!(root.join("boot/efi/EFI/BOOT").exists());
    assert!(root.join("boot/efi/loader/entries/reroot-0000000001.conf").exists());
}

#[test]
fn a_subvolume_of_btrfs_is_named_to_the_kernel() {
    let Some(place) = Place::new("a_subvolume_of_btrfs_is_named_to_the_kernel") else { return };
    if !installed("mkfs.btrfs") || !fs::read_to_string("/proc/filesystems").unwrap().contains("\tbtrfs\n") {
        return skip("install::a_subvolume_of_btrfs_is_named_to_the_kernel", "there is no btrfs");
    }
    let reference = place.image(&image());
    let top = Mounted::disk(place.directory.path().join("top"), "btrfs", 512 << 20, "");
    run(command("btrfs").args(["subvolume", "create"]).arg(top.point.join("@ root")));
    fs::create_dir(top.point.join("directory")).unwrap();
    let device = top._device.as_ref().unwrap().path();
    let root = place.directory.path().join("root");
    {
        let _root = Mounted::new(device, root.clone(), "btrfs", "subvol=@ root");
        install(&place, &root, &["--image", &reference, "--bootloader", "none"]).ok();
        let entry = read(root.join("boot/loader/entries/reroot-0000000001.conf"));
        assert!(entry.contains(" rootflags=\"subvol=/@ root\" rw "), "{entry}");
    }
    rustix::mount::mount_bind(top.point.join("directory"), &root).unwrap();
    let _bind = Mounted { point: root.clone(), _device: None };
    let ran = install(&place, &root, &["--image", &reference, "--bootloader", "none"]);
    assert!(ran.stderr.contains("is a directory and not a subvolume"), "{}", ran.stderr);
}

#[test]
fn what_is_no_place_for_a_system_is_refused_and_stays_as_it_is() {
    let Some(place) = Place::new("what_is_no_place_for_a_system_is_refused_and_stays_as_it_is") else {
        return;
    };
    let reference = place.image(&image());
    let root = place.directory.path().join("root");
    fs::create_dir(&root).unwrap();
    let refused = |more: &[&str], expected: &str| {
        let ran = install(&place, &root, &[&["--image", &reference], more].concat());
        assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    };
    let none = ["--bootloader", "none"];
    refused(&none, "is not a mount point: mount the file system there");
    let mounted = Mounted::tmpfs(root.clone());
    refused(&none, "has no UUID that can be read; `--root-mount-spec` says");
    let spec = ["--root-mount-spec", "LABEL=x"];
    refused(&spec, "systemd-boot needs an EFI system partition (vfat), and none is mounted at ");
    refused(&[&none[..], &["--replace", "alongside"]].concat(), "reroot does not take over a file system");
    refused(&[&none[..], &["--root-mount-spec", "a\"b"]].concat(), "a value cannot hold a double quote");
    fs::create_dir_all(root.join("boot/grub")).unwrap();
    refused(&none, "is not empty: it has boot/grub; `--replace wipe`");
    fs::remove_dir_all(root.join("boot")).unwrap();
    let home = Mounted::tmpfs(root.join("home"));
    refused(&none, "/home is mounted: below ");
    drop(home);
    fs::remove_dir(root.join("home")).unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    drop(mounted);

    let small = Mounted::new(Path::new("tmpfs"), root.clone(), "tmpfs", "size=64k");
    refused(&[&none[..], &spec].concat(), " has room for 65536 bytes; the image needs at least ");
    drop(small);
    let _root = Mounted::tmpfs(root.clone());
    let _boot = Mounted::new(Path::new("tmpfs"), root.join("boot"), "tmpfs", "size=64k");
    refused(
        &[&none[..], &spec].concat(),
        "/boot has room for 65536 bytes; the kernel with its initramfs has ",
    );
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
}

#[test]
fn an_empty_specification_says_nothing_to_the_kernel() {
    let Some(place) = Place::new("an_empty_specification_says_nothing_to_the_kernel") else { return };
    let settings = Layer::new()
        .file("usr/lib/bootc/install/1.toml", "[install]\nroot-mount-spec = \"\"\nbootloader = \"none\"\n");
    let reference = place.image(&image().layer(settings));
    let root = place.directory.path().join("root");
    let _root = Mounted::tmpfs(root.clone());
    let report = install(&place, &root, &["--image", &reference]).ok().json();
    assert_eq!((&report["rootMountSpec"], &report["bootloader"]), (&Value::Null, &"none".into()));
    let entry = read(root.join("boot/loader/entries/reroot-0000000001.conf"));
    assert!(entry.contains("options console=ttyS0 rw reroot="), "{entry}");
}
