//! One entry of a tar, from what the parser found to types that cannot be wrong.
//!
//! Where two respectable tools would see different trees, the entry is refused (every tar CVE of 2025 and 2026
//! is such a difference).

use tar_core::parse::ParsedEntry;
use tar_core::{EntryType, SparseEntry};

use super::headers::{self, Headers};
use super::pax::{Extensions, SparseFormat};
use super::xattr::Chooser;
use super::{Error, Result};
use crate::names::{ImagePath, MAX_PATH_LEN};
use crate::repo::{Meta, Mtime};

/// An entry, checked. Its content follows in the stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub path: ImagePath,
    pub meta: Meta,
    pub mtime: Mtime,
    pub kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// Logical size in bytes.
    File {
        size: u64,
    },
    Symlink {
        target: Box<[u8]>,
    },
    Hardlink {
        target: ImagePath,
    },
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
}

/// An entry as the parser found it.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub parsed: ParsedEntry<'a>,
    /// Its header blocks, with extensions before and a sparse map after.
    pub blocks: &'a [u8],
    pub sparse: Option<SparseMap<'a>>,
}

/// Where the stored bytes of a sparse file belong.
#[derive(Debug, Clone, Copy)]
pub(super) struct SparseMap<'a> {
    pub regions: &'a [SparseEntry],
    /// Size of the file with its holes.
    pub size: u64,
}

impl Found<'_> {
    /// Checks everything but the content.
    pub(super) fn check(&self, xattrs: &mut Chooser) -> Result<Entry> {
        let parsed = &self.parsed;
        let raw = &*parsed.path;
        let refused = |reason: String| Error::refused(raw, reason);
        let headers = headers::check(self.blocks).map_err(|reason| refused(reason.into()))?;
        let extensions = Extensions::parse(parsed.pax.unwrap_or_default()).map_err(refused)?;
        if headers.gnu_name && extensions.has_path || headers.gnu_link && extensions.has_link {
            return Err(refused("its name or link is in a GNU and in a pax extension header".into()));
        }
        self.check_sparse(headers, extensions.sparse).map_err(|reason| refused(reason.into()))?;
        let path = image_path(raw, raw)?;
        let meta = Meta {
            mode: (parsed.mode & 0o7777) as u16,
            uid: id(raw, "uid", parsed.uid)?,
            gid: id(raw, "gid", parsed.gid)?,
            xattrs: xattrs.choose(raw, &extensions.xattrs)?,
        };
        let mtime = extensions.mtime.unwrap_or(Mtime { seconds: headers.mtime, nanoseconds: 0 });
        let size = self.sparse.map_or(parsed.size, |map| map.size);
        let kind = kind(parsed, headers, size)?;
        Ok(Entry { path, meta, mtime, kind })
    }

    /// The map must be whole, in order, and say of every stored byte where it belongs.
    fn check_sparse(&self, headers: Headers, records: Option<SparseFormat>) -> Result<(), &'static str> {
        let gnu = self.parsed.entry_type == EntryType::GnuSparse;
        let Some(SparseMap { regions, size }) = self.sparse else {
            return if gnu || records.is_some() { Err("it is sparse but has no sparse map") } else { Ok(()) };
        };
        match records {
            Some(_) if gnu => return Err("it has sparse maps of two formats"),
            Some(SparseFormat::Records { regions: Some(said) }) if said != regions.len() as u64 => {
                return Err("its sparse map has another number of regions than it says");
            }
            _ if !matches!(headers.kind, 0 | b'0' | b'7' | b'S') => {
                return Err("it has a sparse map but is not a regular file");
            }
            _ => {}
        }
        let malformed = "its sparse map is out of order or beyond the file's size";
        let (mut end, mut stored) = (0, 0);
        for region in regions {
            let next = region.offset.checked_add(region.length).ok_or(malformed)?;
            if region.offset < end || next > size {
                return Err(malformed);
            }
            end = next;
            stored += region.length;
        }
        if stored == self.parsed.size {
            Ok(())
        } else {
            Err("it stores more or less than its sparse map says")
        }
    }
}

