//! Names below `/reroot/repo`.
//!
//! ```text
//! config.json            {"version":1,"hash":"blake3","mode":"bare"|"bare-user"}
//! objects/xx/<62 hex>    files, hardlinked into deployments; xx and the rest are the object's id
//! layers/<hex>           what a layer says, by diff_id                 (zstd of the tree codec)
//! trees/<hex>            the merged root file system of an image, by TreeId             (same)
//! images/<hex>.json      an image that was pulled, by manifest digest
//! refs/<reference>       a name for an image, percent-encoded; its content is the manifest digest
//! staging/<boot>.<pid>.<n>/x/<64 hex>   objects of a transaction that are not yet on disk
//! cache/usage.json       sizes that `status` shows; may be deleted at any time
//! ```

use std::io;

use crate::digest::ObjectId;
use crate::fsx::{self, Dir};

pub(super) const OBJECTS: &str = "objects";
pub(super) const LAYERS: &str = "layers";
pub(super) const TREES: &str = "trees";
pub(super) const IMAGES: &str = "images";
pub(super) const REFS: &str = "refs";
pub(super) const STAGING: &str = "staging";
pub(super) const CACHE: &str = "cache";

/// Every directory of a repo, made at init.
pub(super) const DIRECTORIES: [&str; 7] = [OBJECTS, LAYERS, TREES, IMAGES, REFS, STAGING, CACHE];

/// The two-digit name of an object directory.
pub(super) fn fan_name(fan: u8) -> String {
    format!("{fan:02x}")
}

/// The file name of an object inside its directory.
pub(super) fn object_name(id: &ObjectId) -> String {
    hex::encode(&id.0[1..])
}

/// The 256 object directories, kept open: a path lookup less for every object.
#[derive(Debug)]
pub(super) struct ObjectDirs(Vec<Dir>);

impl ObjectDirs {
    pub(super) fn open(repo: &Dir) -> io::Result<Self> {
        let objects = fsx::open_subdir(repo, OBJECTS)?;
        (0..=255).map(|fan| fsx::open_subdir(&objects, &fan_name(fan))).collect::<io::Result<_>>().map(Self)
    }

    pub(super) fn of(&self, id: &ObjectId) -> &Dir {
        &self.0[usize::from(id.0[0])]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, &Dir)> {
        (0..=255).zip(&self.0)
    }
}

/// A reference as a file name: everything but letters, digits, `.`, `_` and `-` as `%XX`, a leading dot too.
pub(super) fn encode_ref(name: &str) -> String {
    let mut out = String::new();
    for (i, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && i > 0) {
            out.push(byte.into());
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// The opposite of [`encode_ref`]; `None` for what it does not write.
pub(super) fn decode_ref(file_name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = file_name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (encode_ref(&name) == file_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_file_names_and_back() {
        for name in ["docker://quay.io/a/b:1@sha256:00", "oci:/srv/..", "..", ".x", "ä%b"] {
            let file = encode_ref(name);
            assert!(!file.contains('/') && !file.starts_with('.'), "{file}");
            assert_eq!(decode_ref(&file).as_deref(), Some(name));
        }
        assert_eq!(decode_ref(".tmp-x"), None);
        assert_eq!(decode_ref("a%2"), None);
        assert_eq!(decode_ref("a%2f"), None);
    }
}
