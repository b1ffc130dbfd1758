//! Replacing damaged or missing objects by whole ones, and the links to them.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{AtFlags, Mode as FileMode, OFlags};

use super::gc::object_of;
use super::layout::{self, STAGING};
use super::object::ObjectHasher;
use super::write::apply_meta;
use super::{
    Change, CheckoutOptions, Error, LayerTree, Meta, Mtime, Node, Repo, Result, Tree, TreeEntry, tree_codec,
};
use crate::digest::{ObjectId, Sha256, TreeId};
use crate::fsx::lock::ExclusiveGuard;
use crate::fsx::{self, Dir, FilesystemSync};
use crate::names::ImagePath;

/// What a layer is read again for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reread {
    /// Only objects are missing: files of other sizes are skipped without hashing them.
    Objects,
    /// What the layer says is lost as well: every file is hashed.
    Layer,
}

/// Reads layers again and keeps only the wanted objects of them. Each is durable when it is stored.
#[derive(Debug)]
pub struct Repair<'r> {
    repo: &'r Repo,
    staging: Dir,
    wanted: HashMap<ObjectId, u64>,
    sizes: HashSet<u64>,
    reread: Reread,
    repaired: Vec<ObjectId>,
}

impl Repo {
    /// Starts a repair of `wanted` objects, with their sizes in bytes.
    pub fn repair(&self, _guard: &ExclusiveGuard, wanted: HashMap<ObjectId, u64>) -> Result<Repair<'_>> {
        let open = || fsx::ensure_dir(&fsx::open_subdir(&self.dir, STAGING)?, "repair", 0o700);
        let staging = open().map_err(Error::io("making a staging directory"))?;
        let sizes = wanted.values().copied().collect();
        Ok(Repair { repo: self, staging, wanted, sizes, reread: Reread::Objects, repaired: Vec::new() })
    }

    /// Gives an object whose content is right its owner, mode and xattrs back, on a fresh inode.
    pub fn repair_metadata(&self, _guard: &ExclusiveGuard, object: &ObjectId) -> Result<bool> {
        let metas = self.expected_meta(&HashSet::from([*object]));
        let Some(meta) = metas.get(object) else { return Ok(false) };
        self.renew_object(object, meta).map_err(Error::io(format!("repairing object {object}")))?;
        Ok(true)
    }

    /// Sizes of objects as trees and layers know them.
    pub fn object_sizes(&self, objects: &HashSet<ObjectId>) -> HashMap<ObjectId, u64> {
        let mut sizes = HashMap::new();
        self.visit_nodes(|node, _| {
            if let Node::File { object, size } = node
                && objects.contains(object)
            {
                sizes.insert(*object, *size);
            }
        });
        sizes
    }

    /// True when a layer that can be read has one of these objects, and for a layer that cannot.
    pub fn layer_has_any(&self, diff_id: &Sha256, objects: &HashSet<ObjectId>) -> bool {
        !objects.is_empty()
            && self.read_layer(diff_id).map_or(true, |layer| {
                layer.changes.iter().any(|(_, change)| match change {
                    Change::Set { node, .. } => object_of(node).is_some_and(|o| objects.contains(&o)),
                    _ => false,
                })
            })
    }

    /// Writes what a layer says in the place of a damaged file. Durable.
    pub fn restore_layer(&self, _guard: &ExclusiveGuard, diff_id: &Sha256, tree: &LayerTree) -> Result<()> {
        self.write_layer(diff_id, tree)
    }

    /// Writes a tree in the place of a damaged file. Fails when it is another tree. Durable.
    pub fn restore_tree(&self, _guard: &ExclusiveGuard, id: &TreeId, tree: &Tree) -> Result<()> {
        if tree_codec::tree_id(&tree_codec::encode_tree(tree)) != *id {
            let reason = "the layers that are stored do not make this tree".into();
            return Err(Error::Corrupt { object: format!("tree {id}"), reason });
        }
        self.write_tree(tree).map(drop)
    }

    /// Links repaired objects into a checkout again, in place of the inodes it has: one rename for each path.
    /// Returns how many paths were relinked. Durable when it returns.
    pub fn relink_checkout(
        &self,
        _guard: &ExclusiveGuard,
        entries: &[TreeEntry],
        top: &ImagePath,
        dest: &Dir,
        options: &CheckoutOptions,
        objects: &HashSet<ObjectId>,
    ) -> Result<u64> {
        let written = FilesystemSync::begin(dest).map_err(Error::io("opening a deployment"))?;
        let mut relinked = 0;
        for entry in entries.iter().filter(|e| options.wants(top, &e.path)) {
            let Node::File { object, .. } = &entry.node else { continue };
            if objects.contains(object) {
                let path = top.strip_from(&entry.path);
                self.relink(object, dest, path).map_err(Error::io(format!("relinking {}", entry.path)))?;
                relinked += 1;
            }
        }
        if relinked > 0 {
            written.sync().map_err(Error::io("syncing a relinked deployment"))?;
        }
        Ok(relinked)
    }

    fn relink(&self, object: &ObjectId, dest: &Dir, path: &[u8]) -> io::Result<()> {
        let (parent, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&b"."[..], path),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = rustix::fs::openat(dest, parent, flags, FileMode::empty())?;
        let objects = self.objects.of(object);
        let own = rustix::fs::statat(objects, layout::object_name(object), AtFlags::SYMLINK_NOFOLLOW)?;
        let name = CString::new(name)?;
        match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            // rename(2) does nothing when both names are the same inode, and would leave the temporary one.
            Ok(stat) if stat.st_ino == own.st_ino => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let temporary = format!(".reroot-{}", &object.hex()[..16]);
        let _ = rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty());
        rustix::fs::linkat(objects, layout::object_name(object), &parent, &temporary, AtFlags::empty())?;
        Ok(rustix::fs::renameat(&parent, &temporary, &parent, &name)?)
    }
}

