//! `--compression zstd:chunked`: what is written is what podman and skopeo read, in parts, and what they write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::builder::Builder;
use crate::support::chunked;
use crate::support::image::{Entry, Image, Layer, Layout, bootable_layer};
use crate::support::puller::noise;
use crate::support::registry::{Access, Registry};
use crate::support::skip::{scratch, skip};
use crate::support::tools::{command, missing, missing_for_root, run};

/// An image of which another version has other small files.
fn image(version: &str) -> Layer {
    let long = format!("usr/share/{}/{}", "long".repeat(30), "name".repeat(30));
    let mut layer = bootable_layer()
        .file("usr/bin/tool", noise(1, 2 << 20))
        .file("usr/lib/version", version)
        .add(Entry::file("usr/bin/su", "su").mode(0o4755).mtime(1_600_000_000))
        .add(Entry::file("usr/bin/fine", "fine").pax("mtime", "1600000000.123456789"))
        .add(Entry::file("usr/bin/xattr", "xattr").xattr("user.test", b"a\nb\xff"))
        .hardlink("usr/bin/same", "usr/bin/tool")
        .file(&long, "long")
        .file("usr/share/empty", "")
        .symlink("usr/lib64", "lib")
        .add(Entry::fifo("usr/share/fifo"))
        .add(Entry::char_device("usr/share/null", 1, 3));
    for n in 0..50u8 {
        layer = layer.file(format!("usr/share/{n}"), noise(n.into(), 20_000));
    }
    layer
}

fn builder() -> Builder {
    let builder = Builder::new();
    let mut layout = Layout::new(builder.path().join("image"));
    for version in ["1", "2"] {
        layout.tag(version, &Image::new().layer(image(version)));
    }
    builder
}

const CHUNKED: [&str; 2] = ["--compression", "zstd:chunked"];

impl Builder {
    fn chunked(&self, verb: &str, from: &str, to: &str) -> Value {
        self.json(&[&[verb, from, "-o", to], &CHUNKED[..]].concat())
    }

    fn at(&self, path: &str) -> String {
        self.path().join(path).display().to_string()
    }
}

#[test]
fn layers_are_the_same_tars_with_a_table() {
    let builder = builder();
    for verb in ["export", "rechunk"] {
        let (plain, to) = (format!("oci:{verb}:plain"), format!("oci:{verb}:chunked"));
        builder.json(&[verb, "oci:image:1", "-o", &plain, "--compression", "zstd"]);
        let first = builder.chunked(verb, "oci:image:1", &to);
        assert_eq!(
            builder.chunked(verb, "oci:image:1", &format!("oci:{verb}-again:os"))["digest"],
            first["digest"]
        );
        let diff = builder.json(&["diff", "oci:image:1", &to, "--times"]);
        for key in ["added", "removed", "changed"] {
            assert_eq!(diff[key], Value::Array(vec![]), "{verb}");
        }
        let layers = chunked::layers(&builder.path().join(verb), "chunked");
        let plain = chunked::layers(&builder.path().join(verb), "plain");
        assert_eq!(layers.len(), plain.len());
        for (layer, plain) in layers.iter().zip(plain) {
            assert_eq!(layer.diff_id, plain.diff_id);
            assert_eq!(reroot::digest::Sha256::of(&layer.assembled()).to_string(), layer.diff_id);
            layer.check_footer();
            assert_eq!(layer.annotations.contains_key("reroot.rechunk.layer"), verb == "rechunk");
        }
    }
}

