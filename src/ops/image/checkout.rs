//! The plain root file system of a stored image in a directory.

use std::path::Path;

use serde::Serialize;

use super::super::{Context, Error, Result, ResultExt, Run};
use super::find;
use crate::digest::{Sha256, TreeId};
use crate::fsx::{self, Dir};
use crate::names::ImagePath;
use crate::progress::Event;
use crate::repo::{self, Files};
use crate::sysroot::Sysroot;

#[derive(Debug, Clone, Default)]
pub struct CheckoutOptions {
    /// Hardlinks to the store where possible, or independent copies.
    pub files: Files,
    /// Whether a file whose object carries another image's time is copied to give it its own.
    pub exact_times: bool,
    pub run: Run,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckedOut {
    pub dry_run: bool,
    pub digest: Sha256,
    pub tree: TreeId,
    pub path: String,
    pub directories: u64,
    pub linked: u64,
    pub copied: u64,
    pub copied_bytes: u64,
    /// Symbolic links, empty files, devices and pipes.
    pub made: u64,
    /// Devices that an unprivileged user may not make.
    pub left_out: u64,
}

/// Makes the image's tree in `path`, a directory that is empty or not there yet. Whoever changes hardlinked
/// files changes the store: link only for reading.
pub fn checkout(
    sysroot: &Sysroot,
    image: &str,
    path: &Path,
    options: &CheckoutOptions,
    context: &Context<'_>,
) -> Result<CheckedOut> {
    let shown = path.display();
    // Nothing may be collected while it is linked.
    let _guard = sysroot.shared(context.wait)?;
    let repo = sysroot.repo();
    let record = find(sysroot, image)?.record;
    let tree = repo.read_tree(&record.tree)?;
    let mut report = CheckedOut {
        dry_run: options.run.is_dry(),
        digest: record.manifest_digest,
        tree: record.tree,
        path: shown.to_string(),
        directories: 0,
        linked: 0,
        copied: 0,
        copied_bytes: 0,
        made: 0,
        left_out: 0,
    };
    if let Some(existing) = open_existing(path)?
        && !fsx::list_dir(&existing).map_err(Error::io(format!("listing {shown}")))?.is_empty()
    {
        return Err(Error::invalid(format!("{shown} is not empty")));
    }
    if options.run.is_dry() {
        return Ok(report);
    }
    context.reporter.report(Event::Phase(&format!("checking out {shown}")));
    let dest = make(path)?;
    let how = repo::CheckoutOptions {
        files: options.files,
        exact_times: options.exact_times,
        ..Default::default()
    };
    let stats = repo
        .checkout(tree.entries(), &ImagePath::root(), &dest, &how)
        .context(|| format!("checking out {image} to {shown}"))?;
    report.directories = stats.directories;
    report.linked = stats.linked;
    report.copied = stats.copied;
    report.copied_bytes = stats.copied_bytes;
    report.made = stats.made;
    report.left_out = stats.left_out;
    Ok(report)
}

fn open_existing(path: &Path) -> Result<Option<Dir>> {
    match fsx::open_dir(path) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("opening {}", path.display()))(error)),
    }
}

/// Opens the directory, making it when only its parent is there.
fn make(path: &Path) -> Result<Dir> {
    if let Some(dir) = open_existing(path)? {
        return Ok(dir);
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        return Err(Error::invalid(format!("{} cannot be made as a directory", path.display())));
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let make = || fsx::ensure_dir(&fsx::open_dir(parent)?, name, 0o755);
    make().map_err(Error::io(format!("making {}", path.display())))
}
