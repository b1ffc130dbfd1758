//! The directory of entries: `$BOOT/loader/entries` (UAPI.1, "Type #1 Boot Loader Specification Entries").
//!
//! Other systems keep their entries in the same directory. Only names of the form of [`EntryName`] are ours; the
//! others are listed and never touched.
//!
//! A file that is being written has a name that begins with `.tmp-` and does not end in `.conf`, so no loader reads
//! it. It gets its name when its content is on disk, and only a name that nothing has.

use std::io;

use rustix::io::Errno;

use super::bls::{BlsEntry, ENTRY_LIMIT};
use super::file_name::{BootOrder, EntryName};
use super::{Error, Result, order};
use crate::fsx::{self, Dir, FileType};
use crate::names::printable;

const LOADER: &str = "loader";
const ENTRIES: &str = "entries";
/// Says that the entries are those of the specification (UAPI.1, "Standard-conformance Marker File").
const MARKER: &str = "entries.srel";
const MARKER_TEXT: &[u8] = b"type1\n";
const SCRATCH: &str = ".tmp-";
/// More entries than any loader shows; a directory with more is not one of entries.
const MOST_ENTRIES: usize = 4096;

/// An entry that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub file_name: String,
    /// `None` for an entry of another system.
    pub name: Option<EntryName>,
    pub bls: BlsEntry,
}

/// A file that a loader would take for an entry, and that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub file_name: String,
    pub name: Option<EntryName>,
    pub reason: String,
}

/// What is in the directory of entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entries {
    /// In the order of the menu, see [`order`]: the first is what boots.
    pub entries: Vec<Entry>,
    pub unreadable: Vec<Unreadable>,
    /// What an interrupted command left.
    pub scratch: Vec<String>,
}

impl Entries {
    /// The entries of ours in the order of the menu.
    pub fn ours(&self) -> impl Iterator<Item = (&EntryName, &Entry)> {
        self.entries.iter().filter_map(|entry| entry.name.as_ref().map(|name| (name, entry)))
    }

    /// The highest order that a file name has: the next one must be higher, whatever counters say.
    pub fn highest_order(&self) -> Option<BootOrder> {
        let unreadable = self.unreadable.iter().filter_map(|file| file.name.as_ref());
        self.ours().map(|(name, _)| name).chain(unreadable).map(|name| name.order).max()
    }
}

/// The path of an entry from `$BOOT`, for messages.
pub fn shown(file_name: &str) -> String {
    format!("{LOADER}/{ENTRIES}/{}", printable(file_name.as_bytes()))
}

/// `$BOOT/loader`, when it is there.
pub(super) fn open_loader(boot: &Dir) -> Result<Option<Dir>> {
    fsx::subdir_optional(boot, LOADER).map_err(Error::io(format!("opening {LOADER}")))
}

fn open(boot: &Dir) -> Result<Option<Dir>> {
    let Some(loader) = open_loader(boot)? else { return Ok(None) };
    fsx::subdir_optional(&loader, ENTRIES).map_err(Error::io(format!("opening {LOADER}/{ENTRIES}")))
}

