//! A header: what rpm knows about one package (`lib/header.cc` and `docs/manual/format_header.md` of rpm).
//!
//! ```text
//! il    u32                             how many entries
//! dl    u32                             how many bytes of data
//! il *  { tag, type, offset, count }    four u32, the offset into the data
//! dl *  u8                              numbers; strings with a NUL behind each
//! ```
//!
//! All numbers are big endian. In a database there is no magic in front.

use super::super::{Error, Files, Manager, Package, Place, text};

/// The tags that are looked at (`include/rpm/rpmtag.h`).
mod tag {
    pub const NAME: u32 = 1000;
    pub const VERSION: u32 = 1001;
    pub const RELEASE: u32 = 1002;
    pub const EPOCH: u32 = 1003;
    pub const ARCH: u32 = 1022;
    /// Whole paths; what packages had before rpm 4.
    pub const OLD_FILE_NAMES: u32 = 1027;
    pub const FILE_STATES: u32 = 1029;
    pub const DIR_INDEXES: u32 = 1116;
    pub const BASE_NAMES: u32 = 1117;
    pub const DIR_NAMES: u32 = 1118;
}

/// The types of those tags (`rpmTagType`).
mod kind {
    pub const CHAR: u32 = 1;
    pub const INT32: u32 = 4;
    pub const STRING: u32 = 6;
    pub const STRING_ARRAY: u32 = 8;
    pub const I18N_STRING: u32 = 9;
}

/// What has come onto the disk (`RPMFILE_IS_INSTALLED`): not another package's file in its place, not documentation
/// that was left out.
const NORMAL: u8 = 0;
const NET_SHARED: u8 = 3;
/// The keys that rpm trusts are packages without files.
const KEY: &[u8] = b"gpg-pubkey";
const ENTRY: usize = 16;

/// A header whose sizes were checked.
pub(super) struct Header<'b> {
    entries: &'b [[u8; ENTRY]],
    data: &'b [u8],
    /// The number of the package in its database.
    number: u64,
}

struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}

impl<'b> Header<'b> {
    pub fn parse(blob: &'b [u8], number: u64) -> Result<Self, Error> {
        let malformed =
            Error::Malformed { place: Place::Package(number), reason: "a header that is cut off" };
        let Some((lengths, rest)) = blob.split_first_chunk::<8>() else { return Err(malformed) };
        let [entries, data] = [0, 4].map(|at| u32_at(lengths, at) as usize);
        let entries = entries.checked_mul(ENTRY).filter(|bytes| rest.len().checked_sub(*bytes) == Some(data));
        let Some((entries, data)) = entries.and_then(|bytes| rest.split_at_checked(bytes)) else {
            return Err(malformed);
        };
        Ok(Self { entries: entries.as_chunks().0, data, number })
    }

    /// The package; `None` for what is none.
    pub fn package(&self) -> Result<Option<Package>, Error> {
        let name = self.string(tag::NAME)?.ok_or_else(|| self.malformed("a package without a name"))?;
        if name == KEY {
            return Ok(None);
        }
        let version =
            self.string(tag::VERSION)?.ok_or_else(|| self.malformed("a package without a version"))?;
        let release =
            self.string(tag::RELEASE)?.ok_or_else(|| self.malformed("a package without a release"))?;
        let epoch = match self.numbers(tag::EPOCH)?.and_then(|mut numbers| numbers.next()) {
            Some(epoch) => format!("{epoch}:"),
            None => String::new(),
        };
        Ok(Some(Package {
            name: text(name),
            architecture: self.string(tag::ARCH)?.map(text),
            version: format!("{epoch}{}-{}", text(version), text(release)),
            manager: Manager::Rpm,
        }))
    }

