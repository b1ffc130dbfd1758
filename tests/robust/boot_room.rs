//! A `$BOOT` with room for two kernels: older deployments leave it, or the command is refused, before anything is
//! written; and whenever a command is killed, what the menu names can be booted.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::image::{Image, Layout, bootable_layer};
use crate::support::skip::skip;
use crate::world::{Ran, World};

const KERNEL_BYTES: usize = 300 << 10;

/// A sysroot whose `/boot` is a small file system of its own.
pub struct Machine {
    pub world: World,
    layout: Layout,
    _temp: TempDir,
    pub boot: PathBuf,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.boot).status();
        if !done.is_ok_and(|status| status.success()) {
            crate::support::skip::say(&format!("{} stays mounted", self.boot.display()));
        }
    }
}

impl Machine {
    /// `mount` gets the arguments of mount(8) up to the mount point. An error says why that cannot be done here.
    fn new(mount: impl FnOnce(&TempDir) -> Vec<String>) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a file system needs root".into());
        }
        let temp = crate::world::scratch();
        let root = temp.path().join("sysroot");
        let boot = root.join("boot");
        fs::create_dir_all(&boot).unwrap();
        let mounted = Command::new("mount").args(mount(&temp)).arg(&boot).output().unwrap();
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).trim().into());
        }
        let world = World::at(&root, &temp.path().join("config"));
        let layout = Layout::new(temp.path().join("images"));
        Ok(Self { world, layout, _temp: temp, boot })
    }

    pub fn tmpfs(kib: u32) -> Result<Self, String> {
        Self::new(|_| ["-t", "tmpfs", "-o", &format!("size={kib}k"), "none"].map(String::from).into())
    }

    pub fn image(&mut self, n: u64) -> String {
        let kernel: Vec<u8> =
            (0..KERNEL_BYTES as u64 / 8).flat_map(|i| crate::kill::draw(n, i).to_le_bytes()).collect();
        let path = format!("usr/lib/modules/{}/vmlinuz", crate::support::image::KERNEL);
        let layer = bootable_layer().file(path, kernel);
        let tag = format!("v{n}");
        self.layout.tag(&tag, &Image::new().layer(layer).version(&n.to_string()));
        self.layout.reference(&tag)
    }

    fn deploy(&mut self, n: u64) -> Ran {
        let image = self.image(n);
        self.world.run(&["deploy", &image])
    }

    /// Names and sizes of everything on `$BOOT`, and the deployments.
    pub fn state(&self) -> Vec<String> {
        let listed = Command::new("find")
            .args([&self.boot, &self.world.deployments()])
            .args(["-maxdepth", "4", "-printf", "%p %s\n"])
            .output()
            .unwrap();
        let mut lines: Vec<String> =
            String::from_utf8(listed.stdout).unwrap().lines().map(String::from).collect();
        lines.sort();
        lines
    }

    pub fn menu(&self, what: &str) -> Vec<u64> {
        crate::boot::menu(&self.world, what)
    }
}

fn run_through(mut machine: Machine) {
    for n in 1..=2 {
        let ran = machine.deploy(n);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran}");
    }
    let third = machine.deploy(3);
    assert_eq!(third.code, Some(0), "{third}");
    assert!(
        third.stderr.contains("warning: deployment 1 leaves the boot menu and is removed: $BOOT has no room"),
        "{third}"
    );
    assert_eq!((machine.menu("after the third"), machine.world.ids()), (vec![3, 2], vec![3, 2]));
    assert!(!machine.world.deployment(1).exists());

    // One that has its kernel already costs nobody anything.
    let ran = machine.world.succeed(&["kargs", "--append", "quiet"]);
    assert_eq!((ran.stderr.as_str(), machine.menu("another argument")), ("", vec![4, 3, 2]));
    machine.world.succeed(&["undeploy", "3"]);

    machine.world.succeed(&["pin", "2"]);
    let before = machine.state();
    let refused = machine.deploy(4);
    assert_eq!(refused.code, Some(1), "{refused}");
    for expected in [
        "$BOOT has no room for one more kernel: 589824 bytes are needed, ",
        "what stays: deployment 4 (rollback), deployment 2 (pinned); undeploy or unpin one of these",
        "nothing was changed",
    ] {
        assert!(refused.stderr.contains(expected), "{expected}: {refused}");
    }
    assert_eq!(machine.state(), before);
    // Only the menu counts for a rollback: its kernel is there.
    machine.world.succeed(&["rollback"]);
    assert_eq!(machine.menu("rolled back"), [2, 4]);
    machine.world.succeed(&["rollback"]);

    machine.world.succeed(&["unpin", "2"]);
    let again = machine.deploy(4);
    assert_eq!(again.code, Some(0), "{again}");
    assert_eq!((machine.menu("unpinned"), machine.world.ids()), (vec![5, 4], vec![5, 4]));
    machine.world.succeed(&["fsck"]);
}

