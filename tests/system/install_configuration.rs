//! What an image says about its installation, and images and disks that cannot be installed.

use std::fs::{self, File};

use reroot::fsx::{self, LoopDevice};
use serde_json::Value;

use crate::install::{Place, loader_layer, partition, table, with_loader};
use crate::support::image::{Image, Layer, bootable, bootable_layer, initramfs};
use crate::support::skip::skip;
use crate::support::tools::installed;

/// An image with files of settings in bootc's directory and in ours.
fn with_settings() -> Image {
    let settings = Layer::new()
        .file(
            "usr/lib/bootc/install/10-base.toml",
            "[install]\nkargs = [\"nosmt\"]\nstateroot = \"base\"\nnew = 1\n",
        )
        .file("usr/lib/bootc/install/50-later.toml", "[install.filesystem.root]\ntype = \"btrfs\"\n")
        .symlink("usr/lib/reroot/install", "../../share/settings")
        .file(
            "usr/share/settings/20-os.toml",
            "[install]\nstateroot = \"os\"\nkargs = [\"dyndbg=\\\"file a.c +p\\\"\"]\n",
        )
        .file("usr/share/settings/README", "not read");
    Image::new().layer(loader_layer()).layer(settings)
}

#[test]
fn the_merged_settings_are_printed_with_where_they_are_from() {
    let Some(place) = Place::new("the_merged_settings_are_printed_with_where_they_are_from") else { return };
    let image = place.image(&with_settings());
    let ran = place.reroot.run(["install", "print-configuration", "--image", &image]).ok();
    assert_eq!(
        ran.stdout,
        "[install]\nkargs = [\n    \"nosmt\", # /usr/lib/bootc/install/10-base.toml\n    \
         'dyndbg=\"file a.c +p\"', # /usr/lib/reroot/install/20-os.toml\n]\nblock = [\n    \"direct\", # default\n]\n\
         stateroot = \"os\" # /usr/lib/reroot/install/20-os.toml\nbootloader = \"systemd-boot\" # default\n\n\
         [install.filesystem.root]\ntype = \"btrfs\" # /usr/lib/bootc/install/50-later.toml\n"
    );
    let warning = "/usr/lib/bootc/install/10-base.toml:4: `install.new` is not known and ignored";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);

    // The same files, unpacked.
    let rootfs = place.directory.path().join("rootfs");
    for (path, text) in [
        ("usr/lib/bootc/install/10-base.toml", "[install]\nstateroot = \"base\"\n"),
        ("usr/share/settings/20-os.toml", "[install]\nstateroot = \"os\"\n"),
    ] {
        fs::create_dir_all(rootfs.join(path).parent().unwrap()).unwrap();
        fs::write(rootfs.join(path), text).unwrap();
    }
    fs::create_dir_all(rootfs.join("usr/lib/reroot")).unwrap();
    std::os::unix::fs::symlink("/usr/share/settings", rootfs.join("usr/lib/reroot/install")).unwrap();
    let words = ["install", "print-configuration", "--json", "--rootfs", rootfs.to_str().unwrap()];
    let printed = place.reroot.run(words).ok().json();
    assert_eq!(printed["install"]["stateroot"], "os");
    assert_eq!(printed["from"]["stateroot"], "/usr/lib/reroot/install/20-os.toml");
    assert_eq!(printed["install"]["filesystem"]["root"]["type"], "ext4");
}

