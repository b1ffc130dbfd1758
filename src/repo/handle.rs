//! The repo itself: opening, making, and the small files in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::{self, DIRECTORIES, IMAGES, LAYERS, OBJECTS, ObjectDirs, REFS, TREES};
use super::{Error, ImageRecord, LayerTree, Result, Tree, tree_codec};
use crate::digest::{Sha256, TreeId};
use crate::fsx::{self, Dir, FilesystemSync};

const VERSION: u32 = 1;
const CONFIG: &str = "config.json";
/// No file that we write into the repo beside objects may be larger; a bound against a damaged disk.
const METADATA_LIMIT: u64 = 1 << 30;

/// How inodes in the repo carry an image's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Owner, mode and xattrs are those of the image. Needs root.
    Bare,
    /// Everything belongs to the user, and the image's metadata is in one xattr. For inspecting images without
    /// privileges; what is checked out cannot be booted.
    BareUser,
}

#[derive(Serialize, Deserialize)]
struct Config {
    version: u32,
    hash: String,
    mode: Mode,
}

/// The object repo below `/reroot`.
#[derive(Debug)]
pub struct Repo {
    pub(super) dir: Dir,
    pub(super) mode: Mode,
    pub(super) objects: ObjectDirs,
}

impl Repo {
    /// Makes the repo below the `/reroot` directory. Running it again completes what is missing; another mode
    /// than the one it was made with is refused. Durable when it returns.
    pub fn init(reroot: &Dir, mode: Mode) -> Result<Self> {
        let make = || -> std::io::Result<Dir> {
            let repo = fsx::ensure_dir(reroot, "repo", 0o700)?;
            for name in DIRECTORIES {
                fsx::ensure_dir(&repo, name, 0o700)?;
            }
            let objects = fsx::open_subdir(&repo, OBJECTS)?;
            for fan in 0..=255 {
                fsx::ensure_dir(&objects, &layout::fan_name(fan), 0o700)?;
            }
            Ok(repo)
        };
        let written = FilesystemSync::begin(reroot).map_err(Error::io("making the repo"))?;
        let repo = make().map_err(Error::io("making the repo"))?;
        match read_config(&repo)? {
            Some(config) if config.mode == mode => {}
            Some(config) => {
                return Err(Error::Incompatible {
                    what: "repo/config.json".into(),
                    reason: format!("this repo has mode {:?}, not {mode:?}", config.mode),
                });
            }
            None => {
                probe_xattrs(&repo, mode)?;
                let config = Config { version: VERSION, hash: "blake3".into(), mode };
                let text = serde_json::to_vec_pretty(&config).expect("plain data");
                written.sync().map_err(Error::io("syncing the new repo"))?;
                fsx::write_atomic(&repo, CONFIG, &text, 0o644)
                    .map_err(Error::io("writing repo/config.json"))?;
                fsx::sync_dir(reroot).map_err(Error::io("syncing the new repo"))?;
            }
        }
        Self::open(reroot)
    }

