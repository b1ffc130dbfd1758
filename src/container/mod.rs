//! For those who build images: what an image is like, said without root and without a host.
//!
//! ```text
//! scan     an unpacked root becomes a tree, as a pull makes one
//! root     a tree and where its files can be read: a directory, or the store
//! source   from what people type to a root; images come into a store of their own
//! lint     what is wrong with it for a machine
//! ```
//!
//! An image is read by the code that pulls it for a deployment, so that what is refused there is refused here.

pub mod lint;
mod root;
mod scan;
mod source;
#[cfg(test)]
mod testing;

pub use root::{Root, Unread};
pub use source::{Image, Opened, Places, Source};
