//! From a layer's tar to objects and trees, and from layers to a root file system.
//!
//! ```text
//! tar -> entry (checked) -> builder (one layer) -> LayerTree
//!            content -> ObjectSink
//! LayerTrees, lowest first -> merge -> Tree -> check_bootable
//! ```
//!
//! Every path of an image is resolved here, in memory, and never through the file system: there is no link to
//! follow while a hostile image is unpacked.

mod bootable;
mod builder;
mod entry;
mod error;
mod headers;
mod input;
mod limits;
mod merge;
mod pax;
mod read;
mod resolve;
pub mod sink;
mod whiteout;
mod write;
mod xattr;

use std::fmt;

pub use bootable::{Bootable, check_bootable};
pub use error::{Error, Result};
pub use limits::Limits;
pub use merge::merge;
pub use read::read_layer;
pub use resolve::resolve;
pub use whiteout::WHITEOUT;
pub use write::{write_end, write_file, write_layer};

/// Something about a layer that an image builder should know; the layer is read all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Extended attributes of this name are not kept.
    DroppedXattr(Vec<u8>),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DroppedXattr(name) => write!(f, "xattr {} is not kept", crate::names::printable(name)),
        }
    }
}
