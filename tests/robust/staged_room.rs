//! Too little room on the running system: while a deployment is staged, and at the shutdown that finalizes it. The old
//! system boots, what is missing is told with figures, and with room the same command finishes.

use std::fs;
use std::io::Write;

use crate::boot_room::Machine;
use crate::samples::SAMPLES;
use crate::small_disk::Disk;
use crate::support::image::{Image, Layer, Layout, bootable_layer};
use crate::support::skip::skip;
use crate::world::{Ran, World};

fn said(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(1), "{ran}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {ran}");
    }
}

/// Deployment 1 runs, with 3 MiB of changes in its `/etc`.
fn running(disk: &Disk) -> World {
    let world = disk.world();
    world.succeed(&["deploy", &SAMPLES.small(1)]);
    world.boot(1);
    for n in 0..3 {
        fs::write(world.deployment(1).join(format!("etc/mine-{n}")), vec![n; 1 << 20]).unwrap();
    }
    world
}

/// Fills the file system but for so many KiB.
fn fill(disk: &Disk, leave_kib: u64) -> std::path::PathBuf {
    let path = disk.path().join("ballast");
    let mut ballast = fs::File::create(&path).unwrap();
    // The file needs blocks of its own beside those of its content: only the end tells.
    while ballast.write_all(&[1; 16 << 10]).is_ok() {}
    ballast.sync_all().unwrap();
    let bytes = ballast.metadata().unwrap().len();
    ballast.set_len(bytes - (leave_kib << 10)).unwrap();
    ballast.sync_all().unwrap();
    path
}

#[test]
fn a_full_disk_while_staging_leaves_the_running_system_alone() {
    let disk = match Disk::new(48, &[]) {
        Ok(disk) => disk,
        Err(reason) => return skip("full disk while staging", &reason),
    };
    let world = running(&disk);
    let mut layout = Layout::new(disk.path().with_file_name("layout"));
    let noise: Vec<u8> = (0..1u64 << 20).flat_map(|i| crate::kill::draw(7, i).to_le_bytes()).collect();
    let big = Layer::new().dir("usr").dir("usr/share").file("usr/share/noise", noise);
    layout.tag("big", &Image::new().layer(bootable_layer()).layer(big));
    let image = layout.reference("big");
    let ballast = fill(&disk, 4 << 10);
    let (before, files) = (disk.free(), world.listing(1));
    for _ in 0..2 {
        let refused = world.run(&["switch", &image]);
        said(&refused, &["not enough space: this image", " available"]);
        assert_eq!(world.ids(), [1]);
        assert!(world.leftovers().is_empty(), "{:?}", world.leftovers());
        assert!(disk.free().0 + (256 << 10) >= before.0, "{before:?} {:?}", disk.free());
        assert!(files.differences(&world.listing(1)).is_empty());
    }
    fs::remove_file(ballast).unwrap();
    world.succeed(&["switch", &image]);
    world.succeed(&["finalize-staged"]);
    assert_eq!(crate::boot::settled_menu(&world, "with room"), [2, 1]);
    world.succeed(&["fsck"]);
}

#[test]
fn a_full_disk_at_the_shutdown_boots_the_old_system_and_says_why() {
    let disk = match Disk::new(48, &[]) {
        Ok(disk) => disk,
        Err(reason) => return skip("full disk at the shutdown", &reason),
    };
    let world = running(&disk);
    world.succeed(&["switch", &SAMPLES.small(2)]);
    let (before, files) = (world.listing(2), world.listing(1));
    // GRUB's $BOOT is there as well, and is looked at first.
    let (on_boot, on_root) = ("$BOOT has no room for one more kernel", "No space left on device");
    for (leave_kib, reason) in [(0, on_boot), (64, on_boot), (1 << 10, on_root), (2 << 10, on_root)] {
        let what = format!("{leave_kib} KiB are left");
        let ballast = fill(&disk, leave_kib);
        let ran = world.run(&["finalize-staged"]);
        said(&ran, &["finalizing deployment 2: ", reason]);
        assert_eq!(crate::boot::settled_menu(&world, &what), [1], "{what}");
        assert!(before.differences(&world.listing(2)).is_empty(), "{what}");
        assert!(files.differences(&world.listing(1)).is_empty(), "{what}");
        fs::remove_file(ballast).unwrap();
    }
    world.succeed(&["finalize-staged"]);
    assert_eq!(crate::boot::settled_menu(&world, "with room"), [2, 1]);
    assert_eq!(fs::read(world.deployment(2).join("etc/mine-2")).unwrap(), vec![2; 1 << 20]);
    world.succeed(&["fsck"]);
    assert!(world.leftovers().is_empty(), "{:?}", world.leftovers());
}