impl Repair<'_> {
    /// Sets what the next layer is read for.
    pub fn reread(&mut self, reread: Reread) {
        self.reread = reread;
    }

    /// The objects that are still wanted.
    pub fn wanted(&self) -> impl Iterator<Item = &ObjectId> {
        self.wanted.keys()
    }

    /// The objects that were stored.
    pub fn repaired(&self) -> &[ObjectId] {
        &self.repaired
    }

    /// Takes one file of a layer. The id of a file that was skipped is not known: it comes back as zeros and
    /// the layer made from it must not be stored.
    pub fn store(
        &mut self,
        meta: &Meta,
        mtime: Mtime,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<ObjectId> {
        if self.reread == Reread::Objects && !self.sizes.contains(&size) {
            io::copy(content, &mut io::sink()).map_err(Error::io("reading a file of the layer"))?;
            return Ok(ObjectId([0; 32]));
        }
        let mut hasher = ObjectHasher::new(meta, size);
        let write = || -> io::Result<File> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&self.staging, "object", flags, FileMode::RUSR | FileMode::WUSR)?;
            Ok(fd.into())
        };
        let mut file = write().map_err(Error::io("writing a repaired object"))?;
        let mut buffer = vec![0; 64 << 10];
        let mut left = size;
        while left > 0 {
            let n = left.min(buffer.len() as u64) as usize;
            content.read_exact(&mut buffer[..n]).map_err(Error::io("reading a file of the layer"))?;
            hasher.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(Error::io("writing a repaired object"))?;
            left -= n as u64;
        }
        let id = hasher.finish();
        if self.wanted.contains_key(&id) {
            self.publish(&id, &file, meta, mtime).map_err(Error::io(format!("repairing object {id}")))?;
            self.wanted.remove(&id);
            self.repaired.push(id);
        } else {
            drop(file);
            fsx::remove_file(&self.staging, "object").map_err(Error::io("dropping a whole object"))?;
        }
        Ok(id)
    }

    /// Rule R: the content is on disk before it takes the name over.
    fn publish(&self, id: &ObjectId, file: &File, meta: &Meta, mtime: Mtime) -> io::Result<()> {
        apply_meta(file, self.repo.mode, meta, mtime)?;
        file.sync_all()?;
        let dir = self.repo.objects.of(id);
        fsx::rename(&self.staging, "object", dir, &layout::object_name(id))?;
        fsx::sync_dir(dir)
    }
}
