//! Files that get their name when they are whole, and a directory as a tar.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::container::scan;
use crate::fsx::{self, Dir};
use crate::layer::write_layer;
use crate::ops::{Error, Result};
use crate::repo::{Meta, Mtime, TreeEntry};

/// The directory of a path, and the name in it.
fn place(path: &Path) -> Result<(Dir, String)> {
    let failed = || Error::io(format!("opening the directory of {}", path.display()));
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::invalid(format!("{} is no name of a file", path.display())))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((fsx::open_dir(parent).map_err(failed())?, name.to_owned()))
}

/// A name that nobody else has: processes of two containers may have one number and one directory.
fn hidden(name: &str) -> String {
    format!(".{name}.{}", uuid::Uuid::new_v4().simple())
}

/// Writes a file. It has its name when it is whole, and is on disk when this returns.
pub(in crate::container) fn write(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let (directory, name) = place(path)?;
    let failed = || Error::io(format!("writing {}", path.display()));
    let temporary = hidden(&name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file: File = rustix::fs::openat(&directory, &temporary, flags, Mode::from_raw_mode(0o644))
        .map_err(|errno| failed()(errno.into()))?
        .into();
    let written = (|| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        content(&mut out)?;
        let file = out.into_inner().map_err(|e| failed()(e.into_error()))?;
        file.sync_all().map_err(failed())?;
        fsx::rename(&directory, &temporary, &directory, &name).map_err(failed())?;
        fsx::sync_dir(&directory).map_err(failed())
    })();
    if written.is_err() {
        // What was wrong is told already.
        let _ = fsx::remove_file(&directory, &temporary);
    }
    written
}

/// A directory beside a file, gone with its value.
pub(in crate::container) struct Temporary {
    parent: Dir,
    name: String,
    path: PathBuf,
}

impl Temporary {
    pub(in crate::container) fn beside(path: &Path) -> Result<Self> {
        let (parent, name) = place(path)?;
        let name = hidden(&name);
        let made = path.with_file_name(&name);
        let failed = || Error::io(format!("making {}", made.display()));
        // In a directory that everybody may write to nobody else's must be taken for it.
        rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(0o700)).map_err(|e| failed()(e.into()))?;
        Ok(Self { parent, name, path: made })
    }

    pub(in crate::container) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fsx::remove_tree(&self.parent, &self.name);
    }
}

/// The files of a directory, without what is particular to this one: owners, times and modes.
pub(in crate::container) fn of_directory(path: &Path, out: &mut dyn Write) -> Result<()> {
    let root = scan::scan(path)?;
    let plain = |entry: &TreeEntry| {
        let mode = if entry.node.is_directory() { 0o755 } else { 0o644 };
        let meta = Meta { mode, ..Meta::default() };
        TreeEntry { path: entry.path.clone(), meta, mtime: Mtime::default(), node: entry.node.clone() }
    };
    let entries: Vec<_> =
        root.tree.entries().iter().filter(|entry| !entry.path.is_root()).map(plain).collect();
    write_layer(&entries, root.contents(), out)?;
    out.flush().map_err(|e: io::Error| Error::io(format!("writing {}", path.display()))(e))
}
