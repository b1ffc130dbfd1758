//! The object repo: every file once, trees that name them, images and refs that keep them.
//!
//! Owns everything below `/reroot/repo` ([`layout`] draws it). Knows nothing of registries, deployments or boot
//! entries. The rule everything rests on is in [`transaction`]: a name under `objects/` is given only to
//! content that is already on disk.

mod checkout;
mod error;
mod fsck;
mod gc;
mod handle;
mod image;
mod layout;
mod object;
mod place;
mod read;
mod repair;
mod transaction;
mod tree;
pub mod tree_codec;
mod usage;
mod verify;
mod write;

pub use checkout::{CheckoutOptions, CheckoutStats, Files};
pub use error::{Error, Result};
pub use fsck::{FsckReport, Problem};
pub use gc::{GcReport, GcRun};
pub use handle::{Mode, Repo};
pub use image::ImageRecord;
pub use read::Contents;
pub use repair::{Repair, Reread};
pub use transaction::{Reserve, Transaction};
pub use tree::{Change, LayerTree, Meta, Mtime, Node, Tree, TreeEntry, TreeShapeError, Xattrs};
pub use usage::{TreeUsage, Usage};
pub use verify::Mismatch;
pub use write::{ObjectWriter, Written};
