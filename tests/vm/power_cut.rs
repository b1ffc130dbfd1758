//! Disks that a power cut left in the middle of an upgrade of the running system, booted by a BIOS and GRUB: the old system
//! comes up or the new one. The upgrade runs here, on a block device that logs every write (tests/powercut); thousands
//! of states of such a log are looked at there, and a few are really booted here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gptman::GPT;

use crate::cut::{self, PowerCut};
use crate::device::{LoggedDevice, Scratch, attach, obstacle, tool, with_own_mounts};
use crate::harness::derived::Shared;
use crate::harness::image::Variant;
use crate::harness::machine::{Boot, Spec};
use crate::harness::{Checks, Image, Vm};
use crate::installed::{booted, install};
use crate::log::Log;
use crate::replay::Disk;
use crate::support::image::Layer;
use crate::support::reroot::PROGRAM;
use crate::support::skip::{say, scratch, skip};
use crate::support::tools::{command, run};

/// Boots, each a minute or two.
const BOOTS: usize = 12;
/// Which of the disks are left: the toss of the coins.
const SEED: u64 = 1;
const SECTOR: u64 = 512;

#[test]
#[ignore = "make test-vm"]
fn power_cuts() {
    let name = "power_cuts";
    if let Some(obstacle) = obstacle() {
        return skip(&format!("vm::{name}"), obstacle);
    }
    let image = match Image::build(Variant::InitramfsTools) {
        Ok(image) => image,
        Err(reason) => return skip(&format!("vm::{name}"), reason),
    };
    let directory = scratch();
    let spec = install(&image, name, directory.path(), &["--bootloader", "grub"]);
    let layer = Layer::new().file("usr/lib/second", "second\n");
    let second = image.with_layer(layer, directory.path(), Shared::Linked);

    let logs = Scratch::new().unwrap();
    let log = with_own_mounts(|| upgrade(&spec.disks[0], &second, &logs, directory.path())).unwrap();
    let mut disk = Disk::create(&logs.join("cut.img"), &spec.disks[0]).unwrap();
    let mut found = [0; 2];
    for (number, cut) in sample(&log).iter().enumerate() {
        let state = directory.path().join("state.raw");
        disk.cut(&log, cut).and_then(|()| disk.copy(&state)).unwrap();
        disk.restore().unwrap();
        let spec = Spec {
            boot: Boot::Bios,
            disks: vec![state.clone()],
            name: format!("{name}-{number}"),
            ..spec.clone()
        };
        let mut checks = Checks::after_login(Vm::start(&spec));
        let id = booted(&mut checks.vm);
        checks.check("the old system boots or the new one, each whole and with its /etc", |vm| {
            let is_new = vm.run("test -e /usr/lib/second").code == 0;
            assert_eq!(id, if is_new { 2 } else { 1 }, "{cut:?}");
            assert_eq!(vm.ok("cat /etc/mine"), "mine", "{cut:?}");
            let ran = vm.run_within(crate::installed::SLOW, "reroot --wait fsck");
            assert_eq!(ran.code, 0, "{cut:?}: {ran:?}");
        });
        found[(id - 1) as usize] += 1;
        checks.done().cut_power();
        fs::remove_file(state).unwrap();
    }
    let [old, new] = found;
    say(&format!("{name}: {BOOTS} disks booted: {old} the old system, {new} the new one, 0 neither"));
    assert!(old > 0 && new > 0, "the states tell nothing");
}

/// Cuts spread over the log, and closer together towards its end, where the menu changes.
fn sample(log: &Log) -> Vec<PowerCut> {
    let cuts = cut::cuts(log, 400, SEED);
    let part = |n: usize| (n * n) as f64 / ((BOOTS - 1) * (BOOTS - 1)) as f64;
    (0..BOOTS).map(|n| cuts[((1.0 - part(BOOTS - 1 - n)) * (cuts.len() - 1) as f64) as usize]).collect()
}

/// The installed system "runs" on a copy of `disk`, is upgraded and shut down: a command after the other on its root file
/// system, mounted here. Gives the log of the whole disk.
fn upgrade(disk: &Path, second: &Image, logs: &Scratch, directory: &Path) -> Result<Log> {
    let (point, host) = (logs.directory("point")?, directory.join("host"));
    fs::create_dir_all(host.join("run/reroot"))?;
    symlink(&point, host.join("sysroot"))?;
    fs::write(host.join("run/reroot/booted.json"), r#"{"version":1,"stateroot":"os","id":1}"#)?;
    let reroot = |arguments: &[&str]| {
        let mut command = command(PROGRAM);
        command.arg("--quiet").arg("--sysroot").arg(&point).args(arguments);
        run(command.env("REROOT_CONFIG_ROOT", &host));
    };
    // What somebody has changed is on the disk before the upgrade begins.
    let etc = point.join("reroot/deploy/os/deploy/1/etc");
    on_root(disk, &point, || Ok(fs::write(etc.join("mine"), "mine\n")?))?;

    let running = logs.join("running.img");
    tool("cp", &["--sparse=always", text(disk)?, text(&running)?])?;
    let device = LoggedDevice::start(logs, &running)?;
    on_root(device.path(), &point, || {
        reroot(&["switch", &second.reference()]);
        reroot(&["finalize-staged"]);
        Ok(())
    })?;
    let log = device.finish()?;
    fs::remove_file(running)?;
    Ok(log)
}

/// Mounts the root file system of a disk, its largest partition, while `work` works.
fn on_root(disk: &Path, point: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let table = GPT::find_from(&mut fs::File::open(disk)?)?;
    let sizes =
        table.iter().filter(|(_, p)| p.is_used()).map(|(_, p)| (p.size().unwrap_or(0), p.starting_lba));
    let (sectors, start) = sizes.max().context("no partition")?;
    let device = attach(disk, start * SECTOR, sectors * SECTOR)?;
    tool("mount", &["-o", "rw", text(device.path())?, text(point)?])?;
    let worked = work();
    tool("umount", &[text(point)?])?;
    worked
}

fn text(path: &Path) -> Result<&str> {
    ensure!(path.is_absolute(), "{} is not absolute", path.display());
    path.to_str().context("a path that is not UTF-8")
}
