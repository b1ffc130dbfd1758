//! A machine whose boot loader is played as systemd-boot does it, and what can be seen of its health.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::super::health::*;
use super::super::*;
use super::support::*;
use crate::boot::entries::read_entries;
use crate::fsx;
use crate::names::StaterootName;
use crate::sysroot::{DeploymentKey, HealthState};

/// Where the checks of the image are.
pub const REQUIRED: &str = "usr/lib/reroot/health.d/required";
pub const WANTED: &str = "usr/lib/reroot/health.d/wanted";

pub const SYSTEMD_BOOT: &str = r#"{"version":1,"loader":"systemd-boot"}"#;
pub const GRUB: &str = r#"{"version":1,"loader":"grub","root":{"fsUuid":"1A2B-3C4D","prefix":"/boot"}}"#;

/// A machine with `count` deployments of which all but the newest are good.
pub fn machine(count: u32) -> World {
    let mut world = World::new();
    for n in 1..=count {
        world.os("stable", n);
        world.deploy("stable");
    }
    with_boot_loader(world, SYSTEMD_BOOT)
}

/// Gives a world a boot loader that counts the boots of the newest deployment; the others are good.
pub fn with_boot_loader(world: World, loader: &str) -> World {
    let newest = world.sysroot().observe().unwrap().deployments[0].record.id.get();
    for n in 1..=newest {
        edit(&world, n, |record| {
            record["tries"] = 3.into();
            if n < newest {
                record["health"] = serde_json::json!({"state": "good"});
            }
        });
    }
    fs::create_dir_all(world.root().join("boot/loader/entries")).unwrap();
    fs::write(world.root().join("reroot/boot.json"), loader).unwrap();
    symlink("../root/boot", world.path().join("host/boot")).unwrap();
    let sysroot = world.sysroot();
    let locked = sysroot.lock(crate::fsx::lock::Wait::No).unwrap();
    boot::update(&locked, &boot::Place::Mounted, &[], &world.warnings).unwrap();
    drop(locked);
    open(world)
}

/// The surroundings of a machine: a `systemctl` that notes what it is asked, and nothing else of the host.
pub fn open(mut world: World) -> World {
    let bin = world.path().join("host/bin");
    fs::create_dir_all(&bin).unwrap();
    script(&bin.join("systemctl"), &format!("echo $* >> {}/asked", world.path().display()));
    world.env.vars.insert("PATH".into(), format!("{}:/usr/bin:/bin", bin.display()));
    world
}

pub fn script(path: &std::path::Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

pub fn check(world: &World, directory: &str, name: &str, text: &str) {
    script(&world.path().join("host").join(directory).join(name), text);
}

pub fn edit(world: &World, id: u64, change: impl FnOnce(&mut serde_json::Value)) {
    let file = world.deployments().join(format!("{id}.json"));
    let mut record: serde_json::Value = serde_json::from_str(&read(&file)).unwrap();
    change(&mut record);
    fs::write(file, record.to_string()).unwrap();
}

/// Starts the machine as systemd-boot does: the first entry of the menu, which is renamed before when it is counted.
pub fn start(world: &World, boot_id: &str) -> u64 {
    let boot = fsx::open_dir(&world.root().join("boot")).unwrap();
    let entries = read_entries(&boot).unwrap();
    let (name, entry) = entries.ours().next().unwrap();
    if let Some(tries) = name.tries.filter(|tries| tries.left > 0) {
        let counted = crate::boot::file_name::EntryName {
            tries: Some(crate::boot::file_name::Tries { left: tries.left - 1, done: tries.done + 1 }),
            ..*name
        };
        let directory = world.root().join("boot/loader/entries");
        fs::rename(directory.join(&entry.file_name), directory.join(counted.to_string())).unwrap();
    }
    let options = entry.bls.options();
    let path = options.split(' ').find_map(|word| word.strip_prefix("reroot=")).unwrap();
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    arrive(world, id, boot_id);
    id
}

pub fn uuid(boot_id: &str) -> String {
    format!("{boot_id:0>8}-0000-4000-8000-000000000000")
}

/// Makes it look as if a deployment came up: chosen in the menu, perhaps.
pub fn arrive(world: &World, id: u64, boot_id: &str) {
    world.boot(id);
    let host = world.path().join("host");
    let _ = fs::remove_file(host.join("run/reroot/health.json"));
    fs::create_dir_all(host.join("proc/sys/kernel/random")).unwrap();
    fs::write(host.join("proc/sys/kernel/random/boot_id"), format!("{}\n", uuid(boot_id))).unwrap();
    fs::write(host.join("proc/uptime"), "610.25 1000.00\n").unwrap();
}

pub fn complete(world: &World) -> BootCompleted {
    boot_complete(&world.sysroot(), &world.context()).unwrap()
}

/// What systemctl was asked since the last time.
pub fn asked(world: &World) -> String {
    let file = world.path().join("asked");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(file);
    text.replace('\n', ";")
}

/// The files of the menu in its order, without what is the same in all.
pub fn menu(world: &World) -> String {
    let boot = fsx::open_dir(&world.root().join("boot")).unwrap();
    let entries = read_entries(&boot).unwrap();
    let name = |file: &str| file.replace("reroot-000000000", "").replace(".conf", "");
    let lines = entries.ours().map(|(_, entry)| {
        let options = entry.bls.options();
        let (_, id) = options.split_once("/deploy/default/deploy/").unwrap();
        format!("{}={}", name(&entry.file_name), id.split(' ').next().unwrap())
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// `id:state` in boot order.
pub fn health(world: &World) -> String {
    let observed = world.sysroot().observe().unwrap();
    let lines = observed.deployments.iter().map(|d| {
        let state = match d.record.health.state {
            HealthState::Good => "good",
            HealthState::Bad => "bad",
            HealthState::Untried => "untried",
        };
        format!("{}:{state}", d.record.id)
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// The deployments whose images are not installed again, with why.
pub fn failed(world: &World) -> Vec<String> {
    let images = world.sysroot().failed_images().unwrap();
    images.iter().map(|image| format!("{}: {}", image.id, image.reason)).collect()
}

/// What happened since the deployments were made.
pub fn events(world: &World) -> Vec<String> {
    let events = world.sysroot().history(None).unwrap().events;
    let shown = events.iter().map(|event| format!("{} {}", event.event, event.id));
    shown.filter(|line| !line.starts_with("deployed")).collect()
}

/// All files of the sysroot but the history.
pub fn files(world: &World) -> Vec<String> {
    snapshot(&world.root()).into_iter().filter(|line| !line.contains("/history.jsonl")).collect()
}

pub fn key(id: u64) -> DeploymentKey {
    DeploymentKey { stateroot: StaterootName::default(), id: super::support::id(id) }
}
