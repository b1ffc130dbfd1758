//! For those who build images: what an image is like, said without root and without a host.
//!
//! ```text
//! scan     an unpacked root becomes a tree, as a pull makes one
//! root     a tree and where its files can be read: a directory, or the store
//! source   from what people type to a root; images come into a store of their own
//! owners   which package a file belongs to
//! facts    what a machine would get: kernel, arguments, units, bytes
//! inspect, compare, layers, du   what people ask about one image, two of them, or what it is made of
//! destination   where an image goes that is made here: a layout, an archive, a registry
//! mount    the same for ordinary programs, read-only
//! export   the same for other programs: a tar, an image, a bundle
//! commit   what somebody has changed, as one more layer
//! rechunk  the same tree in layers by package
//! lint     what is wrong with it for a machine
//! ```
//!
//! An image is read by the code that pulls it for a deployment, so that what is refused there is refused here.

mod commit;
mod compare;
mod destination;
mod du;
mod export;
mod facts;
mod inspect;
mod layers;
pub mod lint;
mod mount;
mod owners;
mod rechunk;
mod root;
mod scan;
mod source;
#[cfg(test)]
mod testing;

pub use commit::{CommitOptions, Committed, commit};
pub use compare::{Comparison, Names, Side, compare};
pub use destination::ImageDestination;
pub use du::{Branch, By, Rectangle, Usage, du, squarify};
pub use export::{Destination, ExportOptions, Exported, export};
pub use facts::{Argument, Facts, Kernel};
pub use inspect::{DirectorySize, Inspected, PackageSize, inspect};
pub use layers::{Counted, LayerChanges, Layers, Letter, PathOfLayer, layers};
pub use mount::{Mounted, mount, unmount};
pub use owners::Owners;
pub use rechunk::{RechunkOptions, Rechunked, RechunkedLayer, rechunk_to};
pub use root::{Root, Unread};
pub use source::{Image, Opened, Places, Source};
