//! What a boot loader would do with a sysroot.

use std::fs;
use std::path::Path;

use reroot::boot::entries::read_entries;
use reroot::fsx;

use crate::support::boot_menu;
use crate::world::World;

/// Makes a sysroot one that a boot loader was installed for: GRUB, which needs a step more than others.
pub fn enable(root: &Path) {
    let record = r#"{"version": 1, "loader": "grub", "root": {"fsUuid": "1A2B-3C4D", "prefix": "/boot"}}"#;
    fs::create_dir_all(root.join("boot/loader/entries")).unwrap();
    fs::write(root.join("reroot/boot.json"), record).unwrap();
}

/// The kernel's command line in the entry of a deployment.
pub fn options(world: &World, id: u64) -> String {
    let boot = fsx::open_dir(&world.root.join("boot")).unwrap();
    let name = format!(" reroot=/reroot/deploy/default/deploy/{id}");
    let entries = read_entries(&boot).unwrap();
    let mut all = entries.ours().map(|(_, entry)| entry.bls.options());
    all.find(|options| options.ends_with(&name) || options.contains(&format!("{name} "))).expect("an entry")
}

/// The deployments of the menu, the default first. Each must exist, with the kernel that its entry names.
pub fn menu(world: &World, what: &str) -> Vec<u64> {
    boot_menu::check(&world.root, &world.root.join("boot"), what).iter().map(|entry| entry.id).collect()
}

/// The same when no command was interrupted: every deployment is in the menu, and nothing else.
pub fn settled_menu(world: &World, what: &str) -> Vec<u64> {
    let menu = boot_menu::check_settled(&world.root, &world.root.join("boot"), what);
    menu.iter().map(|entry| entry.id).collect()
}
