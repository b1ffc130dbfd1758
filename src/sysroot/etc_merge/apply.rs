//! Making the merged tree.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::decide::Take;
use super::descent::Descent;
use super::inode::{Inode, Shape};
use super::merge::Merge;
use super::scan::{Row, gone};
use super::{EtcMergeReport, Skipped, shown};
use crate::fsx::{self, Dir};
use crate::sysroot::{Error, Result};

/// Never copied: EVM seals each inode by itself.
const NOT_COPIED: &[u8] = b"security.evm";

pub(super) fn apply(merge: &Merge<'_>, dest: &Dir, report: &mut EtcMergeReport) -> Result<()> {
    let mut apply = Apply {
        local: merge.trees.live.map(|live| Descent::new(live.etc)),
        new: merge.trees.new.map(Descent::new),
        dest: Descent::new(dest),
        directories: Vec::new(),
        report,
    };
    for (row, take) in merge.rows.iter().zip(&merge.takes) {
        let context = || Error::io(format!("merging {}", shown(&row.path)));
        match take {
            Take::Nothing => {}
            Take::New => apply.make(row, Source::New).map_err(context())?,
            Take::Local => apply.make(row, Source::Local).map_err(context())?,
        }
    }
    apply.finish_directories()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    New,
    Local,
}

struct Apply<'a> {
    local: Option<Descent<'a>>,
    new: Option<Descent<'a>>,
    dest: Descent<'a>,
    /// Those that were made. They get their metadata at the end: a mode could keep us out, and every name that is
    /// made in a directory changes its time.
    directories: Vec<(&'a Row, Inode)>,
    report: &'a mut EtcMergeReport,
}

impl<'a> Apply<'a> {
    fn make(&mut self, row: &'a Row, source: Source) -> io::Result<()> {
        if source == Source::New {
            let made = self.make_from(row, source)?;
            return if made { Ok(()) } else { Err(Errno::NOENT.into()) };
        }
        if self.make_from(row, source)? {
            return Ok(());
        }
        self.report.vanished += 1;
        // New defaults may need the directory.
        if row.new == Some(Shape::Directory) { self.make_from(row, Source::New).map(drop) } else { Ok(()) }
    }

    /// False when there is nothing at the path any more.
    fn make_from(&mut self, row: &'a Row, source: Source) -> io::Result<bool> {
        let descent = match source {
            Source::New => self.new.as_mut(),
            Source::Local => self.local.as_mut(),
        };
        let Some(descent) = descent else { return Ok(false) };
        let Some((from, name)) = gone(descent.at(&row.path))? else { return Ok(false) };
        let Some(inode) = gone(Inode::read(from, &name))? else { return Ok(false) };
        let expected = match source {
            Source::New => row.new,
            Source::Local => row.local,
        };
        let was_directory = expected == Some(Shape::Directory);
        // What is below was decided for what it was.
        if was_directory != inode.shape().is_directory() {
            return Ok(false);
        }
        if inode.shape() == Shape::Special && source == Source::Local {
            self.report.skipped.push(Skipped { path: shown(&row.path), kind: inode.kind_name().into() });
            return Ok(true);
        }
        // When its directory vanished, there is no place for it.
        let place = self.dest.at(&row.path);
        let Some((to, _)) = (match source {
            Source::New => Some(place?),
            Source::Local => gone(place)?,
        }) else {
            return Ok(false);
        };
        match inode.shape() {
            Shape::Directory => {
                if !row.path.is_root() {
                    rustix::fs::mkdirat(to, &name, Mode::RWXU)?;
                }
                self.directories.push((row, inode));
                Ok(true)
            }
            Shape::File => copy_file(from, to, &name),
            Shape::Symlink => {
                rustix::fs::symlinkat(&*inode.target, to, &name)?;
                finish(to, &name, &inode)?;
                Ok(true)
            }
            Shape::Special => {
                match rustix::fs::mknodat(to, &name, inode.kind, Mode::empty(), inode.device) {
                    // A checkout leaves devices out as well when it may not make them.
                    Err(Errno::PERM) if !is_root() => return Ok(true),
                    result => result?,
                }
                finish(to, &name, &inode)?;
                Ok(true)
            }
        }
    }

    /// From the innermost outwards.
    fn finish_directories(&mut self) -> Result<()> {
        // A directory's path sorts before those below it.
        for (row, inode) in std::mem::take(&mut self.directories).iter().rev() {
            self.dest
                .at(&row.path)
                .and_then(|(to, name)| finish(to, &name, inode))
                .map_err(Error::io(format!("merging {}", shown(&row.path))))?;
        }
        Ok(())
    }
}

/// Copies content and metadata; false when the file is gone. What it is by now counts, not what it was.
fn copy_file(from: &Dir, to: &Dir, name: &CStr) -> io::Result<bool> {
    let Some(source) = gone(fsx::open_regular_raw(from, name))? else { return Ok(false) };
    let stat = rustix::fs::fstat(&source)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy: File = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?.into();
    fsx::copy_contents(&source, &copy)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    allowed(rustix::fs::fchown(&copy, Some(uid), Some(gid)))?;
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    for (attribute, value) in fsx::xattr::read_all(&source)? {
        if *attribute != *NOT_COPIED {
            allowed_xattr(fsx::xattr::set(&copy, &attribute, &value))?;
        }
    }
    fsx::set_times(&copy, c"", stat.st_mtime, stat.st_mtime_nsec as u32)?;
    Ok(true)
}

/// Owner, mode, xattrs and time of a directory, a link or an inode that must not be opened. The owner goes first:
/// chown(2) clears setuid and `security.capability`.
fn finish(dir: &Dir, name: &CString, inode: &Inode) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(inode.uid), Gid::from_raw(inode.gid));
    allowed(rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW))?;
    if inode.kind != FileType::Symlink {
        rustix::fs::chmodat(dir, name, Mode::from_raw_mode(inode.mode.into()), AtFlags::empty())?;
    }
    for (attribute, value) in inode.xattrs.iter().filter(|(name, _)| **name != *NOT_COPIED) {
        let pair = std::iter::once((&**attribute, &**value));
        allowed_xattr(fsx::xattr::set_at(dir.as_fd(), name, pair))?;
    }
    fsx::set_times(dir, name, inode.mtime.0, inode.mtime.1)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Somebody else than root may not give files away; in a `bare-user` sysroot all of them are that user's anyway.
fn allowed(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(Errno::PERM) if !is_root() => Ok(()),
        result => Ok(result?),
    }
}

/// As [`allowed`], for `security.*` and `trusted.*`.
fn allowed_xattr(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !is_root() => Ok(()),
        result => result,
    }
}
