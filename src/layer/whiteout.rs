//! The names by which a layer deletes (image-spec, layer.md, "Whiteouts").
//!
//! Names that begin with `.wh.` are never content: there cannot be such a file in an image. Whatever type and
//! content an entry with such a name has, only its name counts, as in every runtime.

use super::{Error, Result};
use crate::names::ImagePath;

/// In front of a name that is deleted (image-spec, layer.md, "Whiteouts").
pub const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS kept its own files in layers under this prefix, in directories too; every runtime skips them.
const RESERVED: &[u8] = b".wh..wh.";

/// What the path of an entry means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// An ordinary path.
    Plain,
    /// This path is deleted from the layers below.
    Whiteout(ImagePath),
    /// This directory shows nothing of the layers below.
    Opaque(ImagePath),
    /// Not content.
    Reserved,
}

pub(super) fn marker(path: &ImagePath) -> Result<Marker> {
    let name = path.file_name();
    let above = &path.as_bytes()[..path.as_bytes().len() - name.len()];
    if let Some(directory) = above.split(|b| *b == b'/').find(|c| c.starts_with(WHITEOUT)) {
        if directory.starts_with(RESERVED) {
            return Ok(Marker::Reserved);
        }
        return Err(Error::refused(path.as_bytes(), "it is below a whiteout"));
    }
    let Some(hidden) = name.strip_prefix(WHITEOUT) else { return Ok(Marker::Plain) };
    let parent = path.parent().unwrap_or_default();
    if name == OPAQUE {
        return Ok(Marker::Opaque(parent));
    }
    if name.starts_with(RESERVED) {
        return Ok(Marker::Reserved);
    }
    match parent.join(hidden) {
        Ok(hidden) => Ok(Marker::Whiteout(hidden)),
        Err(_) => Err(Error::refused(path.as_bytes(), "a whiteout of nothing or of a parent directory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_told_from_names() {
        let path = |p: &str| ImagePath::new(p.as_bytes()).unwrap();
        let of = |p: &str| marker(&path(p));
        let whiteout = |p: &str| Marker::Whiteout(path(p));
        assert_eq!(of("").unwrap(), Marker::Plain);
        assert_eq!(of("d/file").unwrap(), Marker::Plain);
        assert_eq!(of(".wha").unwrap(), Marker::Plain);
        assert_eq!(of("d/.wh.file").unwrap(), whiteout("d/file"));
        assert_eq!(of(".wh..hidden").unwrap(), whiteout(".hidden"));
        assert_eq!(of(".wh....").unwrap(), whiteout("..."));
        assert_eq!(of("d/.wh..wh..opq").unwrap(), Marker::Opaque(path("d")));
        assert_eq!(of(".wh..wh..opq").unwrap(), Marker::Opaque(ImagePath::root()));
        assert_eq!(of(".wh..wh.plnk").unwrap(), Marker::Reserved);
        assert_eq!(of(".wh..wh.plnk/123.456").unwrap(), Marker::Reserved);
        for bad in [".wh.", "d/.wh..", "d/.wh...", ".wh.d/file", ".wh.x/.wh.x"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