/// Deployment 2 runs, 1 is before it, and `$BOOT` has room for two kernels.
fn two_kernels() -> Result<Machine, String> {
    let mut machine = Machine::tmpfs(1000)?;
    for n in 1..=2 {
        let image = machine.image(n);
        machine.world.succeed(&["deploy", &image]);
    }
    machine.world.boot(2);
    Ok(machine)
}

#[test]
fn what_will_not_fit_on_boot_is_refused_before_it_is_staged() {
    let mut machine = match two_kernels() {
        Ok(machine) => machine,
        Err(reason) => return skip("small $BOOT while staging", &reason),
    };
    machine.world.succeed(&["pin", "1"]);
    let before = machine.state();
    let image = machine.image(3);
    let refused = machine.world.run(&["switch", &image]);
    said(&refused, &["$BOOT has no room for one more kernel: ", "deployment 1 (", "nothing was changed"]);
    assert_eq!(machine.state(), before);
    machine.world.succeed(&["unpin", "1"]);
    // Until the shutdown everything stays in the menu.
    machine.world.succeed(&["switch", &image]);
    assert_eq!(machine.menu("staged"), [2, 1]);
    let ran = machine.world.succeed(&["finalize-staged"]);
    assert!(ran.stderr.contains("deployment 1 leaves the boot menu and is removed"), "{ran}");
    assert_eq!((machine.menu("finalized"), machine.world.ids()), (vec![3, 2], vec![3, 2]));
    machine.world.succeed(&["fsck"]);
}

#[test]
fn a_boot_partition_that_is_full_at_the_shutdown_boots_the_old_system() {
    let mut machine = match two_kernels() {
        Ok(machine) => machine,
        Err(reason) => return skip("full $BOOT at the shutdown", &reason),
    };
    let image = machine.image(3);
    machine.world.succeed(&["switch", &image]);
    let foreign = machine.boot.join("of-others");
    let space = rustix::fs::statvfs(&machine.boot).unwrap();
    fs::write(&foreign, vec![0; (space.f_bavail * space.f_frsize) as usize]).unwrap();
    machine.world.succeed(&["pin", "1"]);
    let before = machine.state();
    let ran = machine.world.run(&["finalize-staged"]);
    said(&ran, &["finalizing deployment 3: $BOOT has no room for one more kernel: ", "are needed, "]);
    assert_eq!(machine.state(), before);
    assert_eq!(machine.menu("full"), [2, 1]);
    // The power goes then: the old one boots, and the staged one is forgotten.
    machine.world.cut_power(2);
    machine.world.succeed(&["unpin", "1"]);
    fs::remove_file(foreign).unwrap();
    machine.world.succeed(&["prune"]);
    machine.world.succeed(&["switch", &image]);
    machine.world.succeed(&["finalize-staged"]);
    assert_eq!((machine.menu("with room"), machine.world.ids()), (vec![4, 2], vec![4, 2]));
    machine.world.succeed(&["fsck"]);
}

#[test]
fn a_shutdown_that_is_killed_while_it_makes_room_leaves_a_menu_that_boots() {
    for point in [
        "finalize.merged",
        "finalize.exchanged",
        "boot.entries-removed",
        "boot.pairs-swept",
        "undeploy.unrecorded",
        "undeploy.renamed",
        "undeploy.deleted",
        "finalize.recorded",
        "boot.pair-written",
        "boot.entry-written",
        "boot.menu-prepared",
    ] {
        for cut in [false, true] {
            let mut machine = match two_kernels() {
                Ok(machine) => machine,
                Err(reason) => return skip("killed while making room at the shutdown", &reason),
            };
            let image = machine.image(3);
            machine.world.succeed(&["switch", &image]);
            let mut command = machine.world.command(&["finalize-staged"]);
            let ran = Ran::of(command.env("REROOT_CRASHPOINT", format!("{point}=abort")).output().unwrap());
            assert_eq!(ran.code, None, "{point} was not reached: {ran}");
            assert_eq!(machine.menu(point)[0], 2, "{point}");
            // Once more, or the machine went down with it.
            if cut {
                machine.world.cut_power(2);
                machine.world.succeed(&["switch", &image]);
            }
            machine.world.succeed(&["finalize-staged"]);
            let (menu, ids) = (machine.menu(point), machine.world.finalized());
            assert_eq!(menu, ids, "{point}");
            assert!(menu[0] >= 3 && menu.contains(&2), "{point}: {menu:?}");
            machine.world.succeed(&["prune", "--retain", "9"]);
            machine.world.succeed(&["fsck"]);
        }
    }
}
