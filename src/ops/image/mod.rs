//! Images in the store, apart from deployments.
//!
//! A stored image stays while a deployment was made from it, or while it has a name of its own: `pull` gives it
//! one, `remove` takes it away, and `prune` then frees what nobody needs.

mod checkout;
mod facts;
mod find;
mod history;
mod inspect;
mod list;
mod pull;
mod remove;

pub use checkout::{CheckedOut, CheckoutOptions, checkout};
pub use facts::{ImageFacts, parse};
pub use find::{Found, find};
pub use history::{History, HistoryLayer, HistoryLine, history};
pub use inspect::{Inspected, LayerInfo, inspect};
pub use list::{ImageList, ListedImage, list};
pub use pull::{PullImageOptions, PulledImage, pull};
pub use remove::{RemovedImage, remove};
