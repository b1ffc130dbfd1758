//! Makes images in a few lines, sound ones and broken ones.
//!
//! ```text
//! Entry  -> Layer (a tar)  -> Image (manifest, config, blobs) -> Layout (oci: directory) -> archives
//! ```
//! Broken ones: [`Layer::raw`] puts any bytes into the tar, [`Blob`] lies about a layer, [`Image::edit_config`] and
//! [`Image::edit_manifest`] change the JSON before it is digested, [`Layout::write_blob_as`] stores the wrong bytes.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use reroot::digest::Sha256;
use reroot::oci::platform::Platform;
use serde_json::{Value, json};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Kernel version of [`bootable`] images.
pub const KERNEL: &str = "6.1.0-test";

/// The mtime entries have unless they say another.
pub const MTIME: u64 = 1_700_000_000;

/// One entry of a layer's tar. Nothing is checked: paths may be absolute, climb, or be empty.
#[derive(Debug, Clone)]
pub struct Entry {
    path: Vec<u8>,
    link: Vec<u8>,
    kind: tar::EntryType,
    content: Vec<u8>,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: u64,
    device: (u32, u32),
    pax: Vec<(String, Vec<u8>)>,
}

impl Entry {
    pub fn new(kind: tar::EntryType, path: impl AsRef<[u8]>) -> Self {
        Self {
            path: path.as_ref().to_vec(),
            link: Vec::new(),
            kind,
            content: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: MTIME,
            device: (0, 0),
            pax: Vec::new(),
        }
    }

    pub fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Self { content: content.as_ref().to_vec(), ..Self::new(tar::EntryType::Regular, path) }
    }

    pub fn dir(path: impl AsRef<[u8]>) -> Self {
        let mut path = path.as_ref().to_vec();
        if !path.ends_with(b"/") {
            path.push(b'/');
        }
        Self::new(tar::EntryType::Directory, path).mode(0o755)
    }

    pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(tar::EntryType::Symlink, path).mode(0o777) }
    }

    pub fn hardlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..Self::new(tar::EntryType::Link, path) }
    }

    pub fn char_device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(tar::EntryType::Char, path) }
    }

    pub fn block_device(path: impl AsRef<[u8]>, major: u32, minor: u32) -> Self {
        Self { device: (major, minor), ..Self::new(tar::EntryType::Block, path) }
    }

    pub fn fifo(path: impl AsRef<[u8]>) -> Self {
        Self::new(tar::EntryType::Fifo, path)
    }

    /// Permissions with setuid, setgid and sticky.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub fn owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    pub fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    /// A PAX record in front of the entry.
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.into(), value.as_ref().to_vec()));
        self
    }

    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    fn write(&self, tar: &mut tar::Builder<Vec<u8>>) {
        if !self.pax.is_empty() {
            let records = self.pax.iter().map(|(k, v)| (k.as_str(), v.as_slice()));
            tar.append_pax_extensions(records).unwrap();
        }
        if self.path.len() > 100 {
            write_long(tar, tar::EntryType::GNULongName, &self.path);
        }
        if self.link.len() > 100 {
            write_long(tar, tar::EntryType::GNULongLink, &self.link);
        }
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(self.uid);
        header.set_gid(self.gid);
        header.set_mtime(self.mtime);
        header.set_size(self.content.len() as u64);
        header.set_device_major(self.device.0).unwrap();
        header.set_device_minor(self.device.1).unwrap();
        let gnu = header.as_gnu_mut().unwrap();
        copy_prefix(&mut gnu.name, &self.path);
        copy_prefix(&mut gnu.linkname, &self.link);
        header.set_cksum();
        tar.append(&header, &*self.content).unwrap();
    }
}

