//! What a boot loader would do with a sysroot.

use std::fs;
use std::path::Path;

use crate::support::boot_menu;
use crate::world::World;

/// Makes a sysroot one that a boot loader was installed for: GRUB, which needs a step more than others.
pub fn enable(root: &Path) {
    let record = r#"{"version": 1, "loader": "grub", "root": {"fsUuid": "1A2B-3C4D", "prefix": "/boot"}}"#;
    fs::create_dir_all(root.join("boot/loader/entries")).unwrap();
    fs::write(root.join("reroot/boot.json"), record).unwrap();
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