    /// Opens the repo below the `/reroot` directory.
    pub fn open(reroot: &Dir) -> Result<Self> {
        let not_found = || Error::NotFound { object: "reroot/repo".into() };
        let dir = fsx::subdir_optional(reroot, "repo")
            .map_err(Error::io("opening the repo"))?
            .ok_or_else(not_found)?;
        let config = read_config(&dir)?.ok_or_else(not_found)?;
        let objects = ObjectDirs::open(&dir).map_err(Error::io("opening repo/objects"))?;
        Ok(Self { dir, mode: config.mode, objects })
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The repo's directory, for asking about its file system.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Reads a root file system and checks that it is what its id says.
    pub fn read_tree(&self, id: &TreeId) -> Result<Tree> {
        let object = || format!("tree {id}");
        let bytes =
            self.read_compressed(TREES, &id.hex())?.ok_or_else(|| Error::NotFound { object: object() })?;
        if tree_codec::tree_id(&bytes) != *id {
            return Err(Error::Corrupt { object: object(), reason: "its bytes do not match its id".into() });
        }
        tree_codec::decode_tree(&bytes)
            .map_err(|e| Error::Corrupt { object: object(), reason: e.to_string() })
    }

    /// The root file systems that are stored, sorted.
    pub fn tree_ids(&self) -> Result<Vec<TreeId>> {
        Ok(self.names(TREES)?.iter().filter_map(|name| TreeId::from_hex(name).ok()).collect())
    }

    /// True when the layer with this diff_id was read before.
    pub fn has_layer(&self, diff_id: &Sha256) -> Result<bool> {
        let layers = self.subdir(LAYERS)?;
        match rustix::fs::accessat(
            &layers,
            diff_id.hex(),
            rustix::fs::Access::EXISTS,
            rustix::fs::AtFlags::empty(),
        ) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::io(format!("looking for layer {diff_id}"))(errno.into())),
        }
    }

    /// Reads what a layer says.
    pub fn read_layer(&self, diff_id: &Sha256) -> Result<LayerTree> {
        let object = || format!("layer {diff_id}");
        let bytes = self
            .read_compressed(LAYERS, &diff_id.hex())?
            .ok_or_else(|| Error::NotFound { object: object() })?;
        let damaged = |reason| Error::Corrupt { object: object(), reason };
        let (digest, bytes) = bytes.split_first_chunk().ok_or_else(|| damaged("too short".into()))?;
        if blake3::hash(bytes) != *digest {
            return Err(damaged("its bytes do not match its checksum".into()));
        }
        tree_codec::decode_layer(bytes).map_err(|e| damaged(e.to_string()))
    }

    /// Writes what a layer says, with a checksum, since its name is the digest of the tar. Durable.
    pub(super) fn write_layer(&self, diff_id: &Sha256, layer: &LayerTree) -> Result<()> {
        let bytes = tree_codec::encode_layer(layer);
        let checked = [blake3::hash(&bytes).as_bytes(), &bytes[..]].concat();
        drop(bytes);
        fsx::write_atomic(&self.subdir(LAYERS)?, &diff_id.hex(), &compress(&checked), 0o600)
            .map_err(Error::io(format!("writing layer {diff_id}")))
    }

    /// Writes a root file system under its id. Durable.
    pub(super) fn write_tree(&self, tree: &Tree) -> Result<TreeId> {
        let bytes = tree_codec::encode_tree(tree);
        let id = tree_codec::tree_id(&bytes);
        let compressed = compress(&bytes);
        drop(bytes);
        fsx::write_atomic(&self.subdir(TREES)?, &id.hex(), &compressed, 0o600)
            .map_err(Error::io(format!("writing tree {id}")))?;
        Ok(id)
    }

    /// The diff_ids of the layers that are stored, sorted.
    pub fn layer_ids(&self) -> Result<Vec<Sha256>> {
        Ok(self.names(LAYERS)?.iter().filter_map(|name| Sha256::from_hex(name).ok()).collect())
    }

    /// The image with this manifest, when it was pulled.
    pub fn image(&self, manifest: &Sha256) -> Result<Option<ImageRecord>> {
        let name = format!("{}.json", manifest.hex());
        let object = || format!("image {manifest}");
        let bytes = fsx::read_limited(&self.subdir(IMAGES)?, &name, METADATA_LIMIT)
            .map_err(Error::io(format!("reading repo/images/{name}")))?;
        bytes.map(|bytes| ImageRecord::parse(&bytes, manifest, object)).transpose()
    }

    /// Every image that was pulled and not yet collected, by manifest digest.
    pub fn images(&self) -> Result<Vec<ImageRecord>> {
        let mut images = Vec::new();
        for digest in self.image_ids()? {
            images.extend(self.image(&digest)?);
        }
        Ok(images)
    }

    /// The manifest digests of the images that are stored, sorted.
    pub fn image_ids(&self) -> Result<Vec<Sha256>> {
        let names = self.names(IMAGES)?;
        Ok(names.iter().filter_map(|n| Sha256::from_hex(n.strip_suffix(".json")?).ok()).collect())
    }

    /// The named images: reference as text, manifest digest.
    pub fn refs(&self) -> Result<BTreeMap<String, Sha256>> {
        self.each_ref()?.into_iter().map(|(name, digest)| Ok((name, digest?))).collect()
    }

    /// The named images, damaged refs as errors of their own.
    pub fn each_ref(&self) -> Result<BTreeMap<String, Result<Sha256>>> {
        let dir = self.subdir(REFS)?;
        let mut refs = BTreeMap::new();
        for file in self.names(REFS)? {
            let Some(name) = layout::decode_ref(&file) else { continue };
            let bytes =
                fsx::read_limited(&dir, &file, 4096).map_err(Error::io(format!("reading ref {name}")))?;
            let Some(bytes) = bytes else { continue };
            let digest = str::from_utf8(&bytes).ok().and_then(|t| t.trim_end().parse().ok());
            let damaged = || Error::Corrupt { object: format!("ref {name}"), reason: "not a digest".into() };
            let digest = digest.ok_or_else(damaged);
            refs.insert(name, digest);
        }
        Ok(refs)
    }

    /// Removes the record of an image that cannot be read, so that the image can be pulled again.
    pub fn forget_damaged_image(&self, _guard: &fsx::lock::ExclusiveGuard, manifest: &Sha256) -> Result<()> {
        // What a newer version wrote is not damage.
        if !matches!(self.image(manifest), Err(Error::Corrupt { .. })) {
            return Ok(());
        }
        let name = format!("{}.json", manifest.hex());
        let removed = fsx::remove_file(&self.subdir(IMAGES)?, &name);
        removed.map(drop).map_err(Error::io(format!("removing repo/images/{name}")))
    }

    /// Names an image. Durable when it returns.
    pub fn set_ref(&self, name: &str, manifest: &Sha256) -> Result<()> {
        let file = layout::encode_ref(name);
        if file.len() > 255 {
            return Err(Error::Incompatible {
                what: format!("ref {name}"),
                reason: "the reference is too long to be stored by name".into(),
            });
        }
        // An image that was found in the store may have got its name from a process that was stopped before its sync.
        fsx::sync_dir(&self.subdir(IMAGES)?).map_err(Error::io("syncing repo/images"))?;
        fsx::write_atomic(&self.subdir(REFS)?, &file, format!("{manifest}\n").as_bytes(), 0o600)
            .map_err(Error::io(format!("writing ref {name}")))
    }

    /// Takes a name away; the image itself stays until gc. False when there was no such name. Durable.
    pub fn remove_ref(&self, name: &str) -> Result<bool> {
        let dir = self.subdir(REFS)?;
        let remove = || {
            let removed = fsx::remove_file(&dir, &layout::encode_ref(name))?;
            fsx::sync_dir(&dir).map(|()| removed)
        };
        remove().map_err(Error::io(format!("removing ref {name}")))
    }

    pub(super) fn subdir(&self, name: &'static str) -> Result<Dir> {
        fsx::open_subdir(&self.dir, name).map_err(Error::io(format!("opening repo/{name}")))
    }

    /// The finished files in a directory of the repo, sorted.
    pub(super) fn names(&self, directory: &'static str) -> Result<Vec<String>> {
        let list = fsx::list_dir(&self.subdir(directory)?)
            .map_err(Error::io(format!("listing repo/{directory}")))?;
        Ok(list
            .into_iter()
            .filter_map(|entry| String::from_utf8(entry.name).ok())
            .filter(|name| !name.starts_with('.'))
            .collect())
    }

    fn read_compressed(&self, directory: &'static str, name: &str) -> Result<Option<Vec<u8>>> {
        let bytes = fsx::read_limited(&self.subdir(directory)?, name, METADATA_LIMIT)
            .map_err(Error::io(format!("reading repo/{directory}/{name}")))?;
        bytes.map(|bytes| decompress(&bytes, || format!("{directory}/{name}"))).transpose()
    }
}

