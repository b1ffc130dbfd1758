//! An unpacked root becomes a tree, as a pull would make it of a layer.
//!
//! What a builder has mounted into the root (`/proc`, `/etc/resolv.conf` while `RUN` runs) is not in the image: a directory
//! on which something is mounted is empty, a file is not there. Nothing is hashed: an object's id stands for an inode
//! here, so that two names of one file are known, and says nothing about content.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Statx, StatxAttributes, StatxFlags};

use super::{Root, Unread};
use crate::digest::ObjectId;
use crate::fsx::{self, Dir, xattr};
use crate::names::ImagePath;
use crate::ops::{Error, Result};
use crate::repo::{self, Contents, Meta, Mtime, Node, Tree, TreeEntry, Xattrs};

/// Extended attributes that are the file system's or the machine's, and come with no layer.
const NOT_OF_IMAGE: [&[u8]; 2] = [b"security.selinux", b"security.evm"];

/// Reads a directory as the root of a system. What cannot be read is in [`Root::unread`]; it is an error for the directory
/// itself alone.
pub(super) fn scan(path: &Path) -> Result<Root<'static>> {
    let shown = path.display();
    let directory = fsx::open_dir(path).map_err(Error::io(format!("opening {shown}")))?;
    let dot = c".".to_owned();
    let root = stat(&directory, &dot).map_err(Error::io(format!("reading {shown}")))?;
    let mut scan = Scan { entries: Vec::new(), unread: Vec::new(), mounted: Vec::new() };
    let entry = scan.entry(ImagePath::root(), Node::Directory, &root, &directory, &dot);
    scan.entries.push(entry);
    scan.directory(&directory, &ImagePath::root());
    let tree = Tree::new(scan.entries).map_err(|error| Error::bug(error.to_string()))?;
    Ok(Root::new(tree, Unpacked(directory), scan.unread).with_mounted(scan.mounted))
}

struct Unpacked(Dir);

impl Contents for Unpacked {
    fn open(&self, entry: &TreeEntry) -> repo::Result<File> {
        let failed = |source| repo::Error::Io { context: format!("reading /{}", entry.path), source };
        let opened = fsx::open_in_root(&self.0, entry.path.as_bytes()).map_err(failed)?;
        opened.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }
}

fn stat(directory: &Dir, name: &CString) -> io::Result<Statx> {
    Ok(rustix::fs::statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?)
}

struct Scan {
    entries: Vec<TreeEntry>,
    unread: Vec<Unread>,
    mounted: Vec<ImagePath>,
}

impl Scan {
    fn unread(&mut self, path: &ImagePath, reason: impl ToString) {
        self.unread.push(Unread { path: path.clone(), reason: reason.to_string() });
    }

    fn directory(&mut self, directory: &Dir, path: &ImagePath) {
        let listed = match fsx::list_dir(directory) {
            Ok(listed) => listed,
            Err(error) => return self.unread(path, error),
        };
        for listed in listed {
            let child = match path.join(&listed.name) {
                Ok(child) => child,
                Err(error) => {
                    self.unread(path, error);
                    continue;
                }
            };
            let name = CString::new(listed.name).expect("a name that was listed has no NUL");
            match self.child(directory, &name, &child) {
                // It is gone, and so not of the image.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.unread(&child, error),
                Ok(()) => {}
            }
        }
    }

    fn child(&mut self, directory: &Dir, name: &CString, path: &ImagePath) -> io::Result<()> {
        let stat = stat(directory, name)?;
        let is_mounted = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
        if is_mounted {
            self.mounted.push(path.clone());
        }
        let node = match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::Directory => Node::Directory,
            _ if is_mounted => return Ok(()),
            FileType::RegularFile if stat.stx_size == 0 => Node::Empty,
            FileType::RegularFile => Node::File { object: inode(&stat), size: stat.stx_size },
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
                Node::Symlink { target: target.into_bytes().into() }
            }
            FileType::CharacterDevice => {
                Node::CharDevice { major: stat.stx_rdev_major, minor: stat.stx_rdev_minor }
            }
            FileType::BlockDevice => {
                Node::BlockDevice { major: stat.stx_rdev_major, minor: stat.stx_rdev_minor }
            }
            FileType::Fifo => Node::Fifo,
            // A socket: no layer can have one.
            _ => return Ok(()),
        };
        let descends = node.is_directory() && !is_mounted;
        let entry = self.entry(path.clone(), node, &stat, directory, name);
        self.entries.push(entry);
        if descends {
            let below = fsx::open_subdir_raw(directory, name)?;
            self.directory(&below, path);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: ImagePath,
        node: Node,
        stat: &Statx,
        directory: &Dir,
        name: &CString,
    ) -> TreeEntry {
        let mut pairs = match xattr::read_all_at(directory.as_fd(), name) {
            Ok(pairs) => pairs,
            Err(error) => {
                self.unread(&path, error);
                Vec::new()
            }
        };
        pairs.retain(|(name, _)| !NOT_OF_IMAGE.contains(&&**name));
        TreeEntry {
            path,
            meta: Meta {
                mode: stat.stx_mode & 0o7777,
                uid: stat.stx_uid,
                gid: stat.stx_gid,
                xattrs: Xattrs::new(pairs),
            },
            mtime: Mtime { seconds: stat.stx_mtime.tv_sec, nanoseconds: stat.stx_mtime.tv_nsec },
            node,
        }
    }
}

fn inode(stat: &Statx) -> ObjectId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&stat.stx_dev_major.to_le_bytes());
    id[4..8].copy_from_slice(&stat.stx_dev_minor.to_le_bytes());
    id[8..16].copy_from_slice(&stat.stx_ino.to_le_bytes());
    ObjectId(id)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make what is scanned")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_becomes_a_tree() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs::create_dir_all(at("usr/lib")).unwrap();
        fs::create_dir(at("usr-x")).unwrap();
        fs::write(at("usr/lib/file"), "text").unwrap();
        fs::write(at("usr/empty"), "").unwrap();
        fs::hard_link(at("usr/lib/file"), at("usr/same")).unwrap();
        fs::set_permissions(at("usr/lib/file"), fs::Permissions::from_mode(0o4750)).unwrap();
        symlink("usr/lib", at("lib")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let scanned = scan(root.path()).unwrap();
        let shown: Vec<_> = scanned.tree.entries().iter().map(|e| e.path.to_string()).collect();
        assert_eq!(shown, ["/", "lib", "usr", "usr/empty", "usr/lib", "usr/lib/file", "usr/same", "usr-x"]);
        assert_eq!(scanned.get("usr/lib/file").unwrap().meta.mode, 0o4750);
        assert_eq!(scanned.get("usr/lib/file").unwrap().node, scanned.get("usr/same").unwrap().node);
        assert_eq!(scanned.get("usr/empty").unwrap().node, Node::Empty);
        assert_eq!(scanned.text("lib/file", 10).unwrap().as_deref(), Some("text"));
        assert_eq!(scanned.unread, []);
    }

    #[test]
    fn what_is_mounted_is_not_of_the_image() {
        // Nothing can be mounted without privileges: there is one everywhere.
        let scanned = scan(Path::new("/dev")).unwrap();
        assert!(scanned.get("pts").unwrap().node.is_directory());
        assert_eq!(scanned.below("pts").len(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert!(scan(Path::new("/nonexistent")).is_err());
        if rustix::process::geteuid().is_root() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("secret")).unwrap();
        fs::set_permissions(root.path().join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
        let scanned = scan(root.path()).unwrap();
        assert_eq!(scanned.unread[0].path.to_string(), "secret");
    }
}
