//! The only door to the file system: open directories and names relative to them.
//!
//! Every function says what it makes durable. Nothing here knows what the files mean.

#[cfg(feature = "cli")]
mod checkpoint;
mod copy;
pub mod crashpoint;
mod dir;
mod durable;
pub mod lock;
mod loopdev;
mod meta;
mod mount;
mod remove;
mod rooted;
mod space;
pub mod xattr;

pub use cap_std::fs::Dir;
#[cfg(feature = "cli")]
pub use checkpoint::checkpoint;
pub use copy::copy_contents;
pub use dir::{
    FileType, Listed, ensure_dir, list_dir, open_dir, open_file, open_regular, open_regular_raw, open_subdir,
    open_subdir_raw, read_limited, reopen, subdir_optional,
};
pub use durable::{
    FilesystemSync, exchange, exchange_between, overwrite, remove_file, rename, rename_noreplace, sync_dir,
    write_atomic,
};
pub use loopdev::LoopDevice;
pub use meta::{set_owner_and_mode, set_times};
pub use mount::{OverlayPaths, attach, mount_detached, overlay_detached};
#[cfg(feature = "cli")]
pub use mount::{bind_to_look_at, has_the_systems_mounts, writable};
pub use remove::remove_tree;
pub use rooted::{open_in_root, read_in_root};
pub use space::{FreeSpace, free_space};