    /// The paths of what the package brought, directories as well. `budget` bytes may come together, and what they take is
    /// taken from it: few bytes of a header can make many of paths.
    pub fn files(&self, budget: &mut usize) -> Result<Files, Error> {
        let mut files = Files::new();
        let mut spend = |bytes: usize| -> Result<(), Error> {
            *budget = budget.checked_sub(bytes + OVERHEAD).ok_or_else(|| self.malformed("too many files"))?;
            Ok(())
        };
        let states = self.bytes(tag::FILE_STATES)?;
        let here = |index: usize| {
            states.and_then(|states| states.get(index)).is_none_or(|s| matches!(*s, NORMAL | NET_SHARED))
        };
        if let Some(names) = self.strings(tag::BASE_NAMES)? {
            let mut directories = Vec::new();
            for directory in self.strings(tag::DIR_NAMES)?.into_iter().flatten() {
                spend(0)?;
                directories.push(directory?);
            }
            let mut indexes = self.numbers(tag::DIR_INDEXES)?.into_iter().flatten();
            for (index, name) in names.enumerate() {
                let directory = indexes.next().and_then(|index| directories.get(index as usize));
                let directory = *directory.ok_or_else(|| self.malformed("a file without a directory"))?;
                let name = name?;
                if here(index) {
                    spend(directory.len() + name.len())?;
                    files.push([directory, name].concat());
                }
            }
        } else if let Some(paths) = self.strings(tag::OLD_FILE_NAMES)? {
            for (index, path) in paths.enumerate() {
                let path = path?;
                if here(index) {
                    spend(path.len())?;
                    files.push(path.to_vec());
                }
            }
        }
        Ok(files)
    }

    /// Of a tag that is there twice the last one counts: what the installation changed (paths that were relocated)
    /// stands behind what the package was built with.
    fn find(&self, tag: u32) -> Option<Entry> {
        let entry = self.entries.iter().rfind(|entry| u32_at(*entry, 0) == tag)?;
        let [kind, offset, count] = [4, 8, 12].map(|at| u32_at(entry, at));
        Some(Entry { kind, offset: offset as usize, count: count as usize })
    }

    fn string(&self, tag: u32) -> Result<Option<&'b [u8]>, Error> {
        match self.strings(tag)? {
            Some(mut strings) => strings.next().transpose(),
            None => Ok(None),
        }
    }

    fn strings(&self, tag: u32) -> Result<Option<impl Iterator<Item = Result<&'b [u8], Error>>>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        if !matches!(entry.kind, kind::STRING | kind::STRING_ARRAY | kind::I18N_STRING) {
            return Err(self.malformed("a tag of another type"));
        }
        let mut rest = self.data.get(entry.offset..).ok_or_else(|| self.malformed(OUTSIDE))?;
        let number = self.number;
        Ok(Some((0..entry.count).map(move |_| {
            let end = rest.iter().position(|byte| *byte == 0);
            let end = end.ok_or(Error::Malformed { place: Place::Package(number), reason: OUTSIDE })?;
            let string = &rest[..end];
            rest = &rest[end + 1..];
            Ok(string)
        })))
    }

    fn numbers(&self, tag: u32) -> Result<Option<impl Iterator<Item = u32> + use<'b>>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        if entry.kind != kind::INT32 {
            return Err(self.malformed("a tag of another type"));
        }
        let bytes = self.data.get(entry.offset..).and_then(|rest| rest.get(..entry.count.checked_mul(4)?));
        let numbers = bytes.ok_or_else(|| self.malformed(OUTSIDE))?.as_chunks().0;
        Ok(Some(numbers.iter().map(|number| u32::from_be_bytes(*number))))
    }

    fn bytes(&self, tag: u32) -> Result<Option<&'b [u8]>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        if entry.kind != kind::CHAR {
            return Err(self.malformed("a tag of another type"));
        }
        let bytes = self.data.get(entry.offset..).and_then(|rest| rest.get(..entry.count));
        bytes.ok_or_else(|| self.malformed(OUTSIDE)).map(Some)
    }

    fn malformed(&self, reason: &'static str) -> Error {
        Error::Malformed { place: Place::Package(self.number), reason }
    }
}

