//! Comparing a checkout with the entries it was made from.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode as FileMode, OFlags, Stat};

use super::checkout::CheckoutOptions;
use super::fsck::hash_file;
use super::place::{Missing, Place};
use super::{Mode, Node, Repo, TreeEntry};
use crate::fsx::Dir;
use crate::names::ImagePath;
use crate::parallel::{cores, in_batches};

/// A path of a checkout that is not what its entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub path: ImagePath,
    pub reason: String,
}

impl Repo {
    /// Compares what is below `top` with `dest`, made by [`Repo::checkout`] with the same arguments: types,
    /// owners, modes, link targets, devices; a file is right when it is its object's inode, else when its
    /// content is. What is there beside the entries is not looked at. Nothing is an error: what cannot be read
    /// is a mismatch.
    pub fn verify_checkout(
        &self,
        entries: &[TreeEntry],
        top: &ImagePath,
        dest: &Dir,
        options: &CheckoutOptions,
    ) -> Vec<Mismatch> {
        let wanted: Vec<&TreeEntry> = entries.iter().filter(|e| options.wants(top, &e.path)).collect();
        let mismatches = Mutex::new(Vec::new());
        let start = || (Place::new(top, dest, Missing::Fails), vec![0; 256 << 10]);
        let compared: Result<(), Infallible> =
            in_batches(&wanted, 1024, cores(), start, |(place, buffer), batch| {
                for entry in batch {
                    let compared =
                        place.at(&entry.path, |parent, name| self.compare(entry, parent, name, buffer));
                    let reason = match compared {
                        Ok(None) => continue,
                        Ok(Some(reason)) => reason,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => "missing".into(),
                        Err(error) => error.to_string(),
                    };
                    let mut mismatches = mismatches.lock().unwrap_or_else(PoisonError::into_inner);
                    mismatches.push(Mismatch { path: entry.path.clone(), reason });
                }
                Ok(())
            });
        let Ok(()) = compared;
        let mut mismatches = mismatches.into_inner().unwrap_or_else(PoisonError::into_inner);
        mismatches.sort_by(|a, b| a.path.cmp(&b.path));
        mismatches
    }

    fn compare(
        &self,
        entry: &TreeEntry,
        parent: BorrowedFd<'_>,
        name: &CString,
        buffer: &mut [u8],
    ) -> io::Result<Option<String>> {
        let device = matches!(entry.node, Node::CharDevice { .. } | Node::BlockDevice { .. });
        if device && self.mode == Mode::BareUser {
            return Ok(None);
        }
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != file_type(&entry.node) {
            return Ok(Some("of another type".into()));
        }
        match &entry.node {
            Node::File { object, size } => {
                // The same inode has the same everything.
                if self.object_stat(object).is_ok_and(|o| (o.st_ino, o.st_dev) == (stat.st_ino, stat.st_dev))
                {
                    return Ok(None);
                }
                if stat.st_size as u64 != *size {
                    return Ok(Some(format!("{} bytes long, expected {size}", stat.st_size)));
                }
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mut file = rustix::fs::openat(parent, name, flags, FileMode::empty())?.into();
                if hash_file(&mut file, &entry.meta, *size, buffer)? != *object {
                    return Ok(Some("its content changed".into()));
                }
            }
            Node::Empty if stat.st_size != 0 => return Ok(Some("not empty".into())),
            Node::Symlink { target } => {
                let found = rustix::fs::readlinkat(parent, name, Vec::new())?;
                if found.as_bytes() != &**target {
                    return Ok(Some("points elsewhere".into()));
                }
            }
            Node::CharDevice { major, minor } | Node::BlockDevice { major, minor }
                if stat.st_rdev != rustix::fs::makedev(*major, *minor) =>
            {
                return Ok(Some("another device".into()));
            }
            _ => {}
        }
        Ok(if self.mode == Mode::Bare { owner_difference(entry, &stat) } else { None })
    }
}

fn file_type(node: &Node) -> FileType {
    match node {
        Node::Directory => FileType::Directory,
        Node::Empty | Node::File { .. } => FileType::RegularFile,
        Node::Symlink { .. } => FileType::Symlink,
        Node::CharDevice { .. } => FileType::CharacterDevice,
        Node::BlockDevice { .. } => FileType::BlockDevice,
        Node::Fifo => FileType::Fifo,
    }
}

fn owner_difference(entry: &TreeEntry, stat: &Stat) -> Option<String> {
    let mode = (stat.st_mode & 0o7777) as u16;
    // The mode of a symbolic link is always 0777 on Linux.
    let same_mode = mode == entry.meta.mode || matches!(entry.node, Node::Symlink { .. });
    let same_owner = (stat.st_uid, stat.st_gid) == (entry.meta.uid, entry.meta.gid);
    (!same_mode || !same_owner).then(|| {
        format!(
            "mode {mode:04o} owner {}:{}, expected mode {:04o} owner {}:{}",
            stat.st_uid, stat.st_gid, entry.meta.mode, entry.meta.uid, entry.meta.gid
        )
    })
}
