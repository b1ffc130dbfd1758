//! A tree, or a part of one, as a layer's tar: what [`super::read_layer`] reads.
//!
//! The format is pax with ustar headers (POSIX.1-2017, pax, "pax Interchange Format"): the one that every builder reads, and the
//! only one with extended attributes and times to the nanosecond. The bytes depend on the entries and nothing else.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use tar_core::EntryType;
use tar_core::builder::EntryBuilder;

use super::{Error, Result};
use crate::digest::ObjectId;
use crate::names::ImagePath;
use crate::repo::{Contents, Meta, Mtime, Node, TreeEntry};

const BLOCK: u64 = 512;
/// What eleven octal digits can say.
const LATEST: u64 = 0o77_777_777_777;

/// Writes entries in the order they come, and the end of the archive. Names of one object with one time are one file with hard
/// links; the content of the first is read.
pub fn write_layer<'t>(
    entries: impl IntoIterator<Item = &'t TreeEntry>,
    contents: &dyn Contents,
    out: &mut dyn Write,
) -> Result<()> {
    let mut first_names: HashMap<(ObjectId, Mtime), &ImagePath> = HashMap::new();
    for entry in entries {
        let link = match &entry.node {
            Node::File { object, .. } => first_names.get(&(*object, entry.mtime)).copied(),
            _ => None,
        };
        let failed = |e: io::Error| Error::Write { path: entry.path.clone(), source: e };
        if let Some((name, _)) = entry.meta.xattrs.iter().find(|(name, _)| str::from_utf8(name).is_err()) {
            let name = crate::names::printable(name);
            return Err(failed(io::Error::other(format!("the name of its attribute {name} is not UTF-8"))));
        }
        let header = header(entry, link).map_err(|e| failed(io::Error::other(e)))?;
        out.write_all(&header).map_err(failed)?;
        if let (Node::File { object, size }, None) = (&entry.node, link) {
            first_names.insert((*object, entry.mtime), &entry.path);
            write_content(*size, contents.open(entry)?, out).map_err(failed)?;
        }
    }
    write_end(out)
}

/// Writes a regular file of root's without a time, for archives that are no layers.
pub fn write_file(path: &ImagePath, size: u64, content: impl Read, out: &mut dyn Write) -> Result<()> {
    let meta = Meta { mode: 0o644, ..Meta::default() };
    // The header looks at the size alone.
    let node = Node::File { object: ObjectId([0; 32]), size };
    let entry = TreeEntry { path: path.clone(), meta, mtime: Mtime::default(), node };
    let failed = |e: io::Error| Error::Write { path: path.clone(), source: e };
    let header = header(&entry, None).map_err(|e| failed(io::Error::other(e)))?;
    out.write_all(&header).map_err(failed)?;
    write_content(size, content, out).map_err(failed)
}

/// Writes the end of an archive.
pub fn write_end(out: &mut dyn Write) -> Result<()> {
    let end = [0; 2 * BLOCK as usize];
    out.write_all(&end).map_err(|source| Error::Write { path: ImagePath::root(), source })
}

fn write_content(size: u64, content: impl Read, out: &mut dyn Write) -> io::Result<()> {
    let written = io::copy(&mut content.take(size), out)?;
    if written != size {
        return Err(io::Error::other(format!("it has {written} bytes, and not {size} as before")));
    }
    let padding = size.next_multiple_of(BLOCK) - size;
    out.write_all(&[0; BLOCK as usize][..padding as usize])
}

fn header(
    entry: &TreeEntry,
    link: Option<&ImagePath>,
) -> std::result::Result<Vec<u8>, tar_core::HeaderError> {
    let mut builder = EntryBuilder::new_ustar();
    let is_directory = entry.node.is_directory();
    builder.path(name(&entry.path, is_directory));
    let meta = &entry.meta;
    builder.mode(meta.mode.into())?.uid(meta.uid.into())?.gid(meta.gid.into())?;
    builder.size(0)?;
    match (&entry.node, link) {
        (_, Some(first)) => {
            builder.entry_type(EntryType::Link).link_name(first.as_bytes());
        }
        (Node::Directory, _) => {
            builder.entry_type(EntryType::Directory);
        }
        (Node::Empty, _) => {
            builder.entry_type(EntryType::Regular);
        }
        (Node::File { size, .. }, _) => {
            builder.entry_type(EntryType::Regular).size(*size)?;
        }
        (Node::Symlink { target }, _) => {
            builder.entry_type(EntryType::Symlink).link_name(target);
        }
        (Node::CharDevice { major, minor }, _) => {
            builder.entry_type(EntryType::Char).device(*major, *minor)?;
        }
        (Node::BlockDevice { major, minor }, _) => {
            builder.entry_type(EntryType::Block).device(*major, *minor)?;
        }
        (Node::Fifo, _) => {
            builder.entry_type(EntryType::Fifo);
        }
    }
    match u64::try_from(entry.mtime.seconds) {
        Ok(seconds) if seconds <= LATEST && entry.mtime.nanoseconds == 0 => {
            builder.mtime(seconds)?;
        }
        _ => {
            builder.mtime(0)?.add_pax("mtime", time(entry));
        }
    }
    for (name, value) in meta.xattrs.iter() {
        if let Ok(name) = str::from_utf8(name) {
            builder.add_pax(&format!("SCHILY.xattr.{name}"), value);
        }
    }
    Ok(builder.finish_bytes())
}

