//! The bytes of a [`Tree`] and of a [`LayerTree`].
//!
//! ```text
//! tree  = "reroot tree 1\n"  count entry*
//! layer = "reroot layer 1\n" count change* count opaque*
//!
//! entry  = path kind inode
//! change = path ( kind inode | 0x10 path' (hardlink to) | 0x11 (whiteout) )
//! opaque = path
//! path   = length shared with the path before, length of the rest, the rest
//! path'  = length, bytes
//! inode  = mode uid gid seconds nanoseconds xattrs, then by kind
//!          0 directory: nothing        1 empty file: nothing
//!          2 file: size, 32 bytes of object id
//!          3 symbolic link: length, bytes
//!          4 character device, 5 block device: major minor        6 pipe: nothing
//! xattrs = count, then for each: length, name, length, value
//! ```
//!
//! Numbers are LEB128 varints in their shortest form; seconds are zigzag-encoded first. Paths are sorted and
//! unique. There is one encoding for a tree, and only that one is accepted: equal trees have equal ids.

use super::{Change, LayerTree, Meta, Mtime, Node, Tree, TreeEntry, TreeShapeError, Xattrs};
use crate::digest::{ObjectId, TreeId};
use crate::fsx::xattr::Pair;
use crate::names::{ImagePath, NameError};

const TREE_MAGIC: &[u8] = b"reroot tree 1\n";
const LAYER_MAGIC: &[u8] = b"reroot layer 1\n";

const DIRECTORY: u8 = 0;
const EMPTY: u8 = 1;
const FILE: u8 = 2;
const SYMLINK: u8 = 3;
const CHAR_DEVICE: u8 = 4;
const BLOCK_DEVICE: u8 = 5;
const FIFO: u8 = 6;
const HARDLINK: u8 = 0x10;
const WHITEOUT: u8 = 0x11;

/// Why bytes are not an encoded tree or layer.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("not in a known format")]
    Magic,
    #[error("ends too early")]
    Truncated,
    #[error("{0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Path(#[from] NameError),
    #[error(transparent)]
    Shape(#[from] TreeShapeError),
}

type Result<T> = std::result::Result<T, CodecError>;

/// The id of a tree, from its canonical bytes.
pub fn tree_id(encoded: &[u8]) -> TreeId {
    TreeId(*blake3::hash(encoded).as_bytes())
}

/// The canonical bytes of a tree.
pub fn encode_tree(tree: &Tree) -> Vec<u8> {
    let mut out = Encoder::new(TREE_MAGIC, tree.entries().len());
    for TreeEntry { path, meta, mtime, node } in tree.entries() {
        out.path(path);
        out.inode(meta, *mtime, node);
    }
    out.bytes
}

/// Reads a tree and checks its shape.
pub fn decode_tree(bytes: &[u8]) -> Result<Tree> {
    let mut input = Decoder::new(bytes, TREE_MAGIC)?;
    let count = input.count()?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let path = input.path()?;
        let kind = input.byte()?;
        let (meta, mtime, node) = input.inode(kind)?;
        entries.push(TreeEntry { path, meta, mtime, node });
    }
    input.end()?;
    Ok(Tree::new(entries)?)
}

/// The canonical bytes of a layer. Changes and opaque directories must be sorted and unique.
pub fn encode_layer(layer: &LayerTree) -> Vec<u8> {
    let mut out = Encoder::new(LAYER_MAGIC, layer.changes.len());
    for (path, change) in &layer.changes {
        out.path(path);
        match change {
            Change::Set { meta, mtime, node } => out.inode(meta, *mtime, node),
            Change::Hardlink { target } => {
                out.bytes.push(HARDLINK);
                out.blob(target.as_bytes());
            }
            Change::Whiteout => out.bytes.push(WHITEOUT),
        }
    }
    out.last.clear();
    out.number(layer.opaque.len() as u64);
    for path in &layer.opaque {
        out.path(path);
    }
    out.bytes
}

/// Reads a layer.
pub fn decode_layer(bytes: &[u8]) -> Result<LayerTree> {
    let mut input = Decoder::new(bytes, LAYER_MAGIC)?;
    let count = input.count()?;
    let mut changes: Vec<(ImagePath, Change)> = Vec::with_capacity(count);
    for _ in 0..count {
        let path = input.path()?;
        if changes.last().is_some_and(|(before, _)| *before >= path) {
            return Err(CodecError::Malformed("changes are not sorted"));
        }
        let change = match input.byte()? {
            HARDLINK => Change::Hardlink { target: ImagePath::new(input.blob()?)? },
            WHITEOUT => Change::Whiteout,
            kind => {
                let (meta, mtime, node) = input.inode(kind)?;
                Change::Set { meta, mtime, node }
            }
        };
        changes.push((path, change));
    }
    input.last.clear();
    let count = input.count()?;
    let mut opaque: Vec<ImagePath> = Vec::with_capacity(count);
    for _ in 0..count {
        let path = input.path()?;
        if opaque.last().is_some_and(|before| *before >= path) {
            return Err(CodecError::Malformed("opaque directories are not sorted"));
        }
        opaque.push(path);
    }
    input.end()?;
    Ok(LayerTree { changes, opaque })
}

