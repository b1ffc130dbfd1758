//! The compressions that the kernel unpacks (its lib/decompress.c), by the magic numbers that it goes by.

use std::io::{self, BufRead, Read};

use super::lzop::Lzop;

/// The dictionary that xz and lzma may ask for, in KiB; `xz -9` takes 64 MiB, builders of an initramfs 1 MiB.
const DICTIONARY: u32 = 128 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Xz,
    Lzma,
    Lz4,
    Lzo,
    Bzip2,
}

impl Compression {
    const MAGIC: [(&'static [u8], Self); 8] = [
        (b"\x1f\x8b", Self::Gzip),
        (b"\x1f\x9e", Self::Gzip),
        (b"\x28\xb5\x2f\xfd", Self::Zstd),
        (b"\xfd7zXZ\0", Self::Xz),
        (b"\x5d\0\0", Self::Lzma),
        (b"\x02\x21\x4c\x18", Self::Lz4),
        (b"\x89LZO", Self::Lzo),
        (b"BZh", Self::Bzip2),
    ];

    pub(super) fn of(start: &[u8]) -> Option<Self> {
        Self::MAGIC.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, compression)| *compression)
    }

    /// Whether the decoder stops where its data ends. The legacy frames of lz4 have no end but that of the file.
    pub(super) fn ends_exactly(self) -> bool {
        self != Self::Lz4
    }

    pub(super) fn decoder<'r>(self, input: impl BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(input)),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?.single_frame()),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(Slowly(input), false, DICTIONARY)),
            Self::Lzma => Box::new(lzma_rust2::LzmaReader::new_mem_limit(Slowly(input), DICTIONARY, None)?),
            Self::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(input)),
            Self::Lzo => Box::new(Lzop::new(input)?),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(input)),
        })
    }
}

/// Gives a byte at a time, so that a decoder which reads ahead has not read beyond its end.
struct Slowly<R>(R);

impl<R: Read> Read for Slowly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}
