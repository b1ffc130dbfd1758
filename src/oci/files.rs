//! Named files in a directory or in an uncompressed tar: what image layouts and `docker save` archives are made
//! of.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tar_core::EntryType;
use tar_core::parse::{Limits, ParseEvent, Parser};

use super::compress::sniff;
use super::manifest::Compression;
use super::{Error, Result};
use crate::fsx::{self, Dir};
use crate::names::printable;

/// Entries of an archive: an image has some per layer.
const MAX_ENTRIES: usize = 100_000;
/// Bytes read for each header: room for an extension header before it.
const FIRST_READ: usize = 4096;
/// Links from one name to the next.
const MAX_LINKS: usize = 8;

/// A set of files by name.
#[derive(Debug)]
pub enum Files {
    Directory(Dir),
    Archive(Archive),
}

impl Files {
    /// Opens a directory.
    pub fn directory(path: &str) -> Result<Self> {
        fsx::open_dir(Path::new(path)).map(Self::Directory).map_err(|error| not_found(error, path))
    }

    /// Opens a tar and finds what is in it. Only headers are read.
    pub fn archive(path: &str) -> Result<Self> {
        let file = fsx::open_file(Path::new(path)).map_err(|error| not_found(error, path))?;
        Archive::index(file, path).map(Self::Archive)
    }

    /// Reads a small file; `None` when it is not there. `whose` is for messages.
    pub fn read(&self, name: &str, limit: u64, whose: &str) -> Result<Option<Vec<u8>>> {
        let Some((file, size)) = self.open(name, whose)? else { return Ok(None) };
        let shown = printable(name.as_bytes());
        let too_large = |size| Err(Error::TooLarge { what: format!("{shown} of {whose}"), size, limit });
        if size > limit {
            return too_large(size);
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::io(format!("reading {shown} of {whose}")))?;
        if bytes.len() as u64 > limit { too_large(bytes.len() as u64) } else { Ok(Some(bytes)) }
    }

    /// Opens a file and gives its size; `None` when it is not there. In a directory, links are followed as long
    /// as they stay inside it.
    pub fn open(&self, name: &str, whose: &str) -> Result<Option<(Box<dyn Read + Send>, u64)>> {
        let shown = || printable(name.as_bytes());
        let context = || format!("opening {} of {whose}", shown());
        match self {
            Self::Directory(dir) => {
                let Some(file) = fsx::open_in_root(dir, name.as_bytes()).map_err(Error::io(context()))?
                else {
                    return Ok(None);
                };
                let metadata = file.metadata().map_err(Error::io(context()))?;
                if !metadata.is_file() {
                    return Err(Error::malformed(
                        format!("{} of {whose}", shown()),
                        "it is not a regular file",
                    ));
                }
                Ok(Some((Box::new(file), metadata.len())))
            }
            Self::Archive(archive) => archive.open(name).map_err(Error::io(context())),
        }
    }
}

fn not_found(error: io::Error, path: &str) -> Error {
    let what = printable(path.as_bytes());
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotFound { what, known: Vec::new() },
        _ => Error::Io { context: format!("opening {what}"), source: error },
    }
}

/// An uncompressed tar and where its files are.
#[derive(Debug)]
pub struct Archive {
    file: File,
    members: HashMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    File {
        offset: u64,
        size: u64,
    },
    /// To another member, relative to the directory of this one.
    Link(String),
}