struct Encoder {
    bytes: Vec<u8>,
    last: Vec<u8>,
}

impl Encoder {
    fn new(magic: &[u8], count: usize) -> Self {
        // About what an entry of an OS image takes.
        let mut bytes = Vec::with_capacity(magic.len() + count * 80);
        bytes.extend(magic);
        let mut encoder = Self { bytes, last: Vec::new() };
        encoder.number(count as u64);
        encoder
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn blob(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend(bytes);
    }

    fn path(&mut self, path: &ImagePath) {
        let path = path.as_bytes();
        let shared = path.iter().zip(&self.last).take_while(|(a, b)| a == b).count();
        self.number(shared as u64);
        self.blob(&path[shared..]);
        self.last.truncate(shared);
        self.last.extend(&path[shared..]);
    }

    fn inode(&mut self, meta: &Meta, mtime: Mtime, node: &Node) {
        self.bytes.push(match node {
            Node::Directory => DIRECTORY,
            Node::Empty => EMPTY,
            Node::File { .. } => FILE,
            Node::Symlink { .. } => SYMLINK,
            Node::CharDevice { .. } => CHAR_DEVICE,
            Node::BlockDevice { .. } => BLOCK_DEVICE,
            Node::Fifo => FIFO,
        });
        self.number(meta.mode.into());
        self.number(meta.uid.into());
        self.number(meta.gid.into());
        self.number(((mtime.seconds << 1) ^ (mtime.seconds >> 63)) as u64);
        self.number(mtime.nanoseconds.into());
        self.number(meta.xattrs.iter().len() as u64);
        for (name, value) in meta.xattrs.iter() {
            self.blob(name);
            self.blob(value);
        }
        match node {
            Node::Directory | Node::Empty | Node::Fifo => {}
            Node::File { object, size } => {
                self.number(*size);
                self.bytes.extend(object.0);
            }
            Node::Symlink { target } => self.blob(target),
            Node::CharDevice { major, minor } | Node::BlockDevice { major, minor } => {
                self.number((*major).into());
                self.number((*minor).into());
            }
        }
    }
}

struct Decoder<'a> {
    rest: &'a [u8],
    last: Vec<u8>,
    /// The set of xattrs before: neighbours often have the same one, and it is shared then.
    xattrs: Xattrs,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8], magic: &[u8]) -> Result<Self> {
        let rest = bytes.strip_prefix(magic).ok_or(CodecError::Magic)?;
        Ok(Self { rest, last: Vec::new(), xattrs: Xattrs::default() })
    }

    fn end(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Malformed("bytes after the end")) }
    }

    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    fn number(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(CodecError::Malformed("a number is too large"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(CodecError::Malformed("a number is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(CodecError::Malformed("a number is too long"))
    }

    fn narrow<T: TryFrom<u64>>(&mut self) -> Result<T> {
        T::try_from(self.number()?).map_err(|_| CodecError::Malformed("a number is out of range"))
    }

    /// A count of things that take at least two bytes each: nothing is allocated that the input cannot fill.
    fn count(&mut self) -> Result<usize> {
        let count: usize = self.narrow()?;
        if count > self.rest.len() / 2 { Err(CodecError::Truncated) } else { Ok(count) }
    }

    fn blob(&mut self) -> Result<&'a [u8]> {
        let length = self.narrow()?;
        self.take(length)
    }

    fn path(&mut self) -> Result<ImagePath> {
        let shared: usize = self.narrow()?;
        let rest = self.blob()?;
        match self.last.get(shared) {
            None if shared > self.last.len() => return Err(CodecError::Malformed("a path shares too much")),
            Some(next) if rest.first() == Some(next) => {
                return Err(CodecError::Malformed("a path shares too little"));
            }
            _ => {}
        }
        self.last.truncate(shared);
        self.last.extend(rest);
        Ok(ImagePath::new(&self.last)?)
    }

    fn inode(&mut self, kind: u8) -> Result<(Meta, Mtime, Node)> {
        let mode = self.narrow()?;
        if mode > 0o7777 {
            return Err(CodecError::Malformed("a mode has unknown bits"));
        }
        let (uid, gid) = (self.narrow()?, self.narrow()?);
        let zigzag = self.number()?;
        let seconds = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let nanoseconds = self.narrow()?;
        if nanoseconds >= 1_000_000_000 {
            return Err(CodecError::Malformed("a time has too many nanoseconds"));
        }
        let xattrs = self.xattrs()?;
        let node = match kind {
            DIRECTORY => Node::Directory,
            EMPTY => Node::Empty,
            FILE => {
                let size = self.number()?;
                if size == 0 {
                    return Err(CodecError::Malformed("an empty file with an object"));
                }
                let id = self.take(32)?.try_into().expect("32 bytes were taken");
                Node::File { object: ObjectId(id), size }
            }
            SYMLINK => Node::Symlink { target: self.blob()?.into() },
            CHAR_DEVICE => Node::CharDevice { major: self.narrow()?, minor: self.narrow()? },
            BLOCK_DEVICE => Node::BlockDevice { major: self.narrow()?, minor: self.narrow()? },
            FIFO => Node::Fifo,
            _ => return Err(CodecError::Malformed("an entry of unknown kind")),
        };
        Ok((Meta { mode, uid, gid, xattrs }, Mtime { seconds, nanoseconds }, node))
    }

    fn xattrs(&mut self) -> Result<Xattrs> {
        let count = self.count()?;
        if count == 0 {
            return Ok(Xattrs::default());
        }
        let mut pairs: Vec<Pair> = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, value) = (self.blob()?, self.blob()?);
            if pairs.last().is_some_and(|(before, _)| **before >= *name) {
                return Err(CodecError::Malformed("xattrs are not sorted"));
            }
            pairs.push((name.into(), value.into()));
        }
        let xattrs = Xattrs::new(pairs);
        if xattrs != self.xattrs {
            self.xattrs = xattrs;
        }
        Ok(self.xattrs.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node() -> impl Strategy<Value = Node> {
        prop_oneof![
            Just(Node::Directory),
            Just(Node::Empty),
            Just(Node::Fifo),
            (any::<[u8; 32]>(), 1..u64::MAX).prop_map(|(id, size)| Node::File { object: ObjectId(id), size }),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(|t| Node::Symlink { target: t.into() }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::CharDevice { major, minor }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::BlockDevice { major, minor }),
        ]
    }

    fn meta() -> impl Strategy<Value = Meta> {
        let bytes = || proptest::collection::vec(any::<u8>(), 1..6).prop_map(Vec::into_boxed_slice);
        let xattrs = proptest::collection::vec((bytes(), bytes()), 0..3).prop_map(Xattrs::new);
        (0..0o10000u16, any::<u32>(), any::<u32>(), xattrs).prop_map(|(mode, uid, gid, xattrs)| Meta {
            mode,
            uid,
            gid,
            xattrs,
        })
    }

    fn path() -> impl Strategy<Value = ImagePath> {
        "[ab]{1,2}(/[ab\u{7f}-\u{ff}]{1,2}){0,3}".prop_map(|p| ImagePath::new(p.as_bytes()).unwrap())
    }

    fn mtime() -> impl Strategy<Value = Mtime> {
        (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanoseconds)| Mtime { seconds, nanoseconds })
    }

    fn layer() -> impl Strategy<Value = LayerTree> {
        let change = prop_oneof![
            (meta(), mtime(), node()).prop_map(|(meta, mtime, node)| Change::Set { meta, mtime, node }),
            path().prop_map(|target| Change::Hardlink { target }),
            Just(Change::Whiteout),
        ];
        let changes = proptest::collection::btree_map(path(), change, 0..20);
        (changes, proptest::collection::btree_set(path(), 0..3)).prop_map(|(changes, opaque)| LayerTree {
            changes: changes.into_iter().collect(),
            opaque: opaque.into_iter().collect(),
        })
    }

    proptest! {
        #[test]
        fn a_layer_comes_back_as_it_was(layer in layer()) {
            prop_assert_eq!(decode_layer(&encode_layer(&layer)).unwrap(), layer);
        }

        #[test]
        fn only_the_canonical_bytes_are_accepted(layer in layer(), at: prop::sample::Index, byte: u8) {
            let mut bytes = encode_layer(&layer);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(other) = decode_layer(&bytes) {
                prop_assert_eq!(encode_layer(&other), bytes);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_tree(&[TREE_MAGIC, &bytes].concat());
            let _ = decode_layer(&[LAYER_MAGIC, &bytes].concat());
        }
    }

    #[test]
    fn a_tree_round_trips_and_its_shape_is_checked() {
        let entry = |path: &str, node| TreeEntry {
            path: ImagePath::new(path.as_bytes()).unwrap(),
            meta: Meta { mode: 0o755, ..Meta::default() },
            mtime: Mtime { seconds: -1, nanoseconds: 999_999_999 },
            node,
        };
        let file = Node::File { object: ObjectId([7; 32]), size: 1 };
        let tree =
            Tree::new(vec![entry("", Node::Directory), entry("a", Node::Directory), entry("a/b", file)])
                .unwrap();
        let bytes = encode_tree(&tree);
        assert_eq!(decode_tree(&bytes).unwrap(), tree);
        for end in 0..bytes.len() {
            assert!(decode_tree(&bytes[..end]).is_err());
        }
        assert!(decode_tree(&encode_layer(&LayerTree::default())).is_err());
    }
}
