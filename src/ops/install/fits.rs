//! Whether an image fits on a disk, as far as that can be known before anything is written; pure.

use super::disk::ALIGNMENT;
use crate::ops::{Error, ErrorKind, Result};

/// Share of a file system that its files can have, in percent: the rest is its own.
const USABLE_PERCENT: u64 = 95;
/// The boot loader and the entries beside the kernel.
const LOADER_BYTES: u64 = 4 << 20;

/// Less is no file system that anything can be written to (btrfs asks for 109 MiB).
const SMALLEST_VAR: u64 = 128 << 20;

/// Bytes that there are.
#[derive(Debug, Clone, Copy)]
pub struct Fits {
    pub disk: u64,
    /// Of the root file system.
    pub root: u64,
    /// Of the file system of `$BOOT`.
    pub boot: u64,
}

impl Fits {
    /// Refuses an image whose files take `root` bytes at least, and whose kernel with its initramfs takes `kernel`.
    pub fn check(&self, root: u64, kernel: u64) -> Result<()> {
        let needed = (u128::from(root) * 100 / u128::from(USABLE_PERCENT)) as u64;
        if needed > self.root {
            let disk = (self.disk - self.root).saturating_add(needed).next_multiple_of(ALIGNMENT);
            return Err(no_space(format!(
                "the disk has {} bytes; the image needs at least {disk}: {root} for its files, and the partitions",
                self.disk
            )));
        }
        check_boot(self.boot, kernel, "the boot partition")
    }
}

/// Refuses an image whose `/var` takes `needed` bytes when its partition has `length`.
pub fn check_var(length: u64, needed: u64) -> Result<()> {
    if (u128::from(needed) * 100 / u128::from(USABLE_PERCENT)) as u64 <= length && length >= SMALLEST_VAR {
        return Ok(());
    }
    Err(no_space(format!(
        "the partition of /var has {length} bytes; it needs at least {SMALLEST_VAR}, and the image's /var has {needed}"
    )))
}

/// Refuses a kernel with its initramfs that does not fit into `available` bytes of what is named `place`.
pub fn check_boot(available: u64, kernel: u64, place: &str) -> Result<()> {
    if kernel.saturating_add(LOADER_BYTES) <= available {
        return Ok(());
    }
    Err(no_space(format!(
        "{place} has room for {available} bytes; the kernel with its initramfs has {kernel}, and the boot loader \
         needs {LOADER_BYTES}"
    )))
}

/// Not [`ErrorKind::NoSpace`]: nothing that reroot could prune is in the way.
fn no_space(message: String) -> Error {
    Error::Other { kind: ErrorKind::Incompatible, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_with_numbers() {
        let fits = Fits { disk: 1 << 30, root: 500 << 20, boot: 512 << 20 };
        fits.check(400 << 20, 100 << 20).unwrap();
        fits.check(0, 508 << 20).unwrap();
        assert_eq!(
            fits.check(500 << 20, 0).unwrap_err().to_string(),
            "the disk has 1073741824 bytes; the image needs at least 1102053376: 524288000 for its files, and the \
             partitions"
        );
        assert_eq!(
            fits.check(0, 509 << 20).unwrap_err().to_string(),
            "the boot partition has room for 536870912 bytes; the kernel with its initramfs has 533725184, and the \
             boot loader needs 4194304"
        );
        check_var(128 << 20, 100 << 20).unwrap();
        assert!(check_var(128 << 20, 125 << 20).is_err() && check_var(64 << 20, 0).is_err());
        assert!(fits.check(u64::MAX / 2, u64::MAX).is_err());
    }
}
