//! What an object is: the content of a regular file together with the inode metadata that hardlinks share.
//!
//! ```text
//! id = blake3( "reroot object 1\0"
//!            | mode  u32 | uid u32 | gid u32            little-endian
//!            | number of xattrs u32
//!            | for each, sorted by name: length u32, name, length u32, value
//!            | content length u64
//!            | content )
//! ```
//!
//! The modification time is not part of the id (see "Times" in ARCHITECTURE.md).

use crate::digest::ObjectId;
use crate::repo::{Meta, Xattrs};

/// The attribute that keeps, in a `bare-user` repo, what an unprivileged user cannot give an inode. Never taken
/// from an image.
pub(super) const META_XATTR: &str = "user.reroot.meta";

/// Hashes one object: metadata first, then the content in as many pieces as it comes.
pub(super) struct ObjectHasher(blake3::Hasher);

impl ObjectHasher {
    pub(super) fn new(meta: &Meta, size: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"reroot object 1\0");
        hasher.update(&encode_meta(meta));
        hasher.update(&size.to_le_bytes());
        Self(hasher)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> ObjectId {
        ObjectId(*self.0.finalize().as_bytes())
    }
}

/// The metadata part of the hashed bytes; also the value of [`META_XATTR`].
pub(super) fn encode_meta(meta: &Meta) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    out.extend(u32::from(meta.mode).to_le_bytes());
    out.extend(meta.uid.to_le_bytes());
    out.extend(meta.gid.to_le_bytes());
    out.extend((meta.xattrs.iter().len() as u32).to_le_bytes());
    for (name, value) in meta.xattrs.iter() {
        for bytes in [name, value] {
            out.extend((bytes.len() as u32).to_le_bytes());
            out.extend(bytes);
        }
    }
    out
}

/// The opposite of [`encode_meta`]; `None` for anything it does not write.
pub(super) fn decode_meta(bytes: &[u8]) -> Option<Meta> {
    fn number(bytes: &mut &[u8]) -> Option<u32> {
        let (head, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(u32::from_le_bytes(*head))
    }
    fn blob(bytes: &mut &[u8]) -> Option<Box<[u8]>> {
        let length = number(bytes)? as usize;
        let (head, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(head.into())
    }
    let mut rest = bytes;
    let mode = u16::try_from(number(&mut rest)?).ok()?;
    let (uid, gid) = (number(&mut rest)?, number(&mut rest)?);
    let mut pairs = Vec::new();
    for _ in 0..number(&mut rest)? {
        pairs.push((blob(&mut rest)?, blob(&mut rest)?));
    }
    let meta = Meta { mode, uid, gid, xattrs: Xattrs::new(pairs) };
    (rest.is_empty() && encode_meta(&meta) == bytes).then_some(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        let xattrs = Xattrs::new(vec![(b"user.a"[..].into(), b"1"[..].into())]);
        Meta { mode: 0o4755, uid: 1, gid: 2, xattrs }
    }

    fn id(meta: &Meta, content: &[u8]) -> ObjectId {
        let mut hasher = ObjectHasher::new(meta, content.len() as u64);
        hasher.update(content);
        hasher.finish()
    }

    #[test]
    fn equal_bytes_with_other_metadata_are_another_object() {
        let base = id(&meta(), b"content");
        assert_eq!(id(&meta(), b"content"), base);
        assert_ne!(id(&meta(), b"contenu"), base);
        for other in [
            Meta { mode: 0o755, ..meta() },
            Meta { uid: 0, ..meta() },
            Meta { gid: 0, ..meta() },
            Meta { xattrs: Xattrs::default(), ..meta() },
        ] {
            assert_ne!(id(&other, b"content"), base, "{other:?}");
        }
    }

    #[test]
    fn the_id_is_pinned() {
        // Changing what is hashed would orphan every store in the field.
        assert_eq!(
            id(&meta(), b"content").to_string(),
            "37e899993c55674c6d607aa15310c422347ba0ce5c0ecaeaf5fb45d2874298a8"
        );
    }

    #[test]
    fn metadata_round_trips_and_nothing_else_is_accepted() {
        let bytes = encode_meta(&meta());
        assert_eq!(decode_meta(&bytes), Some(meta()));
        for end in 0..bytes.len() {
            assert_eq!(decode_meta(&bytes[..end]), None);
        }
        assert_eq!(decode_meta(&[bytes, vec![0]].concat()), None);
    }
}
