//! Images in directories and archives, sound and broken, down to the tar of each layer.

use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::SystemTime;

use reroot::digest::Sha256;
use reroot::env::Env;
use reroot::oci::compress::decompressor;
use reroot::oci::limits;
use reroot::oci::manifest::Compression;
use reroot::oci::platform::Platform;
use reroot::oci::source::{ImageSource, ResolvedImage};
use reroot::oci::verify::VerifyingReader;
use reroot::oci::{self, Error};
use serde_json::{Value, json};

use crate::support::image::*;

/// A scratch directory with a layout in it.
struct Scratch {
    temp: tempfile::TempDir,
    layout: Layout,
}

impl Scratch {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let layout = Layout::new(temp.path().join("layout"));
        Self { temp, layout }
    }

    fn resolve(&self, tag: &str) -> Result<ResolvedImage, Error> {
        resolve(&self.layout.reference(tag))
    }

    /// Tags one image and resolves it.
    fn resolve_image(&mut self, image: &Image) -> Result<ResolvedImage, Error> {
        self.layout.tag("x", image);
        self.resolve("x")
    }

    /// Tags an index with these bytes and resolves it.
    fn resolve_index(&mut self, bytes: &[u8]) -> Result<ResolvedImage, Error> {
        self.layout.write_blob(bytes);
        self.layout.tag_descriptor(Some("x"), descriptor(INDEX, bytes));
        self.resolve("x")
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.temp.path().join(name)
    }
}

fn open(reference: &str) -> Result<Box<dyn ImageSource>, Error> {
    let env = Env::fixed(Path::new("/nonexistent"), SystemTime::UNIX_EPOCH);
    oci::open(&reference.parse()?, &env)
}

fn resolve(reference: &str) -> Result<ResolvedImage, Error> {
    resolve_for(reference, &Platform::host().to_string())
}

fn resolve_for(reference: &str, platform: &str) -> Result<ResolvedImage, Error> {
    open(reference)?.resolve(&platform.parse().unwrap())
}

/// Everything that is checked on the way from a reference to tars: the diff_ids of what came out.
fn read_all(reference: &str) -> Result<Vec<String>, Error> {
    read_all_for(reference, &Platform::host().to_string())
}

fn read_all_for(reference: &str, platform: &str) -> Result<Vec<String>, Error> {
    let source = open(reference)?;
    let resolved = source.resolve(&platform.parse().unwrap())?;
    resolved
        .layers
        .iter()
        .map(|layer| {
            let context = || format!("layer {}", layer.digest);
            let blob = VerifyingReader::new(source.open_blob(layer)?, layer.digest, layer.size);
            let mut tar = Vec::new();
            decompressor(layer.compression, BufReader::new(blob))
                .and_then(|mut inflated| inflated.read_to_end(&mut tar))
                .map_err(|error| Error::from_io(error, context))?;
            Ok(Sha256::of(&tar).to_string())
        })
        .collect()
}

