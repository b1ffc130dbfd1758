//! `reroot container export`: what is written is what was read, by this program and by others.

use std::fs;

use serde_json::Value;

use super::builder::Builder;
use crate::support::image::{Entry, Image, Layer, Layout, bootable_layer};
use crate::support::reroot::Ran;
use crate::support::skip::skip;
use crate::support::tools::{command, missing, run};

/// Has an image of two layers with everything that a tar can have.
fn builder() -> Builder {
    let builder = Builder::new();
    let first = bootable_layer()
        .file("usr/bin/tool", "tool")
        .add(Entry::file("usr/bin/su", "su").mode(0o4755).mtime(1_600_000_000))
        .add(Entry::file("usr/bin/fine", "fine").pax("mtime", "1600000000.123456789"))
        .add(Entry::file("usr/bin/xattr", "xattr").xattr("user.test", b"a\nb\xff"))
        .add(Entry::hardlink("usr/bin/same", "usr/bin/tool"))
        .file(format!("usr/share/{}/{}", "long".repeat(30), "name".repeat(30)), "long")
        .file("usr/share/empty", "")
        .file("usr/share/gone", "gone")
        .symlink("usr/lib64", "lib")
        .add(Entry::fifo("usr/share/fifo"));
    let second = Layer::new().whiteout("usr/share/gone").file("usr/share/new", "new".repeat(100_000));
    let image = Image::new().version("7").label("team", "web").layer(first).layer(second);
    Layout::new(builder.path().join("image")).tag("os", &image);
    builder
}

impl Builder {
    fn export(&self, to: &str) -> Value {
        self.json(&["export", "oci:image:os", "-o", to])
    }

    fn differ(&self, a: &str, b: &str) -> String {
        self.text(&["diff", a, b, "--times"])
    }
}

#[test]
fn an_image_is_the_same_tree_in_one_layer() {
    let builder = builder();
    let first = builder.export("oci:out:os");
    assert!(builder.differ("oci:image:os", "oci:out:os").ends_with("no difference\n"));
    // The same again, and as an archive.
    assert_eq!(builder.export("oci:out:os")["digest"], first["digest"]);
    assert_eq!(builder.export("oci-archive:out.tar:os")["digest"], first["digest"]);
    assert!(builder.differ("oci:image:os", "oci-archive:out.tar:os").ends_with("no difference\n"));
    for (compression, tag) in [("zstd", "z"), ("none", "n")] {
        let to = format!("oci:out:{tag}");
        builder.run(&["export", "oci:image:os", "-o", &to, "--compression", compression]).ok();
        assert!(builder.differ("oci:image:os", &to).ends_with("no difference\n"), "{compression}");
    }
    let inspected = builder.run(&["inspect", "oci:out:os", "--json"]).ok().json();
    assert_eq!((&inspected["labels"]["team"], &inspected["layers"]), (&"web".into(), &1.into()));
    let index: Value =
        serde_json::from_slice(&fs::read(builder.path().join("out/index.json")).unwrap()).unwrap();
    let tags: Vec<_> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["annotations"].as_object().unwrap().values().next().unwrap())
        .collect();
    assert_eq!(tags, ["os", "z", "n"]);
    // Nothing that is half made stays.
    let names = |path: &str| -> Vec<String> {
        let names = fs::read_dir(builder.path().join(path)).unwrap();
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert!(names("out/blobs/sha256").iter().chain(&names(".")).all(|name| !name.starts_with('.')));
}

#[test]
fn the_time_of_a_build_is_that_of_its_sources() {
    let builder = builder();
    let export = |epoch| {
        let mut command = builder.command(&["export", "oci:image:os", "-o", "oci:out:os", "--json"]);
        Ran::of(&command.env("SOURCE_DATE_EPOCH", epoch).output().unwrap())
    };
    let digest = export("1700000000").ok().json()["digest"].clone();
    let inspected = builder.run(&["inspect", "oci:out:os", "--json"]).ok().json();
    assert_eq!(inspected["created"], "2023-11-14T22:13:20Z");
    assert_ne!(export("1700000001").ok().json()["digest"], digest);
    let ran = export("yesterday");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("SOURCE_DATE_EPOCH is `yesterday`, which is no number"), "{ran:?}");
}

