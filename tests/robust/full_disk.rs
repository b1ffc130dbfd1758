//! Images that do not fit: refused with figures, nothing left behind, and welcome once there is room.

use std::fs;

use crate::samples::SAMPLES;
use crate::small_disk::Disk;
use crate::support::image::{Image, Layer, Layout, bootable_layer};
use crate::support::skip::skip;
use crate::world::{Ran, World};

/// Directories that a failed run made larger stay as they are.
const SLACK: u64 = 256 << 10;

/// Deploys what does not fit, beside a deployment; then makes room with `make_room`.
fn refuse_then_accept(disk: &Disk, world: &World, image: &str, expected: &str, make_room: impl FnOnce()) {
    let before = world.listing(1);
    let free = disk.free();
    for args in [["image", "pull", image].as_slice(), &["deploy", image]] {
        let refused = world.run(args);
        assert_eq!(refused.code, Some(1), "{args:?}: {refused}");
        assert_says(&refused, expected);
        assert!(world.leftovers().is_empty(), "{args:?}: {:?}", world.leftovers());
        // Objects that another layer had published by then stay for the next attempt, or for prune.
        world.succeed(&["prune", "--retain", "9"]);
        let now = disk.free();
        assert!(now.0 + SLACK >= free.0, "{args:?}: {} bytes were free, now {}", free.0, now.0);
        assert_eq!(now.1, free.1, "{args:?}: inodes");
        world.succeed(&["fsck"]);
        assert_eq!(world.ids(), [1]);
        assert!(before.differences(&world.listing(1)).is_empty());
    }
    make_room();
    world.succeed(&["deploy", image]);
    world.succeed(&["fsck"]);
    assert_eq!(world.ids(), [2, 1]);
}

/// The reason. Where the store itself counts, or writes an object, it says how much there is.
fn assert_says(refused: &Ran, expected: &str) {
    assert!(refused.stderr.contains(expected), "{refused}");
    let object = expected.starts_with("not enough space") || refused.stderr.contains("writing object");
    let figures = refused.stderr.contains(" available");
    assert!(figures || !object, "no figures: {refused}");
}

/// Fills the file system with a file, leaving about so many MiB.
fn fill(disk: &Disk, leave_mib: u64) -> std::path::PathBuf {
    let ballast = disk.path().join("ballast");
    let bytes = disk.free().0 - (leave_mib << 20);
    fs::write(&ballast, vec![1; bytes as usize]).unwrap();
    ballast
}

fn layout(disk: &Disk, layers: Vec<Layer>) -> (Layout, String) {
    let mut layout = Layout::new(disk.path().with_file_name("layout"));
    let image = layers.into_iter().fold(Image::new().layer(bootable_layer()), Image::layer);
    layout.tag("big", &image);
    let reference = layout.reference("big");
    (layout, reference)
}

/// Twelve files of 1 MiB: of noise, or of text that compresses to nothing.
fn megabytes(noise: bool) -> Layer {
    (0..12).fold(Layer::new().dir("usr").dir("usr/share"), |layer, n| {
        let word = |i: u64| if noise { crate::kill::draw(n, i) } else { n };
        let content: Vec<u8> = (0..1 << 17).flat_map(|i| word(i).to_le_bytes()).collect();
        layer.file(format!("usr/share/{n}"), content)
    })
}

#[test]
fn an_image_whose_blobs_are_larger_than_the_disk_is_refused_before_it_is_fetched() {
    let disk = match Disk::new(48, &[]) {
        Ok(disk) => disk,
        Err(reason) => return skip("full disk, by blobs", &reason),
    };
    let world = disk.world();
    world.succeed(&["deploy", &SAMPLES.small(1)]);
    let (_layout, image) = layout(&disk, vec![megabytes(true)]);
    let ballast = fill(&disk, 8);
    refuse_then_accept(&disk, &world, &image, "not enough space: this image", || {
        fs::remove_file(ballast).unwrap();
    });
}

#[test]
fn an_image_that_turns_out_too_large_while_it_is_unpacked_leaves_nothing_behind() {
    let disk = match Disk::new(48, &[]) {
        Ok(disk) => disk,
        Err(reason) => return skip("full disk, by content", &reason),
    };
    let world = disk.world();
    world.succeed(&["deploy", &SAMPLES.small(1)]);
    let (_layout, image) = layout(&disk, vec![megabytes(false)]);
    let ballast = fill(&disk, 8);
    refuse_then_accept(&disk, &world, &image, "not enough space", || fs::remove_file(ballast).unwrap());
}

#[test]
fn an_image_with_more_files_than_there_are_inodes_leaves_nothing_behind() {
    let disk = match Disk::new(48, &["-N", "4096"]) {
        Ok(disk) => disk,
        Err(reason) => return skip("full disk, by inodes", &reason),
    };
    let world = disk.world();
    world.succeed(&["deploy", &SAMPLES.small(1)]);
    let many = (0..2000).fold(Layer::new().dir("usr").dir("usr/share"), |layer, n| {
        layer.file(format!("usr/share/{n}"), n.to_string())
    });
    let (_layout, image) = layout(&disk, vec![many]);
    let ballast = disk.path().join("ballast");
    fs::create_dir(&ballast).unwrap();
    (0..disk.free().1 - 1000).for_each(|n| drop(fs::File::create(ballast.join(n.to_string())).unwrap()));
    refuse_then_accept(&disk, &world, &image, "No space left on device", || {
        fs::remove_dir_all(ballast).unwrap()
    });
}
