//! What an initramfs holds, without unpacking it: is a certain program in there?
//!
//! An initramfs is what the kernel takes for one (`unpack_to_rootfs` in its init/initramfs.c): cpio archives one behind
//! the other, with zeros between them, each as it is or compressed as a whole. Builders put the processor's microcode
//! into a first archive that is not compressed. The archive comes from an image, so nothing that it says about sizes is
//! believed, and reading stops at the first hit.

mod ahead;
mod cpio;

use std::io::{self, Read};

use ahead::Ahead;

/// More than this is no initramfs: it is unpacked into RAM.
const MOST_BYTES: u64 = 4 << 30;

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    Found,
    Missing,
    /// From here on it is compressed in a way that is not known here.
    Unreadable(&'static str),
}

enum Compression {
    Gzip,
    Zstd,
    Other(&'static str),
}

impl Compression {
    /// The magic numbers that the kernel goes by (lib/decompress.c).
    fn of(start: &[u8]) -> Option<Self> {
        const OTHERS: [(&[u8], &str); 5] = [
            (b"\xfd7zXZ\0", "xz"),
            (b"\x02\x21\x4c\x18", "lz4"),
            (b"\x5d\0\0", "lzma"),
            (b"\x89LZO", "lzo"),
            (b"BZh", "bzip2"),
        ];
        if start.starts_with(b"\x1f\x8b") || start.starts_with(b"\x1f\x9e") {
            return Some(Self::Gzip);
        }
        if start.starts_with(b"\x28\xb5\x2f\xfd") {
            return Some(Self::Zstd);
        }
        OTHERS.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| Self::Other(name))
    }
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
            let found = match compression {
                Some(Compression::Gzip) => {
                    let mut inside = flate2::bufread::GzDecoder::new(&mut *input);
                    self.archives(&mut Ahead::new(&mut inside), Level::Compressed)?
                }
                Some(Compression::Zstd) => {
                    let mut inside = zstd::stream::read::Decoder::with_buffer(&mut *input)?.single_frame();
                    self.archives(&mut Ahead::new(&mut inside), Level::Compressed)?
                }
                Some(Compression::Other(name)) => Search::Unreadable(name),
                None => return Err(invalid("there is something in it that is no cpio archive")),
            };
            if found != Search::Missing {
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
