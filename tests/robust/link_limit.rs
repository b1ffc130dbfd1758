//! ext4 allows 65,000 names for an inode (ext4's EXT4_LINK_MAX): more are met by a second copy.

use crate::small_disk::Disk;
use crate::support::image::{Image, Layer, Layout, bootable_layer};
use crate::support::skip::{say, skip};

const FILES: usize = 40_000;

#[test]
fn more_equal_files_than_an_inode_may_have_names_are_deployed() {
    let disk = match Disk::new(96, &[]) {
        Ok(disk) => disk,
        Err(reason) => return skip("link limit", &reason),
    };
    let start = std::time::Instant::now();
    let equal = (0..FILES)
        .fold(Layer::new().dir("usr").dir("usr/share"), |layer, n| layer.file(format!("usr/share/{n}"), "x"));
    let mut layout = Layout::new(disk.path().with_file_name("layout"));
    layout.tag("equal", &Image::new().layer(bootable_layer()).layer(equal));
    let world = disk.world();
    for _ in 0..2 {
        world.succeed(&["deploy", &layout.reference("equal")]);
        world.succeed(&["fsck"]);
    }
    let (first, second) = (world.listing(1), world.listing(2));
    assert!(first.len() > FILES);
    assert!(first.differences(&second).is_empty(), "{:?}", first.differences(&second));
    world.succeed(&["prune", "--retain", "1"]);
    world.succeed(&["fsck"]);
    assert!(second.differences(&world.listing(2)).is_empty());
    say(&format!("link limit: 2 deployments with {FILES} equal files in {:?}", start.elapsed()));
}
