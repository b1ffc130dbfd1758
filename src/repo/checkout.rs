//! Making a directory tree from entries: hardlinks for files, everything else made new.
//!
//! Three passes over sorted entries: directories from the top down, then files and links on all cores, then
//! the directories' metadata (a directory's time changes with every name made in it). Nothing is synced: the
//! caller syncs the file system before the directory gets the name that makes it count.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::fs::{AtFlags, FileType, Gid, Mode as FileMode, OFlags, Uid};
use rustix::io::Errno;

use super::write::{apply_meta, user_mode};
use super::{Error, Meta, Mode, Mtime, Node, Repo, Result, TreeEntry, layout};
use crate::digest::ObjectId;
use crate::fsx::{self, Dir};
use crate::names::ImagePath;

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

/// Entries handed to a thread at a time.
const BATCH: usize = 256;

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
        checkout.make_directories(&wanted)?;
        checkout.make_files(&wanted)?;
        checkout.finish_directories(&wanted)?;
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
    fn make_directories(&self, entries: &[&TreeEntry]) -> Result<()> {
        let mut place = Place::new(self);
        for entry in entries.iter().filter(|e| e.node.is_directory() && e.path != *self.top) {
            let make =
                |parent: &OwnedFd, name: &CString| Ok(rustix::fs::mkdirat(parent, name, FileMode::RWXU)?);
            place.at(&entry.path, make).map_err(Error::io(format!("making directory {}", entry.path)))?;
            add(&self.counts.directories, 1);
        }
        Ok(())
    }

    fn make_files(&self, entries: &[&TreeEntry]) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            let mut place = Place::new(self);
            loop {
                let start = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(rest) = entries.get(start..) else { return Ok(()) };
                for entry in rest.iter().take(BATCH).filter(|e| !e.node.is_directory()) {
                    let made = place.at(&entry.path, |parent, name| self.make(entry, parent, name));
                    made.map_err(|error| {
                        next.store(usize::MAX - BATCH, Ordering::Relaxed);
                        Error::Io { context: format!("checking out {}", entry.path), source: error }
                    })?;
                }
            }
        };
        let threads =
            std::thread::available_parallelism().map_or(1, usize::from).min(entries.len() / BATCH + 1);
        std::thread::scope(|scope| {
            // A machine that has no more threads to give gets the work done by fewer.
            let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, work).ok();
            let others: Vec<_> = (1..threads).filter_map(spawn).collect();
            let mut result = work();
            for other in others {
                result = result.and(other.join().expect("a checkout thread does not panic"));
            }
            result
        })
    }

    fn make(&self, entry: &TreeEntry, parent: &OwnedFd, name: &CString) -> io::Result<()> {
        let device = |kind, major, minor| {
            if self.repo.mode == Mode::BareUser {
                add(&self.counts.left_out, 1);
                return Ok(());
            }
            rustix::fs::mknodat(parent, name, kind, FileMode::empty(), rustix::fs::makedev(major, minor))?;
            self.finish_special(entry, parent, name)
        };
        match &entry.node {
            Node::Directory => Ok(()),
            Node::File { object, size } => self.make_file(entry, object, *size, parent, name),
            Node::Empty => {
                let file = create(parent, name)?;
                apply_meta(&file, self.repo.mode, &entry.meta, entry.mtime)?;
                add(&self.counts.made, 1);
                Ok(())
            }
            Node::Symlink { target } => {
                rustix::fs::symlinkat(&**target, parent, name)?;
                if self.repo.mode == Mode::Bare {
                    let (uid, gid) = (Uid::from_raw(entry.meta.uid), Gid::from_raw(entry.meta.gid));
                    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
                    self.set_link_xattrs(&entry.meta, parent, name)?;
                }
                add(&self.counts.made, 1);
                fsx::set_times(parent, name, entry.mtime.seconds, entry.mtime.nanoseconds)
            }
            Node::CharDevice { major, minor } => device(FileType::CharacterDevice, *major, *minor),
            Node::BlockDevice { major, minor } => device(FileType::BlockDevice, *major, *minor),
            Node::Fifo => {
                rustix::fs::mknodat(parent, name, FileType::Fifo, FileMode::RUSR | FileMode::WUSR, 0)?;
                self.finish_special(entry, parent, name)
            }
        }
    }

    /// Owner, mode, xattrs and time of an inode that must not be opened.
    fn finish_special(&self, entry: &TreeEntry, parent: &OwnedFd, name: &CString) -> io::Result<()> {
        if self.repo.mode == Mode::Bare {
            let (uid, gid) = (Uid::from_raw(entry.meta.uid), Gid::from_raw(entry.meta.gid));
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            rustix::fs::chmodat(
                parent,
                name,
                FileMode::from_raw_mode(entry.meta.mode.into()),
                AtFlags::empty(),
            )?;
            self.set_link_xattrs(&entry.meta, parent, name)?;
        }
        add(&self.counts.made, 1);
        fsx::set_times(parent, name, entry.mtime.seconds, entry.mtime.nanoseconds)
    }

    /// Xattrs of something that cannot be opened for writing: through its parent's descriptor in /proc.
    fn set_link_xattrs(&self, meta: &Meta, parent: &OwnedFd, name: &CString) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        if meta.xattrs.is_empty() {
            return Ok(());
        }
        let mut path = format!("/proc/self/fd/{}/", parent.as_raw_fd()).into_bytes();
        path.extend(name.as_bytes());
        for (attribute, value) in meta.xattrs.iter() {
            rustix::fs::lsetxattr(&*path, attribute, value, rustix::fs::XattrFlags::empty())?;
        }
        Ok(())
    }

    fn make_file(
        &self,
        entry: &TreeEntry,
        object: &ObjectId,
        size: u64,
        parent: &OwnedFd,
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

    fn link(&self, object: &ObjectId, parent: &OwnedFd, name: &CString) -> rustix::io::Result<()> {
        let dir = self.repo.objects.of(object);
        rustix::fs::linkat(dir, layout::object_name(object), parent, name, AtFlags::empty())
    }

    fn finish_directories(&self, entries: &[&TreeEntry]) -> Result<()> {
        for entry in entries.iter().rev().filter(|e| e.node.is_directory()) {
            self.finish_directory(entry).map_err(Error::io(format!("finishing directory {}", entry.path)))?;
        }
        Ok(())
    }

    fn finish_directory(&self, entry: &TreeEntry) -> io::Result<()> {
        let path = match self.top.strip_from(&entry.path) {
            b"" => &b"."[..],
            path => path,
        };
        let Mtime { seconds, nanoseconds } = entry.mtime;
        if self.repo.mode == Mode::Bare {
            let (uid, gid) = (Uid::from_raw(entry.meta.uid), Gid::from_raw(entry.meta.gid));
            rustix::fs::chownat(self.dest, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            if !entry.meta.xattrs.is_empty() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let directory = rustix::fs::openat(self.dest, path, flags, FileMode::empty())?;
                for (name, value) in entry.meta.xattrs.iter() {
                    fsx::xattr::set(&directory, name, value)?;
                }
            }
        }
        let mode = match self.repo.mode {
            Mode::Bare => u32::from(entry.meta.mode),
            Mode::BareUser => user_mode(entry.meta.mode) | 0o700,
        };
        rustix::fs::chmodat(self.dest, path, FileMode::from_raw_mode(mode), AtFlags::empty())?;
        let path = CString::new(path)?;
        fsx::set_times(self.dest, &path, seconds, nanoseconds)
    }
}

