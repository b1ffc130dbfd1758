//! Mark and sweep: what no root reaches goes.
//!
//! Roots are the refs and the manifests that the caller names (those of the deployments). An image keeps its
//! tree and its layers, and these keep their objects: a layer that is known is never fetched again, so the
//! objects it would need stay with it.
//!
//! Deleting goes the opposite way of publishing: images, then trees and layers, then objects, each made durable
//! before the next, so that after a power cut nothing is named whose content is gone.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::layout::{self, IMAGES, LAYERS, REFS, STAGING, TREES};
use super::{Change, Error, Node, Repo, Result};
use crate::crashpoint;
use crate::digest::{ObjectId, Sha256, TreeId};
use crate::fsx::lock::ExclusiveGuard;
use crate::fsx::{self, Dir};
use crate::parallel::{cores, in_batches};

/// Whether to delete or only to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GcRun {
    DryRun,
    Delete,
}

/// What a gc deleted, or would delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GcReport {
    pub images: u64,
    pub trees: u64,
    pub layers: u64,
    pub objects: u64,
    /// Content bytes of the deleted objects. An object that a deployment still links keeps its blocks until the
    /// deployment goes too.
    pub object_bytes: u64,
    pub kept_objects: u64,
}

struct Marked {
    images: HashSet<Sha256>,
    layers: HashSet<Sha256>,
    trees: HashSet<TreeId>,
    objects: HashSet<ObjectId>,
}