/// zstd at its fastest level: the ids in a tree do not compress, the paths do.
fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).expect("compressing memory into memory cannot fail")
}

fn decompress(bytes: &[u8], object: impl Fn() -> String) -> Result<Vec<u8>> {
    let damaged = |reason: String| Error::Corrupt { object: object(), reason };
    let size = zstd::zstd_safe::get_frame_content_size(bytes)
        .ok()
        .flatten()
        .filter(|size| *size <= METADATA_LIMIT)
        .ok_or_else(|| damaged("not a zstd frame with a size".into()))?;
    zstd::bulk::decompress(bytes, size as usize).map_err(|e| damaged(e.to_string()))
}

fn read_config(repo: &Dir) -> Result<Option<Config>> {
    let Some(bytes) =
        fsx::read_limited(repo, CONFIG, 1 << 16).map_err(Error::io("reading repo/config.json"))?
    else {
        return Ok(None);
    };
    // The version first: what else is in there is only known for versions that are known.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let damaged =
        |e: serde_json::Error| Error::Corrupt { object: "repo/config.json".into(), reason: e.to_string() };
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    let incompatible = |reason| Err(Error::Incompatible { what: "repo/config.json".into(), reason });
    if version > VERSION {
        return incompatible(format!(
            "format version {version} is newer than {VERSION}, the newest known here"
        ));
    }
    let config: Config = serde_json::from_slice(&bytes).map_err(damaged)?;
    if config.hash != "blake3" {
        return incompatible(format!("unknown hash `{}`", config.hash));
    }
    Ok(Some(config))
}

/// A repo needs the attributes its mode lives on; better to know at init than in the middle of a pull.
fn probe_xattrs(repo: &Dir, mode: Mode) -> Result<()> {
    let name = match mode {
        Mode::Bare => return Ok(()),
        Mode::BareUser => super::object::META_XATTR,
    };
    let probe = || {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(repo, ".tmp-probe", flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        let result = fsx::xattr::set(&file, name.as_bytes(), b"");
        fsx::remove_file(repo, ".tmp-probe")?;
        result
    };
    probe().map_err(|error| Error::Incompatible {
        what: "this file system".into(),
        reason: format!("it cannot store user xattrs, which a bare-user repo needs ({error})"),
    })
}