#[test]
fn a_name_that_the_table_cannot_have_is_told() {
    let builder = Builder::new();
    let image = Image::new().layer(bootable_layer().file(b"usr/lib/\xff", "x"));
    Layout::new(builder.path().join("image")).tag("os", &image);
    let ran = builder.run(&[&["export", "oci:image:os", "-o", "oci:out:os"], &CHUNKED[..]].concat());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr.contains(r"usr/lib/\xff") && ran.stderr.contains("wants UTF-8, which its name is not"),
        "{ran:?}"
    );
    assert_eq!(fs::read_dir(builder.path().join("out/blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn the_table_is_like_that_of_others_and_their_images_are_read() {
    if let Some(reason) = missing(&["skopeo"]) {
        return skip(
            "container::chunked::the_table_is_like_that_of_others_and_their_images_are_read",
            reason,
        );
    }
    let builder = builder();
    builder.chunked("export", "oci:image:1", "oci:ours:os");
    builder.json(&["export", "oci:image:1", "-o", "oci:plain:os", "--compression", "none"]);
    run(command("skopeo")
        .args(["copy", "--quiet", "--dest-compress", "--dest-compress-format", "zstd:chunked"])
        .args([format!("oci:{}:os", builder.at("plain")), format!("oci:{}:os", builder.at("theirs"))]));
    let [ours, theirs] =
        ["ours", "theirs"].map(|name| chunked::layers(&builder.path().join(name), "os").pop().unwrap());
    assert_eq!(ours.diff_id, theirs.diff_id);
    let (our, their) = (chunked::comparable(&ours.toc()), chunked::comparable(&theirs.toc()));
    assert!(our.len() > 60 && our == their, "{our:#?}\n{their:#?}");
    assert!(ours.contents() == theirs.contents());
    assert!(builder.text(&["diff", "oci:image:1", "oci:theirs:os", "--times"]).ends_with("no difference\n"));
}

/// podman with a storage of its own.
struct Podman {
    directory: tempfile::TempDir,
}

impl Podman {
    fn new() -> Self {
        let directory = scratch();
        let at = |name: &str| directory.path().join(name).display().to_string();
        let configuration = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = {:?}\nrunroot = {:?}\n[storage.options]\npull_options = \
             {{enable_partial_images = \"true\", use_hard_links = \"false\", ostree_repos = \"\"}}\n",
            at("graph"),
            at("run")
        );
        fs::write(directory.path().join("storage.conf"), configuration).unwrap();
        Self { directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command("podman");
        command.env("CONTAINERS_STORAGE_CONF", self.directory.path().join("storage.conf")).args(arguments);
        command
    }

    /// Why this one cannot fetch parts, if it cannot: they need a file system that overlayfs is on.
    fn obstacle(&self) -> Option<String> {
        let output = self.command(&["info"]).output().unwrap();
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Gives the log.
    fn pull(&self, image: &str) -> String {
        let output =
            self.command(&["--log-level", "debug", "pull", "--tls-verify=false", image]).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{log}");
        log
    }

    fn mounted(&self, image: &str) -> PathBuf {
        run(&mut self.command(&["image", "mount", image])).trim().into()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["image", "unmount", "--all"]).output();
        let _ = self.command(&["rmi", "--all", "--force"]).output();
    }
}

/// Gives the annotations of layers the names that containers/storage before 1.44 has for them as well: Debian 12's podman is older.
fn add_old_names(layout: &Path) {
    let mut index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let blobs = layout.join("blobs/sha256");
    for descriptor in index["manifests"].as_array_mut().unwrap() {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let mut manifest: Value = serde_json::from_slice(&fs::read(blobs.join(digest)).unwrap()).unwrap();
        for layer in manifest["layers"].as_array_mut().unwrap() {
            let annotations = layer["annotations"].as_object_mut().unwrap();
            for (name, value) in annotations.clone() {
                annotations.insert(name.replace("io.github.containers.", "io.containers."), value);
            }
        }
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let digest = reroot::digest::Sha256::of(&manifest);
        fs::write(blobs.join(digest.hex()), &manifest).unwrap();
        descriptor["digest"] = digest.to_string().into();
        descriptor["size"] = manifest.len().into();
    }
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn podman_reads_it_whole_and_fetches_only_the_files_that_it_lacks() {
    let name = "container::chunked::podman_reads_it_whole_and_fetches_only_the_files_that_it_lacks";
    if let Some(reason) = missing_for_root(&["podman", "skopeo", "docker-registry"]) {
        return skip(name, reason);
    }
    let podman = Podman::new();
    if let Some(reason) = podman.obstacle() {
        return skip(name, reason);
    }
    let builder = builder();
    let registry = Registry::start(&builder.path().join("registry"), Access::Plain);
    for version in ["1", "2"] {
        builder.chunked("export", &format!("oci:image:{version}"), &format!("oci:out:{version}"));
    }
    let push = |version: &str, name: &str| {
        registry.push(&format!("oci:{}:{version}", builder.at("out")), name);
        format!("{}/{name}", registry.host)
    };
    // skopeo reads every byte and checks it.
    run(command("skopeo")
        .args(["copy", "--quiet"])
        .args([format!("oci:{}:1", builder.at("out")), format!("dir:{}", builder.at("dir"))]));
    let whole = push("1", "team/whole:1");
    add_old_names(&builder.path().join("out"));
    let (first, second) = (push("1", "team/os:1"), push("2", "team/os:2"));

    let layer = chunked::layers(&builder.path().join("out"), "2").pop().unwrap();
    for (image, parts, most) in
        [(&first, true, u64::MAX), (&second, true, 64 << 10), (&whole, false, u64::MAX)]
    {
        registry.clear_log();
        let log = podman.pull(image);
        assert_eq!(log.contains("Retrieved partial blob"), parts, "{log}");
        let bytes: u64 =
            registry.fetched().iter().filter(|f| f.path.contains("/blobs/")).map(|f| f.bytes).sum();
        assert!(bytes < most, "{bytes} of {}", layer.blob.len());
        // Of what it fetched in parts, that podman makes no devices and keeps no times.
        let mounted = podman.mounted(image);
        let source = format!("oci:image:{}", image.rsplit(':').next().unwrap());
        let diff = builder.json(&["diff", &source, mounted.to_str().unwrap()]);
        assert_eq!((&diff["added"], &diff["changed"]), (&Value::Array(vec![]), &Value::Array(vec![])));
        let removed: Vec<_> =
            diff["removed"].as_array().unwrap().iter().map(|entry| entry.to_string()).collect();
        assert!(
            removed.len() <= 2
                && removed.iter().all(|entry| entry.contains("fifo") || entry.contains("null")),
            "{removed:?}"
        );
    }
    // And this program, from the same registry.
    for image in [&whole, &second] {
        let source = format!("oci:image:{}", image.rsplit(':').next().unwrap());
        let text = builder.text(&["diff", &source, &format!("docker://{image}"), "--times"]);
        assert!(text.ends_with("no difference\n"), "{text}");
    }
}
