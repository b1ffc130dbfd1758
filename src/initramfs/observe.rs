//! Looking at the physical root. No symbolic link in it is followed.

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::choose::{Kind, Observed, Requirement, Target, parse_id};
use super::{Error, Result};
use crate::fsx::{self, Dir};
use crate::names::StaterootName;

/// Looks at every path that is required.
pub fn observe(root: &Dir, requirements: &[Requirement]) -> Result<Observed> {
    let look = |requirement: &Requirement| {
        let path = &requirement.path;
        let kind = kind(root, path).map_err(Error::io(format!("looking at {path}")))?;
        Ok((path.clone(), kind))
    };
    requirements.iter().map(look).collect()
}

/// Opens a directory by its path from the physical root.
pub fn open(root: &Dir, path: &str) -> std::io::Result<Dir> {
    let mut dir = root.try_clone()?;
    for component in path.split('/').filter(|c| !c.is_empty()) {
        dir = fsx::open_subdir(&dir, component)?;
    }
    Ok(dir)
}

fn kind(root: &Dir, path: &str) -> std::io::Result<Kind> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let look =
        || rustix::fs::statat(open(root, parent)?, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Into::into);
    match look() {
        Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            _ => Kind::Other,
        }),
        Err(error) => match Errno::from_io_error(&error) {
            // What is wrong with the parent was found at the parent.
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(Kind::Missing),
            _ => Err(error),
        },
    }
}

/// The deployments on the disk, sorted. What cannot be read is left out: this is for a message about another error.
pub fn deployments(root: &Dir) -> Vec<Target> {
    let mut found = Vec::new();
    for stateroot in names::<StaterootName>(root, "/reroot/deploy") {
        let deploy = format!("/reroot/deploy/{stateroot}/deploy");
        for id in names::<String>(root, &deploy).iter().filter_map(|name| parse_id(name)) {
            let target = Target { stateroot: stateroot.clone(), id };
            if matches!(kind(root, &format!("{target}.json")), Ok(Kind::File)) {
                found.push(target);
            }
        }
    }
    found.sort();
    found
}

/// The directories in a directory whose names are what is looked for.
fn names<T: std::str::FromStr>(root: &Dir, path: &str) -> Vec<T> {
    let list = open(root, path).and_then(|dir| fsx::list_dir(&dir)).unwrap_or_default();
    let directories = list.iter().filter(|entry| entry.kind == FileType::Directory);
    directories.filter_map(|entry| str::from_utf8(&entry.name).ok()?.parse().ok()).collect()
}
