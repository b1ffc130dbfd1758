//! Reading the three trees side by side into one list of paths, each with what changed about it.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;

use super::inode::{At, Comparer, Contents, Differences, Inode, Shape};
use super::{Skipped, Trees, shown};
use crate::fsx::{self, Dir};
use crate::names::ImagePath;
use crate::sysroot::{Error, Result};

/// Names at the top that are no configuration and that no merged tree has: with `.updated` in place systemd would
/// believe that it has run the units that have to run after `/usr` was replaced (`ConditionNeedsUpdate=`).
const LEFT_OUT: [&[u8]; 1] = [b".updated"];

/// One path that is in at least one of the trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub path: ImagePath,
    /// In the defaults that the live tree started from.
    pub base: Option<Shape>,
    /// In the live tree. What is skipped there counts as untouched.
    pub local: Option<Shape>,
    /// In the new defaults.
    pub new: Option<Shape>,
    /// From `base` to `local`, when both are there.
    pub local_change: Differences,
    /// From `base` to `new`, when both are there.
    pub default_change: Differences,
    /// `local` and `new` are both there and equal. Only known when `local` is changed.
    pub local_is_new: bool,
}

/// What was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanned {
    /// Sorted: a directory stands directly before what is below it.
    pub rows: Vec<Row>,
    /// Sockets, pipes and devices of the live tree.
    pub skipped: Vec<Skipped>,
    /// Files of the live tree that were listed, and gone when they were looked at.
    pub vanished: u64,
}

/// Reads the trees. Without a live tree there are only new defaults.
pub(super) fn scan(trees: Trees<'_>, contents: Contents) -> Result<Scanned> {
    let mut scan = Scan { comparer: Comparer::new(contents), out: Scanned::default() };
    let sides = Sides {
        base: trees.live.map(|l| l.defaults),
        local: trees.live.map_or(Local::Absent, |l| Local::Dir(l.etc)),
        new: trees.new,
    };
    let dot = CString::new(".").expect("a constant without NUL");
    scan.row(ImagePath::root(), &dot, sides, Present { base: true, local: true, new: true })?;
    scan.directory(&ImagePath::root(), sides)?;
    Ok(scan.out)
}

/// The live tree's side of a directory.
#[derive(Clone, Copy)]
enum Local<'a> {
    Dir(&'a Dir),
    Absent,
    /// Something that is skipped is in its place: everything below counts as untouched.
    AsBase,
}

/// One directory in the three trees.
#[derive(Clone, Copy)]
struct Sides<'a> {
    base: Option<&'a Dir>,
    local: Local<'a>,
    new: Option<&'a Dir>,
}

/// In which trees a name was listed.
#[derive(Clone, Copy, Default)]
struct Present {
    base: bool,
    local: bool,
    new: bool,
}

struct Scan {
    comparer: Comparer,
    out: Scanned,
}

impl Scan {
    fn directory(&mut self, path: &ImagePath, sides: Sides<'_>) -> Result<()> {
        let mut names: BTreeMap<Vec<u8>, Present> = BTreeMap::new();
        let list = |dir: &Dir| {
            let listed = match fsx::list_dir(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                listed => listed.map_err(Error::io(format!("listing {}", shown(path))))?,
            };
            let left_out = |name: &[u8]| path.is_root() && LEFT_OUT.contains(&name);
            let names = listed.into_iter().map(|l| l.name).filter(|name| !left_out(name));
            Ok::<Vec<_>, Error>(names.collect())
        };
        if let Some(dir) = sides.base {
            list(dir)?.into_iter().for_each(|n| names.entry(n).or_default().base = true);
        }
        if let Local::Dir(dir) = sides.local {
            // A directory that was removed after it was opened has nothing in it.
            list(dir)?.into_iter().for_each(|n| names.entry(n).or_default().local = true);
        }
        if let Some(dir) = sides.new {
            list(dir)?.into_iter().for_each(|n| names.entry(n).or_default().new = true);
        }
        for (name, present) in names {
            let child = path.join(&name).map_err(|error| {
                Error::io(format!("reading {}", shown(path)))(io::Error::other(error.to_string()))
            })?;
            let name = CString::new(name).expect("a name that was listed has no NUL");
            let shapes = self.row(child.clone(), &name, sides, present)?;
            self.descend(&child, &name, sides, shapes)?;
        }
        Ok(())
    }

