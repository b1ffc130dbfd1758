//! Making a directory tree from entries: hardlinks for files, everything else made new.
//!
//! Two passes over sorted entries, each on all cores: first everything is made, then the directories get their
//! metadata (a directory's time changes with every name made in it). Nothing is synced: the caller syncs the file
//! system before the directory gets the name that makes it count.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Gid, Mode as FileMode, OFlags, Uid};
use rustix::io::Errno;

use super::place::{Missing, Place, make_directory};
use super::write::{apply_meta, user_mode};
use super::{Error, Meta, Mode, Node, Repo, Result, TreeEntry, layout};
use crate::digest::ObjectId;
use crate::fsx::{self, Dir};
use crate::names::ImagePath;
use crate::parallel::{cores, in_batches};

/// How the regular files of a checkout come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Files {
    /// Hardlinks to the objects.
    #[default]
    Link,
    /// Inodes of their own, which may be changed without harm to the store.
    Copy,
}

/// What a checkout does beyond the plain tree.
#[derive(Debug, Clone, Default)]
pub struct CheckoutOptions {
    pub files: Files,
    /// Copies the files whose object carries another image's mtime.
    pub exact_times: bool,
    /// Subtrees that are left out; the directory itself is made.
    pub hollow: Vec<ImagePath>,
    /// Entries that are left out with everything below them.
    pub skip: Vec<ImagePath>,
}

impl CheckoutOptions {
    /// True for the paths from `top` down that a checkout makes.
    pub(super) fn wants(&self, top: &ImagePath, path: &ImagePath) -> bool {
        (path == top || path.is_below(top))
            && !self.skip.iter().any(|s| path == s || path.is_below(s))
            && !self.hollow.iter().any(|s| path.is_below(s))
    }
}

/// What a checkout made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckoutStats {
    pub directories: u64,
    pub linked: u64,
    pub copied: u64,
    pub copied_bytes: u64,
    /// Symbolic links, empty files, devices and pipes.
    pub made: u64,
    /// Devices that an unprivileged user may not make.
    pub left_out: u64,
}

/// Entries handed to a thread at a time: so many that threads seldom meet in one directory, whose lock they share.
const BATCH: usize = 1024;

impl Repo {
    /// Makes the subtree below `top` inside the existing directory `dest`. `entries` are sorted and contain
    /// every directory that is needed. `dest` itself gets the metadata of `top` when that is among `entries`.
    pub fn checkout(
        &self,
        entries: &[TreeEntry],
        top: &ImagePath,
        dest: &Dir,
        options: &CheckoutOptions,
    ) -> Result<CheckoutStats> {
        let checkout =
            Checkout { repo: self, top, dest, options, counts: Counts::default(), relinking: Mutex::new(()) };
        let wanted: Vec<&TreeEntry> = entries.iter().filter(|e| options.wants(top, &e.path)).collect();
        checkout.each(&wanted, Missing::IsMade, Checkout::make)?;
        let directories: Vec<&TreeEntry> = wanted.into_iter().filter(|e| e.node.is_directory()).collect();
        checkout.each(&directories, Missing::Fails, Checkout::finish)?;
        Ok(checkout.counts.stats())
    }
}

struct Checkout<'a> {
    repo: &'a Repo,
    top: &'a ImagePath,
    dest: &'a Dir,
    options: &'a CheckoutOptions,
    counts: Counts,
    relinking: Mutex<()>,
}

#[derive(Default)]
struct Counts {
    directories: AtomicU64,
    linked: AtomicU64,
    copied: AtomicU64,
    copied_bytes: AtomicU64,
    made: AtomicU64,
    left_out: AtomicU64,
}

impl Counts {
    fn stats(&self) -> CheckoutStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CheckoutStats {
            directories: read(&self.directories),
            linked: read(&self.linked),
            copied: read(&self.copied),
            copied_bytes: read(&self.copied_bytes),
            made: read(&self.made),
            left_out: read(&self.left_out),
        }
    }
}

fn add(count: &AtomicU64, n: u64) {
    count.fetch_add(n, Ordering::Relaxed);
}

