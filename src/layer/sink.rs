//! Where the files of a layer go while it is read.

use std::io::Read;

use crate::digest::ObjectId;
use crate::names::ImagePath;
use crate::repo::{self, Meta, Mtime};

/// Takes the regular files of a layer one after another. The repo's object writer is the real one.
pub trait ObjectSink {
    /// Says which path the next file has in its layer. A store knows files by content and does not care.
    fn announce(&mut self, _path: &ImagePath) {}

    /// Stores one file. `size` is what the header promises, never 0; `content` gives exactly that many bytes or
    /// fails. Errors of `content` come back unchanged inside [`repo::Error`]. `mtime` becomes the inode's when
    /// the object is new; it is not part of its identity.
    fn store(
        &mut self,
        meta: &Meta,
        mtime: Mtime,
        size: u64,
        content: &mut dyn Read,
    ) -> repo::Result<ObjectId>;
}

impl ObjectSink for repo::ObjectWriter<'_> {
    fn store(
        &mut self,
        meta: &Meta,
        mtime: Mtime,
        size: u64,
        content: &mut dyn Read,
    ) -> repo::Result<ObjectId> {
        repo::ObjectWriter::store(self, meta, mtime, size, content)
    }
}

impl ObjectSink for repo::Repair<'_> {
    fn store(
        &mut self,
        meta: &Meta,
        mtime: Mtime,
        size: u64,
        content: &mut dyn Read,
    ) -> repo::Result<ObjectId> {
        repo::Repair::store(self, meta, mtime, size, content)
    }
}
