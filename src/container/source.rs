//! From what people type to a root.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::Value;

use super::{Root, scan};
use crate::digest::Sha256;
use crate::env::Env;
use crate::fsx::Dir;
use crate::oci::ImageReference;
use crate::oci::manifest::{ImageConfig, LayerDescriptor};
use crate::oci::platform::Platform;
use crate::ops::image::{PullImageOptions, parse, pull, remove};
use crate::ops::{Context, Error, InitOptions, Result, ResultExt, Run, init, select};
use crate::progress::Event;
use crate::repo::{ImageRecord, LayerTree};
use crate::sysroot::{Deployment, DeploymentId, DeploymentKey, Sysroot};

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An unpacked root.
    Directory(PathBuf),
    /// An image, wherever it is.
    Image(ImageReference),
    /// A deployment of the sysroot.
    Deployment(DeploymentId),
}

impl FromStr for Source {
    type Err = <ImageReference as FromStr>::Err;
    /// A number is a deployment; what has a slash in front, or a dot and a slash, a directory; everything else an image.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Deployment(id));
        }
        if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") || text == "." {
            return Ok(Self::Directory(text.into()));
        }
        text.parse().map(Self::Image)
    }
}

/// Where things are looked for.
pub struct Places<'p> {
    /// Of deployments.
    pub sysroot: &'p Path,
    /// Of images: made when the first one comes.
    pub store: Option<&'p Path>,
    pub platform: Option<Platform>,
    opened: OnceCell<Sysroot>,
    deployments: OnceCell<Sysroot>,
}

/// A root, and the image that it is of.
pub struct Opened<'p> {
    pub root: Root<'p>,
    pub image: Option<Image<'p>>,
    /// For people.
    pub name: String,
}

impl Opened<'_> {
    /// Refuses what could not be read whole, or has names that mean something else in a layer, and so cannot be written again.
    pub fn check_whole(&self) -> Result<()> {
        if let Some(unread) = self.root.unread.first() {
            let (path, name, reason) = (&unread.path, &self.name, &unread.reason);
            return Err(Error::invalid(format!("/{path} of {name} cannot be read: {reason}")));
        }
        let mut entries = self.root.tree.entries().iter();
        match entries.find(|entry| entry.path.file_name().starts_with(crate::layer::WHITEOUT)) {
            None => Ok(()),
            Some(entry) => Err(Error::invalid(format!(
                "/{} of {}: in a layer such a name deletes what has the rest of it for a name; remove the file",
                entry.path, self.name
            ))),
        }
    }

    /// As OCI names it; that of this machine where nothing says another.
    pub fn architecture(&self) -> String {
        let of_image = self.image.as_ref().map(|image| image.config.architecture.clone());
        of_image.unwrap_or_else(|| Platform::host().architecture)
    }
}

/// What is known of a stored image beside its tree.
#[derive(Debug, Clone)]
pub struct Image<'p> {
    /// Where it is.
    pub store: &'p Sysroot,
    /// Where it came from, as far as that is known.
    pub reference: Option<ImageReference>,
    pub record: ImageRecord,
    pub config: ImageConfig,
    /// As the manifest has them, from the lowest up.
    pub blobs: Vec<LayerDescriptor>,
}

impl Image<'_> {
    /// What each layer says, from the lowest up.
    pub fn layers(&self) -> Result<Vec<LayerTree>> {
        let repo = self.store.repo();
        Ok(self.record.layers.iter().map(|diff_id| repo.read_layer(diff_id)).collect::<Result<_, _>>()?)
    }

    /// The config as it was received, with what nobody here has a name for.
    pub fn raw_config(&self) -> Result<Value> {
        serde_json::from_str(&self.record.config)
            .map_err(|e| Error::corrupt(format!("the config of image {}: {e}", self.record.manifest_digest)))
    }

    pub fn compressed_bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).sum()
    }

    /// What a machine that has `other` fetches: compressed bytes, and of how many layers.
    pub fn fetched_after(&self, other: &Image<'_>) -> (u64, usize) {
        other.lacks(self.blobs.iter().map(|blob| (blob.diff_id, blob.size)))
    }

    /// Of layers by their diff_ids and compressed bytes those that this image does not have: their bytes, and how many they are.
    pub fn lacks(&self, layers: impl Iterator<Item = (Sha256, u64)>) -> (u64, usize) {
        let known: HashSet<_> = self.blobs.iter().map(|blob| blob.diff_id).collect();
        let lacking = layers.filter(|(diff_id, _)| !known.contains(diff_id));
        lacking.fold((0, 0), |(bytes, layers), (_, size)| (bytes + size, layers + 1))
    }
}

impl<'p> Places<'p> {
    pub fn new(sysroot: &'p Path, store: Option<&'p Path>, platform: Option<Platform>) -> Self {
        Self { sysroot, store, platform, opened: OnceCell::new(), deployments: OnceCell::new() }
    }