impl Archive {
    fn index(file: File, shown: &str) -> Result<Self> {
        let malformed = |reason: String| Error::malformed(shown, reason);
        let reading = || format!("reading {shown}");
        let metadata = file.metadata().map_err(Error::io(reading()))?;
        if !metadata.is_file() {
            return Err(malformed("it is not a regular file; an archive must be one".into()));
        }
        let mut parser = Parser::new(Limits { max_path_len: Some(4096), ..Limits::default() });
        let mut members = HashMap::new();
        let mut buffer = vec![0; FIRST_READ];
        let mut position = 0;
        loop {
            let filled = read_at(&file, &mut buffer, position).map_err(Error::io(reading()))?;
            if position == 0 && sniff(&buffer[..filled]) != Compression::None {
                return Err(Error::incompatible(
                    shown,
                    "compressed archives cannot be read in place; decompress it first",
                ));
            }
            let (consumed, content) =
                match parser.parse(&buffer[..filled]).map_err(|e| malformed(e.to_string()))? {
                    ParseEvent::NeedData { min_bytes } if filled == buffer.len() && min_bytes <= 4 << 20 => {
                        let length = min_bytes.max(buffer.len() * 2);
                        buffer.resize(length, 0);
                        continue;
                    }
                    ParseEvent::NeedData { .. } if buffer[..filled].iter().all(|b| *b == 0) => break,
                    ParseEvent::NeedData { .. } => {
                        return Err(malformed("it ends in the middle of an entry".into()));
                    }
                    ParseEvent::Entry { consumed, entry } => {
                        let offset = position + consumed as u64;
                        let end = offset.checked_add(entry.size).filter(|end| *end <= metadata.len());
                        if end.is_none() {
                            return Err(malformed(format!(
                                "`{}` reaches beyond its end",
                                printable(&entry.path)
                            )));
                        }
                        let name = clean_name(&entry.path);
                        let target = || String::from_utf8(entry.link_target.as_deref()?.to_vec()).ok();
                        let member = match entry.entry_type {
                            EntryType::Regular | EntryType::Continuous => {
                                Some(Member::File { offset, size: entry.size })
                            }
                            EntryType::Symlink => target().map(Member::Link),
                            // A hard link's target is a name from the top.
                            EntryType::Link => target().map(|t| Member::Link(format!("/{t}"))),
                            _ => None,
                        };
                        if let (Some(name), Some(member)) = (name, member) {
                            members.insert(name, member);
                        }
                        (consumed, entry.padded_size())
                    }
                    ParseEvent::GlobalExtensions { consumed, .. } => (consumed, 0),
                    ParseEvent::SparseEntry { .. } => return Err(malformed("it has sparse entries".into())),
                    ParseEvent::End { .. } => break,
                };
            if members.len() > MAX_ENTRIES {
                return Err(malformed(format!("it has more than {MAX_ENTRIES} entries")));
            }
            position += consumed as u64 + content;
            // Once was enough for a large extension header; every other header is read in small pieces again.
            buffer.truncate(FIRST_READ);
        }
        Ok(Self { file, members })
    }

    fn open(&self, name: &str) -> io::Result<Option<(Box<dyn Read + Send>, u64)>> {
        let Some(mut name) = clean_name(name.as_bytes()) else { return Ok(None) };
        for _ in 0..MAX_LINKS {
            match self.members.get(&name) {
                Some(Member::File { offset, size }) => {
                    let file = self.file.try_clone()?;
                    return Ok(Some((
                        Box::new(Section { file, position: *offset, end: offset + size }),
                        *size,
                    )));
                }
                Some(Member::Link(target)) => match follow(&name, target) {
                    Some(next) => name = next,
                    None => return Ok(None),
                },
                None => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// A name without `./` and doubled slashes; `None` for what cannot be asked for.
fn clean_name(name: &[u8]) -> Option<String> {
    let name = str::from_utf8(name).ok()?;
    Some(name.split('/').filter(|c| !c.is_empty() && *c != ".").collect::<Vec<_>>().join("/"))
}

fn follow(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => from.rsplit_once('/').map_or(Vec::new(), |(directory, _)| directory.split('/').collect()),
    };
    for component in target.split('/').filter(|c| !c.is_empty() && *c != ".") {
        match component {
            ".." => drop(parts.pop()?),
            component => parts.push(component),
        }
    }
    Some(parts.join("/"))
}

fn read_at(file: &File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], position + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// One file inside an archive.
#[derive(Debug)]
struct Section {
    file: File,
    position: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = (self.end - self.position).min(buffer.len() as u64) as usize;
        let n = self.file.read_at(&mut buffer[..limit], self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_the_archive() {
        assert_eq!(follow("a/layer.tar", "../b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(follow("a/layer.tar", "/b/layer.tar").as_deref(), Some("b/layer.tar"));
        assert_eq!(follow("layer.tar", "../b"), None);
    }

    fn archive() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o644);
        builder.append_data(&mut header.clone(), "./dir/one", &b"one"[..]).unwrap();
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Symlink);
        builder.append_link(&mut header, "two", "dir/one").unwrap();
        builder.append_link(&mut header, "loop", "loop").unwrap();
        builder.into_inner().unwrap()
    }

    fn open(bytes: &[u8]) -> Result<Files> {
        let temp = tempfile::NamedTempFile::new().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(temp.path(), bytes).unwrap();
        Files::archive(temp.path().to_str().unwrap())
    }

    #[test]
    fn files_of_an_archive_are_found_by_name_and_by_link() {
        let files = open(&archive()).unwrap();
        for name in ["dir/one", "two"] {
            assert_eq!(files.read(name, 10, "x").unwrap().unwrap(), b"one", "{name}");
        }
        assert!(files.read("loop", 10, "x").unwrap().is_none());
        assert!(files.read("none", 10, "x").unwrap().is_none());
        assert!(matches!(files.read("two", 2, "x"), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn truncated_and_compressed_archives_say_so() {
        let bytes = archive();
        for end in [100, 513, 514] {
            assert!(open(&bytes[..end]).is_err(), "{end}");
        }
        let error = open(&[0x1f, 0x8b, 8, 0]).unwrap_err().to_string();
        assert!(error.contains("compressed"), "{error}");
    }
}
