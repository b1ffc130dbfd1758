//! Images apart from deployments, and comparisons.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::super::*;
use super::support::*;

fn pull(world: &World, tag: &str) -> image::PulledImage {
    let options = image::PullImageOptions::default();
    image::pull(&world.sysroot(), &world.reference(tag), &options, &world.context()).unwrap()
}

#[test]
fn a_pulled_image_stays_until_its_name_is_removed() {
    let mut world = World::new();
    world.os("stable", 1);
    let pulled = pull(&world, "stable");
    assert_eq!(pulled.pulled.as_ref().map(|p| (p.layers_fetched, p.unchanged)), Some((2, false)));
    assert!(pull(&world, "stable").pulled.is_some_and(|p| p.unchanged));
    prune(&world.sysroot(), Run::Real, &world.context()).unwrap();

    let name = world.reference("stable").to_string();
    let list = image::list(&world.sysroot()).unwrap().images;
    assert_eq!((list.len(), &list[0].references), (1, &vec![name.clone()]));
    assert_eq!(list[0].kernel.as_deref(), Some("6.12.1"));
    let inspected = image::inspect(&world.sysroot(), &name).unwrap();
    assert_eq!(inspected.image_version.as_deref(), Some("13.1"));
    assert_eq!(inspected.layers.len(), 2);
    let by_digest = image::inspect(&world.sysroot(), &inspected.digest.to_string()).unwrap();
    assert_eq!(by_digest.tree, inspected.tree);

    let removed = image::remove(&world.sysroot(), &name, Run::Real, &world.context()).unwrap();
    assert!(removed.deployments.is_empty());
    let freed = prune(&world.sysroot(), Run::Real, &world.context()).unwrap();
    assert_eq!(freed.collected.images, 1);
    assert!(image::list(&world.sysroot()).unwrap().images.is_empty());
    let error = image::inspect(&world.sysroot(), &name).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_deployed_image_is_kept_by_its_deployment() {
    let mut world = World::new();
    world.os("stable", 1);
    world.deploy("stable");
    let name = world.reference("stable").to_string();
    assert!(image::inspect(&world.sysroot(), &name).unwrap().reference.is_none());
    let removed = image::remove(&world.sysroot(), &name, Run::Real, &world.context()).unwrap();
    assert!(removed.unchanged);
    assert_eq!(removed.deployments.len(), 1);
    let error = image::remove(&world.sysroot(), "quay.io/no/such", Run::Real, &world.context()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn history_tells_what_each_layer_brings() {
    let mut world = World::new();
    world.image(
        "a",
        "1",
        "2025-01-01T00:00:00Z",
        vec![
            vec![("a", Item::File("12345")), ("b", Item::File("12345")), ("c", Item::File("1"))],
            vec![("d", Item::File("12345")), ("e", Item::File("22"))],
        ],
    );
    pull(&world, "a");
    let lines = |tag: &str| -> Vec<(u64, u64)> {
        let name = world.reference(tag).to_string();
        let history = image::history(&world.sysroot(), &name).unwrap();
        assert!(history.lines.iter().all(|l| l.instruction.is_some()));
        history.lines.iter().filter_map(|l| l.layer.as_ref()).map(|l| (l.new_bytes, l.shared_bytes)).collect()
    };
    // `a` and `b` are one object, which the second layer has again.
    assert_eq!(lines("a"), [(6, 0), (2, 5)]);
}

#[test]
fn history_counts_what_other_images_have() {
    let mut world = World::new();
    world.os("one", 1);
    world.os("two", 2);
    pull(&world, "one");
    pull(&world, "two");
    let name = world.reference("two").to_string();
    let history = image::history(&world.sysroot(), &name).unwrap();
    let layers: Vec<_> = history.lines.iter().filter_map(|l| l.layer.as_ref()).collect();
    // The first layer is the other image's as well: one layer, so it is nobody else's objects.
    assert_eq!(layers[0].shared_bytes, 0);
    assert!(layers[1].new_bytes > 5000);
}

#[test]
fn a_checkout_is_the_plain_tree() {
    let mut world = World::new();
    world.os("stable", 1);
    pull(&world, "stable");
    let name = world.reference("stable").to_string();
    let dest = world.path().join("out");
    let options = image::CheckoutOptions::default();
    let checkout = |options| image::checkout(&world.sysroot(), &name, &dest, options, &world.context());
    let dry = image::CheckoutOptions { run: Run::Dry, ..options.clone() };
    assert!(checkout(&dry).unwrap().dry_run && !dest.exists());
    let report = checkout(&options).unwrap();
    assert!(report.linked > 5);
    assert_eq!(read(dest.join("etc/release")), "release 1\n");
    assert!(dest.join("var/cache/seed").exists() && !dest.join("usr/etc").exists());
    assert_eq!(fs::metadata(dest.join("usr/bin/tool")).unwrap().nlink(), 2);
    let error = checkout(&options).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is not empty", dest.display()));
}

#[test]
fn diff_names_files_and_packages() {
    let mut world = World::new();
    world.os("stable", 1);
    world.deploy("stable");
    world.os("stable", 2);
    world.deploy("stable");
    let side = |text: &str| text.parse::<Side>().unwrap();
    let diff = diff(&world.sysroot(), &side("1"), &side("2"), &DiffOptions::default()).unwrap();
    assert!(diff.added.is_empty() && diff.removed.is_empty());
    let changed: Vec<_> = diff.changed.iter().map(|c| c.path.to_string()).collect();
    assert_eq!(changed, ["/etc/release", "/usr/bin/tool", "/var/lib/dpkg/status"]);
    assert_eq!(diff.changed[1].changes, [Change::Content]);
    let names = |list: &[PackageChange]| list.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&diff.packages.added), ["only-2"]);
    assert_eq!(names(&diff.packages.removed), ["only-1"]);
    assert_eq!(names(&diff.packages.upgraded), ["base"]);
    assert_eq!(diff.packages.not_read, Vec::<String>::new());

    let image = world.reference("stable").to_string();
    let same = super::super::diff(&world.sysroot(), &side("2"), &side(&image), &DiffOptions::default());
    assert!(same.unwrap().changed.is_empty());
    let error = super::super::diff(&world.sysroot(), &side("2"), &side("9"), &DiffOptions::default());
    assert_eq!(error.unwrap_err().to_string(), "deployment 9 does not exist");
}
