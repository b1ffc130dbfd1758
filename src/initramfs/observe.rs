//! Looking at the physical root. No symbolic link in it is followed.

use std::collections::BTreeMap;
use std::io;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::choose::{Kind, Observed, Requirement, Target, parse_id};
use super::{Error, Result};
use crate::fsx::{self, Dir};
use crate::names::StaterootName;

/// What was found of what is required.
#[derive(Debug)]
pub struct Found {
    pub observed: Observed,
    /// The directories, each opened once: what was looked at is what will be mounted.
    directories: BTreeMap<String, Dir>,
}

impl Found {
    /// A directory that was required, by its path from the physical root.
    pub fn directory(&self, path: &str) -> Result<&Dir> {
        let missing = || Error::io(format!("opening {path}"))(Errno::NOENT);
        self.directories.get(path).ok_or_else(missing)
    }
}

/// Looks at every path that is required, parents first.
pub fn observe(root: &Dir, requirements: &[Requirement]) -> Result<Found> {
    let mut found = Found { observed: Observed::new(), directories: BTreeMap::new() };
    for Requirement { path, .. } in requirements {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = if parent.is_empty() { Some(root) } else { found.directories.get(parent) };
        let looked = parent.map_or(Ok(None), |parent| open(parent, name));
        let (kind, directory) = match looked.map_err(Error::io(format!("looking at {path}")))? {
            None => (Kind::Missing, None),
            Some((FileType::Directory, file)) => (Kind::Directory, Some(file)),
            Some((FileType::RegularFile, _)) => (Kind::File, None),
            Some(_) => (Kind::Other, None),
        };
        found.observed.insert(path.clone(), kind);
        found.directories.extend(directory.map(|directory| (path.clone(), directory)));
    }
    Ok(found)
}

/// Opens whatever it is without side effects (`O_PATH`); `None` when it is absent.
fn open(dir: &Dir, name: &str) -> io::Result<Option<(FileType, Dir)>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => {
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
            Ok(Some((kind, Dir::from_std_file(fd.into()))))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// The deployments on the disk, sorted. What cannot be read is left out: this is for a message about another error.
pub fn deployments(root: &Dir) -> Vec<Target> {
    let mut found = Vec::new();
    let Some(all) = subdir(root, "reroot").and_then(|reroot| subdir(&reroot, "deploy")) else { return found };
    for stateroot in names(&all).iter().filter_map(|name| name.parse::<StaterootName>().ok()) {
        let deploy = subdir(&all, stateroot.as_str()).and_then(|dir| subdir(&dir, "deploy"));
        let Some(deploy) = deploy else { continue };
        let names = names(&deploy);
        let ids = names.iter().filter_map(|name| parse_id(name));
        let ids = ids
            .filter(|id| names.contains(&format!("{id}.json")) && subdir(&deploy, &id.to_string()).is_some());
        found.extend(ids.map(|id| Target { stateroot: stateroot.clone(), id }));
    }
    found.sort();
    found
}

fn subdir(dir: &Dir, name: &str) -> Option<Dir> {
    fsx::subdir_optional(dir, name).ok().flatten()
}

fn names(dir: &Dir) -> Vec<String> {
    let listed = fsx::list_dir(dir).unwrap_or_default();
    listed.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok()).collect()
}