fn copy_prefix(field: &mut [u8; 100], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

/// GNU's way to say a name of more than 100 bytes: an entry before the entry.
fn write_long(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    copy_prefix(&mut header.as_gnu_mut().unwrap().name, b"././@LongLink");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(name.len() as u64 + 1);
    header.set_cksum();
    tar.append(&header, &*[name, b"\0"].concat()).unwrap();
}

/// The tar of one layer, written entry by entry in the order of the calls.
pub struct Layer {
    tar: tar::Builder<Vec<u8>>,
    end: bool,
}

impl Default for Layer {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer {
    pub fn new() -> Self {
        Self { tar: tar::Builder::new(Vec::new()), end: true }
    }

    /// Any entry; the methods below are short for the usual ones.
    pub fn add(mut self, entry: Entry) -> Self {
        entry.write(&mut self.tar);
        self
    }

    pub fn file(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.add(Entry::file(path, content))
    }

    pub fn script(self, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        self.add(Entry::file(path, content).mode(0o755))
    }

    pub fn dir(self, path: impl AsRef<[u8]>) -> Self {
        self.add(Entry::dir(path))
    }

    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.add(Entry::symlink(path, target))
    }

    pub fn hardlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.add(Entry::hardlink(path, target))
    }

    /// Removes what lower layers have at `path` (image-spec, layer.md, "Whiteouts").
    pub fn whiteout(self, path: &str) -> Self {
        let (parent, name) = path.rsplit_once('/').map_or(("", path), |(p, n)| (p, n));
        let slash = if parent.is_empty() { "" } else { "/" };
        self.file(format!("{parent}{slash}.wh.{name}"), "")
    }

    /// Removes all that lower layers have in the directory (image-spec, layer.md, "Opaque Whiteout").
    pub fn opaque(self, dir: &str) -> Self {
        self.file(format!("{dir}/.wh..wh..opq"), "")
    }

    /// Bytes as they are, in the place of an entry.
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.tar.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Leaves the two zero blocks at the end out.
    pub fn without_end(self) -> Self {
        Self { end: false, ..self }
    }

    /// The tar's bytes.
    pub fn tar(mut self) -> Vec<u8> {
        if self.end {
            self.tar.into_inner().unwrap()
        } else {
            // The end is written by `into_inner` and by drop; what is there so far is taken away before.
            std::mem::take(self.tar.get_mut())
        }
    }
}

/// How a layer's blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compress {
    None,
    Gzip,
    Zstd,
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).unwrap()
}

/// A layer as an image carries it. Make one by hand to lie about it.
#[derive(Debug, Clone)]
pub struct Blob {
    pub media_type: String,
    pub bytes: Vec<u8>,
    /// What the config says about the uncompressed tar.
    pub diff_id: String,
    pub annotations: BTreeMap<String, String>,
}

impl Blob {
    /// A tar, honestly compressed.
    pub fn of_tar(tar: &[u8], compress: Compress) -> Self {
        let (suffix, bytes) = match compress {
            Compress::None => ("", tar.to_vec()),
            Compress::Gzip => ("+gzip", gzip(tar)),
            Compress::Zstd => ("+zstd", zstd(tar)),
        };
        Self {
            media_type: format!("application/vnd.oci.image.layer.v1.tar{suffix}"),
            bytes,
            diff_id: Sha256::of(tar).to_string(),
            annotations: BTreeMap::new(),
        }
    }

    pub fn digest(&self) -> String {
        Sha256::of(&self.bytes).to_string()
    }
}

type Edit = Box<dyn Fn(&mut Value) + Send + Sync>;

/// An image of one platform, in memory.
pub struct Image {
    architecture: String,
    variant: Option<String>,
    created: String,
    labels: BTreeMap<String, String>,
    blobs: Vec<Blob>,
    docker: bool,
    edit_config: Vec<Edit>,
    edit_manifest: Vec<Edit>,
}

/// An [`Image`]'s bytes, by digest.
#[derive(Debug, Clone)]
pub struct Built {
    pub media_type: String,
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    /// Layers, lowest first.
    pub layers: Vec<Blob>,
    platform: Value,
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// No layers yet, for this machine's platform.
    pub fn new() -> Self {
        Self {
            architecture: Platform::host().architecture,
            variant: None,
            created: "2026-01-02T03:04:05Z".into(),
            labels: BTreeMap::new(),
            blobs: Vec::new(),
            docker: false,
            edit_config: Vec::new(),
            edit_manifest: Vec::new(),
        }
    }

    /// Adds a gzip layer on top.
    pub fn layer(self, layer: Layer) -> Self {
        self.layer_as(layer, Compress::Gzip)
    }