    /// Goes into what is a directory in at least one tree.
    fn descend(&mut self, path: &ImagePath, name: &CString, sides: Sides<'_>, found: Found) -> Result<()> {
        let open = |dir: Option<&Dir>, shape: Option<Shape>| match (dir, shape) {
            (Some(dir), Some(Shape::Directory)) => fsx::open_subdir_raw(dir, name).map(Some),
            _ => Ok(None),
        };
        let failed = || Error::io(format!("opening {}", shown(path)));
        let base = open(sides.base, found.base).map_err(failed())?;
        let new = open(sides.new, found.new).map_err(failed())?;
        let local = match sides.local {
            Local::Dir(dir) if !found.as_base => {
                match gone(open(Some(dir), found.local)).map_err(failed())? {
                    Some(dir) => dir,
                    None => {
                        self.out.vanished += 1;
                        None
                    }
                }
            }
            _ => None,
        };
        if base.is_none() && local.is_none() && new.is_none() {
            return Ok(());
        }
        let local = match &local {
            Some(dir) => Local::Dir(dir),
            None if found.as_base => Local::AsBase,
            None => Local::Absent,
        };
        self.directory(path, Sides { base: base.as_ref(), local, new: new.as_ref() })
    }

    /// Reads and compares one path, and says what it is where.
    fn row(&mut self, path: ImagePath, name: &CString, sides: Sides<'_>, present: Present) -> Result<Found> {
        let context = || Error::io(format!("reading {}", shown(&path)));
        let read = |dir: Option<&Dir>, present: bool| {
            let dir = dir.filter(|_| present);
            dir.map(|dir| Inode::read(dir, name)).transpose().map_err(context())
        };
        let (base, new) = (read(sides.base, present.base)?, read(sides.new, present.new)?);
        let default_change = match (sides.base, &base, sides.new, &new) {
            (Some(a), Some(x), Some(b), Some(y)) => self
                .comparer
                .compare(At { dir: a, inode: x }, At { dir: b, inode: y }, name)
                .map_err(context())?,
            _ => Differences::default(),
        };
        let mut row = Row {
            path: path.clone(),
            base: base.as_ref().map(Inode::shape),
            local: None,
            new: new.as_ref().map(Inode::shape),
            local_change: Differences::default(),
            default_change,
            local_is_new: false,
        };
        let as_base = match sides.local {
            Local::AsBase => true,
            Local::Dir(dir) if present.local => {
                let others = [(sides.base, &base), (sides.new, &new)];
                match gone(self.local(dir, others, name, &mut row)).map_err(context())? {
                    Some(as_base) => as_base,
                    None => {
                        self.out.vanished += 1;
                        row.local = None;
                        row.local_change = Differences::default();
                        false
                    }
                }
            }
            Local::Dir(_) | Local::Absent => false,
        };
        if as_base {
            row.local = row.base;
        }
        let found = Found { base: row.base, local: row.local, new: row.new, as_base };
        if found.base.is_some() || found.local.is_some() || found.new.is_some() {
            self.out.rows.push(row);
        }
        Ok(found)
    }

    /// Reads the live tree's inode and compares it with the others. True when it is one that is skipped.
    fn local(
        &mut self,
        dir: &Dir,
        [base, new]: [(Option<&Dir>, &Option<Inode>); 2],
        name: &CString,
        row: &mut Row,
    ) -> io::Result<bool> {
        let inode = Inode::read(dir, name)?;
        let mut compare = |(other_dir, other): (Option<&Dir>, &Option<Inode>)| match (other_dir, other) {
            (Some(other_dir), Some(other)) => {
                let other = At { dir: other_dir, inode: other };
                self.comparer.compare(other, At { dir, inode: &inode }, name).map(Some)
            }
            _ => Ok(None),
        };
        let change = compare(base)?;
        let changed = change.is_none_or(|c| !c.is_empty());
        if changed && inode.shape() == Shape::Special {
            self.out.skipped.push(Skipped { path: shown(&row.path), kind: inode.kind_name().into() });
            return Ok(true);
        }
        row.local = Some(inode.shape());
        row.local_change = change.unwrap_or_default();
        row.local_is_new = changed && compare(new)?.is_some_and(Differences::is_empty);
        Ok(false)
    }
}

/// What a path is in each tree.
struct Found {
    base: Option<Shape>,
    local: Option<Shape>,
    new: Option<Shape>,
    as_base: bool,
}

/// `None` for what was removed, or replaced by something else, after it was listed.
pub(super) fn gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    use rustix::io::Errno;
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(None)
        }
        Err(error)
            if matches!(Errno::from_io_error(&error), Some(Errno::NOTDIR | Errno::LOOP | Errno::STALE)) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
