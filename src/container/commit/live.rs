//! A deployment as it is now: the tree of its image, with the `/etc` of the deployment and, when an overlay makes it writable, the
//! `/usr` of the running system.

use std::fs::File;

use crate::container::{Opened, Places, Root, scan};
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
    let mut regions = vec![(base.root.etc(""), etc)];
    if let Some(root) = running.filter(|_| is_active(sysroot).unwrap_or(false)) {
        regions.push(("usr/".into(), root.join("usr")));
    }
    let mut scanned = Vec::new();
    for (prefix, path) in regions {
        let prefix = ImagePath::new(prefix.trim_end_matches('/').as_bytes());
        let prefix = prefix.map_err(|error| Error::bug(error.to_string()))?;
        scanned.push((prefix, scan::scan(&path)?));
    }
    let (root, name) = (compose(&base.root, scanned)?, deployment.key().to_string());
    Ok(Opened { root, image: None, name })
}

/// The tree with some of its directories replaced.
fn compose<'c>(base: &'c Root<'_>, regions: Vec<(ImagePath, Root<'static>)>) -> Result<Root<'c>> {
    let is_replaced =
        |path: &ImagePath| regions.iter().any(|(prefix, _)| path == prefix || path.is_below(prefix));
    let mut entries: Vec<_> =
        base.tree.entries().iter().filter(|entry| !is_replaced(&entry.path)).cloned().collect();
    let mut unread = Vec::new();
    for (prefix, root) in &regions {
        for entry in root.tree.entries() {
            entries.push(TreeEntry { path: below(prefix, &entry.path)?, ..entry.clone() });
        }
        for of_region in &root.unread {
            let path = below(prefix, &of_region.path)?;
            unread.push(super::super::Unread { path, reason: of_region.reason.clone() });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let tree = Tree::new(entries).map_err(|error| Error::bug(error.to_string()))?;
    Ok(Root::new(tree, Composed { base: base.contents(), regions }, unread))
}

fn below(prefix: &ImagePath, path: &ImagePath) -> Result<ImagePath> {
    let joined = path.components().try_fold(prefix.clone(), |at, name| at.join(name));
    joined.map_err(|error| Error::invalid(format!("/{prefix}/{path}: {error}")))
}

struct Composed<'c> {
    base: &'c dyn Contents,
    regions: Vec<(ImagePath, Root<'static>)>,
}

impl Contents for Composed<'_> {
    fn open(&self, entry: &TreeEntry) -> repo::Result<File> {
        for (prefix, root) in &self.regions {
            if entry.path.is_below(prefix)
                && let Ok(path) = ImagePath::new(prefix.strip_from(&entry.path))
            {
                return root.contents().open(&TreeEntry { path, ..entry.clone() });
            }
        }
        self.base.open(entry)
    }
}
