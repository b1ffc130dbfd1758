//! `reroot container inspect`, `layers`, `history` and `diff`, of images and of a directory.

use std::fs;

use serde_json::json;

use super::builder::Builder;
use crate::support::image::{Entry, Image, Layer, Layout, bootable_layer};
use crate::support::reroot::Reroot;

/// Has two versions of an image: a package upgraded, another gone, a unit, an argument and a file more.
fn builder() -> Builder {
    let builder = Builder::new();
    let status = |packages: &[(&str, &str)]| {
        let stanza = |(name, version): &(&str, &str)| {
            format!(
                "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
            )
        };
        packages.iter().map(stanza).collect::<Vec<_>>().join("\n")
    };
    let base = || {
        bootable_layer()
            .file("usr/bin/tool", "1".repeat(1000))
            .file("usr/bin/old", "old")
            .file("usr/share/doc/own", "own")
            .file("var/lib/dpkg/status", status(&[("tool", "1.0"), ("old", "3")]))
            .file("var/lib/dpkg/info/tool:amd64.list", "/.\n/usr\n/usr/bin\n/usr/bin/tool\n")
            .file("var/lib/dpkg/info/old.list", "/usr/bin/old\n")
    };
    let first = Image::new().version("1").layer(base());
    let second = Layer::new()
        .dir("usr/bin")
        .file("usr/bin/tool", "2".repeat(2000))
        .whiteout("usr/bin/old")
        .file("usr/lib/new", "new")
        .add(Entry::file("usr/share/doc/own", "own").mode(0o600))
        .file("usr/lib/reroot/kargs.d/10-new.toml", "kargs = ['quiet', 'new=1']\n")
        .symlink(
            "etc/systemd/system/multi-user.target.wants/new.service",
            "/usr/lib/systemd/system/new.service",
        )
        .file("var/lib/dpkg/status", status(&[("tool", "1.1")]));
    let second = Image::new().version("2").layer(base()).layer(second);
    let mut layout = Layout::new(builder.path().join("image"));
    layout.tag("1", &first);
    layout.tag("2", &second);
    builder
}