    pub fn layer_as(self, layer: Layer, compress: Compress) -> Self {
        self.blob(Blob::of_tar(&layer.tar(), compress))
    }

    pub fn blob(mut self, blob: Blob) -> Self {
        self.blobs.push(blob);
        self
    }

    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Sets the label that `status` shows as the version.
    pub fn version(self, version: &str) -> Self {
        self.label("org.opencontainers.image.version", version)
    }

    pub fn created(self, created: &str) -> Self {
        Self { created: created.into(), ..self }
    }

    pub fn platform(self, architecture: &str, variant: Option<&str>) -> Self {
        Self { architecture: architecture.into(), variant: variant.map(Into::into), ..self }
    }

    /// Uses Docker's media types (v2 schema 2).
    pub fn docker(self) -> Self {
        Self { docker: true, ..self }
    }

    /// Changes the config's JSON before it is digested.
    pub fn edit_config(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edit_config.push(Box::new(edit));
        self
    }

    /// Changes the manifest's JSON before it is digested.
    pub fn edit_manifest(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edit_manifest.push(Box::new(edit));
        self
    }

    pub fn build(&self) -> Built {
        let history: Vec<Value> = (0..self.blobs.len())
            .map(|n| json!({"created": self.created, "created_by": format!("step {}", n + 1)}))
            .collect();
        let mut config = json!({
            "created": self.created,
            "architecture": self.architecture,
            "os": "linux",
            "config": {"Labels": self.labels},
            "rootfs": {"type": "layers", "diff_ids": self.blobs.iter().map(|b| &b.diff_id).collect::<Vec<_>>()},
            "history": history,
        });
        let mut platform = json!({"architecture": self.architecture, "os": "linux"});
        if let Some(variant) = &self.variant {
            config["variant"] = json!(variant);
            platform["variant"] = json!(variant);
        }
        self.edit_config.iter().for_each(|edit| edit(&mut config));
        let config = serde_json::to_vec(&config).unwrap();

        let layers: Vec<Value> = self.blobs.iter().map(|blob| self.layer_descriptor(blob)).collect();
        let (manifest_type, config_type) =
            if self.docker { (DOCKER_MANIFEST, DOCKER_CONFIG) } else { (MANIFEST, CONFIG) };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": descriptor(config_type, &config),
            "layers": layers,
        });
        self.edit_manifest.iter().for_each(|edit| edit(&mut manifest));
        Built {
            media_type: manifest_type.into(),
            manifest: serde_json::to_vec(&manifest).unwrap(),
            config,
            layers: self.blobs.clone(),
            platform,
        }
    }

    fn layer_descriptor(&self, blob: &Blob) -> Value {
        let media_type = match blob.media_type.strip_prefix("application/vnd.oci.image.layer.v1.tar") {
            Some("+gzip") if self.docker => "application/vnd.docker.image.rootfs.diff.tar.gzip".into(),
            Some("") if self.docker => "application/vnd.docker.image.rootfs.diff.tar".into(),
            _ => blob.media_type.clone(),
        };
        let mut value = descriptor(&media_type, &blob.bytes);
        if !blob.annotations.is_empty() {
            value["annotations"] = json!(blob.annotations);
        }
        value
    }
}

impl Built {
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.manifest)
    }

    /// The descriptor of the manifest, with its platform, as an index lists it.
    pub fn descriptor(&self) -> Value {
        let mut value = descriptor(&self.media_type, &self.manifest);
        value["platform"] = self.platform.clone();
        value
    }

    /// Manifest, config and layers by digest.
    pub fn blobs(&self) -> BTreeMap<String, Vec<u8>> {
        let rest = [&self.manifest, &self.config];
        let layers = self.layers.iter().map(|blob| &blob.bytes);
        rest.into_iter().chain(layers).map(|b| (Sha256::of(b).to_string(), b.clone())).collect()
    }
}

/// `{mediaType, digest, size}` of the bytes.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Sha256::of(bytes).to_string(), "size": bytes.len()})
}

/// An OCI index over descriptors.
pub fn index(manifests: &[Value]) -> Vec<u8> {
    let value = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    serde_json::to_vec(&value).unwrap()
}

