//! A table that is compressed while it grows: a layer of a hundred thousand files has tens of megabytes of them.

use std::io::{self, Write};

use crate::digest::Sha256;

pub(super) struct Packing {
    zstd: zstd::stream::write::Encoder<'static, Vec<u8>>,
    plain_bytes: u64,
}

/// A table as it is stored.
pub(super) struct Packed {
    pub bytes: Vec<u8>,
    /// Of `bytes`.
    pub digest: Sha256,
    pub plain_bytes: u64,
}

impl Packing {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { zstd: zstd::stream::write::Encoder::new(Vec::new(), 0)?, plain_bytes: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.plain_bytes += bytes.len() as u64;
        self.zstd.write_all(bytes)
    }

    pub(super) fn finish(self) -> io::Result<Packed> {
        let bytes = self.zstd.finish()?;
        Ok(Packed { digest: Sha256::of(&bytes), bytes, plain_bytes: self.plain_bytes })
    }
}
