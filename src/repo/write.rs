//! Writing one object after another: hash in memory, look it up, create it only when it is new.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode as FileMode, OFlags};

use super::object::{META_XATTR, ObjectHasher, encode_meta};
use super::transaction::{Claim, Transaction};
use super::{Error, Meta, Mode, Mtime, Result};
use crate::digest::ObjectId;
use crate::fsx;

/// Files up to this size are read whole before anything is created, so that one the store already has costs no
/// file. Larger ones stream through a temporary file. Bounds the memory of a writer.
const IN_MEMORY: u64 = 4 << 20;
const CHUNK: usize = 256 << 10;

/// Stores the files of one layer. Not durable until the transaction commits the layer.
#[derive(Debug)]
pub struct ObjectWriter<'t> {
    transaction: &'t Transaction<'t>,
    buffer: Vec<u8>,
    /// Objects that another thread was still writing when this layer needed them.
    waiting: Vec<ObjectId>,
    written: Written,
}

/// What a writer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    pub new_objects: u64,
    pub new_bytes: u64,
    /// Bytes of files that the store had already.
    pub shared_bytes: u64,
}

impl<'t> ObjectWriter<'t> {
    pub(super) fn new(transaction: &'t Transaction<'t>) -> Self {
        Self { transaction, buffer: Vec::new(), waiting: Vec::new(), written: Written::default() }
    }

    /// What was written so far.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Stores one regular file and gives its id. `size` in bytes, not 0; `content` must give exactly as many.
    /// `mtime` is what the inode gets if the object is new.
    pub fn store(
        &mut self,
        meta: &Meta,
        mtime: Mtime,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<ObjectId> {
        if size <= IN_MEMORY {
            self.store_small(meta, mtime, size as usize, content)
        } else {
            self.store_large(meta, mtime, size, content)
        }
    }

    pub(super) fn into_waiting(self) -> Vec<ObjectId> {
        self.waiting
    }

    fn store_small(
        &mut self,
        meta: &Meta,
        mtime: Mtime,
        size: usize,
        content: &mut dyn Read,
    ) -> Result<ObjectId> {
        let mut buffer = mem::take(&mut self.buffer);
        if buffer.len() < size {
            buffer.resize(size, 0);
        }
        let bytes = &mut buffer[..size];
        content.read_exact(bytes).map_err(Error::io("reading a file of the layer"))?;
        let mut hasher = ObjectHasher::new(meta, size as u64);
        hasher.update(bytes);
        let id = hasher.finish();
        match self.transaction.claim(&id)? {
            Claim::Present => self.written.shared_bytes += size as u64,
            Claim::Pending => {
                self.waiting.push(id);
                self.written.shared_bytes += size as u64;
            }
            Claim::Ours(ticket) => {
                self.transaction.spend(|| format!("object {id}"), size as u64)?;
                let (dir, name) = self.transaction.staged_place(&id);
                let write = || -> io::Result<()> {
                    let mut file = create(dir, &name)?;
                    file.write_all(bytes)?;
                    apply_meta(&file, self.transaction.repo.mode, meta, mtime)
                };
                write().map_err(|e| self.transaction.write_error(format!("writing object {id}"), e))?;
                ticket.complete(size as u64);
                self.written.new_objects += 1;
                self.written.new_bytes += size as u64;
            }
        }
        self.buffer = buffer;
        Ok(id)
    }

    fn store_large(
        &mut self,
        meta: &Meta,
        mtime: Mtime,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<ObjectId> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        self.transaction.spend(|| format!("a file of {size} bytes"), size)?;
        let temporary = format!("large.{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        // Any staging directory will do until the id is known.
        let (first, _) = self.transaction.staged_place(&ObjectId([0; 32]));
        let mut file = create(first, &temporary).map_err(Error::io("writing a large object"))?;
        if self.buffer.len() < CHUNK {
            self.buffer.resize(CHUNK, 0);
        }
        let mut hasher = ObjectHasher::new(meta, size);
        let mut left = size;
        while left > 0 {
            let wanted = left.min(CHUNK as u64) as usize;
            let chunk = &mut self.buffer[..wanted];
            content.read_exact(chunk).map_err(Error::io("reading a file of the layer"))?;
            hasher.update(chunk);
            file.write_all(chunk).map_err(Error::io("writing a large object"))?;
            left -= wanted as u64;
        }
        let id = hasher.finish();
        let claim = self.transaction.claim(&id)?;
        if let Claim::Ours(ticket) = claim {
            let (dir, name) = self.transaction.staged_place(&id);
            apply_meta(&file, self.transaction.repo.mode, meta, mtime)
                .and_then(|()| fsx::rename(first, &temporary, dir, &name))
                .map_err(Error::io(format!("writing object {id}")))?;
            ticket.complete(size);
            self.written.new_objects += 1;
            self.written.new_bytes += size;
        } else {
            fsx::remove_file(first, &temporary).map_err(Error::io("dropping a duplicate object"))?;
            self.transaction.refund(size);
            self.written.shared_bytes += size;
            if matches!(claim, Claim::Pending) {
                self.waiting.push(id);
            }
        }
        Ok(id)
    }
}

fn create(dir: &fsx::Dir, name: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, FileMode::RUSR | FileMode::WUSR)?.into())
}

/// Gives an inode its metadata after its content: writing clears setuid, chown clears setuid and
/// `security.capability` (chown(2), capabilities(7)).
pub(super) fn apply_meta(file: &File, mode: Mode, meta: &Meta, mtime: Mtime) -> io::Result<()> {
    match mode {
        Mode::Bare => {
            fsx::set_owner_and_mode(file, meta.uid, meta.gid, meta.mode)?;
            for (name, value) in meta.xattrs.iter() {
                fsx::xattr::set(file, name, value)?;
            }
        }
        Mode::BareUser => {
            rustix::fs::fchmod(file, FileMode::from_raw_mode(user_mode(meta.mode)))?;
            fsx::xattr::set(file, META_XATTR.as_bytes(), &encode_meta(meta))?;
        }
    }
    fsx::set_times(file, c"", mtime.seconds, mtime.nanoseconds)
}

/// The mode on disk in a bare-user repo: the owner can always read and write, and nothing is setuid.
pub(super) fn user_mode(mode: u16) -> u32 {
    u32::from(mode) & 0o755 | 0o600
}