/// A cpio archive (`newc`) of files with these names, each with its name as the content.
pub fn initramfs(names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names.iter().chain(&["TRAILER!!!"]) {
        let content = if *name == "TRAILER!!!" { "" } else { name };
        let fields = [1, 0o100_755, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        bytes.extend_from_slice(b"070701");
        fields.iter().for_each(|field| write!(bytes, "{field:08X}").unwrap());
        for part in [format!("{name}\0"), content.into()] {
            bytes.extend_from_slice(part.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// What every bootable image has, as one layer: kernel, initramfs, os-release, /etc, /var.
pub fn bootable_layer() -> Layer {
    let modules = format!("usr/lib/modules/{KERNEL}");
    Layer::new()
        .dir("usr")
        .dir("usr/bin")
        .dir("usr/lib")
        .file("usr/lib/os-release", "ID=demo\nNAME=\"Demo OS\"\nPRETTY_NAME=\"Demo OS 1\"\nVERSION_ID=1\n")
        .dir("usr/lib/modules")
        .dir(&modules)
        .file(format!("{modules}/vmlinuz"), "a kernel\n")
        .file(format!("{modules}/initramfs.img"), initramfs(&["init", "usr/lib/reroot/reroot-prepare-root"]))
        .dir("etc")
        .symlink("etc/os-release", "../usr/lib/os-release")
        .file("etc/hostname", "demo\n")
        .dir("var")
        .dir("var/lib")
        .symlink("bin", "usr/bin")
}

/// A minimal image that can be deployed; more layers may follow.
pub fn bootable() -> Image {
    Image::new().layer(bootable_layer()).version("1").label("containers.bootc", "1")
}

/// An OCI layout directory (image-spec, image-layout.md). Tags are added to `index.json` as they come.
pub struct Layout {
    pub path: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    /// Makes the directory with an empty index.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let layout = Self { path: path.into(), manifests: Vec::new() };
        fs::create_dir_all(layout.path.join("blobs/sha256")).unwrap();
        fs::write(layout.path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        layout.write_index();
        layout
    }

    /// Stores an image and names it.
    pub fn tag(&mut self, tag: &str, image: &Image) -> Built {
        let built = image.build();
        self.store(&built);
        self.tag_descriptor(Some(tag), built.descriptor());
        built
    }

    /// Stores images and an index over them, and names the index. Returns the index's digest.
    pub fn tag_index(&mut self, tag: &str, images: &[Image]) -> Sha256 {
        let manifests: Vec<Value> = images
            .iter()
            .map(|image| {
                let built = image.build();
                self.store(&built);
                built.descriptor()
            })
            .collect();
        let bytes = index(&manifests);
        self.tag_descriptor(Some(tag), descriptor(INDEX, &bytes));
        self.write_blob(&bytes)
    }

    /// Writes an image's blobs without naming it.
    pub fn store(&self, built: &Built) {
        for bytes in built.blobs().values() {
            self.write_blob(bytes);
        }
    }

    /// Adds a line to `index.json`; without a tag it can only be found when it is the only one.
    pub fn tag_descriptor(&mut self, tag: Option<&str>, mut descriptor: Value) {
        if let Some(tag) = tag {
            self.manifests.retain(|m| m["annotations"]["org.opencontainers.image.ref.name"] != tag);
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        }
        self.manifests.push(descriptor);
        self.write_index();
    }

    pub fn write_blob(&self, bytes: &[u8]) -> Sha256 {
        let digest = Sha256::of(bytes);
        self.write_blob_as(digest, bytes);
        digest
    }

    /// Stores bytes under a digest that need not be theirs.
    pub fn write_blob_as(&self, digest: Sha256, bytes: &[u8]) {
        fs::write(self.blob_path(digest), bytes).unwrap();
    }

    pub fn blob_path(&self, digest: Sha256) -> PathBuf {
        self.path.join("blobs/sha256").join(digest.hex())
    }

    fn write_index(&self) {
        fs::write(self.path.join("index.json"), index(&self.manifests)).unwrap();
    }

    /// The reference of a tag in this directory.
    pub fn reference(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.path.display())
    }

    /// Packs the directory as an oci-archive.
    pub fn write_archive(&self, file: &Path) {
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["oci-layout", "index.json"] {
            Entry::file(name, fs::read(self.path.join(name)).unwrap()).write(&mut tar);
        }
        Entry::dir("blobs").write(&mut tar);
        Entry::dir("blobs/sha256").write(&mut tar);
        let mut blobs: Vec<_> =
            fs::read_dir(self.path.join("blobs/sha256")).unwrap().map(|e| e.unwrap().path()).collect();
        blobs.sort();
        for blob in blobs {
            let name = format!("blobs/sha256/{}", blob.file_name().unwrap().to_str().unwrap());
            Entry::file(name, fs::read(blob).unwrap()).write(&mut tar);
        }
        fs::write(file, tar.into_inner().unwrap()).unwrap();
    }
}

/// Writes a docker-archive (`docker save`, `skopeo copy … docker-archive:`): uncompressed layers, `manifest.json`.
/// A layer that another image already has becomes a symlink, as old Docker versions write it.
pub fn write_docker_archive(file: &Path, images: &[(&Image, &[&str])]) {
    let mut layer = Layer::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut manifest = Vec::new();
    for (number, (image, tags)) in images.iter().enumerate() {
        let built = image.build();
        let config = format!("{}.json", Sha256::of(&built.config).hex());
        layer = layer.file(&config, &built.config);
        let mut names = Vec::new();
        for (n, blob) in built.layers.iter().enumerate() {
            let name = format!("{number}-{n}/layer.tar");
            layer = match seen.get(&blob.diff_id) {
                Some(first) => layer.symlink(&name, format!("../{first}")),
                None => layer.file(&name, uncompressed(blob)),
            };
            seen.entry(blob.diff_id.clone()).or_insert_with(|| name.clone());
            names.push(name);
        }
        manifest.push(json!({"Config": config, "RepoTags": tags, "Layers": names}));
    }
    let layer = layer.file("manifest.json", serde_json::to_vec(&manifest).unwrap());
    fs::write(file, layer.tar()).unwrap();
}

fn uncompressed(blob: &Blob) -> Vec<u8> {
    if blob.media_type.ends_with("gzip") {
        let mut out = Vec::new();
        std::io::copy(&mut flate2::read::MultiGzDecoder::new(&*blob.bytes), &mut out).unwrap();
        out
    } else if blob.media_type.ends_with("zstd") {
        ::zstd::decode_all(&*blob.bytes).unwrap()
    } else {
        blob.bytes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootable_image_is_written_and_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let mut layout = Layout::new(temp.path().join("layout"));
        let built = layout.tag("v1", &bootable());
        layout.write_archive(&temp.path().join("a.tar"));
        write_docker_archive(
            &temp.path().join("d.tar"),
            &[(&bootable(), &["demo:1"]), (&bootable(), &["demo:2"])],
        );
        let manifest: Value =
            serde_json::from_slice(&fs::read(layout.blob_path(built.digest())).unwrap()).unwrap();
        assert_eq!(manifest["layers"][0]["digest"], built.layers[0].digest());
        let tar = uncompressed(&built.layers[0]);
        assert_eq!(Sha256::of(&tar).to_string(), built.layers[0].diff_id);
        let names: Vec<String> = tar::Archive::new(&*tar)
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().display().to_string())
            .collect();
        assert!(names.contains(&format!("usr/lib/modules/{KERNEL}/vmlinuz")), "{names:?}");
    }

    #[test]
    fn entries_keep_what_the_tar_crate_would_refuse() {
        let long = "d/".repeat(100) + "x";
        let tar = Layer::new()
            .file("../../etc/passwd", "")
            .add(Entry::file(&long, "y").owner(1 << 32, 4_000_000_000).xattr("user.a", b"1\n2"))
            .without_end()
            .tar();
        assert_eq!(tar.len() % 512, 0);
        assert!(!tar.ends_with(&[0; 1024]));
        let mut archive = tar::Archive::new(&*tar);
        let entries: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().path_bytes().to_vec()).collect();
        assert_eq!(entries, [b"../../etc/passwd".to_vec(), long.into_bytes()]);
    }
}
