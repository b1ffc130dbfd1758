//! Installations that end in the middle: the disk then has no partition table, or it boots; and the same command
//! again finishes the job.

use std::fs::{self, File};
use std::time::Duration;

use reroot::boot::bls::BlsEntry;
use reroot::fsx::{self, LoopDevice};

use crate::install::{Place, loader_layer, open_esp, partition, table};
use crate::support::image::{Image, KERNEL};
use crate::support::skip::say;
use crate::support::tools::{command, run};

/// Every named moment on the way of `to-disk`, those of the verbs that it uses among them.
const MOMENTS: [&str; 12] = [
    "install.wiped",
    "pull.objects-renamed",
    "pull.image-written",
    "deploy.synced",
    "deploy.recorded",
    "var.renamed",
    "install.filled",
    "boot.pair-written",
    "boot.entry-written",
    "install.boot-written",
    "install.synced",
    "install.table-written",
];

/// Checks that the disk boots: its table, its root file system, its kernel.
fn assert_complete(place: &Place, what: &str) {
    let disk = place.disk();
    let table = table(&disk).unwrap_or_else(|| panic!("{what}: no table"));
    let (start, length) = partition(&disk, &table, 2);
    let file = File::options().read(true).write(true).open(&disk).unwrap();
    let device = LoopDevice::attach(&file, start, length).unwrap();
    run(command("e2fsck").args(["-f", "-n"]).arg(device.path()));
    let root = fsx::mount_detached(device.path(), "ext4").unwrap();
    let open = |path: &str| fsx::read_in_root(&root, path.as_bytes(), 1 << 20).unwrap().unwrap();
    let volume = open_esp(&place.esp(&table));
    let entry = crate::install::read(&volume, "loader/entries/reroot-0000000001.conf");
    let entry = BlsEntry::parse(&entry, "entry").unwrap();
    let kernel = open(&format!("reroot/deploy/default/deploy/1/usr/lib/modules/{KERNEL}/vmlinuz"));
    let path = entry.linux().unwrap().trim_start_matches('/').to_owned();
    assert_eq!(crate::install::read(&volume, &path), kernel, "{what}");
}

#[test]
fn a_disk_has_no_table_or_boots_whenever_the_installation_stops() {
    let Some(place) = Place::new("a_disk_has_no_table_or_boots_whenever_the_installation_stops") else {
        return;
    };
    let image = place.image(&Image::new().layer(loader_layer()));
    let disk = place.disk();
    let words = |more: &'static str| {
        ["install", "to-disk", "--image", &image, disk.to_str().unwrap(), more].map(String::from)
    };
    place.reroot.run(["install", "to-disk", "--image", &image, "--size", "1G", disk.to_str().unwrap()]).ok();
    for moment in MOMENTS {
        for action in ["abort", "error"] {
            let mut command = place.reroot.command(words("--wipe"));
            let output = command.env("REROOT_CRASHPOINT", format!("{moment}={action}")).output().unwrap();
            let what = format!("{action} at {moment}");
            assert!(!output.status.success(), "{what}: not reached");
            assert_eq!(table(&disk).is_some(), moment == "install.table-written", "{what}");
            assert_eq!(place.loop_devices(), 0, "{what}");
        }
        if moment == "install.table-written" {
            assert_complete(&place, moment);
        }
    }
    // Without --wipe the leftovers are in the way, unless they are beyond what is looked at.
    place.reroot.run(words("--wipe")).ok();
    assert_complete(&place, "the end");
}

#[test]
fn a_disk_has_no_table_or_boots_whenever_the_installation_is_killed() {
    let Some(place) = Place::new("a_disk_has_no_table_or_boots_whenever_the_installation_is_killed") else {
        return;
    };
    let image = place.image(&Image::new().layer(loader_layer()));
    let disk = place.disk();
    let words = ["install", "to-disk", "--image", &image, "--size", "1G", disk.to_str().unwrap(), "--wipe"];
    let started = std::time::Instant::now();
    place.reroot.run(words).ok();
    let whole = started.elapsed();
    let (mut without, mut with) = (0, 0);
    const KILLS: u32 = 24;
    for n in 0..KILLS {
        let mut child = place.reroot.command(words).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * n / KILLS + Duration::from_millis(2));
        child.kill().unwrap();
        let ended_before = child.wait().unwrap().success();
        // A program that makes a file system outlives its caller by a moment.
        while place.loop_devices() > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        match table(&disk) {
            Some(_) => assert_complete(&place, &format!("killed, run {n}, {ended_before}")),
            None => assert!(!ended_before),
        }
        *if table(&disk).is_some() { &mut with } else { &mut without } += 1;
    }
    say(&format!(
        "install: killed {KILLS} times in {whole:?}: {without} disks without a table, {with} that boot"
    ));
    assert!(without > 0);
    place.reroot.run(words).ok();
    assert_complete(&place, "the end");
    fs::remove_file(disk).unwrap();
}
