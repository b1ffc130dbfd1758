//! Reading objects, and replacing the inode behind an object's name.

use std::fs::File;
use std::io;

use rustix::fs::{AtFlags, Mode as FileMode, OFlags};

use super::write::apply_meta;
use super::{Error, Meta, Mtime, Node, Repo, Result, TreeEntry, layout};
use crate::digest::ObjectId;
use crate::fsx;

/// Where the files of a tree can be read.
pub trait Contents: Sync {
    /// Opens the content of an entry that is a [`Node::File`].
    fn open(&self, entry: &TreeEntry) -> Result<File>;
}

impl<C: Contents + ?Sized> Contents for &C {
    fn open(&self, entry: &TreeEntry) -> Result<File> {
        (**self).open(entry)
    }
}

impl Contents for Repo {
    fn open(&self, entry: &TreeEntry) -> Result<File> {
        match &entry.node {
            Node::File { object, .. } => self.open_object(object),
            _ => Err(Error::NotFound { object: format!("the content of /{}", entry.path) }),
        }
    }
}

impl Repo {
    /// Opens an object's content for reading. It is not verified: see [`Repo::fsck`].
    pub fn open_object(&self, id: &ObjectId) -> Result<File> {
        self.open_object_file(id).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound { object: format!("object {id}") },
            _ => Error::Io { context: format!("opening object {id}"), source: error },
        })
    }

    pub(super) fn open_object_file(&self, id: &ObjectId) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(self.objects.of(id), layout::object_name(id), flags, FileMode::empty())?.into())
    }

    pub(super) fn object_stat(&self, id: &ObjectId) -> io::Result<rustix::fs::Stat> {
        Ok(rustix::fs::statat(self.objects.of(id), layout::object_name(id), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// The time that the object's inode carries: that of the image which brought it first.
    pub(super) fn object_mtime(&self, id: &ObjectId) -> io::Result<Mtime> {
        let stat = self.object_stat(id)?;
        Ok(Mtime { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 })
    }

    /// Puts a fresh inode with the same content behind an object's name; the old inode lives on under its other
    /// names. The copy is on disk before it gets the name (rule R).
    pub(super) fn renew_object(&self, id: &ObjectId, meta: &Meta) -> io::Result<()> {
        let dir = self.objects.of(id);
        let name = layout::object_name(id);
        let temporary = format!(".new-{name}");
        fsx::remove_file(dir, &temporary)?;
        let from = self.open_object_file(id)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to: File = rustix::fs::openat(dir, &temporary, flags, FileMode::RUSR | FileMode::WUSR)?.into();
        fsx::copy_contents(&from, &to)?;
        apply_meta(&to, self.mode, meta, self.object_mtime(id)?)?;
        to.sync_all()?;
        fsx::rename(dir, &temporary, dir, &name)?;
        fsx::sync_dir(dir)
    }
}
