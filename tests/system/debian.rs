//! The Debian images: built once by `tests/debian/build.sh`, kept under `target/`, pushed once into the storage of a
//! registry that each test starts for itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::registry::{self, Access, Registry};
use crate::support::skip::{say, target};
use crate::support::tools::{command, missing_for_root};

const SCRIPTS: [&str; 3] = ["build.sh", "layout.py", "whiteouts.py"];
pub const TAGS: [&str; 5] = ["v1-gzip", "v2-gzip", "v3-gzip", "v1-zstd", "v2-zstd"];

/// Where the built images are.
#[derive(Debug, Clone)]
pub struct Images {
    directory: PathBuf,
}

/// The images, building them when they are not there; or why that cannot be done here.
pub fn images(size: &str) -> Result<Images, String> {
    if let Some(obstacle) = obstacle() {
        return Err(obstacle);
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debian");
    let mut key = blake3::Hasher::new();
    for script in SCRIPTS {
        key.update(&fs::read(scripts.join(script)).unwrap());
    }
    let parent = target().join("test-images");
    fs::create_dir_all(&parent).unwrap();
    // One builder at a time; whoever waited finds what it needs.
    let lock = File::create(parent.join("lock")).unwrap();
    lock.lock().unwrap();
    let directory = parent.join(format!("debian-{size}-{}", &key.finalize().to_hex()[..12]));
    if !directory.join("storage").exists() {
        build(&scripts.join("build.sh"), size, &directory)?;
    }
    Ok(Images { directory })
}

fn obstacle() -> Option<String> {
    if let Some(missing) = missing_for_root(&["mmdebstrap", "umoci", "python3", "zstd", "unshare"]) {
        return Some(missing);
    }
    if !Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists() {
        return Some("not installed: debian-archive-keyring".into());
    }
    let file_systems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !file_systems.contains("\toverlay\n") && !Path::new("/sys/module/overlay").exists() {
        // Loading the module is the script's mount's business; without one in the kernel at all it fails.
        let _ = command("modprobe").arg("overlay").stderr(Stdio::null()).status();
        if !fs::read_to_string("/proc/filesystems").unwrap_or_default().contains("\toverlay\n") {
            return Some("the kernel has no overlayfs".into());
        }
    }
    registry::obstacle()
}

fn build(script: &Path, size: &str, directory: &Path) -> Result<(), String> {
    say(&format!("building the {size} Debian images in {}; this takes minutes, once", directory.display()));
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).unwrap();
    let output = command(script).arg(size).arg(directory).stderr(Stdio::piped()).output().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<_> = said.lines().rev().take(15).collect();
        return Err(format!(
            "the images cannot be built: {}",
            tail.into_iter().rev().collect::<Vec<_>>().join(" | ")
        ));
    }
    let images = Images { directory: directory.to_owned() };
    let storage = directory.join("storage.part");
    {
        let registry = Registry::start(&storage, Access::Plain);
        for tag in TAGS.into_iter().filter(|tag| images.has(tag)) {
            registry.push(&images.layout(tag), &format!("debian:{tag}"));
        }
    }
    fs::rename(&storage, directory.join("storage")).unwrap();
    Ok(())
}

impl Images {
    /// A registry that has them all as `debian:TAG`.
    pub fn registry(&self, access: Access) -> Registry {
        Registry::start(&self.directory.join("storage"), access)
    }

    /// The reference of an image in the OCI layout.
    pub fn layout(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.directory.join("layout").display())
    }

    fn has(&self, tag: &str) -> bool {
        let index = fs::read_to_string(self.directory.join("layout/index.json")).unwrap_or_default();
        index.contains(&format!("\"{tag}\""))
    }

    /// The layers of an image: digests and the files with the compressed tars, lowest first.
    pub fn layers(&self, tag: &str) -> Vec<(String, PathBuf)> {
        let blob = |digest: &str| {
            self.directory.join("layout/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
        };
        let read =
            |path: &Path| -> serde_json::Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let index = read(&self.directory.join("layout/index.json"));
        let named =
            |entry: &&serde_json::Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
        let manifest = index["manifests"].as_array().unwrap().iter().find(named).unwrap();
        let manifest = read(&blob(manifest["digest"].as_str().unwrap()));
        let digests = manifest["layers"].as_array().unwrap().iter().map(|l| l["digest"].as_str().unwrap());
        digests.map(|digest| (digest.to_owned(), blob(digest))).collect()
    }

    /// What `umoci unpack` makes of an image, made once.
    pub fn unpacked(&self, tag: &str) -> PathBuf {
        let bundle = self.directory.join(format!("umoci-{tag}"));
        let lock = File::create(self.directory.join("umoci.lock")).unwrap();
        lock.lock().unwrap();
        if !bundle.exists() {
            let part = self.directory.join(format!("umoci-{tag}.part"));
            let _ = fs::remove_dir_all(&part);
            let image = format!("{}:{tag}", self.directory.join("layout").display());
            crate::support::tools::run(command("umoci").args(["unpack", "--image", &image]).arg(&part));
            fs::rename(&part, &bundle).unwrap();
        }
        bundle.join("rootfs")
    }
}