#[track_caller]
fn assert_says<T>(result: Result<T, Error>, message: &str) {
    match result {
        Ok(_) => panic!("accepted; expected an error that says `{message}`"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(message), "expected `{message}` in `{text}`");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
}

fn three_layers() -> Image {
    bootable()
        .layer_as(Layer::new().file("usr/bin/two", "2"), Compress::Zstd)
        .layer_as(Layer::new().file("usr/bin/three", "3"), Compress::None)
}

#[test]
fn every_local_transport_gives_the_same_image() {
    let mut scratch = Scratch::new();
    let built = scratch.layout.tag("v1", &three_layers().version("7"));
    let (archive, docker) = (scratch.file("a.tar"), scratch.file("d.tar"));
    scratch.layout.write_archive(&archive);
    write_docker_archive(&docker, &[(&three_layers().version("7"), &["demo:v1"])]);

    let diff_ids: Vec<String> = built.layers.iter().map(|layer| layer.diff_id.clone()).collect();
    for reference in [
        scratch.layout.reference("v1"),
        format!("oci:{}", scratch.layout.path.display()),
        format!("oci:{}@{}", scratch.layout.path.display(), built.digest()),
        format!("oci-archive:{}:v1", archive.display()),
        format!("oci-archive:{}", archive.display()),
        format!("docker-archive:{}:v1", docker.display()),
        format!("docker-archive:{}", docker.display()),
    ] {
        let resolved = resolve(&reference).unwrap();
        assert_eq!(resolved.config_bytes, built.config, "{reference}");
        assert_eq!(resolved.config.labels["org.opencontainers.image.version"], "7");
        assert_eq!(Sha256::of(&resolved.manifest), resolved.manifest_digest);
        assert_eq!(resolved.index_digest, None);
        if !reference.starts_with("docker") {
            assert_eq!(resolved.manifest_digest, built.digest());
            let compressions: Vec<_> = resolved.layers.iter().map(|layer| layer.compression).collect();
            assert_eq!(compressions, [Compression::Gzip, Compression::Zstd, Compression::None]);
        }
        assert_eq!(read_all(&reference).unwrap(), diff_ids, "{reference}");
    }
}

#[test]
fn an_image_with_dockers_media_types_is_read_like_any_other() {
    let mut scratch = Scratch::new();
    let image = bootable().layer_as(Layer::new().file("x", ""), Compress::None).docker();
    scratch.resolve_image(&image).unwrap();
    assert_eq!(read_all(&scratch.layout.reference("x")).unwrap().len(), 2);
}

#[test]
fn a_tag_that_is_missing_or_needed_is_named() {
    let mut scratch = Scratch::new();
    let path = scratch.layout.path.display().to_string();
    assert_says(resolve(&format!("oci:{path}")), "does not exist");
    scratch.layout.tag("v1", &bootable());
    scratch.layout.tag("v2", &three_layers());
    assert_says(scratch.resolve("v3"), "does not exist; there is v1, v2");
    assert_says(resolve(&format!("oci:{path}")), "several images are there; add one of the tags v1, v2");
    let digest = Sha256::of(b"nothing");
    assert_says(resolve(&format!("oci:{path}@{digest}")), &format!("blob {digest} of oci:{path}@"));

    let archive = scratch.file("d.tar");
    write_docker_archive(&archive, &[(&bootable(), &["a:1", "a:2"]), (&three_layers(), &["b:3"])]);
    let reference = format!("docker-archive:{}", archive.display());
    assert_says(resolve(&reference), "several images are there: a:1, a:2, b:3");
    assert_says(resolve(&format!("{reference}:9")), "does not exist; there is a:1, a:2, b:3");
    // The second image's first layer is a symlink to the first image's.
    assert_eq!(read_all(&format!("{reference}:2")).unwrap().len(), 1);
    assert_eq!(read_all(&format!("{reference}:3")).unwrap().len(), 3);
}

#[test]
fn what_is_no_image_place_says_why() {
    let scratch = Scratch::new();
    let path = scratch.file("empty");
    fs::create_dir(&path).unwrap();
    let at = |transport: &str, path: &Path| resolve(&format!("{transport}:{}", path.display()));
    assert_says(at("oci", &path), "it has no file `oci-layout`");
    assert_says(at("oci", &scratch.file("none")), "does not exist");
    assert_says(at("oci-archive", &path), "it is not a regular file");
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    assert_says(at("oci", &path), "image layout version 2.0.0 is not known");
    fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    assert_says(at("oci", &path), "it has no file `index.json`");
    fs::write(path.join("index.json"), "{").unwrap();
    assert_says(at("oci", &path), "index.json of oci:");

    let file = scratch.file("file");
    for (bytes, message) in [
        (&b""[..], "it has no file `oci-layout`"),
        (&[0; 10240], "it has no file `oci-layout`"),
        (b"not a tar at all", "it ends in the middle of an entry"),
        (&gzip(b"anything"), "compressed archives cannot be read in place"),
        (&zstd(b"anything"), "compressed archives cannot be read in place"),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_says(at("oci-archive", &file), message);
    }
    fs::write(&file, Layer::new().file("x", "").tar()).unwrap();
    assert_says(at("docker-archive", &file), "it has no file `manifest.json`");
}

#[test]
fn a_layout_cannot_point_outside_itself() {
    let mut scratch = Scratch::new();
    let built = scratch.layout.tag("v1", &bootable());
    let secret = scratch.file("secret");
    fs::write(&secret, &built.manifest).unwrap();
    let blob = scratch.layout.blob_path(built.digest());
    for target in ["../../../secret".to_owned(), secret.display().to_string()] {
        fs::remove_file(&blob).unwrap();
        std::os::unix::fs::symlink(&target, &blob).unwrap();
        assert_says(scratch.resolve("v1"), "does not exist");
    }
    // Nothing blocks on what is not a file.
    fs::remove_file(&blob).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&blob).status().unwrap().success());
    assert_says(scratch.resolve("v1"), "it is not a regular file");
}