#[test]
fn a_disk_is_installed_as_the_image_says() {
    let Some(place) = Place::new("a_disk_is_installed_as_the_image_says") else { return };
    if !installed("mkfs.btrfs") {
        return skip("install::a_disk_is_installed_as_the_image_says", "mkfs.btrfs is not installed");
    }
    let image = place.image(&with_settings());
    let words = ["--image", &image, "--size", "1G", "--karg", "mine=\"1 2\"", "--bootloader", "systemd-boot"];
    let report: Value = place.install(&words).ok().json();
    assert_eq!((&report["filesystem"], &report["stateroot"]), (&"btrfs".into(), &"os".into()));
    let disk = place.disk();
    let (start, length) = partition(&disk, &table(&disk).unwrap(), 2);
    let device =
        LoopDevice::attach(&File::options().read(true).write(true).open(&disk).unwrap(), start, length)
            .unwrap();
    let root = fsx::mount_detached(device.path(), "btrfs").unwrap();
    let origin = fsx::read_in_root(&root, b"reroot/deploy/os/deploy/1.origin", 1 << 20).unwrap().unwrap();
    let origin = String::from_utf8(origin).unwrap();
    let position = |text: &str| origin.find(text).unwrap_or_else(|| panic!("{text}: {origin}"));
    let positions = [position("root=UUID="), position("nosmt"), position("dyndbg="), position("mine=")];
    assert!(positions.is_sorted(), "{origin}");

    // The command line wins.
    let words = ["--image", &image, "--wipe", "--filesystem", "ext4", "--stateroot", "mine"];
    drop((root, device));
    let report: Value = place.install(&words).ok().json();
    assert_eq!((&report["filesystem"], &report["stateroot"]), (&"ext4".into(), &"mine".into()));
}

/// What stands at the start of a disk that must not be touched.
const PRECIOUS: &str = "something that people may want to keep";

#[test]
fn an_image_that_cannot_be_installed_is_refused_before_the_disk_is_touched() {
    let Some(place) = Place::new("an_image_that_cannot_be_installed_is_refused_before_the_disk_is_touched")
    else {
        return;
    };
    let kernel = |version: &str, names: &[&str]| {
        let layer = Layer::new().dir("usr").dir("usr/lib").dir("usr/lib/modules").dir("etc").dir("var");
        names.iter().fold(layer.dir(format!("usr/lib/modules/{version}")), |layer, name| {
            layer.file(format!("usr/lib/modules/{version}/{name}"), "x")
        })
    };
    let settings = |text: &str| {
        Image::new().layer(loader_layer()).layer(Layer::new().file("usr/lib/reroot/install/1.toml", text))
    };
    let large = Layer::new().file("usr/large", vec![b'x'; 300 << 20]);
    let foreign = Layer::new().file("usr/lib/modules/6.1.0-test/initramfs.img", initramfs(&["init"]));
    let cases: [(Image, &[&str], &str); 15] = [
        (
            Image::new().layer(kernel("6.1", &[])),
            &[],
            "there is no kernel at /usr/lib/modules/<version>/vmlinuz",
        ),
        (
            Image::new()
                .layer(kernel("6.1", &["vmlinuz", "initramfs.img"]))
                .layer(kernel("6.2", &["vmlinuz", "initramfs.img"])),
            &[],
            "it has 2 kernels (6.1, 6.2); leave one",
        ),
        (Image::new().layer(kernel("6.1", &["vmlinuz"])), &[], "initramfs.img is missing"),
        (
            Image::new().layer(bootable_layer().file("usr/etc/x", "")),
            &[],
            "the image has files in both /etc and /usr/etc",
        ),
        (
            settings("[install]\nkarg = []"),
            &[],
            "/usr/lib/reroot/install/1.toml:2: unknown key `install.karg`",
        ),
        (settings("[install]\nbootloader = 'lilo'"), &[], "1.toml: bootloader: `lilo` is none of"),
        (settings("[install]\nblock = ['tpm2-luks']"), &[], "use `reroot install to-filesystem`"),
        (settings("[install]\nroot-fs-type = 'ext2'"), &[], "`ext2` is none of ext4, xfs and btrfs"),
        (bootable(), &["--karg", "a b"], "a space outside double quotes"),
        (bootable(), &["--karg", "a=\"b"], "a double quote that is not closed"),
        (with_loader().layer(large), &[], "the image needs at least "),
        (with_loader().platform("s390x", None), &[], "no image for"),
        (with_loader().layer(foreign), &[], "initramfs.img of the image has no reroot-prepare-root"),
        (
            bootable(),
            &["--bootloader", "systemd-boot"],
            "the image has no systemd-boot at /usr/lib/systemd/boot",
        ),
        (bootable(), &["--bootloader", "grub"], "the image has no GRUB for UEFI at /usr/lib/grub/"),
    ];
    for (number, (image, more, expected)) in cases.into_iter().enumerate() {
        let image = place.image(&image);
        let disk = File::create(place.disk()).unwrap();
        disk.set_len(800 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&disk, PRECIOUS.as_bytes(), 0).unwrap();
        let ran = place.install(&[&["--image", &image, "--wipe"], more].concat());
        assert!(matches!(ran.code, Some(1 | 2)), "{number}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{number}: {}", ran.stderr);
        assert_eq!(ran.stderr.matches("error:").count(), 1, "{}", ran.stderr);
        let mut start = [0; PRECIOUS.len()];
        std::os::unix::fs::FileExt::read_exact_at(&File::open(place.disk()).unwrap(), &mut start, 0).unwrap();
        assert_eq!(start, PRECIOUS.as_bytes(), "{number}: the disk was written to");
    }
}

