//! Checking that everything in the store is what its name says.
//!
//! An object is read once and hashed together with the metadata of its inode; when that gives its name, content
//! and metadata are both right. Only when it does not are the trees asked what was expected, to say what is
//! wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::gc::object_of;
use super::layout;
use super::object::{META_XATTR, ObjectHasher, decode_meta};
use super::{Change, Error, Meta, Mode, Node, Repo, Result, Xattrs};
use crate::digest::{ObjectId, Sha256, TreeId};
use crate::fsx;
use crate::parallel::{cores, in_batches};

/// Objects that are opened before the first of them is read.
const READ_AHEAD: usize = 32;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Problem {
    /// A tree or layer names an object that is not there.
    MissingObject { object: ObjectId },
    /// An object's content is not what its name says.
    DamagedObject { object: ObjectId, reason: String },
    /// An object's content is right, its owner, mode or xattrs are not.
    WrongMetadata { object: ObjectId, reason: String },
    /// A tree cannot be read or is missing.
    DamagedTree { tree: TreeId, reason: String },
    /// A layer cannot be read or is missing.
    DamagedLayer { layer: Sha256, reason: String },
    /// An image's record cannot be read.
    DamagedImage { image: Sha256, reason: String },
    /// A ref or deployment names an image that is not stored.
    MissingImage { image: Sha256, named_by: String },
    /// A deployment is not what its tree says.
    DamagedDeployment { deployment: String, path: String, reason: String },
    /// A record beside the repo cannot be read.
    DamagedRecord { path: String, reason: String },
}

/// What a check saw.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FsckReport {
    pub objects: u64,
    pub object_bytes: u64,
    pub trees: u64,
    pub layers: u64,
    pub images: u64,
    /// Sorted.
    pub problems: Vec<Problem>,
    /// For each damaged or missing object the images that need it, by manifest digest.
    pub affected: BTreeMap<ObjectId, BTreeSet<Sha256>>,
}

/// What is expected of the objects, from every tree and layer that can be read.
struct Expected {
    objects: HashSet<ObjectId>,
}

impl Repo {
    /// Checks images, trees, layers and every object. Damage is data in the report; an error means that the
    /// check itself could not go on.
    pub fn fsck(&self) -> Result<FsckReport> {
        let mut report = FsckReport::default();
        let expected = self.check_metadata(&mut report)?;
        let (present, damaged) = self.check_objects(&mut report)?;
        for object in expected.objects.difference(&present) {
            report.problems.push(Problem::MissingObject { object: *object });
        }
        if !damaged.is_empty() {
            self.explain(damaged, &mut report)?;
        }
        self.find_affected(&mut report);
        report.problems.sort();
        Ok(report)
    }

    fn check_metadata(&self, report: &mut FsckReport) -> Result<Expected> {
        let mut expected = Expected { objects: HashSet::new() };
        let (mut trees, mut layers) = (BTreeSet::new(), BTreeSet::new());
        let ids = self.image_ids()?;
        for digest in &ids {
            report.images += 1;
            match self.image(digest) {
                Ok(Some(image)) => {
                    trees.insert(image.tree);
                    layers.extend(image.layers);
                }
                Ok(None) => {}
                Err(e) => {
                    report.problems.push(Problem::DamagedImage { image: *digest, reason: e.to_string() })
                }
            }
        }
        for (name, image) in self.each_ref()? {
            match image {
                Ok(image) if ids.contains(&image) => {}
                Ok(image) => report.problems.push(Problem::MissingImage { image, named_by: name }),
                Err(e) => report
                    .problems
                    .push(Problem::DamagedRecord { path: format!("ref {name}"), reason: e.to_string() }),
            }
        }
        trees.extend(self.tree_ids()?);
        layers.extend(self.layer_ids()?);
        for id in trees {
            report.trees += 1;
            match self.read_tree(&id) {
                Ok(tree) => expected.objects.extend(tree.entries().iter().filter_map(|e| object_of(&e.node))),
                Err(e) => report.problems.push(Problem::DamagedTree { tree: id, reason: e.to_string() }),
            }
        }
        for id in layers {
            report.layers += 1;
            match self.read_layer(&id) {
                Ok(layer) => expected.objects.extend(layer.changes.iter().filter_map(|(_, c)| match c {
                    Change::Set { node, .. } => object_of(node),
                    _ => None,
                })),
                Err(e) => report.problems.push(Problem::DamagedLayer { layer: id, reason: e.to_string() }),
            }
        }
        Ok(expected)
    }