const OUTSIDE: &str = "a tag whose data is outside of the header";
/// What a path takes in memory beside its bytes.
const OVERHEAD: usize = 64;

/// A big endian number in an array that has it.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::super::testing::Rpm;
    use super::*;

    fn shown(blob: &[u8]) -> String {
        let header = Header::parse(blob, 7).unwrap();
        let package = header.package().unwrap().unwrap();
        let files = header.files(&mut 1000).unwrap();
        let files: Vec<_> = files.iter().map(|path| String::from_utf8_lossy(path)).collect();
        format!(
            "{} {} {}: {}",
            package.name,
            package.architecture.unwrap_or_default(),
            package.version,
            files.join(" ")
        )
    }

    #[test]
    fn a_header_says_name_version_and_files() {
        let bash =
            Rpm::new("bash", "5.2", "1.fc42").files(&["/usr/bin/bash", "/usr/bin/sh", "/etc/skel/.bashrc"]);
        assert_eq!(
            shown(&bash.header()),
            "bash x86_64 5.2-1.fc42: /usr/bin/bash /usr/bin/sh /etc/skel/.bashrc"
        );
        assert_eq!(
            shown(&bash.epoch(3).header()),
            "bash x86_64 3:5.2-1.fc42: /usr/bin/bash /usr/bin/sh /etc/skel/.bashrc"
        );
        assert_eq!(shown(&Rpm::new("empty", "1", "2").header()), "empty x86_64 1-2: ");
        let key = Rpm::new("gpg-pubkey", "1", "2").header();
        assert_eq!(Header::parse(&key, 7).unwrap().package().unwrap(), None);
    }

    #[test]
    fn files_that_are_not_on_the_disk_are_left_out() {
        let rpm = Rpm::new("a", "1", "1").files(&["/a/normal", "/a/replaced", "/b/left-out", "/b/shared"]);
        assert_eq!(shown(&rpm.states([0, 1, 2, 3]).header()), "a x86_64 1-1: /a/normal /b/shared");
    }

    #[test]
    fn what_is_not_a_header_is_refused() {
        let refused = |blob: &[u8]| {
            let parsed = Header::parse(blob, 7).and_then(|h| h.package().and_then(|_| h.files(&mut 1000)));
            parsed.unwrap_err().to_string()
        };
        let whole = Rpm::new("a", "1", "1").files(&["/a/b"]).header();
        for length in [0, 7, 8, 100, whole.len() - 1] {
            assert_eq!(refused(&whole[..length]), "package 7: a header that is cut off");
        }
        let lengths = [&[0xff; 8], &whole[8..]].concat();
        assert_eq!(refused(&lengths), "package 7: a header that is cut off");
        assert_eq!(refused(&[0; 8]), "package 7: a package without a name");
        let changed = |tag: u32, at: usize, value: u32| {
            let mut blob = whole.clone();
            let entry = (8..).step_by(ENTRY).find(|entry| u32_at(&blob, *entry) == tag).unwrap();
            blob[entry + at..entry + at + 4].copy_from_slice(&value.to_be_bytes());
            refused(&blob)
        };
        assert_eq!(changed(tag::NAME, 4, kind::INT32), "package 7: a tag of another type");
        assert_eq!(changed(tag::NAME, 8, u32::MAX), "package 7: a tag whose data is outside of the header");
        assert_eq!(changed(tag::BASE_NAMES, 12, 2), "package 7: a file without a directory");
        assert_eq!(
            changed(tag::DIR_INDEXES, 12, u32::MAX),
            "package 7: a tag whose data is outside of the header"
        );
        assert_eq!(changed(tag::BASE_NAMES, 12, u32::MAX), "package 7: a file without a directory");
        let many = Rpm::new("a", "1", "1").files(&[&*"/a/b".repeat(100); 10]).header();
        assert_eq!(refused(&many), "package 7: too many files");
    }
}
