//! What an initramfs holds, without unpacking it: is a certain program in there?
//!
//! An initramfs is what the kernel takes for one (`unpack_to_rootfs` in its init/initramfs.c): cpio archives one behind
//! the other, with zeros between them, each as it is or compressed as a whole. Builders put the processor's microcode
//! into a first archive that is not compressed. The archive comes from an image, so nothing that it says about sizes is
//! believed, and reading stops at the first hit.

mod ahead;
mod compression;
mod cpio;
mod lzop;

use std::io::{self, Read};

use ahead::Ahead;
use compression::Compression;

/// More than this is no initramfs: it is unpacked into RAM.
const MOST_BYTES: u64 = 4 << 30;

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    Found,
    Missing,
}

/// Looks for a regular file with this name in any directory. An error of the kind `InvalidData` or `UnexpectedEof` says
/// that it is no initramfs.
pub fn search(initramfs: &mut dyn Read, program: &[u8]) -> io::Result<Search> {
    Walk { program, bytes: 0, entries: 0 }.archives(&mut Ahead::new(initramfs), Level::Outside)
}

/// Compression in compression is nothing that the kernel reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Outside,
    Compressed,
}

struct Walk<'p> {
    program: &'p [u8],
    /// Read so far, uncompressed.
    bytes: u64,
    entries: u64,
}

impl Walk<'_> {
    fn archives(&mut self, input: &mut Ahead<'_>, level: Level) -> io::Result<Search> {
        loop {
            input.skip_zeros(self)?;
            let start = input.peek(6)?;
            if start.is_empty() {
                return Ok(Search::Missing);
            }
            if cpio::is_archive(start) {
                if self.archive(input)? {
                    return Ok(Search::Found);
                }
                continue;
            }
            let compression = Compression::of(start).filter(|_| level == Level::Outside);
            let Some(compression) = compression else {
                return Err(invalid("there is something in it that is no cpio archive"));
            };
            let mut inside = compression.decoder(&mut *input)?;
            let found = self.archives(&mut Ahead::new(&mut inside), Level::Compressed)?;
            drop(inside);
            if found == Search::Found || !compression.ends_exactly() {
                return Ok(found);
            }
        }
    }

    /// Counts what was read.
    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes > MOST_BYTES {
            true => Err(invalid("it has more than 4 GiB")),
            false => Ok(()),
        }
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests;