impl Repo {
    /// Deletes what neither a ref nor one of `roots` (manifest digests) reaches, and what killed processes left.
    /// The guard proves that nobody is pulling. A root that is not stored is an error: better to keep too much
    /// than to sweep by an incomplete list.
    pub fn gc(&self, _guard: &ExclusiveGuard, roots: &BTreeSet<Sha256>, run: GcRun) -> Result<GcReport> {
        if run == GcRun::Delete {
            // Whoever removed a ref may have been stopped before that was on disk.
            fsx::sync_dir(&self.subdir(REFS)?).map_err(Error::io("syncing repo/refs"))?;
        }
        let marked = self.mark(roots)?;
        let mut report = GcReport { kept_objects: marked.objects.len() as u64, ..GcReport::default() };
        if run == GcRun::Delete {
            self.sweep_leftovers()?;
        }
        report.images = self.sweep_names(IMAGES, run, |name| {
            name.strip_suffix(".json")
                .and_then(|n| Sha256::from_hex(n).ok())
                .is_some_and(|d| marked.images.contains(&d))
        })?;
        self.sync_swept(IMAGES, report.images, run)?;
        crashpoint!("gc.images-removed").map_err(Error::io("collecting garbage"))?;
        report.trees = self.sweep_names(TREES, run, |name| {
            TreeId::from_hex(name).is_ok_and(|id| marked.trees.contains(&id))
        })?;
        report.layers = self.sweep_names(LAYERS, run, |name| {
            Sha256::from_hex(name).is_ok_and(|id| marked.layers.contains(&id))
        })?;
        // Both directories are changed before either is synced: on a journal the second sync costs nothing.
        self.sync_swept(TREES, report.trees, run)?;
        self.sync_swept(LAYERS, report.layers, run)?;
        crashpoint!("gc.trees-removed").map_err(Error::io("collecting garbage"))?;
        let fans: Vec<(u8, &Dir)> = self.objects.iter().collect();
        let (objects, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        in_batches(
            &fans,
            1,
            cores(),
            || (),
            |(), batch| {
                for (fan, dir) in batch {
                    let what = || format!("collecting garbage in repo/objects/{}", layout::fan_name(*fan));
                    let swept = sweep_objects(*fan, dir, &marked.objects, run)
                        .map_err(|source| Error::Io { context: what(), source })?;
                    objects.fetch_add(swept.0, Ordering::Relaxed);
                    bytes.fetch_add(swept.1, Ordering::Relaxed);
                }
                Ok(())
            },
        )?;
        (report.objects, report.object_bytes) = (objects.into_inner(), bytes.into_inner());
        crashpoint!("gc.objects-removed").map_err(Error::io("collecting garbage"))?;
        Ok(report)
    }

    /// Removes staging directories and temporary files. Nobody else holds the lock, so nobody is using them.
    pub fn sweep(&self, _guard: &ExclusiveGuard) -> Result<()> {
        self.sweep_leftovers()
    }

    fn sweep_leftovers(&self) -> Result<()> {
        let staging = self.subdir(STAGING)?;
        let sweep = || -> std::io::Result<()> {
            for fsx::Listed { name, .. } in fsx::list_dir(&staging)? {
                fsx::remove_tree(&staging, &String::from_utf8_lossy(&name))?;
            }
            Ok(())
        };
        sweep().map_err(Error::io("sweeping repo/staging"))?;
        for directory in [IMAGES, TREES, LAYERS, REFS] {
            let dir = self.subdir(directory)?;
            let sweep = || -> std::io::Result<()> {
                for fsx::Listed { name, .. } in fsx::list_dir(&dir)? {
                    if name.starts_with(b".tmp-") {
                        fsx::remove_file(&dir, &String::from_utf8_lossy(&name))?;
                    }
                }
                Ok(())
            };
            sweep().map_err(Error::io(format!("sweeping repo/{directory}")))?;
        }
        Ok(())
    }

    fn mark(&self, roots: &BTreeSet<Sha256>) -> Result<Marked> {
        let mut images: HashSet<Sha256> = self.refs()?.into_values().collect();
        images.extend(roots);
        let mut marked =
            Marked { images, layers: HashSet::new(), trees: HashSet::new(), objects: HashSet::new() };
        for digest in &marked.images {
            let image = self.image(digest)?.ok_or_else(|| Error::NotFound {
                object: format!("image {digest}, which is still in use,"),
            })?;
            marked.trees.insert(image.tree);
            marked.layers.extend(image.layers);
        }
        for id in &marked.trees {
            marked.objects.extend(self.read_tree(id)?.entries().iter().filter_map(|e| object_of(&e.node)));
        }
        for diff_id in &marked.layers {
            let layer = self.read_layer(diff_id)?;
            marked.objects.extend(layer.changes.iter().filter_map(|(_, change)| match change {
                Change::Set { node, .. } => object_of(node),
                _ => None,
            }));
        }
        Ok(marked)
    }

    /// Removes the files of a directory that are not to be kept. Not synced.
    fn sweep_names(&self, directory: &'static str, run: GcRun, keep: impl Fn(&str) -> bool) -> Result<u64> {
        let gone: Vec<String> = self.names(directory)?.into_iter().filter(|name| !keep(name)).collect();
        if run == GcRun::Delete && !gone.is_empty() {
            let dir = self.subdir(directory)?;
            let remove = || {
                for name in &gone {
                    fsx::remove_file(&dir, name)?;
                }
                Ok(())
            };
            remove().map_err(Error::io(format!("collecting garbage in repo/{directory}")))?;
        }
        Ok(gone.len() as u64)
    }

    fn sync_swept(&self, directory: &'static str, removed: u64, run: GcRun) -> Result<()> {
        if run == GcRun::DryRun || removed == 0 {
            return Ok(());
        }
        fsx::sync_dir(&self.subdir(directory)?).map_err(Error::io(format!("syncing repo/{directory}")))
    }
}

pub(super) fn object_of(node: &Node) -> Option<ObjectId> {
    match node {
        Node::File { object, .. } => Some(*object),
        _ => None,
    }
}

fn sweep_objects(fan: u8, dir: &Dir, keep: &HashSet<ObjectId>, run: GcRun) -> std::io::Result<(u64, u64)> {
    let (mut objects, mut bytes) = (0, 0);
    for fsx::Listed { name, .. } in fsx::list_dir(dir)? {
        let mut id = [fan; 32];
        let is_object = hex::decode_to_slice(&name, &mut id[1..]).is_ok();
        if is_object && keep.contains(&ObjectId(id)) {
            continue;
        }
        if is_object {
            let stat = rustix::fs::statat(dir, &name[..], rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
            objects += 1;
            bytes += stat.st_size as u64;
        }
        if run == GcRun::Delete {
            fsx::remove_tree(dir, &String::from_utf8_lossy(&name))?;
        }
    }
    Ok((objects, bytes))
}