#[test]
fn what_is_there_is_not_overwritten_by_something_else() {
    let builder = builder();
    fs::create_dir(builder.path().join("home")).unwrap();
    fs::write(builder.path().join("home/letter"), "x").unwrap();
    for (to, reason) in [
        ("oci:home:os", "it is not empty, and no image layout"),
        ("bundle:home", "home is not empty"),
        ("oci:no/where:os", "No such file or directory"),
        ("tar:no/where.tar", "No such file or directory"),
        ("home", "`home` is no destination: tar:FILE"),
    ] {
        let ran = builder.run(&["export", "oci:image:os", "-o", to]);
        assert_ne!(ran.code, Some(0), "{to}");
        assert!(ran.stderr.contains(reason), "{to}: {}", ran.stderr);
    }
    assert_eq!(fs::read_dir(builder.path().join("home")).unwrap().count(), 1);
}

#[test]
fn other_programs_read_it_and_what_they_write_is_read() {
    let name = "container::export::other_programs_read_it_and_what_they_write_is_read";
    if let Some(reason) = missing(&["skopeo", "umoci", "tar"]) {
        return skip(name, reason);
    }
    let builder = builder();
    builder.export("oci:out:os");
    builder.export("tar:out.tar");
    let at = |path: &str| builder.path().join(path).display().to_string();
    let listed = run(command("tar").args(["-tf", &at("out.tar")]));
    assert!(listed.contains("./\n") && listed.contains("usr/bin/same\n"), "{listed}");

    let inspected = run(command("skopeo").args(["inspect", &format!("oci:{}:os", at("out"))]));
    assert_eq!(serde_json::from_str::<Value>(&inspected).unwrap()["Labels"]["team"], "web");
    for to in ["oci-archive", "docker-archive"] {
        let file = format!("{to}:{}:os:1", at(to));
        let file = if to == "oci-archive" { format!("{to}:{}:os", at(to)) } else { file };
        run(command("skopeo").args(["copy", "--quiet", &format!("oci:{}:os", at("out")), &file]));
        let back = if to == "oci-archive" { file } else { format!("{to}:{}", at(to)) };
        assert!(builder.differ("oci:image:os", &back).ends_with("no difference\n"), "{to}");
    }
    run(command("umoci").args([
        "unpack",
        "--rootless",
        "--image",
        &format!("{}:os", at("out")),
        &at("unpacked"),
    ]));
    let differ = builder.run(&["diff", "oci:image:os", &at("unpacked/rootfs"), "--json"]).ok().json();
    assert_eq!((&differ["added"], &differ["removed"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    // A directory becomes an image as well.
    builder.run(&["export", &at("unpacked/rootfs"), "-o", "oci:again:os"]).ok();
    assert!(builder.differ(&at("unpacked/rootfs"), "oci:again:os").ends_with("no difference\n"));
}

#[test]
fn a_bundle_has_a_root_and_says_how_to_run_it() {
    let builder = builder();
    builder.run(&["export", "oci:image:os", "-o", "bundle:try", "--", "/usr/bin/tool", "--help"]).ok();
    let config: Value =
        serde_json::from_slice(&fs::read(builder.path().join("try/config.json")).unwrap()).unwrap();
    assert_eq!(config["process"]["args"], serde_json::json!(["/usr/bin/tool", "--help"]));
    assert_eq!((&config["root"]["path"], &config["root"]["readonly"]), (&"rootfs".into(), &true.into()));
    let root = builder.path().join("try/rootfs");
    assert_eq!(fs::read_to_string(root.join("usr/bin/tool")).unwrap(), "tool");
    // Its files may be changed without harm.
    fs::write(root.join("usr/bin/tool"), "other").unwrap();
    assert!(builder.differ("oci:image:os", "oci:image:os").ends_with("no difference\n"));
    builder.run(&["export", "./try/rootfs", "-o", "bundle:other"]).ok();
    let config: Value =
        serde_json::from_slice(&fs::read(builder.path().join("other/config.json")).unwrap()).unwrap();
    assert_eq!(config["root"]["path"], root.canonicalize().unwrap().display().to_string());
    assert_eq!(config["process"]["args"], serde_json::json!(["/bin/sh"]));
}