#[test]
fn the_oldest_leaves_a_small_boot_partition_or_the_command_is_refused() {
    match Machine::tmpfs(1000) {
        Ok(machine) => run_through(machine),
        Err(reason) => skip("small $BOOT, tmpfs", &reason),
    }
}

#[test]
fn the_same_on_vfat() {
    let machine = Machine::new(|temp| {
        let image = temp.path().join("esp");
        fs::File::create(&image).unwrap().set_len(1100 << 10).unwrap();
        let made = Command::new("mkfs.vfat").args(["-s", "1"]).arg(&image).output();
        assert!(made.is_ok_and(|output| output.status.success()), "mkfs.vfat");
        ["-t", "vfat", "-o", "loop", image.to_str().unwrap()].map(String::from).into()
    });
    match machine {
        Ok(machine) => run_through(machine),
        Err(reason) => skip("small $BOOT, vfat", &reason),
    }
}

#[test]
fn a_boot_partition_that_holds_one_kernel_refuses_the_second() {
    let mut machine = match Machine::tmpfs(700) {
        Ok(machine) => machine,
        Err(reason) => return skip("$BOOT for one kernel", &reason),
    };
    assert_eq!(machine.deploy(1).code, Some(0));
    let before = machine.state();
    let refused = machine.deploy(2);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("what stays: deployment 1 (rollback)"), "{refused}");
    assert_eq!(machine.state(), before);
}

#[test]
fn a_command_that_is_killed_while_it_makes_room_leaves_a_menu_that_boots() {
    // The first time that each is reached is while room is made, but for those of the new deployment.
    for point in [
        "boot.entries-removed",
        "boot.pairs-swept",
        "undeploy.unrecorded",
        "undeploy.renamed",
        "undeploy.deleted",
        "deploy.synced",
        "deploy.renamed",
        "deploy.counters",
        "deploy.recorded",
        "boot.pair-written",
        "boot.entry-written",
    ] {
        let mut machine = match Machine::tmpfs(1000) {
            Ok(machine) => machine,
            Err(reason) => return skip("killed while making room", &reason),
        };
        for n in 1..=2 {
            assert_eq!(machine.deploy(n).code, Some(0));
        }
        let image = machine.image(3);
        let mut command = machine.world.command(&["deploy", &image]);
        let ran = Ran::of(command.env("REROOT_CRASHPOINT", format!("{point}=abort")).output().unwrap());
        assert_eq!(ran.code, None, "{point} was not reached: {ran}");
        let menu = machine.menu(point);
        assert!(menu.contains(&2), "{point}: {menu:?}");
        assert!(point == "boot.entry-written" || menu[0] == 2, "{point}: {menu:?}");
        machine.world.succeed(&["deploy", &image]);
        let (menu, ids) = (machine.menu(point), machine.world.ids());
        assert_eq!(menu, ids, "{point}");
        assert!(menu[0] >= 3 && menu.len() >= 2, "{point}: {menu:?}");
        machine.world.succeed(&["fsck"]);
    }
}
