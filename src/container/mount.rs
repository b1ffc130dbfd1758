//! Something to look at with ordinary programs: an image, a deployment or a directory, mounted read-only.
//!
//! An image becomes a tree of hard links below `/reroot/mounts` of its store, named by the boot that it was made in: a mount does not
//! outlast that, so what other boots left is removed by the next one who mounts.

use std::path::Path;

use rustix::fs::{AtFlags, StatVfsMountFlags};
use rustix::mount::UnmountFlags;
use serde::Serialize;

use super::{Places, Source};
use crate::fsx::{self, Dir};
use crate::ops::image::{CheckoutOptions, checkout};
use crate::ops::{Context, Error, Result};
use crate::sysroot::Sysroot;

/// Below `/reroot` of the store.
const MOUNTS: &str = "mounts";

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mounted {
    pub name: String,
    pub path: String,
}

/// Mounts what was typed at a directory, for the mount namespace of this process. Devices and setuid programs do nothing there. Needs
/// `CAP_SYS_ADMIN`: root, or a user namespace.
pub fn mount(source: &Source, path: &Path, places: &Places<'_>, context: &Context<'_>) -> Result<Mounted> {
    let place = fsx::open_dir(path).map_err(Error::io(format!("opening {}", path.display())))?;
    let (root, name, made) = match source {
        Source::Directory(directory) => {
            let root =
                fsx::open_dir(directory).map_err(Error::io(format!("opening {}", directory.display())))?;
            (root, directory.display().to_string(), None)
        }
        Source::Deployment(id) => {
            let (root, key) = places.deployment(*id, context.env)?;
            (root, key.to_string(), None)
        }
        Source::Image(_) => {
            let opened = places.open(source, context)?;
            let image = opened.image.as_ref().ok_or_else(|| Error::bug("an image without a store"))?;
            let tree = Tree::make(image.store, &image.record.manifest_digest.to_string(), context)?;
            (tree.root()?, opened.name.clone(), Some(tree))
        }
    };
    let mounting = || Error::io(format!("mounting {name} at {}", path.display()));
    match fsx::bind_to_look_at(&root).and_then(|mount| fsx::attach(&mount, &place)) {
        Ok(()) => Ok(Mounted { name, path: path.display().to_string() }),
        Err(error) => {
            drop(root);
            made.map_or(Ok(()), |tree| tree.remove())?;
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => Err(Error::incompatible(
                    "mounting needs root, or `unshare --map-root-user --mount` for a shell that sees the mount",
                )),
                _ => Err(mounting()(error)),
            }
        }
    }
}

/// Takes a mount away, and the tree that was made for it.
pub fn unmount(path: &Path, places: &Places<'_>, context: &Context<'_>) -> Result<Mounted> {
    let shown = path.display().to_string();
    let inode = |path: &Path| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino));
    let looking = || Error::io(format!("looking at {shown}"));
    let mounted = inode(path).map_err(|e| looking()(e.into()))?;
    let tree = Tree::find(places.store(context)?, mounted)?;
    let flags = rustix::fs::statvfs(path).map_err(|e| looking()(e.into()))?.f_flag;
    let ours = StatVfsMountFlags::RDONLY | StatVfsMountFlags::NOSUID | StatVfsMountFlags::NODEV;
    if tree.is_none() && !flags.contains(ours) {
        return Err(Error::invalid(format!(
            "what is mounted at {shown}, if anything is, is not of `container mount`"
        )));
    }
    rustix::mount::unmount(path, UnmountFlags::NOFOLLOW).map_err(|errno| match errno {
        rustix::io::Errno::INVAL => Error::invalid(format!("nothing is mounted at {shown}")),
        errno => Error::io(format!("unmounting {shown}"))(errno.into()),
    })?;
    // Every mount of an image has a tree of its own.
    if let Some(tree) = tree {
        tree.remove()?;
    }
    Ok(Mounted { name: shown.clone(), path: shown })
}

/// A tree of hard links that is mounted, or will be.
struct Tree {
    mounts: Dir,
    name: String,
}

impl Tree {
    fn make(store: &Sysroot, digest: &str, context: &Context<'_>) -> Result<Self> {
        let boot = context.env.boot_id().unwrap_or_else(|| "boot".into());
        let making = || Error::io(format!("making {MOUNTS} in {}", store.path().display()));
        let make = || {
            let mounts = fsx::ensure_dir(store.reroot(), MOUNTS, 0o700)?;
            for fsx::Listed { name, .. } in fsx::list_dir(&mounts)? {
                let name = String::from_utf8_lossy(&name).into_owned();
                if !name.starts_with(&boot) {
                    fsx::remove_tree(&mounts, &name)?;
                }
            }
            let mut number = 0;
            loop {
                let name = format!("{boot}.{number}");
                match mounts.create_dir(&name) {
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                    made => return made.map(|()| Self { mounts, name }),
                }
            }
        };
        let tree = make().map_err(making())?;
        let path = store.path().join(crate::sysroot::layout::REROOT).join(MOUNTS).join(&tree.name);
        match checkout(store, digest, &path, &CheckoutOptions::default(), context) {
            Ok(_) => Ok(tree),
            Err(error) => {
                tree.remove()?;
                Err(error)
            }
        }
    }

    /// The tree whose root this is.
    fn find(store: &Sysroot, (device, inode): (u64, u64)) -> Result<Option<Self>> {
        let find = || {
            let Some(mounts) = fsx::subdir_optional(store.reroot(), MOUNTS)? else { return Ok(None) };
            for fsx::Listed { name, .. } in fsx::list_dir(&mounts)? {
                let stat = rustix::fs::statat(&mounts, &*name, AtFlags::SYMLINK_NOFOLLOW)?;
                if (stat.st_dev, stat.st_ino) == (device, inode) {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    return Ok(Some(Self { mounts, name }));
                }
            }
            Ok(None)
        };
        find().map_err(Error::io(format!("looking for {MOUNTS} in {}", store.path().display())))
    }

    fn root(&self) -> Result<Dir> {
        fsx::open_subdir(&self.mounts, &self.name).map_err(Error::io("opening the tree that was made"))
    }

    fn remove(&self) -> Result<()> {
        fsx::remove_tree(&self.mounts, &self.name).map_err(Error::io("removing the tree that was mounted"))
    }
}
