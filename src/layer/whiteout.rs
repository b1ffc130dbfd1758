//! The names by which a layer deletes (image-spec, layer.md, "Whiteouts").

use super::{Error, Result};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS kept its own files in layers under this prefix; every runtime skips them.
const RESERVED: &[u8] = b".wh..wh.";

/// What the last component of an entry's path means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker<'a> {
    /// An ordinary name.
    Plain,
    /// The sibling of this name is deleted from the layers below.
    Whiteout(&'a [u8]),
    /// The directory shows nothing of the layers below.
    Opaque,
    /// Not content.
    Reserved,
}

pub(super) fn marker<'a>(entry: &[u8], name: &'a [u8]) -> Result<Marker<'a>> {
    let Some(hidden) = name.strip_prefix(PREFIX) else { return Ok(Marker::Plain) };
    if name == OPAQUE {
        return Ok(Marker::Opaque);
    }
    if name.starts_with(RESERVED) {
        return Ok(Marker::Reserved);
    }
    match hidden {
        b"" | b"." | b".." => Err(Error::refused(entry, "a whiteout of nothing or of a parent directory")),
        name => Ok(Marker::Whiteout(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_told_from_names() {
        let of = |name: &'static str| marker(b"x", name.as_bytes());
        assert_eq!(of("file").unwrap(), Marker::Plain);
        assert_eq!(of(".wha").unwrap(), Marker::Plain);
        assert_eq!(of(".wh.file").unwrap(), Marker::Whiteout(b"file"));
        assert_eq!(of(".wh..hidden").unwrap(), Marker::Whiteout(b".hidden"));
        assert_eq!(of(".wh..wh..opq").unwrap(), Marker::Opaque);
        assert_eq!(of(".wh..wh.plnk").unwrap(), Marker::Reserved);
        for bad in [".wh.", ".wh..", ".wh..."] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