    /// Opens what was typed. An image is fetched first, as far as the store does not have it.
    pub fn open(&self, source: &Source, context: &Context<'_>) -> Result<Opened<'_>> {
        match source {
            Source::Directory(path) => {
                Ok(Opened { root: scan::scan(path)?, image: None, name: path.display().to_string() })
            }
            Source::Image(reference) => {
                let store = self.store(context)?;
                let options = PullImageOptions { platform: self.platform.clone(), ..Default::default() };
                let pulled = pull(store, reference, &options, context);
                let pulled = pulled.map_err(|error| directory_instead(reference).unwrap_or(error))?.pulled;
                let record = pulled.ok_or_else(|| Error::bug("the image was not pulled"))?.record;
                stored(store, record, Some(reference.clone()), reference.to_string())
            }
            Source::Deployment(id) => {
                let (sysroot, deployment) = self.observed(*id, context.env)?;
                let digest = deployment.record.image.digest;
                let record = sysroot.repo().image(&digest)?.ok_or_else(|| {
                    Error::corrupt(format!(
                        "{} needs image {digest}, which is not in the store",
                        deployment.key()
                    ))
                })?;
                let reference = deployment.record.image.reference.parse().ok();
                stored(sysroot, record, reference, deployment.key().to_string())
            }
        }
    }

    /// The root directory of a deployment, and its name.
    pub(super) fn deployment(&self, id: DeploymentId, env: &Env) -> Result<(Dir, DeploymentKey)> {
        let (sysroot, deployment) = self.observed(id, env)?;
        Ok((select::open_deployment(sysroot, &deployment)?, deployment.key()))
    }

    pub(super) fn observed(&self, id: DeploymentId, env: &Env) -> Result<(&Sysroot, Deployment)> {
        let sysroot = self.deployments(env)?;
        let observed = sysroot.observe()?;
        Ok((sysroot, select::deployment(&observed, id, None)?.clone()))
    }

    /// Takes an image out of the store that will not be there any more.
    pub fn forget(&self, reference: &ImageReference, context: &Context<'_>) {
        let forgotten =
            self.store(context).and_then(|store| remove(store, &reference.to_string(), Run::Real, context));
        if let Err(error) = forgotten {
            context.reporter.report(Event::Warning(&format!("{reference} stays in the store: {error}")));
        }
    }

    fn deployments(&self, env: &Env) -> Result<&Sysroot> {
        if self.deployments.get().is_none() {
            let _ = self.deployments.set(Sysroot::open(self.sysroot, env)?);
        }
        self.deployments.get().ok_or_else(|| Error::bug("the sysroot is not open"))
    }

    pub(super) fn store(&self, context: &Context<'_>) -> Result<&Sysroot> {
        if self.opened.get().is_none() {
            let path = match self.store {
                Some(path) => path.to_owned(),
                None => default_store(context.env)?,
            };
            let _ = self
                .opened
                .set(open_store(&path, context).context(|| format!("opening the store {}", path.display()))?);
        }
        self.opened.get().ok_or_else(|| Error::bug("the store is not open"))
    }
}

/// What is wrong when somebody has typed the name of a directory as it is.
fn directory_instead(reference: &ImageReference) -> Option<Error> {
    let ImageReference::ShortName(short) = reference else { return None };
    crate::fsx::open_dir(Path::new(&short.name)).ok()?;
    let name = &short.name;
    Some(Error::invalid(format!("`{name}` would be the name of an image; the directory is `./{name}`")))
}

fn stored<'s>(
    store: &'s Sysroot,
    record: ImageRecord,
    reference: Option<ImageReference>,
    name: String,
) -> Result<Opened<'s>> {
    let repo = store.repo();
    let tree = repo.read_tree(&record.tree)?;
    let (config, blobs) = parse(&record)?;
    Ok(Opened {
        root: Root::new(tree, repo, Vec::new()),
        image: Some(Image { store, reference, record, config, blobs }),
        name,
    })
}

/// Where images are kept that nobody has named a store for (XDG Base Directory Specification, `XDG_CACHE_HOME`).
fn default_store(env: &Env) -> Result<PathBuf> {
    let cache = env.var("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(|| Some(env.home()?.join(".cache")));
    let cache = cache.ok_or_else(|| {
        Error::invalid("there is no HOME to keep images below; `--store DIR` names a directory for them")
    })?;
    Ok(cache.join("reroot/store"))
}

/// A store is a sysroot without deployments: `reroot --sysroot DIR image list` and `prune` work on it.
fn open_store(path: &Path, context: &Context<'_>) -> Result<Sysroot> {
    make(path).map_err(Error::io(format!("making {}", path.display())))?;
    init(path, &InitOptions::default(), context)?;
    Ok(Sysroot::open(path, context.env)?)
}

/// Makes a directory and those above it.
fn make(path: &Path) -> std::io::Result<()> {
    for above in path.ancestors() {
        match crate::fsx::open_dir(above) {
            Ok(directory) => return make_below(&directory, path.strip_prefix(above).unwrap_or(path)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::ErrorKind::NotFound.into())
}

fn make_below(directory: &Dir, path: &Path) -> std::io::Result<()> {
    match path.as_os_str().is_empty() {
        true => Ok(()),
        false => directory.create_dir_all(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_says_what_it_is() {
        assert_eq!("3".parse::<Source>().unwrap(), Source::Deployment("3".parse().unwrap()));
        for path in ["/", ".", "./root", "../root"] {
            assert!(matches!(path.parse().unwrap(), Source::Directory(_)), "{path}");
        }
        for image in ["quay.io/acme/os:1", "oci:dir", "oci-archive:/a/b.tar"] {
            assert!(matches!(image.parse().unwrap(), Source::Image(_)), "{image}");
        }
    }
}
