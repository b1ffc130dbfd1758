//! `reroot container rechunk`: the same tree in layers that change little.

use serde_json::Value;

use super::builder::Builder;
use crate::support::image::{Image, Layout, bootable_layer};
use crate::support::skip::skip;
use crate::support::tools::{command, missing, run};

const PACKAGES: usize = 40;

/// A content that does not compress well and is different for each name and version.
fn content(name: &str, version: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in 0..200 {
        bytes.extend_from_slice(
            reroot::digest::Sha256::of(format!("{name} {version} {block}").as_bytes()).hex().as_bytes(),
        );
    }
    bytes
}

/// An image with many packages, of which some are in another version.
fn image(upgraded: &[usize]) -> Image {
    let (mut layer, mut status) = (bootable_layer(), String::new());
    for n in 0..PACKAGES {
        let version = if upgraded.contains(&n) { 2 } else { 1 };
        let name = format!("package-{n}");
        let path = format!("usr/lib/{name}/data");
        layer = layer.file(&path, content(&name, version)).file(
            format!("var/lib/dpkg/info/{name}.list"),
            format!("/.\n/usr\n/usr/lib\n/usr/lib/{name}\n/{path}\n"),
        );
        status += &format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        );
    }
    let layer = layer.file("var/lib/dpkg/status", status).file("etc/own", "own").symlink("lib", "usr/lib");
    Image::new().label("team", "web").layer(layer)
}

/// Has two versions of the image.
fn builder() -> Builder {
    let builder = Builder::new();
    let mut layout = Layout::new(builder.path().join("image"));
    layout.tag("1", &image(&[]));
    layout.tag("2", &image(&[3, 17]));
    builder
}

impl Builder {
    fn rechunk(&self, from: &str, to: &str, more: &[&str]) -> Value {
        let arguments = [&["rechunk", from, "-o", to, "--max-layers", "60", "--json"], more].concat();
        self.run(&arguments).ok().json()
    }

    fn diff(&self, a: &str, b: &str) -> Value {
        self.json(&["diff", a, b, "--times"])
    }
}

#[test]
fn the_tree_is_the_same_and_so_are_the_bytes_of_a_second_run() {
    let builder = builder();
    let first = builder.rechunk("oci:image:1", "oci:out:1", &[]);
    let layers = first["layers"].as_array().unwrap();
    assert!((20..=60).contains(&layers.len()), "{}", layers.len());
    let diff = builder.diff("oci:image:1", "oci:out:1");
    for key in ["added", "removed", "changed"] {
        assert_eq!(diff[key], Value::Array(vec![]));
    }
    let inspected = builder.run(&["inspect", "oci:out:1", "--json"]).ok().json();
    assert_eq!(inspected["labels"]["team"], "web");
    assert_eq!(builder.rechunk("oci:image:1", "oci:again:1", &[])["digest"], first["digest"]);
    let archive = builder.rechunk("oci:image:1", "oci-archive:out.tar:1", &[]);
    assert_eq!(archive["digest"], first["digest"]);
    // Each package is in one layer.
    let mut parts: Vec<_> = layers.iter().flat_map(|layer| layer["parts"].as_array().unwrap()).collect();
    let count = parts.len();
    parts.sort_by_key(|part| part.as_str().unwrap().to_owned());
    parts.dedup();
    assert_eq!(parts.len(), count);
    assert!(parts.iter().filter(|part| part.as_str().unwrap().starts_with("package-")).count() == PACKAGES);
}

#[test]
fn an_update_of_a_few_packages_fetches_a_few_layers() {
    let builder = builder();
    let plain = builder.diff("oci:image:1", "oci:image:2")["fetchBytes"].as_u64().unwrap();
    builder.rechunk("oci:image:1", "oci:out:1", &[]);
    // Without knowing of each other, and with.
    builder.rechunk("oci:image:2", "oci:out:2", &[]);
    let fetched = builder.diff("oci:out:1", "oci:out:2")["fetchBytes"].as_u64().unwrap();
    assert!(fetched * 3 < plain, "{fetched} of {plain}");
    let report = builder.rechunk("oci:image:2", "oci:out:3", &["--previous", "oci:out:1"]);
    assert!(report["fetchBytes"].as_u64().unwrap() * 3 < plain, "{report:#}");
    assert_eq!(report["plainBytes"].as_u64(), Some(plain));
    let text =
        builder.run(&["rechunk", "oci:image:2", "-o", "oci:out:4", "--previous", "oci:out:1"]).ok().stdout;
    assert!(
        text.contains("An update from the previous image fetches ")
            && text.contains("; with the layers as they were built"),
        "{text}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let builder = builder();
    for (arguments, reason) in [
        (&["oci:image:1", "-o", "oci:out:1", "--max-layers", "2"][..], "an image has 3 to 127 layers"),
        (&["oci:image:1", "-o", "tar:out.tar"], "`tar:out.tar` is no destination of an image"),
        (&["oci:image:1", "-o", "oci:out:1", "--previous", "./image"], "is a directory and has no layers"),
    ] {
        let ran = builder.run(&[&["rechunk"], arguments].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(reason), "{ran:?}");
    }
}

#[test]
fn other_programs_read_it() {
    if let Some(reason) = missing(&["skopeo", "umoci"]) {
        return skip("container::rechunk::other_programs_read_it", reason);
    }
    let builder = builder();
    builder.rechunk("oci:image:1", "oci:out:os", &["--compression", "zstd"]);
    builder.rechunk("oci:image:1", "oci:gzip:os", &[]);
    let at = |path: &str| builder.path().join(path).display().to_string();
    run(command("skopeo").args([
        "copy",
        "--quiet",
        &format!("oci:{}:os", at("out")),
        &format!("dir:{}", at("dir")),
    ]));
    run(command("umoci").args([
        "unpack",
        "--rootless",
        "--image",
        &format!("{}:os", at("gzip")),
        &at("unpacked"),
    ]));
    let diff = builder.diff("oci:image:1", &at("unpacked/rootfs"));
    assert_eq!((&diff["added"], &diff["removed"]), (&Value::Array(vec![]), &Value::Array(vec![])));
}
