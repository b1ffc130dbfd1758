//! One entry of a tar, from what the parser found to types that cannot be wrong.
//!
//! Where two respectable tools would see different trees, the entry is refused (every tar CVE of 2025 and 2026
//! is such a difference).

use std::borrow::Cow;

use tar_core::parse::ParsedEntry;
use tar_core::{EntryType, PaxExtensions};

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

/// Checks an entry. `size` is the logical size: that of a sparse file with its holes.
pub(super) fn check(entry: &ParsedEntry<'_>, size: u64, xattrs: &mut Chooser) -> Result<Entry> {
    let raw = &*entry.path;
    let path = image_path(raw, raw)?;
    let extensions = Extensions::parse(raw, entry.pax)?;
    let mtime = match extensions.mtime {
        Some(mtime) => mtime,
        None => Mtime {
            seconds: i64::try_from(entry.mtime)
                .map_err(|_| Error::refused(raw, "its mtime is out of range"))?,
            nanoseconds: 0,
        },
    };
    let mut pairs = extensions.libarchive;
    pairs.extend(entry.xattrs.iter().cloned());
    let meta = Meta {
        mode: (entry.mode & 0o7777) as u16,
        uid: id(raw, "uid", entry.uid)?,
        gid: id(raw, "gid", entry.gid)?,
        xattrs: xattrs.choose(raw, &pairs)?,
    };
    Ok(Entry { path, meta, mtime, kind: kind(entry, raw, size)? })
}

fn kind(entry: &ParsedEntry<'_>, raw: &[u8], size: u64) -> Result<Kind> {
    let file = matches!(entry.entry_type, EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse);
    // Before POSIX, a directory was a file whose name ends in a slash.
    if file && !raw.ends_with(b"/") {
        return Ok(Kind::File { size });
    }
    // pax allows a hard link with data and some writers give directories a size; readers disagree on whether
    // such data is there.
    if entry.size != 0 {
        return Err(Error::refused(raw, "it has data, which an entry of its type cannot have"));
    }
    if file {
        return Ok(Kind::Directory);
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
/// names are refused.
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

/// What the parser leaves to us of an entry's extension records.
#[derive(Default)]
struct Extensions<'a> {
    mtime: Option<Mtime>,
    libarchive: Vec<(Cow<'a, [u8]>, Cow<'a, [u8]>)>,
}

impl<'a> Extensions<'a> {
    fn parse(entry: &[u8], pax: Option<&'a [u8]>) -> Result<Self> {
        let mut this = Self::default();
        let mut seen: Vec<&[u8]> = Vec::new();
        for record in PaxExtensions::new(pax.unwrap_or_default()) {
            let record = record.map_err(|e| Error::refused(entry, e.to_string()))?;
            let (key, value) = (record.key_bytes(), record.value_bytes());
            // GNU's sparse format 0.0 repeats these two on purpose.
            let repeats = matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
            if !repeats && seen.contains(&key) {
                let key = crate::names::printable(key);
                return Err(Error::refused(entry, format!("it has two extension records `{key}`")));
            }
            if !repeats {
                seen.push(key);
            }
            match key {
                b"mtime" => {
                    let time = str::from_utf8(value).ok().and_then(parse_time);
                    this.mtime = Some(time.ok_or_else(|| Error::refused(entry, "its mtime is malformed"))?);
                }
                _ => {
                    if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                        let malformed = || Error::refused(entry, "a LIBARCHIVE.xattr record is malformed");
                        let name = percent_decode(name).ok_or_else(malformed)?;
                        this.libarchive
                            .push((name.into(), base64_decode(value).ok_or_else(malformed)?.into()));
                    }
                }
            }
        }
        Ok(this)
    }
}

/// Seconds with a fraction (pax(1), "mtime"). Digits beyond the nanosecond are cut off.
fn parse_time(text: &str) -> Option<Mtime> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let nanoseconds = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = nanoseconds.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some(Mtime { seconds: whole.parse().ok()?, nanoseconds })
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            out.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            out.push(*first);
        }
    }
    Some(out)
}

/// libarchive leaves the padding away.
fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    use base64::Engine;
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |i| i + 1);
    base64::engine::general_purpose::STANDARD_NO_PAD.decode(&text[..end]).ok()
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
    fn times_keep_their_fraction() {
        let time = |text| parse_time(text).map(|t| (t.seconds, t.nanoseconds));
        assert_eq!(time("12"), Some((12, 0)));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("12.0000000019"), Some((12, 1)));
        for bad in ["", ".5", "-1", "1e3", "12.x", "99999999999999999999"] {
            assert_eq!(time(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ids_that_chown_would_misread_are_refused() {
        assert_eq!(id(b"x", "uid", 4_294_967_294).unwrap(), u32::MAX - 1);
        assert!(id(b"x", "uid", 4_294_967_295).is_err());
        assert!(id(b"x", "uid", 1 << 32).is_err());
    }

    #[test]
    fn libarchive_records_are_decoded() {
        assert_eq!(percent_decode(b"user.a%3Db").as_deref(), Some(&b"user.a=b"[..]));
        assert_eq!(base64_decode(b"YQ").as_deref(), Some(&b"a"[..]));
        assert_eq!(base64_decode(b"YQ==").as_deref(), Some(&b"a"[..]));
        assert_eq!(percent_decode(b"%g0"), None);
    }
}