impl Checkout<'_> {
    /// Calls `act` with every entry, its open parent directory and its name in it.
    fn each(
        &self,
        entries: &[&TreeEntry],
        missing: Missing,
        act: impl Fn(&Self, &TreeEntry, BorrowedFd<'_>, &CString) -> io::Result<()> + Sync,
    ) -> Result<()> {
        let start = || Place::new(self.top, self.dest, missing);
        in_batches(entries, BATCH, cores(), start, |place, batch| {
            for entry in batch {
                let done = place.at(&entry.path, |parent, name| act(self, entry, parent, name));
                done.map_err(|source| Error::Io { context: format!("checking out {}", entry.path), source })?;
            }
            Ok(())
        })
    }

    fn make(&self, entry: &TreeEntry, parent: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
        let device = |kind, major, minor| {
            if self.repo.mode == Mode::BareUser {
                add(&self.counts.left_out, 1);
                return Ok(());
            }
            rustix::fs::mknodat(parent, name, kind, FileMode::empty(), rustix::fs::makedev(major, minor))?;
            add(&self.counts.made, 1);
            self.finish(entry, parent, name)
        };
        match &entry.node {
            Node::Directory => {
                if entry.path != *self.top {
                    make_directory(parent, name)?;
                    add(&self.counts.directories, 1);
                }
                Ok(())
            }
            Node::File { object, size } => self.make_file(entry, object, *size, parent, name),
            Node::Empty => {
                let file = create(parent, name)?;
                apply_meta(&file, self.repo.mode, &entry.meta, entry.mtime)?;
                add(&self.counts.made, 1);
                Ok(())
            }
            Node::Symlink { target } => {
                rustix::fs::symlinkat(&**target, parent, name)?;
                add(&self.counts.made, 1);
                self.finish(entry, parent, name)
            }
            Node::CharDevice { major, minor } => device(FileType::CharacterDevice, *major, *minor),
            Node::BlockDevice { major, minor } => device(FileType::BlockDevice, *major, *minor),
            Node::Fifo => {
                rustix::fs::mknodat(parent, name, FileType::Fifo, FileMode::RUSR | FileMode::WUSR, 0)?;
                add(&self.counts.made, 1);
                self.finish(entry, parent, name)
            }
        }
    }

    /// Owner, mode, xattrs and time of a directory, a symbolic link or an inode that must not be opened.
    fn finish(&self, entry: &TreeEntry, parent: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
        let Meta { mode, uid, gid, xattrs } = &entry.meta;
        let (is_directory, is_link) = (entry.node.is_directory(), matches!(entry.node, Node::Symlink { .. }));
        let chmod = |mode| rustix::fs::chmodat(parent, name, FileMode::from_raw_mode(mode), AtFlags::empty());
        match self.repo.mode {
            Mode::Bare => {
                let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
                rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
                if !is_link {
                    chmod((*mode).into())?;
                }
                fsx::xattr::set_at(parent, name, xattrs.iter())?;
            }
            Mode::BareUser if is_directory => chmod(user_mode(*mode) | 0o700)?,
            Mode::BareUser => {}
        }
        fsx::set_times(parent, name, entry.mtime.seconds, entry.mtime.nanoseconds)
    }

    fn make_file(
        &self,
        entry: &TreeEntry,
        object: &ObjectId,
        size: u64,
        parent: BorrowedFd<'_>,
        name: &CString,
    ) -> io::Result<()> {
        let copy = match self.options.files {
            Files::Copy => true,
            Files::Link => self.options.exact_times && self.repo.object_mtime(object)? != entry.mtime,
        };
        if copy {
            let from = self.repo.open_object_file(object)?;
            let to = create(parent, name)?;
            fsx::copy_contents(&from, &to)?;
            apply_meta(&to, self.repo.mode, &entry.meta, entry.mtime)?;
            add(&self.counts.copied, 1);
            add(&self.counts.copied_bytes, size);
            return Ok(());
        }
        add(&self.counts.linked, 1);
        match self.link(object, parent, name) {
            Err(Errno::MLINK) => {
                // ext4 allows 65,000 names for an inode: the object's name moves on to a fresh one. One thread
                // makes it, the others find it.
                let _one = self.relinking.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if let Err(Errno::MLINK) = self.link(object, parent, name) {
                    self.repo.renew_object(object, &entry.meta)?;
                    self.link(object, parent, name)?;
                }
                Ok(())
            }
            other => Ok(other?),
        }
    }

    fn link(&self, object: &ObjectId, parent: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<()> {
        let dir = self.repo.objects.of(object);
        rustix::fs::linkat(dir, layout::object_name(object), parent, name, AtFlags::empty())
    }
}

fn create(parent: BorrowedFd<'_>, name: &CString) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, FileMode::RUSR | FileMode::WUSR)?.into())
}