#[test]
fn wrong_bytes_are_found_wherever_they_are() {
    let mut scratch = Scratch::new();
    let built = scratch.layout.tag("x", &bootable());
    let config = Sha256::of(&built.config);
    let layer = Sha256::of(&built.layers[0].bytes);
    let reference = scratch.layout.reference("x");
    for (digest, good) in
        [(built.digest(), &built.manifest), (config, &built.config), (layer, &built.layers[0].bytes)]
    {
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let truncated = good[..good.len() - 1].to_vec();
        let longer = [good, &b"\n"[..]].concat();
        for bad in [flipped, truncated, longer, Vec::new()] {
            scratch.layout.write_blob_as(digest, &bad);
            let error = read_all(&reference).unwrap_err();
            assert!(error.to_string().contains(&digest.to_string()), "{error}");
            // A decoder may stumble over a layer before its end was checked.
            let verification = matches!(error, Error::Verification { .. });
            assert!(verification || digest == layer, "{error}");
        }
        scratch.layout.write_blob_as(digest, good);
    }
    read_all(&reference).unwrap();
}

#[test]
fn manifests_that_lie_are_refused() {
    type Case = (&'static str, Box<dyn Fn(&mut Value) + Send + Sync>);
    let digest = Sha256::of(b"").to_string();
    let cases: Vec<Case> = vec![
        ("bytes", Box::new(|m| m["config"]["size"] = json!(1))),
        ("more than the limit", Box::new(|m| m["config"]["size"] = json!(limits::DOCUMENT_BYTES + 1))),
        ("more than the limit", Box::new(|m| m["layers"][0]["size"] = json!(u64::MAX))),
        ("invalid value", Box::new(|m| m["layers"][0]["size"] = json!(-1))),
        ("is not a sha256 digest", Box::new(|m| m["config"]["digest"] = json!("sha256:../../../etc/passwd"))),
        ("is not a sha256 digest", Box::new(|m| m["layers"][0]["digest"] = json!("\u{1b}[2J"))),
        ("does not exist", Box::new(move |m| m["config"]["digest"] = json!(digest.clone()))),
        ("neither clearly", Box::new(|m| m["manifests"] = json!([]))),
        ("could be meant for", Box::new(|m| m["Manifests"] = json!([]))),
        ("announced as", Box::new(|m| m["mediaType"] = json!(DOCKER_MANIFEST))),
        ("schema version 1", Box::new(|m| m["schemaVersion"] = json!(1))),
        ("it is an artifact", Box::new(|m| m["artifactType"] = json!("text/\u{1b}[2J"))),
        ("not known", Box::new(|m| m["layers"][0]["mediaType"] = json!("text/\u{1b}[2J"))),
        ("more than 10000", Box::new(|m| m["layers"] = json!(vec![m["layers"][0].clone(); 10_001]))),
        (
            "it names 1 layers, the manifest 2",
            Box::new(|m| {
                let layer = m["layers"][0].clone();
                m["layers"].as_array_mut().unwrap().push(layer);
            }),
        ),
        ("it names 1 layers, the manifest 0", Box::new(|m| m["layers"] = json!([]))),
    ];
    for (message, edit) in cases {
        assert_says(Scratch::new().resolve_image(&bootable().edit_manifest(edit)), message);
    }
}

#[test]
fn configs_that_lie_are_refused() {
    type Case = (&'static str, Box<dyn Fn(&mut Value) + Send + Sync>);
    let cases: Vec<Case> = vec![
        ("it names 0 layers, the manifest 1", Box::new(|c| c["rootfs"]["diff_ids"] = json!([]))),
        ("is not a sha256 digest", Box::new(|c| c["rootfs"]["diff_ids"][0] = json!("sha256:00"))),
        ("missing field `rootfs`", Box::new(|c| drop(c.as_object_mut().unwrap().remove("rootfs")))),
        ("there is plan9/", Box::new(|c| c["os"] = json!("plan9"))),
        ("there is linux/vax", Box::new(|c| c["architecture"] = json!("vax"))),
        ("there is linux/\\u{1b}[2J", Box::new(|c| c["architecture"] = json!("\u{1b}[2J"))),
        ("could be meant for `rootfs`", Box::new(|c| c["RootFS"] = json!({}))),
        ("malformed", Box::new(|c| *c = json!([]))),
        ("malformed", Box::new(|c| *c = json!(null))),
    ];
    for (message, edit) in cases {
        assert_says(Scratch::new().resolve_image(&bootable().edit_config(edit)), message);
    }
}

#[test]
fn urls_of_foreign_layers_are_not_looked_at() {
    let mut scratch = Scratch::new();
    let image = bootable().edit_manifest(|m| {
        m["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        m["layers"][0]["urls"] = json!(["http://127.0.0.1:1/layer"]);
    });
    let built = scratch.layout.tag("x", &image);
    assert_eq!(read_all(&scratch.layout.reference("x")).unwrap().len(), 1);
    fs::remove_file(scratch.layout.blob_path(Sha256::of(&built.layers[0].bytes))).unwrap();
    assert_says(read_all(&scratch.layout.reference("x")), "does not exist");
}

#[test]
fn an_index_gives_the_image_for_the_platform() {
    let mut scratch = Scratch::new();
    let images = [
        bootable().platform("arm", Some("v6")),
        bootable().platform("arm", Some("v7")),
        bootable().platform("amd64", None).version("amd"),
        bootable().platform("arm64", Some("v8")),
    ];
    let digests: Vec<Sha256> = images.iter().map(|image| image.build().digest()).collect();
    let index = scratch.layout.tag_index("x", &images);
    let reference = scratch.layout.reference("x");
    for (platform, expected) in [
        ("linux/amd64", 2),
        ("linux/amd64/v3", 2),
        ("linux/arm64", 3),
        ("linux/arm/v6", 0),
        ("linux/arm/v7", 1),
        ("linux/arm/v8", 1),
    ] {
        let resolved = resolve_for(&reference, platform).unwrap();
        assert_eq!(resolved.manifest_digest, digests[expected], "{platform}");
        assert_eq!(resolved.index_digest, Some(index));
    }
    assert_says(
        resolve_for(&reference, "linux/riscv64"),
        "it has no image for linux/riscv64; there is linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64/v8",
    );
    assert!(matches!(resolve_for(&reference, "linux/arm/v5"), Err(Error::Incompatible { .. })));
}

#[test]
fn a_tag_may_stand_once_for_each_platform() {
    let mut scratch = Scratch::new();
    let path = scratch.layout.path.clone();
    let built: Vec<Built> =
        ["amd64", "arm64"].map(|arch| bootable().platform(arch, None).build()).into_iter().collect();
    let mut lines: Vec<Value> = built.iter().map(Built::descriptor).collect();
    built.iter().for_each(|image| scratch.layout.store(image));
    let unnamed = format!("oci:{}", path.display());
    fs::write(path.join("index.json"), index(&lines)).unwrap();
    assert_eq!(resolve_for(&unnamed, "linux/arm64").unwrap().manifest_digest, built[1].digest());

    lines.iter_mut().for_each(|l| l["annotations"] = json!({"org.opencontainers.image.ref.name": "x"}));
    fs::write(path.join("index.json"), index(&lines)).unwrap();
    let tagged = scratch.layout.reference("x");
    assert_eq!(resolve_for(&tagged, "linux/arm64").unwrap().manifest_digest, built[1].digest());
    assert_says(resolve_for(&tagged, "linux/riscv64"), "it has no image for linux/riscv64");

    // Two tags that differ in platform are still two images.
    lines[0]["annotations"] = json!({"org.opencontainers.image.ref.name": "y"});
    fs::write(path.join("index.json"), index(&lines)).unwrap();
    assert_says(resolve_for(&unnamed, "linux/arm64"), "several images are there");
    let _ = scratch.layout.tag("z", &bootable());
}

#[test]
fn nested_indexes_are_searched_within_bounds() {
    let mut scratch = Scratch::new();
    let image = bootable().build();
    let other = bootable().platform("vax", None).build();
    scratch.layout.store(&image);
    scratch.layout.store(&other);
    let wrap = |scratch: &Scratch, inner: &[Value]| {
        let bytes = index(inner);
        scratch.layout.write_blob(&bytes);
        (descriptor(INDEX, &bytes), bytes)
    };
    // The image is in the second of two indexes that do not say what they hold, beside an artifact.
    let (wrong, _) = wrap(&scratch, &[other.descriptor()]);
    let (right, _) = wrap(&scratch, &[image.descriptor()]);
    let artifact = json!({"mediaType": "text/plain", "digest": Sha256::of(b"").to_string(), "size": 0});
    let (mut nested, bytes) = wrap(&scratch, &[artifact.clone(), wrong.clone(), right]);
    assert_eq!(scratch.resolve_index(&bytes).unwrap().manifest_digest, image.digest());
    for _ in 0..2 {
        let (outer, bytes) = wrap(&scratch, &[nested]);
        let resolved = scratch.resolve_index(&bytes).unwrap();
        assert_eq!(resolved.manifest_digest, image.digest());
        assert_eq!(resolved.index_digest, Some(Sha256::of(&bytes)));
        nested = outer;
    }
    let (_, bytes) = wrap(&scratch, &[nested]);
    assert_says(scratch.resolve_index(&bytes), "nested more than 4 deep");

    assert_says(scratch.resolve_index(&index(std::slice::from_ref(&wrong))), "there is linux/vax");
    assert_says(scratch.resolve_index(&index(&[])), "there is none");
    assert_says(scratch.resolve_index(&index(&[artifact])), "there is none");
    assert_says(scratch.resolve_index(&index(&vec![wrong.clone(); 1001])), "more than 1000");
    assert_says(scratch.resolve_index(&index(&vec![wrong; 40])), "more than 32 documents");
}

#[test]
fn an_index_entry_must_be_what_it_is_announced_as() {
    let mut scratch = Scratch::new();
    let image = bootable().build();
    scratch.layout.store(&image);
    let mut entry = image.descriptor();
    entry["size"] = json!(image.manifest.len() + 1);
    assert_says(scratch.resolve_index(&index(&[entry.clone()])), "expected");
    entry["size"] = json!(limits::DOCUMENT_BYTES + 1);
    assert_says(scratch.resolve_index(&index(&[entry.clone()])), "more than the limit");
    entry["size"] = json!(image.manifest.len());
    entry["mediaType"] = json!(INDEX);
    assert_says(scratch.resolve_index(&index(&[entry.clone()])), "announced as");
    entry["mediaType"] = json!(MANIFEST);
    entry["platform"]["architecture"] = json!("vax");
    assert_says(scratch.resolve_index(&index(&[entry])), "there is linux/vax");

    let signed = br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    assert_says(scratch.resolve_index(signed), "`manifests` stands twice");
    let huge = vec![b' '; limits::DOCUMENT_BYTES as usize + 1];
    assert_says(scratch.resolve_index(&huge), "more than the limit");
    let deep = "[".repeat(1 << 20);
    assert_says(scratch.resolve_index(deep.as_bytes()), "malformed");
}

#[test]
fn docker_archives_that_lie_are_refused() {
    let scratch = Scratch::new();
    let file = scratch.file("d.tar");
    let built = bootable().build();
    let tar = bootable_layer().tar();
    let reference = format!("docker-archive:{}", file.display());
    let manifest =
        |layers: &[&str]| json!([{"Config": "c.json", "RepoTags": null, "Layers": layers}]).to_string();
    let with = |layer: Layer, manifest: String| {
        let layer = layer.file("c.json", &built.config).file("manifest.json", manifest);
        fs::write(&file, layer.tar()).unwrap();
        read_all(&reference)
    };
    let sound = || Layer::new().file("l.tar", &tar);
    let expected = [built.layers[0].diff_id.clone()];
    assert_eq!(with(sound(), manifest(&["l.tar"])).unwrap(), expected);
    assert_eq!(with(sound().hardlink("h", "./l.tar"), manifest(&["./h"])).unwrap(), expected);
    // docker accepts compressed layers there, and so do we.
    assert_eq!(with(Layer::new().file("l.tar", gzip(&tar)), manifest(&["l.tar"])).unwrap(), expected);

    assert_says(with(sound(), manifest(&[])), "it names 1 layers, the archive 0");
    assert_says(with(sound(), manifest(&["../../etc/passwd"])), "does not exist");
    assert_says(with(sound(), manifest(&["/etc/passwd"])), "does not exist");
    assert_says(with(sound(), manifest(&["\u{1b}[2J"])), "does not exist");
    assert_says(with(sound().symlink("s", "/etc/passwd"), manifest(&["s"])), "does not exist");
    assert_says(with(sound().symlink("s", "../../../l.tar"), manifest(&["s"])), "does not exist");
    assert_says(with(sound().symlink("s", "s"), manifest(&["s"])), "does not exist");
    assert_says(with(Layer::new().file("l.tar", "other"), manifest(&["l.tar"])), &expected[0]);
    assert_says(
        with(sound(), manifest(&["l.tar"]).replace("Config", "config")),
        "could be meant for `Config`",
    );
    assert_says(with(sound(), "[]".into()), "does not exist");
    assert_says(with(sound(), "{}".into()), "malformed");
    assert_says(with(sound(), manifest(&["l.tar"]).replace("c.json", "none")), "its config is missing");
}

#[test]
fn archives_with_lying_headers_are_refused() {
    let mut scratch = Scratch::new();
    scratch.layout.tag("v1", &bootable());
    let file = scratch.file("a.tar");
    scratch.layout.write_archive(&file);
    let sound = fs::read(&file).unwrap();
    let reference = format!("oci-archive:{}", file.display());
    let with = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        read_all(&reference)
    };
    assert_eq!(with(&sound).unwrap().len(), 1);
    // No end marker is fine, as other readers have it; a cut in an entry is not.
    let end = sound.len() - 1024;
    assert_eq!(with(&sound[..end]).unwrap().len(), 1);
    for cut in [100, 511, 513, end / 2] {
        assert!(with(&sound[..cut]).is_err(), "{cut}");
    }
    let entry = |edit: fn(&mut tar::Header)| {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..4].copy_from_slice(b"blob");
        edit(&mut header);
        header.set_cksum();
        [header.as_bytes(), &sound[..]].concat()
    };
    assert_says(with(&entry(|h| h.set_size(1 << 40))), "`blob` reaches beyond its end");
    assert_says(with(&entry(|h| h.set_size(u64::MAX))), "malformed");
    assert_says(with(&entry(|h| h.set_size(i64::MAX as u64))), "malformed");
    // Many entries after one with a large extension header do not make every header cost as much.
    let large = Entry::file("x", "").pax("comment", vec![b'x'; 900_000]);
    let many = (0..5_000).fold(Layer::new().add(large), |layer, n| layer.file(format!("f{n}"), ""));
    let started = std::time::Instant::now();
    assert_says(with(&many.tar()), "it has no file `oci-layout`");
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn the_demo_image_is_whole() {
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo/image");
    let layers = |tag: &str| -> Vec<String> {
        let reference = format!("oci:{}:{tag}", layout.display());
        for platform in ["linux/amd64", "linux/arm64", "linux/riscv64"] {
            let resolved = resolve_for(&reference, platform).unwrap();
            let config = &resolved.config;
            assert_eq!(format!("v{}", config.labels["org.opencontainers.image.version"]), tag);
            assert_eq!(config.history.iter().filter(|h| !h.empty_layer).count(), resolved.layers.len());
        }
        read_all_for(&reference, "linux/amd64").unwrap()
    };
    let (v1, v2, v3) = (layers("v1"), layers("v2"), layers("v3"));
    assert_eq!((&v1[..2], &v2[0]), (&v2[..2], &v3[0]));
    assert!(v2[1] != v3[1] && v1[2] != v2[2]);
}

#[test]
fn the_demo_image_is_what_its_script_makes() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo");
    let temp = tempfile::tempdir().unwrap();
    let made = temp.path().join("image");
    let run = |script: &str, args: &[&str]| {
        let status = std::process::Command::new(demo.join(script)).arg(&made).args(args).status().unwrap();
        assert!(status.success(), "{script}");
    };
    run("make.sh", &[]);
    // Every other byte hangs on the digests in there.
    let index = |layout: &Path| fs::read_to_string(layout.join("index.json")).unwrap();
    assert_eq!(index(&made), index(&demo.join("image")));

    let reference = |tag: &str| format!("oci:{}:{tag}", made.display());
    for version in ["v1", "v2", "v2"] {
        run("publish.sh", &[version]);
        let image = |tag: &str| resolve_for(&reference(tag), "linux/amd64").unwrap().manifest_digest;
        assert_eq!(image("stable"), image(version));
    }
}
