//! The object repo.
mod error;
mod tree;

pub use error::{Error, Result};
pub use tree::{Change, LayerTree, Meta, Mtime, Node, Tree, TreeEntry, TreeShapeError, Xattrs};
