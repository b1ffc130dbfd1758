//! A deployment as it is now: the tree of its image, with the `/etc` of the deployment and, when an overlay makes it writable, the
//! `/usr` of the running system.

use std::fs::File;
use std::path::Path;

use crate::container::{Opened, Places, Root, Unread, scan};
use crate::names::ImagePath;
use crate::ops::usr_overlay::is_active;
use crate::ops::{Context, Error, Result};
use crate::repo::{self, Contents, Tree, TreeEntry};
use crate::sysroot::{DeploymentId, layout};

/// Opens it. `base` is its image.
pub(super) fn open<'o>(
    id: DeploymentId,
    base: &'o Opened<'_>,
    places: &Places<'_>,
    context: &Context<'_>,
) -> Result<Opened<'o>> {
    let (sysroot, deployment) = places.observed(id, context.env)?;
    let is_booted = sysroot.observe()?.booted == Some(deployment.key());
    let running = sysroot.running_root().filter(|_| is_booted);
    let etc = match running {
        Some(root) => root.join(layout::ETC),
        None => sysroot.path().join(deployment.path().trim_start_matches('/')).join(layout::ETC),
    };
    let defaults = image_path("usr/etc")?;
    let mut regions = vec![Region::scan(image_path(base.root.etc("").trim_end_matches('/'))?, &etc, None)?];
    if is_booted
        && is_active(sysroot)?
        && let Some(root) = running
    {
        // A deployment keeps the defaults of its /etc there, which are no part of the image.
        regions.push(Region::scan(image_path("usr")?, &root.join("usr"), Some(defaults))?);
    }
    let (root, name) = (compose(&base.root, regions)?, deployment.key().to_string());
    Ok(Opened { root, image: None, name })
}

fn image_path(path: &str) -> Result<ImagePath> {
    ImagePath::new(path.as_bytes()).map_err(|error| Error::bug(error.to_string()))
}

/// A directory of the image as it is now.
struct Region {
    prefix: ImagePath,
    root: Root<'static>,
    /// A directory in it that is none of this.
    except: Option<ImagePath>,
}

impl Region {
    fn scan(prefix: ImagePath, path: &Path, except: Option<ImagePath>) -> Result<Self> {
        Ok(Self { prefix, root: scan::scan(path)?, except })
    }

    fn has(&self, path: &ImagePath) -> bool {
        let is_in = |directory: &ImagePath| path == directory || path.is_below(directory);
        is_in(&self.prefix) && !self.except.as_ref().is_some_and(is_in)
    }
}

/// The tree with some of its directories replaced.
fn compose<'c>(base: &'c Root<'_>, regions: Vec<Region>) -> Result<Root<'c>> {
    let is_replaced = |path: &ImagePath| regions.iter().any(|region| region.has(path));
    let mut entries: Vec<_> =
        base.tree.entries().iter().filter(|entry| !is_replaced(&entry.path)).cloned().collect();
    let (mut unread, mut mounted) = (Vec::new(), Vec::new());
    for region in &regions {
        for entry in region.root.tree.entries() {
            let path = below(&region.prefix, &entry.path)?;
            if region.has(&path) {
                entries.push(TreeEntry { path, ..entry.clone() });
            }
        }
        for of_region in &region.root.unread {
            let path = below(&region.prefix, &of_region.path)?;
            unread.push(Unread { path, reason: of_region.reason.clone() });
        }
        for of_region in &region.root.mounted {
            mounted.push(below(&region.prefix, of_region)?);
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let tree = Tree::new(entries).map_err(|error| Error::bug(error.to_string()))?;
    Ok(Root::new(tree, Composed { base: base.contents(), regions }, unread).with_mounted(mounted))
}

fn below(prefix: &ImagePath, path: &ImagePath) -> Result<ImagePath> {
    let joined = path.components().try_fold(prefix.clone(), |at, name| at.join(name));
    joined.map_err(|error| Error::invalid(format!("/{prefix}/{path}: {error}")))
}

struct Composed<'c> {
    base: &'c dyn Contents,
    regions: Vec<Region>,
}

impl Contents for Composed<'_> {
    fn open(&self, entry: &TreeEntry) -> repo::Result<File> {
        for region in &self.regions {
            if region.has(&entry.path)
                && let Ok(path) = ImagePath::new(region.prefix.strip_from(&entry.path))
            {
                return region.root.contents().open(&TreeEntry { path, ..entry.clone() });
            }
        }
        self.base.open(entry)
    }
}