#[test]
fn inspect_tells_what_a_machine_would_get() {
    let builder = builder();
    let image = builder.json(&["inspect", "oci:image:2"]);
    assert_eq!(image["kernel"]["version"], "6.1.0-test", "{image:#}");
    let arguments = json!([
        {"value": "quiet", "file": "/usr/lib/reroot/kargs.d/10-new.toml"},
        {"value": "new=1", "file": "/usr/lib/reroot/kargs.d/10-new.toml"},
    ]);
    assert_eq!(image["kernelArguments"], arguments);
    assert_eq!(image["units"], json!(["new.service"]));
    assert_eq!((&image["layers"], &image["architecture"]), (&json!(2), &json!("amd64")));
    let package =
        json!([{"name": "tool", "architecture": "amd64", "version": "1.1", "bytes": 2000, "files": 1}]);
    assert_eq!(image["packages"], package);
    let directories = image["byDirectory"].as_array().unwrap();
    let bytes: u64 = directories.iter().map(|directory| directory["bytes"].as_u64().unwrap()).sum();
    assert_eq!(image["bytes"], bytes);
    assert_eq!(image["unownedBytes"], bytes - 2000);

    let text = builder.text(&["inspect", "oci:image:2"]);
    for line in [
        "Kernel:    6.1.0-test (",
        "Arguments: quiet new=1\n",
        "Label:     org.opencontainers.image.version=2\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn layers_have_the_letters_of_docker_diff() {
    let builder = builder();
    let layers = builder.json(&["layers", "oci:image:2"]);
    let layer = &layers["layers"][1];
    assert_eq!(
        (&layer["added"], &layer["changed"], &layer["deleted"]),
        (&json!(3), &json!(3), &json!(1)),
        "{layer:#}"
    );
    // Of the tool, the database and the file whose mode has changed; of what was deleted as well.
    assert!(layer["hiddenBytes"].as_u64().unwrap() > 1000 + 3 + 3);
    let text = builder.text(&["layers", "oci:image:2", "--layer", "2"]);
    for line in [
        "D /usr/bin/old (3 B)\n",
        "C /usr/bin/tool (1.95 KiB)\n",
        "A /usr/lib/new (3 B)\n",
        "C /usr/share/doc/own (3 B)\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains(" /usr/bin\n"), "a directory that is as it was: {text}");
    let ran = builder.run(&["layers", "oci:image:2", "--layer", "3"]);
    assert!(ran.stderr.contains("oci:image:2 has layers 1 to 2"), "{ran:?}");
    fs::create_dir(builder.path().join("root")).unwrap();
    assert!(builder.run(&["layers", "./root"]).stderr.contains("has no layers"));
}

#[test]
fn history_is_that_of_a_stored_image() {
    let builder = builder();
    let history = builder.json(&["history", "oci:image:2"]);
    assert_eq!(history["lines"].as_array().unwrap().len(), 2, "{history:#}");
    assert!(builder.text(&["history", "oci:image:2"]).contains("SHARED  INSTRUCTION"));
}

#[test]
fn a_diff_is_for_people_for_programs_and_for_release_notes() {
    let builder = builder();
    let diff = builder.json(&["diff", "oci:image:1", "oci:image:2"]);
    assert_eq!(diff["kernelArguments"], json!({"added": ["new=1", "quiet"], "removed": []}), "{diff:#}");
    assert_eq!(diff["units"]["added"], json!(["new.service"]));
    assert_eq!(diff["packages"]["upgraded"][0]["to"], "1.1");
    assert_eq!(diff["packages"]["removed"][0]["name"], "old");
    assert_eq!(diff["fetchLayers"], 1);
    assert_eq!((&diff["from"]["imageVersion"], &diff["to"]["imageVersion"]), (&json!("1"), &json!("2")));

    let text = builder.text(&["diff", "oci:image:1", "oci:image:2"]);
    for line in [
        "oci:image:1 -> oci:image:2\nVersion:  1 -> 2\n",
        "argument + quiet\n",
        "package ↑ tool 1.0 -> 1.1\n",
        "- /usr/bin/old\n",
        "* /usr/share/doc/own (mode 0644 -> 0600)\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let markdown = builder.text(&["diff", "oci:image:1", "oci:image:2", "--format", "markdown"]);
    for line in [
        "## oci:image:1 → oci:image:2\n",
        "- Version: 1 → 2\n",
        "### Upgraded packages\n\n- tool 1.0 → 1.1\n",
        "- added: `new=1`\n",
    ] {
        assert!(markdown.contains(line), "{line}: {markdown}");
    }
    assert!(builder.text(&["diff", "oci:image:2", "oci:image:2"]).ends_with("no difference\n"));
}

#[test]
fn an_image_and_its_unpacked_root_do_not_differ() {
    let builder = builder();
    builder.text(&["inspect", "oci:image:2"]);
    let store = builder.store();
    let image = format!("oci:{}/image:2", builder.path().display());
    let of_store = Reroot { sysroot: store, ..builder.reroot.clone() };
    let root = builder.path().join("root");
    of_store.run(["image", "checkout", "--copy", &image, root.to_str().unwrap()]).ok();
    let diff = builder.json(&["diff", "oci:image:2", "./root"]);
    let differs = |key: &str| diff[key].as_array().unwrap().len();
    assert_eq!((differs("added"), differs("removed"), differs("changed")), (0, 0, 0), "{diff:#}");
    fs::write(builder.path().join("root/usr/lib/new"), "not").unwrap();
    let diff = builder.json(&["diff", "oci:image:2", "./root"]);
    assert_eq!(diff["changed"], json!([{"path": "/usr/lib/new", "changes": [{"what": "content"}]}]));
}