/// Reads all entries; none when the directory is missing. A file that is no entry is part of the result.
pub fn read_entries(boot: &Dir) -> Result<Entries> {
    let mut found = Entries::default();
    let Some(dir) = open(boot)? else { return Ok(found) };
    let listed = fsx::list_dir(&dir).map_err(Error::io(format!("listing {LOADER}/{ENTRIES}")))?;
    if listed.len() > MOST_ENTRIES {
        return Err(Error::refused(format!("{LOADER}/{ENTRIES} has more than {MOST_ENTRIES} files")));
    }
    for fsx::Listed { name, kind, .. } in listed {
        // Names of entries are ASCII (UAPI.1); other names are not entries.
        let Ok(file_name) = String::from_utf8(name) else { continue };
        if file_name.starts_with(SCRATCH) {
            found.scratch.push(file_name);
            continue;
        }
        if kind == FileType::Directory || !is_entry(&file_name) {
            continue;
        }
        let name = file_name.parse().ok();
        match read_entry(&dir, &file_name) {
            Ok(bls) => found.entries.push(Entry { file_name, name, bls }),
            Err(error) if is_about_content(&error) => {
                found.unreadable.push(Unreadable { file_name, name, reason: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    found.entries.sort_by(|a, b| order::compare((&a.file_name, &a.bls), (&b.file_name, &b.bls)));
    Ok(found)
}

/// What systemd-boot takes for an entry (`valid_type1_filename`).
fn is_entry(file_name: &str) -> bool {
    let lower = file_name.to_ascii_lowercase();
    lower.ends_with(".conf") && !lower.starts_with('.') && !lower.starts_with("auto-")
}

fn read_entry(dir: &Dir, file_name: &str) -> Result<BlsEntry> {
    let file = shown(file_name);
    let bytes =
        fsx::read_limited(dir, file_name, ENTRY_LIMIT).map_err(Error::io(format!("reading {file}")))?;
    BlsEntry::parse(&bytes.unwrap_or_default(), &file)
}

/// Whether a file is wrong, and not the disk that it is on.
fn is_about_content(error: &Error) -> bool {
    match error {
        // A link is not followed.
        Error::Io { source, .. } => {
            source.kind() == io::ErrorKind::InvalidData || Errno::from_io_error(source) == Some(Errno::LOOP)
        }
        _ => true,
    }
}

/// Makes the directory of entries and the marker beside it. Durable. A marker that says something else is an error:
/// the files there have another meaning, and ours would as well.
pub fn ensure_directory(boot: &Dir) -> Result<()> {
    let context = || Error::io(format!("making {LOADER}/{ENTRIES}"));
    let loader = fsx::ensure_dir(boot, LOADER, 0o755).map_err(context())?;
    let marker = fsx::read_limited(&loader, MARKER, ENTRY_LIMIT)
        .map_err(Error::io(format!("reading {LOADER}/{MARKER}")))?;
    if marker.as_deref().is_some_and(|text| text.trim_ascii() != MARKER_TEXT.trim_ascii()) {
        let reason = format!(
            "it is not `type1`, so {LOADER}/{ENTRIES} is not for entries of the Boot Loader Specification"
        );
        return Err(Error::Foreign { file: format!("{LOADER}/{MARKER}"), reason });
    }
    let is_new = fsx::subdir_optional(&loader, ENTRIES).map_err(context())?.is_none();
    if is_new && marker.is_none() {
        fsx::write_atomic(&loader, MARKER, MARKER_TEXT, 0o644)
            .map_err(Error::io(format!("writing {LOADER}/{MARKER}")))?;
    }
    fsx::ensure_dir(&loader, ENTRIES, 0o755).map_err(context())?;
    fsx::sync_dir(&loader).and_then(|()| fsx::sync_dir(boot)).map_err(context())
}

/// Writes a new entry. Durable when it returns, and not there at all before. A name that is taken is an error.
pub fn write_entry(boot: &Dir, name: &EntryName, entry: &BlsEntry) -> Result<()> {
    let file_name = name.to_string();
    let file = shown(&file_name);
    let dir = open(boot)?.ok_or_else(|| Error::refused(format!("{LOADER}/{ENTRIES} does not exist")))?;
    let scratch = format!("{SCRATCH}{file_name}.new");
    let write = || {
        // Content and scratch name are on disk before the rename: FAT has no order between the two.
        fsx::write_atomic(&dir, &scratch, entry.print().as_bytes(), 0o644)?;
        let renamed = fsx::rename_noreplace(&dir, &scratch, &dir, &file_name)?;
        fsx::sync_dir(&dir)?;
        Ok(renamed)
    };
    match write().map_err(Error::io(format!("writing boot entry {file}")))? {
        true => Ok(()),
        false => {
            Err(Error::refused(format!("boot entry {file} is there already; entries are never rewritten")))
        }
    }
}

/// Removes an entry of ours; what is gone already is fine. Durable when it returns.
pub fn remove_entry(boot: &Dir, file_name: &str) -> Result<()> {
    if file_name.parse::<EntryName>().is_err() {
        return Err(Error::refused(format!("boot entry {} is not one of reroot", shown(file_name))));
    }
    remove(boot, file_name)
}

/// Removes what interrupted commands left. Durable when it returns.
pub fn sweep_scratch(boot: &Dir, entries: &Entries) -> Result<()> {
    entries.scratch.iter().try_for_each(|name| remove(boot, name))
}

fn remove(boot: &Dir, file_name: &str) -> Result<()> {
    let Some(dir) = open(boot)? else { return Ok(()) };
    fsx::remove_file(&dir, file_name)
        .and_then(|_| fsx::sync_dir(&dir))
        .map_err(Error::io(format!("removing boot entry {}", shown(file_name))))
}