fn kind(entry: &ParsedEntry<'_>, headers: Headers, size: u64) -> Result<Kind> {
    let raw = &*entry.path;
    let file = matches!(entry.entry_type, EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse);
    if file && !raw.ends_with(b"/") {
        return Ok(Kind::File { size });
    }
    // pax allows a hard link with data and some writers give directories a size; readers disagree on whether
    // such data is there.
    if entry.size != 0 {
        return Err(Error::refused(raw, "it has data, which an entry of its type cannot have"));
    }
    if file {
        // Before POSIX, a directory was a file whose name ends in a slash. With the type of POSIX, GNU tar makes
        // a directory and Go a file.
        return match headers.kind {
            0 => Ok(Kind::Directory),
            _ => Err(Error::refused(raw, "it is a regular file whose name ends in a slash")),
        };
    }
    let target = || entry.link_target.as_deref().unwrap_or_default();
    let device = || {
        let (major, minor) = (entry.dev_major.unwrap_or_default(), entry.dev_minor.unwrap_or_default());
        // Linux has 12 and 20 bits for them.
        if major >= 1 << 12 || minor >= 1 << 20 {
            return Err(Error::refused(raw, "its device number is out of range"));
        }
        Ok((major, minor))
    };
    match entry.entry_type {
        EntryType::Directory => Ok(Kind::Directory),
        EntryType::Symlink => {
            let target = target();
            if target.is_empty() || target.len() > MAX_PATH_LEN || target.contains(&0) {
                return Err(Error::refused(raw, "its link target is empty, too long or has a NUL byte"));
            }
            Ok(Kind::Symlink { target: target.into() })
        }
        EntryType::Link => {
            // The target is a name in the image, and some tools write it from the root.
            let target = target();
            let target = image_path(raw, target.strip_prefix(b"/").unwrap_or(target))?;
            if target.is_root() {
                return Err(Error::refused(raw, "it is a hard link to the root directory"));
            }
            Ok(Kind::Hardlink { target })
        }
        EntryType::Char => device().map(|(major, minor)| Kind::CharDevice { major, minor }),
        EntryType::Block => device().map(|(major, minor)| Kind::BlockDevice { major, minor }),
        EntryType::Fifo => Ok(Kind::Fifo),
        other => Err(Error::refused(raw, format!("entries of type {other:?} are not known"))),
    }
}

/// A name from a tar in canonical form: `.` components and doubled or trailing slashes go, `..` and absolute
/// names are refused. (containerd and umoci take an absolute name from the image's root. What builds bootable
/// images writes relative names, so that an absolute one is a mistake or worse.)
fn image_path(entry: &[u8], name: &[u8]) -> Result<ImagePath> {
    if name.starts_with(b"/") {
        return Err(Error::refused(entry, "its path is absolute"));
    }
    if name.is_empty() {
        return Err(Error::refused(entry, "its path is empty"));
    }
    let mut canonical = Vec::with_capacity(name.len());
    for component in name.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        if component == b".." {
            return Err(Error::refused(entry, "its path has a `..` component"));
        }
        if !canonical.is_empty() {
            canonical.push(b'/');
        }
        canonical.extend_from_slice(component);
    }
    ImagePath::new(&canonical).map_err(|e| Error::refused(entry, e.reason))
}

/// User and group ids: the kernel takes 32 bits, and all ones mean "leave as it is" to chown(2).
fn id(entry: &[u8], what: &str, value: u64) -> Result<u32> {
    match u32::try_from(value) {
        Ok(u32::MAX) | Err(_) => Err(Error::refused(entry, format!("its {what} {value} is out of range"))),
        Ok(id) => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_canonical_or_refused() {
        let path = |name: &str| image_path(b"x", name.as_bytes()).map(|p| p.to_string());
        assert_eq!(path("./").unwrap(), "/");
        assert_eq!(path(".").unwrap(), "/");
        assert_eq!(path("./a/./b//c/").unwrap(), "a/b/c");
        for bad in ["", "/", "/etc/passwd", "..", "a/../b", "a/..", "a\0b"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_that_chown_would_misread_are_refused() {
        assert_eq!(id(b"x", "uid", 4_294_967_294).unwrap(), u32::MAX - 1);
        assert!(id(b"x", "uid", 4_294_967_295).is_err());
        assert!(id(b"x", "uid", 1 << 32).is_err());
    }
}
