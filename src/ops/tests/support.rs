//! A sysroot and an image layout in a temporary directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::super::*;
use crate::digest::Sha256;
use crate::env::Env;
use crate::fsx::lock::Wait;
use crate::oci::ImageReference;
use crate::oci::platform::Platform;
use crate::progress::{Event, Reporter};
use crate::sysroot::{DeploymentId, Sysroot};

/// One member of a layer's tar.
pub enum Item {
    Dir(u32),
    File(&'static str),
    Link(&'static str),
    Text(String),
}

pub type Layer = Vec<(&'static str, Item)>;

/// Remembers warnings.
#[derive(Default)]
pub struct Warnings(pub Mutex<Vec<String>>);

impl Reporter for Warnings {
    fn report(&self, event: Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.into());
        }
    }
}

/// A temporary directory with `root` (the sysroot), `host` (the configuration root) and `images` (a layout).
pub struct World {
    path: PathBuf,
    /// `None` in a process that works on another one's world.
    _temp: Option<tempfile::TempDir>,
    pub env: Env,
    pub config: Config,
    pub warnings: Warnings,
    tags: BTreeMap<String, serde_json::Value>,
}

impl World {
    pub fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().to_path_buf();
        for name in ["root", "host", "images/blobs/sha256"] {
            fs::create_dir_all(temp.path().join(name)).unwrap();
        }
        fs::write(temp.path().join("images/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let world = Self { _temp: Some(temp), ..Self::open(path) };
        init(&world.root(), &InitOptions::default(), &world.context()).unwrap();
        world
    }

    /// A world that another process made.
    pub fn open(path: PathBuf) -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_700_000);
        Self {
            env: Env::fixed(&path.join("host"), now),
            path,
            _temp: None,
            config: Config::default(),
            warnings: Warnings::default(),
            tags: BTreeMap::new(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn root(&self) -> PathBuf {
        self.path().join("root")
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            env: &self.env,
            config: &self.config,
            reporter: &self.warnings,
            wait: Wait::No,
            limit_rate: None,
        }
    }

    pub fn sysroot(&self) -> Sysroot {
        Sysroot::open(&self.root(), &self.env).unwrap()
    }

    /// `<root>/reroot/deploy/default/deploy`
    pub fn deployments(&self) -> PathBuf {
        self.root().join("reroot/deploy/default/deploy")
    }

    pub fn reference(&self, tag: &str) -> ImageReference {
        format!("oci:{}:{tag}", self.path().join("images").display()).parse().unwrap()
    }

    /// Writes an image into the layout.
    pub fn image(&mut self, tag: &str, version: &str, created: &str, layers: Vec<Layer>) -> Sha256 {
        let mut descriptors = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in layers {
            let tar = tar(layer);
            let (digest, size) = self.blob(&tar);
            diff_ids.push(digest.to_string());
            let media_type = "application/vnd.oci.image.layer.v1.tar";
            descriptors.push(json!({"mediaType": media_type, "digest": digest, "size": size}));
        }
        let Platform { os, architecture, .. } = Platform::host();
        let history: Vec<_> = diff_ids.iter().map(|d| json!({"created_by": format!("COPY {d}")})).collect();
        let (config, config_size) = self.blob(
            &serde_json::to_vec(&json!({
                "architecture": architecture, "os": os, "created": created,
                "config": {"Labels": {"org.opencontainers.image.version": version}},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
                "history": history,
            }))
            .unwrap(),
        );
        let (digest, size) = self.blob(&serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size},
            "layers": descriptors,
        })).unwrap());
        let entry = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size,
            "annotations": {"org.opencontainers.image.ref.name": tag},
        });
        self.tags.insert(tag.into(), entry);
        let index = json!({"schemaVersion": 2, "manifests": self.tags.values().collect::<Vec<_>>()});
        fs::write(self.path().join("images/index.json"), index.to_string()).unwrap();
        digest
    }

    /// A small bootable system; `n` goes into its version, its time and some of its files.
    pub fn os(&mut self, tag: &str, n: u32) -> Sha256 {
        self.os_built(tag, n, &format!("2025-11-{n:02}T00:00:00Z"))
    }

    /// As [`Self::os`], built at another time.
    pub fn os_built(&mut self, tag: &str, n: u32, created: &str) -> Sha256 {
        let status = format!(
            "Package: base\nStatus: install ok installed\nVersion: 1.{n}\n\n\
             Package: only-{n}\nStatus: install ok installed\nVersion: 1\n"
        );
        self.image(
            tag,
            &format!("13.{n}"),
            created,
            vec![
                base(),
                vec![
                    ("etc/release", Item::Text(format!("release {n}\n"))),
                    ("usr/bin/tool", Item::Text(format!("tool of {n}, {}\n", "x".repeat(5000)))),
                    ("var/lib/dpkg/status", Item::Text(status)),
                ],
            ],
        )
    }

    fn blob(&self, bytes: &[u8]) -> (Sha256, u64) {
        let digest = Sha256::of(bytes);
        let path = self.path().join("images/blobs/sha256").join(digest.hex());
        fs::write(path, bytes).unwrap();
        (digest, bytes.len() as u64)
    }

    pub fn deploy(&self, tag: &str) -> Deployed {
        deploy(&self.sysroot(), &self.reference(tag), &DeployOptions::default(), &self.context()).unwrap()
    }

    /// The numbers in boot order, each with its slots.
    /// Makes it look as if a deployment was booted from this sysroot.
    pub fn boot(&self, id: u64) {
        let host = self.path().join("host");
        fs::create_dir_all(host.join("run/reroot")).unwrap();
        let sysroot = host.join("sysroot");
        if !sysroot.exists() {
            std::os::unix::fs::symlink("../root", sysroot).unwrap();
        }
        fs::write(host.join("run/reroot/booted.json"), run_state(id)).unwrap();
    }

    /// Makes it look as if a deployment was staged, and not finalized yet.
    pub fn stage(&self, id: u64) {
        let file = self.deployments().join(format!("{id}.json"));
        let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        record["finalized"] = false.into();
        fs::write(file, record.to_string()).unwrap();
        fs::write(self.path().join("host/run/reroot/staged.json"), run_state(id)).unwrap();
    }

    /// Ends the running system as a power cut does, and boots what is first in boot order.
    pub fn cut_power(&self) {
        fs::remove_dir_all(self.path().join("host/run")).unwrap();
        let observed = self.sysroot().observe().unwrap();
        let first = observed.finalized().next().unwrap();
        self.boot(first.record.id.get());
    }

    /// Shuts down and boots what is first in boot order then.
    pub fn reboot(&self) {
        finalize_staged(&self.sysroot(), &self.context()).unwrap();
        self.cut_power();
    }

    /// Which deployment runs, as `/run/reroot/booted.json` says.
    pub fn booted(&self) -> u64 {
        self.sysroot().observe().unwrap().booted.unwrap().id.get()
    }

    pub fn order(&self) -> String {
        let status = status(&self.sysroot()).unwrap();
        assert_eq!(status.problems, []);
        let lines: Vec<_> = status
            .deployments
            .iter()
            .map(|d| {
                let slots: Vec<_> = d.slots.iter().map(ToString::to_string).collect();
                format!("{}:{}", d.id, slots.join("+"))
            })
            .collect();
        lines.join(" ")
    }
}