    /// Reads every object on all cores, in the order of their inodes, which is about the order on the disk.
    /// Returns those that are there, and those that do not match their name.
    fn check_objects(&self, report: &mut FsckReport) -> Result<(HashSet<ObjectId>, Vec<ObjectId>)> {
        let objects = self.objects_by_inode()?;
        let (bytes, damaged) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let buffer = || vec![0; 256 << 10];
        in_batches(&objects, READ_AHEAD, cores(), buffer, |buffer, batch| {
            // The kernel fetches the next ones while one is hashed.
            let open: Vec<_> = batch.iter().map(|(_, id)| self.open_ahead(id)).collect();
            for ((_, id), file) in batch.iter().zip(open) {
                match file.and_then(|file| self.object_matches(id, file, buffer)) {
                    Ok((true, size)) => drop(bytes.fetch_add(size, Ordering::Relaxed)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    // A disk that cannot read a sector says EIO: that is damage, not the end of the check.
                    Ok((false, _)) | Err(_) => {
                        damaged.lock().unwrap_or_else(PoisonError::into_inner).push(*id);
                    }
                }
            }
            Ok(())
        })?;
        report.objects = objects.len() as u64;
        report.object_bytes = bytes.into_inner();
        let present = objects.into_iter().map(|(_, id)| id).collect();
        Ok((present, damaged.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    fn objects_by_inode(&self) -> Result<Vec<(u64, ObjectId)>> {
        let mut objects = Vec::new();
        for (fan, dir) in self.objects.iter() {
            let names = fsx::list_dir(dir)
                .map_err(Error::io(format!("listing repo/objects/{}", layout::fan_name(fan))))?;
            objects.extend(names.into_iter().filter_map(|entry| {
                let mut id = [fan; 32];
                hex::decode_to_slice(&entry.name, &mut id[1..]).ok()?;
                Some((entry.inode, ObjectId(id)))
            }));
        }
        objects.sort_unstable();
        Ok(objects)
    }

    fn open_ahead(&self, id: &ObjectId) -> io::Result<File> {
        let file = self.open_object_file(id)?;
        // Advice: a file system that does not take it reads later.
        let _ = rustix::fs::fadvise(&file, 0, NonZeroU64::new(1 << 20), rustix::fs::Advice::WillNeed);
        Ok(file)
    }

    /// Hashes an object with its inode's metadata; gives the size as well.
    fn object_matches(&self, id: &ObjectId, mut file: File, buffer: &mut [u8]) -> io::Result<(bool, u64)> {
        let Some(meta) = self.inode_meta(&file)? else { return Ok((false, 0)) };
        let size = rustix::fs::fstat(&file)?.st_size as u64;
        Ok((hash_file(&mut file, &meta, size, buffer)? == *id, size))
    }

    /// The image's metadata as the inode has it; `None` when a bare-user inode lost it.
    pub(super) fn inode_meta(&self, file: impl AsFd) -> io::Result<Option<Meta>> {
        match self.mode {
            Mode::Bare => {
                let stat = rustix::fs::fstat(&file)?;
                Ok(Some(Meta {
                    mode: (stat.st_mode & 0o7777) as u16,
                    uid: stat.st_uid,
                    gid: stat.st_gid,
                    xattrs: Xattrs::new(fsx::xattr::read_all(&file)?),
                }))
            }
            Mode::BareUser => Ok(fsx::xattr::read(file, META_XATTR)?.and_then(|bytes| decode_meta(&bytes))),
        }
    }

    /// Says what is wrong with objects that do not match their name.
    fn explain(&self, damaged: Vec<ObjectId>, report: &mut FsckReport) -> Result<()> {
        let wanted: HashSet<ObjectId> = damaged.iter().copied().collect();
        let metas = self.expected_meta(&wanted);
        let mut buffer = vec![0; 256 << 10];
        for object in damaged {
            let problem = match metas.get(&object) {
                None => Problem::DamagedObject { object, reason: "its content or metadata changed".into() },
                Some(meta) => match self.compare_object(&object, meta, &mut buffer) {
                    Ok(None) => continue,
                    Ok(Some(problem)) => problem,
                    Err(error) => Problem::DamagedObject { object, reason: error.to_string() },
                },
            };
            report.problems.push(problem);
        }
        Ok(())
    }

    fn compare_object(
        &self,
        object: &ObjectId,
        meta: &Meta,
        buffer: &mut [u8],
    ) -> io::Result<Option<Problem>> {
        let object = *object;
        let mut file = self.open_object_file(&object)?;
        let size = rustix::fs::fstat(&file)?.st_size as u64;
        if hash_file(&mut file, meta, size, buffer)? != object {
            let reason = "its content does not match its name".into();
            return Ok(Some(Problem::DamagedObject { object, reason }));
        }
        let Some(found) = self.inode_meta(&file)? else {
            let reason = format!("the attribute {META_XATTR} is missing or malformed");
            return Ok(Some(Problem::WrongMetadata { object, reason }));
        };
        Ok(metadata_difference(meta, &found).map(|reason| Problem::WrongMetadata { object, reason }))
    }

    /// The metadata that trees and layers expect of some objects.
    pub(super) fn expected_meta(&self, wanted: &HashSet<ObjectId>) -> HashMap<ObjectId, Meta> {
        let mut metas = HashMap::new();
        self.visit_nodes(|node, meta| {
            if let Some(object) = object_of(node).filter(|o| wanted.contains(o)) {
                metas.entry(object).or_insert_with(|| meta.clone());
            }
        });
        metas
    }

    /// Shows every inode of every tree and layer that can be read; what cannot has been reported already.
    pub(super) fn visit_nodes(&self, mut visit: impl FnMut(&Node, &Meta)) {
        for tree in self.tree_ids().unwrap_or_default().iter().filter_map(|id| self.read_tree(id).ok()) {
            tree.entries().iter().for_each(|e| visit(&e.node, &e.meta));
        }
        for layer in self.layer_ids().unwrap_or_default().iter().filter_map(|id| self.read_layer(id).ok()) {
            for (_, change) in &layer.changes {
                if let Change::Set { meta, node, .. } = change {
                    visit(node, meta);
                }
            }
        }
    }

    fn find_affected(&self, report: &mut FsckReport) {
        let bad: HashSet<ObjectId> = report
            .problems
            .iter()
            .filter_map(|p| match p {
                Problem::MissingObject { object }
                | Problem::DamagedObject { object, .. }
                | Problem::WrongMetadata { object, .. } => Some(*object),
                _ => None,
            })
            .collect();
        if bad.is_empty() {
            return;
        }
        for image in self.image_ids().unwrap_or_default() {
            let Ok(Some(record)) = self.image(&image) else { continue };
            let Ok(tree) = self.read_tree(&record.tree) else { continue };
            for object in tree.entries().iter().filter_map(|e| object_of(&e.node)).filter(|o| bad.contains(o))
            {
                report.affected.entry(object).or_default().insert(image);
            }
        }
    }
}

/// What differs between expected and found metadata. A label that the running system's security module gave an
/// unlabelled file is not damage.
pub(super) fn metadata_difference(expected: &Meta, found: &Meta) -> Option<String> {
    if (expected.mode, expected.uid, expected.gid) != (found.mode, found.uid, found.gid) {
        return Some(format!(
            "mode {:04o} owner {}:{}, expected mode {:04o} owner {}:{}",
            found.mode, found.uid, found.gid, expected.mode, expected.uid, expected.gid
        ));
    }
    let expected: BTreeMap<&[u8], &[u8]> = expected.xattrs.iter().collect();
    let found: BTreeMap<&[u8], &[u8]> = found.xattrs.iter().collect();
    let name = |name: &[u8]| crate::names::printable(name);
    for (attribute, value) in &expected {
        match found.get(attribute) {
            None => return Some(format!("xattr {} is missing", name(attribute))),
            Some(other) if other != value => {
                return Some(format!("xattr {} has another value", name(attribute)));
            }
            Some(_) => {}
        }
    }
    let extra = found.keys().find(|a| !expected.contains_key(*a) && **a != *b"security.selinux");
    extra.map(|attribute| format!("xattr {} should not be there", name(attribute)))
}

pub(super) fn hash_file(file: &mut File, meta: &Meta, size: u64, buffer: &mut [u8]) -> io::Result<ObjectId> {
    let mut hasher = ObjectHasher::new(meta, size);
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
