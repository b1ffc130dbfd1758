//! `install to-disk` over a disk that boots already: whatever moment the power goes at, the disk has no partition table, or
//! the old system as it was, or the new one whole.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use gptman::GPT;
use reroot::boot::bls::BlsEntry;

use crate::cut::{self, Kept, PowerCut};
use crate::device::{LoggedDevice, Scratch, attach, installed, run, tool, with_own_mounts};
use crate::filesystem::Filesystem;
use crate::images::Images;
use crate::replay::Disk;
use crate::{from_environment, say, skip, turn};

/// Room for an EFI system partition and the smallest root file system.
const DISK_BYTES: u64 = 800 << 20;
/// States in `make test`; each takes a check of a file system and of a store.
const STATES: u64 = 24;
/// Stretches between flushes at the beginning and at the end that are looked at closely, and states of each.
const EDGE: usize = 3;
const EDGE_STATES: u64 = 4;
const SECTOR: u64 = 512;

fn install(images: &Images, config: &Path, disk: &Path) -> Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reroot"));
    command.args(["--quiet", "install", "to-disk", "--wipe", "--bootloader", "none", "--image"]);
    command.arg(images.reference()).arg(disk).env("REROOT_CONFIG_ROOT", config);
    run(&mut command).map(drop)
}

/// What is on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NoTable,
    /// A sound system of this version.
    Boots(usize),
}

/// Looks at the disk as firmware, loader and kernel would. Fails when it looks bootable and is not.
fn state_of(image: &Path, point: &Path, config: &Path) -> Result<State> {
    let Ok(table) = GPT::find_from(&mut File::open(image)?) else { return Ok(State::NoTable) };
    let range = |number: u32| -> Result<(u64, u64)> {
        let partition = &table[number];
        Ok((partition.starting_lba * SECTOR, partition.size()? * SECTOR))
    };
    let (start, length) = range(2)?;
    let root = attach(image, start, length)?;
    tool("e2fsck", &["-f", "-n", &root.path().to_string_lossy()])?;
    let mounted = Filesystem::Ext4.mount(root.path(), point)?;
    let version = check_system(image, range(1)?, point, config)?;
    mounted.unmount()?;
    Ok(State::Boots(version))
}

/// Checks the entry, its kernel and the store, and gives the version.
fn check_system(image: &Path, (start, length): (u64, u64), point: &Path, config: &Path) -> Result<usize> {
    let esp = image.with_extension("esp");
    let megabytes = |bytes: u64| (bytes >> 20).to_string();
    tool(
        "dd",
        &[
            "bs=1M",
            "status=none",
            "conv=sparse",
            &format!("if={}", image.display()),
            &format!("of={}", esp.display()),
            &format!("skip={}", megabytes(start)),
            &format!("count={}", megabytes(length)),
        ],
    )?;
    let volume = fatfs::FileSystem::new(File::open(&esp)?, fatfs::FsOptions::new())?;
    let read = |path: &str| -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        volume.root_dir().open_file(path.trim_start_matches('/'))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let entry = BlsEntry::parse(&read("loader/entries/reroot-0000000001.conf")?, "entry")?;
    let deployment = point.join("reroot/deploy/default/deploy/1");
    let modules = deployment.join("usr/lib/modules");
    let kernel = fs::read_dir(&modules)?.next().context("no kernel")??.path();
    ensure!(read(entry.linux().context("no linux")?)? == fs::read(kernel.join("vmlinuz"))?, "another kernel");
    let initrd = entry.initrds().next().context("no initrd")?;
    ensure!(read(initrd)? == fs::read(kernel.join("initramfs.img"))?, "another initramfs");
    drop(volume);
    fs::remove_file(&esp)?;
    let mut fsck = Command::new(env!("CARGO_BIN_EXE_reroot"));
    run(fsck.arg("--quiet").arg("--sysroot").arg(point).arg("fsck").env("REROOT_CONFIG_ROOT", config))?;
    let release = fs::read_to_string(deployment.join("usr/lib/os-release"))?;
    let version = release.lines().find_map(|line| line.strip_prefix("VERSION_ID=")).context("no version")?;
    Ok(version.parse()?)
}

#[test]
fn an_installation_survives_every_power_cut() {
    let test = "an_installation_survives_every_power_cut";
    let Some(_turn) = turn(test, Filesystem::Ext4) else { return };
    if let Some(missing) = ["e2fsck", "dd"].into_iter().find(|name| !installed(name)) {
        return skip::skip(&format!("powercut::{test}"), format!("{missing} is not installed"));
    }
    with_own_mounts(cut_power_of_an_installation).unwrap();
}

fn cut_power_of_an_installation() -> Result<()> {
    let scratch = Scratch::new()?;
    let (config, point) = (scratch.directory("config")?, scratch.directory("point")?);
    let images = Images::new(&scratch.directory("images")?);
    let base = scratch.join("base.img");
    File::create_new(&base)?.set_len(DISK_BYTES)?;
    install(&images, &config, &base).context("the old system")?;
    images.publish(1);
    let disk = scratch.join("disk.img");
    tool("cp", &["--sparse=always", &base.to_string_lossy(), &disk.to_string_lossy()])?;
    let device = LoggedDevice::start(&scratch, &disk)?;
    install(&images, &config, device.path()).context("the new system")?;
    let log = device.finish()?;
    fs::remove_file(&disk)?;

    let states = from_environment("REROOT_POWERCUT_STATES", STATES).min(400) as usize;
    let seed = from_environment("REROOT_POWERCUT_SEED", 1);
    let mut cuts = cut::cuts(&log, states, seed);
    // Where the old table goes and where the new one comes it matters most which writes are lost.
    let epochs = log.epochs();
    let (first, last) = (epochs.iter().take(EDGE), epochs.iter().rev().take(EDGE));
    for epoch in first.chain(last) {
        for n in 0..EDGE_STATES {
            let kept = Kept::Pages { seed: seed.wrapping_mul(1000) + n };
            cuts.push(PowerCut { flushed: epoch.start, end: epoch.end, kept });
        }
    }
    cuts.sort_by_key(|cut| (cut.flushed, cut.end, cut.kept));
    let image = scratch.join("cut.img");
    let mut replayed = Disk::create(&image, &base)?;
    let (mut counts, mut last) = ([0; 3], State::NoTable);
    for cut in &cuts {
        replayed.cut(&log, cut)?;
        last = state_of(&image, &point, &config).with_context(|| format!("{cut:?}"))?;
        let index = match last {
            State::NoTable => 1,
            State::Boots(0) => 0,
            State::Boots(1) => 2,
            State::Boots(other) => bail!("{cut:?}: version {other}"),
        };
        counts[index] += 1;
        replayed.restore()?;
    }
    let [old, none, new] = counts;
    say(&format!(
        "powercut: install to-disk: {} power cuts in {} operations: {old} disks with the old system, {none} without a table, \
         {new} with the new system, 0 broken",
        cuts.len(),
        log.ops().len()
    ));
    ensure!(last == State::Boots(1) && none > 0, "the states tell nothing");
    Ok(())
}
