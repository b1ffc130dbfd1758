//! What a boot loader would do with a sysroot: its menu, and whether what it names is there.

use std::fs;
use std::path::Path;

use reroot::boot::entries::read_entries;
use reroot::boot::kernel::{BootDigest, verify_pair};
use reroot::fsx;

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
    let boot = fsx::open_dir(&world.root.join("boot")).unwrap();
    let entries = read_entries(&boot).unwrap();
    assert!(entries.unreadable.is_empty(), "{what}: {:?}", entries.unreadable);
    let known = world.ids();
    let mut menu = Vec::new();
    for (_, entry) in entries.ours() {
        let options = entry.bls.options();
        let path = options.split(' ').find_map(|word| word.strip_prefix("reroot=")).expect("reroot=");
        let id: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
        assert!(known.contains(&id), "{what}: the menu names deployment {id}; there is {known:?}");
        let deployment = world.root.join(path.trim_start_matches('/'));
        let modules = fs::read_dir(deployment.join("usr/lib/modules")).unwrap();
        let modules =
            modules.map(|entry| entry.unwrap().path()).find(|p| p.join("vmlinuz").exists()).unwrap();
        let linux = entry.bls.linux().unwrap();
        let digest = BootDigest::of_path(linux).unwrap();
        assert!(verify_pair(&boot, digest).unwrap(), "{what}: the kernel of deployment {id} is damaged");
        let initrd = entry.bls.initrds().next().unwrap();
        for (name, path) in [("vmlinuz", linux), ("initramfs.img", initrd)] {
            let on_boot = fs::read(world.root.join("boot").join(path.trim_start_matches('/'))).unwrap();
            assert!(on_boot == fs::read(modules.join(name)).unwrap(), "{what}: {name} of deployment {id}");
        }
        menu.push(id);
    }
    menu
}