#[test]
fn a_disk_that_is_used_or_none_is_refused() {
    let Some(place) = Place::new("a_disk_that_is_used_or_none_is_refused") else { return };
    let image = place.image(&Image::new().layer(loader_layer()));
    let refused = |target: &str, more: &[&str], expected: &str| {
        let words = [&["install", "to-disk", "--image", &image, target], more].concat();
        let ran = place.reroot.run(words);
        assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    };
    let directory = place.directory.path().to_str().unwrap().to_owned();
    refused(&directory, &["--size", "1G"], "is neither a block device nor a file");
    refused(&format!("{directory}/missing/disk"), &["--size", "1G"], "opening ");
    refused("/dev/null", &["--size", "1G"], "is neither a block device nor a file");
    // A link to a file would be a way to write where nobody expects it.
    let link = format!("{directory}/link");
    fs::write(format!("{directory}/kept"), PRECIOUS).unwrap();
    std::os::unix::fs::symlink("kept", &link).unwrap();
    refused(&link, &["--size", "1G", "--wipe"], "opening ");
    assert_eq!(fs::read(format!("{directory}/kept")).unwrap(), PRECIOUS.as_bytes());

    let file =
        File::options().read(true).write(true).create_new(true).open(format!("{directory}/backing")).unwrap();
    file.set_len(1 << 30).unwrap();
    let device = LoopDevice::attach(&file, 0, 1 << 30).unwrap();
    let path = device.path().to_str().unwrap().to_owned();
    refused(&path, &["--size", "1G"], "`--size` is for files");
    crate::support::tools::run(crate::support::tools::command("mkfs.ext4").args(["-q", "-F"]).arg(&path));
    refused(&path, &[], "is not empty; `--wipe`");
    let point = place.directory.path().join("mounted");
    fs::create_dir(&point).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount(&path, &point, "ext4", flags, None).unwrap();
    refused(&path, &["--wipe"], "is in use: unmount what is on it first");
    rustix::mount::unmount(&point, rustix::mount::UnmountFlags::empty()).unwrap();
    // Programs that make file systems fail too, and say why.
    let small =
        File::options().read(true).write(true).create_new(true).open(format!("{directory}/small")).unwrap();
    small.set_len(200 << 20).unwrap();
    let small = LoopDevice::attach(&small, 0, 200 << 20).unwrap();
    refused(
        small.path().to_str().unwrap(),
        &[],
        "the disk has 209715200 bytes; the partitions need at least ",
    );
}

#[test]
fn a_program_that_cannot_make_the_file_system_is_quoted() {
    let Some(place) = Place::new("a_program_that_cannot_make_the_file_system_is_quoted") else { return };
    let image = place.image(&Image::new().layer(loader_layer()));
    let programs = place.directory.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let mkfs = programs.join("mkfs.ext4");
    fs::write(&mkfs, "#!/bin/sh\necho 'mkfs: no such luck' >&2\nexit 3\n").unwrap();
    fs::set_permissions(&mkfs, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let disk = place.disk();
    let words = ["install", "to-disk", "--image", &image, "--size", "1G", disk.to_str().unwrap()];
    let run = |path: &std::path::Path, more: &[&str]| {
        let mut command = place.reroot.command(words.iter().chain(more));
        let output = command.env("PATH", path).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = run(&programs, &[]);
    assert!(said.contains("running mkfs.ext4: exit status: 3: mkfs: no such luck"), "{said}");
    assert!(table(&disk).is_none());
    let said = run(place.directory.path(), &["--wipe"]);
    assert!(said.contains("the program mkfs.ext4 is not installed"), "{said}");
}