/// The directory in which the last entry was made. Entries are sorted, so the next one is near it.
struct Place<'a> {
    checkout: &'a Checkout<'a>,
    /// The open directories from `dest` down with their relative paths.
    stack: Vec<(Vec<u8>, OwnedFd)>,
}

impl<'a> Place<'a> {
    fn new(checkout: &'a Checkout<'a>) -> Self {
        Self { checkout, stack: Vec::new() }
    }

    /// Calls `act` with the open parent of a path and the path's last component.
    fn at<T>(
        &mut self,
        path: &ImagePath,
        act: impl FnOnce(&OwnedFd, &CString) -> io::Result<T>,
    ) -> io::Result<T> {
        let relative = self.checkout.top.strip_from(path);
        let (parent, name) = match relative.iter().rposition(|b| *b == b'/') {
            Some(slash) => (&relative[..slash], &relative[slash + 1..]),
            None => (&b""[..], relative),
        };
        let name = CString::new(name)?;
        act(self.open(parent)?, &name)
    }

    fn open(&mut self, directory: &[u8]) -> io::Result<&OwnedFd> {
        let holds = |open: &[u8]| {
            open.is_empty()
                || (directory.starts_with(open) && matches!(directory.get(open.len()), None | Some(b'/')))
        };
        while self.stack.last().is_some_and(|(open, _)| !holds(open)) {
            self.stack.pop();
        }
        if self.stack.is_empty() {
            self.stack.push((Vec::new(), fsx::reopen(self.checkout.dest)?));
        }
        loop {
            let (open, fd) = self.stack.last().expect("dest is never popped");
            if open.len() == directory.len() {
                break;
            }
            let start = if open.is_empty() { 0 } else { open.len() + 1 };
            let end =
                directory[start..].iter().position(|b| *b == b'/').map_or(directory.len(), |i| start + i);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let child = rustix::fs::openat(fd, &directory[start..end], flags, FileMode::empty())?;
            self.stack.push((directory[..end].to_vec(), child));
        }
        Ok(&self.stack.last().expect("dest is never popped").1)
    }
}

fn create(parent: &OwnedFd, name: &CString) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, FileMode::RUSR | FileMode::WUSR)?.into())
}