fn run_state(id: u64) -> String {
    format!(r#"{{"version":1,"stateroot":"default","id":{id}}}"#)
}

pub fn id(n: u64) -> DeploymentId {
    DeploymentId::new(n).unwrap()
}

/// What all versions have in common.
pub fn base() -> Layer {
    vec![
        ("etc/", Item::Dir(0o755)),
        ("etc/shadow", Item::File("root:*:\n")),
        ("etc/ssl/", Item::Dir(0o700)),
        ("etc/ssl/cert", Item::Link("../release")),
        ("usr/bin/sh", Item::File("a shell\n")),
        ("usr/lib/modules/6.12.1/vmlinuz", Item::File("kernel")),
        ("usr/lib/modules/6.12.1/initramfs.img", Item::File("initramfs")),
        ("usr/lib/os-release", Item::File("ID=debian\nVERSION_ID=13\n")),
        ("bin", Item::Link("usr/bin")),
        ("var/", Item::Dir(0o755)),
        ("var/cache/", Item::Dir(0o755)),
        ("var/cache/seed", Item::File("seed\n")),
    ]
}

fn tar(layer: Layer) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (path, item) in layer {
        let mut header = ::tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(0);
        match item {
            Item::Dir(mode) => {
                header.set_mode(mode);
                header.set_entry_type(::tar::EntryType::Directory);
                builder.append_data(&mut header, path, &b""[..]).unwrap();
            }
            Item::File(text) => {
                header.set_size(text.len() as u64);
                builder.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
            Item::Text(text) => {
                header.set_size(text.len() as u64);
                builder.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
            Item::Link(target) => {
                header.set_entry_type(::tar::EntryType::Symlink);
                builder.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

/// Every path below a directory with type and size, sorted: to see whether anything moved.
pub fn snapshot(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = vec![dir.to_path_buf()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            lines.push(format!("{} {:?} {}", path.display(), meta.file_type(), meta.len()));
            if meta.is_dir() {
                left.push(path);
            }
        }
    }
    lines.sort();
    lines
}

pub fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}
