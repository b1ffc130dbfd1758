//! What the boot loader reads: entries, kernels, configuration, as formats and as directories.
//!
//! `$BOOT` is the partition that the loader reads its entries from (UAPI.1, "The Partitions"): XBOOTLDR, else the
//! ESP, else `/boot` of the root file system. Everything here takes it as an open directory.
//!
//! ```text
//! $BOOT/loader/entries/reroot-<order>[+<left>[-<done>]].conf   an entry; the highest order boots    entries, bls
//! $BOOT/loader/entries.srel                                    "type1": these are UAPI.1's entries  entries
//! $BOOT/loader/grub.cfg                                        the menu, for GRUB alone             grub
//! $BOOT/loader/grubenv                                         what GRUB remembers                  grub::env
//! $BOOT/reroot/<digest>/{vmlinuz,initrd}                       a kernel with its initramfs          kernel
//! ESP/loader/loader.conf                                       systemd-boot's configuration         loader_conf
//! ESP/EFI/systemd/systemd-boot<arch>.efi                       systemd-boot                         systemd_boot
//! ESP/EFI/BOOT/BOOT<ARCH>.EFI                                  what firmware starts by itself       systemd_boot
//! ```
//!
//! An entry is never rewritten: FAT promises nothing for a rename over a name when the power goes. New content
//! gets a new name, and the old one goes after that. [`plan::plan`] decides that as data, [`execute::execute`] acts.
//!
//! Deployments, images and the store are not known here, nor where `$BOOT` is mounted. The initramfs needs [`cmdline`]
//! alone, and is built without the rest.

#[cfg(feature = "cli")]
pub mod bls;
pub mod cmdline;
#[cfg(feature = "cli")]
pub mod entries;
#[cfg(feature = "cli")]
mod error;
#[cfg(feature = "cli")]
pub mod execute;
#[cfg(feature = "cli")]
pub mod file_name;
#[cfg(feature = "cli")]
pub mod grub;
#[cfg(feature = "cli")]
pub mod initrd;
#[cfg(feature = "cli")]
pub mod kargs_d;
#[cfg(feature = "cli")]
pub mod kernel;
#[cfg(feature = "cli")]
mod lines;
#[cfg(feature = "cli")]
pub mod loader_conf;
#[cfg(feature = "cli")]
pub mod once;
#[cfg(feature = "cli")]
pub mod order;
#[cfg(feature = "cli")]
pub mod plan;
#[cfg(feature = "cli")]
pub mod systemd_boot;
#[cfg(feature = "cli")]
pub mod trial;
#[cfg(feature = "cli")]
pub mod trials;

#[cfg(feature = "cli")]
pub use error::{Error, Result};
