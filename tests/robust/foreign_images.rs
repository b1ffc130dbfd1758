//! Images that would not boot here: an initramfs that knows no deployments, another processor.

use std::fs;

use crate::support::image::{Image, KERNEL, Layout, bootable, bootable_layer, gzip, initramfs, zstd};
use crate::world::{World, scratch};

fn with_initramfs(bytes: Vec<u8>) -> Image {
    let path = format!("usr/lib/modules/{KERNEL}/initramfs.img");
    Image::new().layer(bootable_layer().file(path, bytes))
}

#[test]
fn an_initramfs_without_our_program_is_refused_with_the_way_to_fix_it() {
    let world = World::new();
    let temp = scratch();
    let mut layout = Layout::new(temp.path().join("images"));
    let ours = initramfs(&["init", "usr/lib/reroot/reroot-prepare-root"]);
    let foreign = initramfs(&["init", "bin/sh"]);
    let microcode = initramfs(&["kernel/x86/microcode/GenuineIntel.bin"]);
    layout.tag("ours", &with_initramfs([microcode.clone(), zstd(&ours)].concat()));
    world.succeed(&["deploy", &layout.reference("ours")]);
    for (tag, bytes, reason) in [
        ("zstd", [microcode.clone(), zstd(&foreign)].concat(), "has no reroot-prepare-root"),
        ("gzip", gzip(&foreign), "has no reroot-prepare-root"),
        (
            "text",
            b"an initramfs\n".to_vec(),
            "is no initramfs: there is something in it that is no cpio archive",
        ),
        ("short", zstd(&ours)[..20].to_vec(), "is no initramfs: "),
        ("xz", [&microcode[..], b"\xfd7zXZ\0 and so on"].concat(), "is no initramfs: "),
    ] {
        layout.tag(tag, &with_initramfs(bytes));
        let image = layout.reference(tag);
        for verb in ["deploy", "switch"] {
            let refused = world.run(&[verb, &image]);
            assert_eq!(refused.code, Some(1), "{tag}: {refused}");
            let named = format!("/usr/lib/modules/{KERNEL}/initramfs.img of the image {reason}");
            for part in [
                named.as_str(),
                "/usr/lib/dracut/modules.d",
                "docs/initramfs.md",
                "--allow-foreign-initramfs",
            ] {
                assert!(refused.stderr.contains(part), "{tag}: {part}: {refused}");
            }
            assert_eq!((world.ids(), world.leftovers().len()), (vec![1], 0), "{tag}");
        }
    }
    let image = layout.reference("gzip");
    world.succeed(&["deploy", &image, "--allow-foreign-initramfs"]);
    assert_eq!(crate::boot::menu(&world, "foreign"), [2, 1]);
    // Known already, and not looked at again.
    world.succeed(&["kargs", "--append", "x"]);
    // Nothing boots from a sysroot without a boot loader.
    fs::remove_file(world.root.join("reroot/boot.json")).unwrap();
    assert_eq!(world.succeed(&["deploy", &layout.reference("zstd")]).stderr, "");
}

#[test]
fn an_image_for_another_processor_is_refused_in_the_running_system() {
    let world = World::new();
    fs::remove_file(world.root.join("reroot/boot.json")).unwrap();
    let temp = scratch();
    let mut layout = Layout::new(temp.path().join("images"));
    let other = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    layout.tag("own", &bootable());
    layout.tag("other", &bootable().platform(other, None));
    let (own, image) = (layout.reference("own"), layout.reference("other"));
    let platform = format!("linux/{other}");
    world.succeed(&["deploy", &own]);

    let refused = world.run(&["deploy", &image]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("it has no image for linux/"), "{refused}");
    assert!(refused.stderr.contains(&format!("there is linux/{other}")), "{refused}");
    // A sysroot that is not the running system may be another machine's.
    world.succeed(&["deploy", &image, "--platform", &platform]);
    world.succeed(&["undeploy", "2"]);

    world.boot(1);
    for args in [
        &["deploy", &image, "--platform", &platform][..],
        &["deploy", &image, "--platform", &platform, "--dry-run"],
        &["switch", &image, "--platform", &platform],
    ] {
        let refused = world.run(args);
        assert_eq!(refused.code, Some(1), "{args:?}: {refused}");
        let expected = format!("the image is for {other}, and this machine is ");
        assert!(refused.stderr.contains(&expected), "{args:?}: {refused}");
        assert_eq!(world.ids(), [1]);
    }
    world.succeed(&["deploy", &own]);
}
