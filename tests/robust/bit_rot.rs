//! Damage on disk: fsck names it, `--repair` undoes it where the image source has what is needed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::listing::Listing;
use crate::samples::SAMPLES;
use crate::world::World;

struct Rotten {
    world: World,
    before: [Listing; 2],
}

impl Rotten {
    fn new() -> Self {
        let world = World::new();
        world.succeed(&["image", "pull", &SAMPLES.small(1)]);
        world.succeed(&["deploy", &SAMPLES.small(1)]);
        world.succeed(&["deploy", &SAMPLES.small(2)]);
        let before = [world.listing(1), world.listing(2)];
        Self { world, before }
    }

    /// fsck finds the damage and names `name`.
    fn assert_found(&self, name: &str) {
        let found = self.world.run(&["fsck"]);
        assert_eq!(found.code, Some(1), "{name}: {found}");
        assert!(found.stdout.contains(name) || found.stderr.contains(name), "`{name}` is not named: {found}");
    }

    /// fsck --repair puts everything right, and the deployments are what they were.
    fn assert_repaired(&self) {
        let repaired = self.world.run(&["fsck", "--repair"]);
        assert_eq!(repaired.code, Some(0), "{repaired}");
        let after = self.world.run(&["fsck"]);
        assert_eq!(after.code, Some(0), "{after}");
        for (before, id) in self.before.iter().zip(1..) {
            let differences = before.differences(&self.world.listing(id));
            assert!(differences.is_empty(), "deployment {id}: {differences:#?}");
        }
    }

    /// The object that a file of deployment 2 is a link to, and its id.
    fn object(&self, path: &str) -> (PathBuf, String) {
        let inode = fs::metadata(self.world.deployment(2).join(path)).unwrap().ino();
        let objects = self.world.repo().join("objects");
        let fans = fs::read_dir(objects).unwrap().map(|fan| fan.unwrap().path());
        let mut all = fans.flat_map(|fan| fs::read_dir(fan).unwrap().map(|object| object.unwrap().path()));
        let object = all.find(|object| fs::metadata(object).unwrap().ino() == inode).unwrap();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let id = name(object.parent().unwrap()) + &name(&object);
        (object, id)
    }

    /// The first file in a directory of the store, and its name.
    fn stored(&self, part: &str) -> (PathBuf, String) {
        let mut files: Vec<_> =
            fs::read_dir(self.world.repo().join(part)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let name = files[0].file_name().unwrap().to_str().unwrap().trim_end_matches(".json").to_owned();
        (files[0].clone(), name)
    }
}

/// Flips a bit of the byte in the middle, in place: every link of the inode sees it.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// Changes the first byte, without which a file of text is not what it was.
fn behead(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[0] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_changed_object_is_fetched_again_and_linked_into_every_deployment() {
    let rotten = Rotten::new();
    let (path, id) = rotten.object("usr/share/part-0/1");
    flip(&path);
    rotten.assert_found(&id);
    rotten.assert_repaired();
}

#[test]
fn a_truncated_object_is_fetched_again() {
    let rotten = Rotten::new();
    let (path, id) = rotten.object("usr/lib/version");
    fs::write(&path, "").unwrap();
    rotten.assert_found(&id);
    rotten.assert_repaired();
}

#[test]
fn a_missing_object_is_fetched_again() {
    let rotten = Rotten::new();
    let (path, id) = rotten.object("usr/share/part-1/2");
    fs::remove_file(&path).unwrap();
    rotten.assert_found(&id);
    rotten.assert_repaired();
}

#[test]
fn an_object_with_another_mode_gets_its_own_back() {
    let rotten = Rotten::new();
    let (path, id) = rotten.object("usr/share/part-2/5");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    rotten.assert_found(&id);
    rotten.assert_repaired();
}

#[test]
fn a_changed_file_of_a_deployment_is_linked_again() {
    let rotten = Rotten::new();
    let file = rotten.world.deployment(2).join("usr/lib/os-release");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "ID=other\n").unwrap();
    rotten.assert_found("usr/lib/os-release");
    rotten.assert_repaired();
}

#[test]
fn a_changed_layer_is_fetched_again() {
    let rotten = Rotten::new();
    let (path, id) = rotten.stored("layers");
    flip(&path);
    rotten.assert_found(&id);
    rotten.assert_repaired();
}

#[test]
fn a_changed_tree_is_merged_again() {
    let rotten = Rotten::new();
    let (path, id) = rotten.stored("trees");
    flip(&path);
    rotten.assert_found(&id);
    rotten.assert_repaired();
}

#[test]
fn a_changed_image_record_is_fetched_again() {
    let rotten = Rotten::new();
    let (path, id) = rotten.stored("images");
    flip(&path);
    rotten.assert_found(&id);
    rotten.assert_repaired();
}

#[test]
fn a_changed_ref_is_named() {
    let rotten = Rotten::new();
    let (path, _) = rotten.stored("refs");
    flip(&path);
    rotten.assert_found("ref oci:");
    rotten.world.run(&["fsck", "--repair"]);
    rotten.world.succeed(&["image", "pull", &SAMPLES.small(1)]);
    rotten.assert_repaired();
}

/// What a record said is nowhere else: it can be named, not brought back, and its deployment is not swept away
/// by a repair.
#[test]
fn a_changed_record_of_a_deployment_is_named_and_the_others_are_intact() {
    let rotten = Rotten::new();
    behead(&rotten.world.deployments().join("1.json"));
    rotten.assert_found("1.json");
    rotten.world.run(&["fsck", "--repair"]);
    rotten.assert_found("1.json");
    assert_eq!(rotten.world.ids(), [2]);
    for (before, id) in rotten.before.iter().zip(1..) {
        let differences = before.differences(&rotten.world.listing(id));
        assert!(differences.is_empty(), "deployment {id}: {differences:#?}");
    }
}

#[test]
fn a_changed_origin_is_named() {
    let rotten = Rotten::new();
    behead(&rotten.world.deployments().join("2.origin"));
    rotten.assert_found("2.origin");
    for (before, id) in rotten.before.iter().zip(1..) {
        assert!(before.differences(&rotten.world.listing(id)).is_empty(), "deployment {id}");
    }
}
