//! A real Debian system through a real registry: what arrives is what was built, and an update costs what changed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::debian::images;
use crate::support::registry::Access;
use crate::support::reroot::Reroot;
use crate::support::skip::{say, scratch, skip};
use crate::support::tools::command;
use crate::support::tree::{Facts, Kind, Times};

fn deployment(reroot: &Reroot, id: u64) -> PathBuf {
    reroot.sysroot.join(format!("reroot/deploy/default/deploy/{id}"))
}

/// The inodes of the regular files below a directory, with their sizes.
fn inodes(directory: &Path, found: &mut BTreeSet<(u64, u64)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            inodes(&entry.path(), found);
        } else if metadata.is_file() {
            found.insert((metadata.ino(), metadata.len()));
        }
    }
}

fn bytes(files: &BTreeSet<(u64, u64)>) -> u64 {
    files.iter().map(|(_, size)| size).sum()
}

/// As du(1) adds up apparent sizes of regular files: an inode once.
fn du(directories: &[&Path]) -> u64 {
    let script = r#"find "$@" -type f -print0 | du --apparent-size --block-size=1 --total --files0-from=- | tail -n 1 | cut -f 1"#;
    let output = command("sh").args(["-c", script, "sh"]).args(directories).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn a_debian_system_arrives_as_it_was_built_and_its_update_costs_what_changed() {
    let images = match images("small") {
        Ok(images) => images,
        Err(reason) => {
            return skip("a_debian_system_arrives_as_it_was_built_and_its_update_costs_what_changed", reason);
        }
    };
    let registry = images.registry(Access::Protected);
    let directory = scratch();
    let reroot = Reroot::init(directory.path());
    registry.configure(&reroot);

    let first = registry.reference("debian:v1-gzip");
    reroot.run(["deploy", first.as_str()]).ok();
    arrives_as_built(&reroot, &first, &images.unpacked("v1-gzip"), directory.path());
    python_recompiles_nothing(&deployment(&reroot, 1));

    registry.clear_log();
    let before = reroot.json(["fsck"])["store"]["objects"].as_u64().unwrap();
    let report = reroot.json(["switch", registry.reference("debian:v2-gzip").as_str()]);
    let known: BTreeSet<String> = images.layers("v1-gzip").into_iter().map(|(digest, _)| digest).collect();
    let new: BTreeSet<String> = images
        .layers("v2-gzip")
        .into_iter()
        .map(|(digest, _)| digest)
        .filter(|d| !known.contains(d))
        .collect();
    let fetched: BTreeSet<String> =
        registry.blobs_fetched().into_iter().filter(|d| known.contains(d) || new.contains(d)).collect();
    assert_eq!(fetched, new, "only changed layers are fetched");
    assert!(new.len() < known.len(), "the images share layers");
    let objects = reroot.json(["fsck"])["store"]["objects"].as_u64().unwrap();
    assert_eq!(
        objects - before,
        report["pulled"]["newObjects"].as_u64().unwrap(),
        "only changed objects are added"
    );

    let (one, two) = (deployment(&reroot, 1), deployment(&reroot, 2));
    let (mut first, mut second) = (BTreeSet::new(), BTreeSet::new());
    inodes(&one, &mut first);
    inodes(&two, &mut second);
    let shared: BTreeSet<_> = first.intersection(&second).copied().collect();
    assert!(bytes(&shared) > bytes(&second) / 2, "{} of {} bytes are shared", bytes(&shared), bytes(&second));
    for status in reroot.deployments() {
        let (own, other) = if status["id"] == 2 { (&two, &one) } else { (&one, &two) };
        assert_eq!(status["sizeBytes"].as_u64().unwrap(), du(&[own]), "{status}");
        assert_eq!(status["uniqueBytes"].as_u64().unwrap(), du(&[own, other]) - du(&[other]), "{status}");
    }
    say(&format!(
        "debian: {} layers of v2 fetched, {} new objects, {} of {} bytes shared between the deployments",
        new.len(),
        objects - before,
        bytes(&shared),
        bytes(&second)
    ));

    reroot.run(["switch", registry.reference("debian:v2-zstd").as_str()]).ok();
    let trees: Vec<_> = reroot.deployments().iter().map(|d| d["tree"].clone()).collect();
    assert_eq!(trees[0], trees[1], "the same layers in another compression make the same tree");
    reroot.assert_sound("at the end");
}

/// Must equal what another tool makes of the same image: the plain checkout in everything, the deployment in all
/// but the times of shared files, and with /etc and /var in their places.
fn arrives_as_built(reroot: &Reroot, image: &str, rootfs: &Path, directory: &Path) {
    let expected = Facts::read(rootfs);
    let plain = directory.join("plain");
    reroot.run(["image", "pull", image]).ok();
    reroot.run(["image", "checkout", "--exact-times", image, plain.to_str().unwrap()]).ok();
    Facts::read(&plain).assert_same(&expected, Times::All, "the checkout against umoci's");

    let deployed = Facts::read(&deployment(reroot, 1));
    let linked = deployed.filter(false, &["etc", "var"]).moved("usr/etc", "etc");
    let usr = |facts: &Facts| {
        let mut facts = facts.clone();
        // Directories that hold what was moved have other times.
        for name in ["", "usr", "etc", "var"] {
            facts.0.remove(name.as_bytes());
        }
        facts
    };
    usr(&linked).assert_same(
        &usr(&expected.filter(false, &["var"])),
        Times::NotOfSharedFiles,
        "the deployment against umoci's",
    );
    let own = deployed.filter(true, &["etc"]);
    usr(&own).assert_same(&usr(&expected.filter(true, &["etc"])), Times::All, "the deployment's own /etc");
    let var = Facts::read(&reroot.sysroot.join("reroot/deploy/default/var")).moved("", "var/");
    assert!(
        var.0.len() > 10 && expected.filter(true, &["var"]).0.len() > 10,
        "the image has something in /var"
    );
    assert!(
        expected.0.values().filter(|f| matches!(f.kind, Kind::File { .. })).count() > 3000,
        "a real system"
    );
}

/// Rivals zero the times of files, and so make every compiled module stale.
fn python_recompiles_nothing(root: &Path) {
    let script = "import json, re, http.client, email.message, subprocess, unittest, xml.dom.minidom";
    let output = command("chroot").arg(root).args(["/usr/bin/python3", "-v", "-c", script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.matches("matches").count() > 20, "compiled modules are used: {said}");
    let stale: Vec<_> =
        said.lines().filter(|l| l.contains("bytecode is stale") || l.contains("wrote ")).collect();
    assert!(stale.is_empty(), "{stale:#?}");
}