fn name(path: &ImagePath, is_directory: bool) -> Vec<u8> {
    let mut name = match path.is_root() {
        true => b".".to_vec(),
        false => path.as_bytes().to_vec(),
    };
    if is_directory {
        name.push(b'/');
    }
    name
}

/// Seconds with a sign and a fraction. A time before the epoch is counted from there: -0.25 is three quarters into the second -1.
fn time(entry: &TreeEntry) -> String {
    let (seconds, nanoseconds) = (entry.mtime.seconds, entry.mtime.nanoseconds);
    match (seconds, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (0.., _) => format!("{seconds}.{nanoseconds:09}"),
        _ => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};

    use proptest::prelude::*;

    use super::*;
    use crate::layer::sink::ObjectSink;
    use crate::layer::{Limits, read_layer};
    use crate::repo::{self, Change, Xattrs};

    /// Knows a content by its first byte and its size.
    struct Store;

    impl ObjectSink for Store {
        fn store(&mut self, _: &Meta, _: Mtime, size: u64, content: &mut dyn Read) -> repo::Result<ObjectId> {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, vec![bytes[0]; size as usize]);
            Ok(ObjectId([bytes[0]; 32]))
        }
    }

    impl Contents for Store {
        fn open(&self, entry: &TreeEntry) -> repo::Result<File> {
            let Node::File { object, size } = &entry.node else { panic!("no file") };
            let fd = rustix::fs::memfd_create("content", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
            let mut file = File::from(fd);
            file.write_all(&vec![object.0[0]; *size as usize]).unwrap();
            file.rewind().unwrap();
            Ok(file)
        }
    }

    fn node() -> impl Strategy<Value = Node> {
        prop_oneof![
            Just(Node::Empty),
            (1..=255u8)
                .prop_map(|byte| Node::File { object: ObjectId([byte; 32]), size: 1 + u64::from(byte) * 7 }),
            "[ -~]{1,150}".prop_map(|target| Node::Symlink { target: target.into_bytes().into() }),
            (0..4000u32, 0..255u32).prop_map(|(major, minor)| Node::CharDevice { major, minor }),
            Just(Node::BlockDevice { major: 8, minor: 1 }),
            Just(Node::Fifo),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            names in proptest::collection::btree_set("[^/\0]{1,120}", 1..8),
            nodes in proptest::collection::vec(node(), 8),
            seconds in -5_000_000_000i64..20_000_000_000,
            nanoseconds in prop_oneof![Just(0u32), 0..1_000_000_000u32],
            mode in 0..0o10000u16,
            (uid, gid) in (0..u32::MAX, 0..70_000u32),
            value in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let xattrs = Xattrs::new(vec![(b"user.test"[..].into(), value.into())]);
            let meta = Meta { mode, uid, gid, xattrs };
            let mtime = Mtime { seconds, nanoseconds };
            let directory = |path| TreeEntry { path, meta: meta.clone(), mtime, node: Node::Directory };
            let mut entries = vec![directory(ImagePath::root()), directory(ImagePath::new(b"d").unwrap())];
            for (name, node) in names.iter().filter(|name| !matches!(name.as_str(), "." | "..") && !name.starts_with(".wh.")).zip(nodes) {
                let Ok(path) = ImagePath::new(format!("d/{name}").as_bytes()) else { continue };
                let meta = match node {
                    // Nobody asks for the mode of a link, nor for its attributes.
                    Node::Symlink { .. } => Meta { mode: 0o777, xattrs: Xattrs::default(), ..meta.clone() },
                    _ => meta.clone(),
                };
                entries.push(TreeEntry { path, meta, mtime, node });
            }
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            let mut tar = Vec::new();
            write_layer(&entries, &Store, &mut tar).unwrap();
            let (layer, warnings) = read_layer(&*tar, &mut Store, &Limits::default()).unwrap();
            prop_assert!(warnings.is_empty() && layer.opaque.is_empty());
            let read: Vec<_> = layer.changes.into_iter().map(|(path, change)| match change {
                Change::Set { meta, mtime, node } => TreeEntry { path, meta, mtime, node },
                change => panic!("{change:?}"),
            }).collect();
            prop_assert_eq!(read, entries);
        }
    }
}
