//! A store in memory, and layers as text: what a test compares.

use std::collections::BTreeMap;
use std::io::Read;

use reroot::digest::ObjectId;
use reroot::layer::sink::ObjectSink;
use reroot::layer::{self, Limits, Warning};
use reroot::names::printable;
use reroot::repo::{self, Change, LayerTree, Meta, Mtime, Node};

/// Keeps the content of every file.
#[derive(Debug, Default)]
pub struct MemoryStore {
    pub files: BTreeMap<[u8; 32], Vec<u8>>,
}

impl ObjectSink for MemoryStore {
    fn store(
        &mut self,
        _meta: &Meta,
        _mtime: Mtime,
        size: u64,
        content: &mut dyn Read,
    ) -> repo::Result<ObjectId> {
        assert_ne!(size, 0, "empty files have no object");
        let mut bytes = Vec::new();
        let io = |source| repo::Error::Io { context: "storing a file".into(), source };
        // Grows as the bytes come: a header may promise anything.
        content.take(size).read_to_end(&mut bytes).map_err(io)?;
        assert_eq!(bytes.len() as u64, size, "content ends early without an error");
        let id = *blake3::hash(&bytes).as_bytes();
        self.files.insert(id, bytes);
        Ok(ObjectId(id))
    }
}

/// Reads a layer from a stream that gives few bytes at a time, so that headers are cut anywhere.
pub fn read(tar: &[u8], limits: &Limits) -> layer::Result<(LayerTree, Vec<Warning>, MemoryStore)> {
    let mut store = MemoryStore::default();
    let (tree, warnings) = layer::read_layer(Slow(tar), &mut store, limits)?;
    Ok((tree, warnings, store))
}

struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = out.len().min(4099);
        self.0.read(&mut out[..n])
    }
}

/// One line for each change: path, mode, owner, time, kind, xattrs.
pub fn lines(tree: &LayerTree, store: &MemoryStore) -> Vec<String> {
    let mut lines: Vec<String> =
        tree.changes.iter().map(|(path, change)| format!("{path} {}", line(change, store))).collect();
    lines.extend(tree.opaque.iter().map(|path| format!("{path} opaque")));
    lines
}

fn line(change: &Change, store: &MemoryStore) -> String {
    let (meta, mtime, node) = match change {
        Change::Whiteout => return "whiteout".into(),
        Change::Hardlink { target } => return format!("hardlink {target}"),
        Change::Set { meta, mtime, node } => (meta, mtime, node),
    };
    let kind = match node {
        Node::Directory => "dir".into(),
        Node::Empty => "empty".into(),
        Node::Fifo => "fifo".into(),
        Node::File { object, size } => {
            let content = &store.files[&object.0];
            assert_eq!(content.len() as u64, *size);
            if content.len() <= 60 {
                format!("file \"{}\"", printable(content))
            } else {
                format!("file of {size}: {}", &blake3::hash(content).to_hex()[..8])
            }
        }
        Node::Symlink { target } => format!("-> {}", printable(target)),
        Node::CharDevice { major, minor } => format!("char {major}:{minor}"),
        Node::BlockDevice { major, minor } => format!("block {major}:{minor}"),
    };
    let fraction = if mtime.nanoseconds == 0 { String::new() } else { format!(".{:09}", mtime.nanoseconds) };
    let mut line = format!("{:04o} {}:{} {}{fraction} {kind}", meta.mode, meta.uid, meta.gid, mtime.seconds);
    for (name, value) in meta.xattrs.iter() {
        line += &format!(" {}={}", printable(name), printable(value));
    }
    line
}
