//! The bytes of a layer's tar: one buffer that is refilled in place.

use std::io::{self, Read};

use tar_core::SparseEntry;

use super::{Error, Result};

const BUFFER: usize = 256 << 10;
/// The most that a header may need at once: its extensions, of which the parser takes 1 MiB, and a sparse map of
/// 10,000 regions.
const LARGEST: usize = 2 << 20;

pub(super) struct Input<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `start` is in the stream.
    offset: u64,
    eof: bool,
}

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; BUFFER], start: 0, end: 0, offset: 0, eof: false }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What has been read and not consumed.
    pub(super) fn available(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start);
        self.start += n;
        self.offset += n as u64;
    }

    /// Makes at least `wanted` bytes available; false when the stream ends before.
    pub(super) fn require(&mut self, wanted: usize) -> Result<bool> {
        if wanted > LARGEST {
            let reason = format!("a header with extensions of more than {LARGEST} bytes");
            return Err(Error::Malformed { offset: self.offset, reason });
        }
        if self.buffer.len() - self.start < wanted {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted.next_power_of_two(), 0);
            }
        }
        while self.end - self.start < wanted && !self.eof {
            self.read_more().map_err(Error::Read)?;
        }
        Ok(self.end - self.start >= wanted)
    }

    fn read_more(&mut self) -> io::Result<()> {
        loop {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.eof = true,
                Ok(n) => self.end += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }

    /// Throws away exactly `n` bytes.
    pub(super) fn skip(&mut self, mut n: u64) -> Result<()> {
        while n > 0 {
            if self.start == self.end && !self.require(1)? {
                return Err(self.truncated());
            }
            let part = n.min((self.end - self.start) as u64) as usize;
            self.consume(part);
            n -= part as u64;
        }
        Ok(())
    }

    /// A reader of exactly the next `size` bytes.
    pub(super) fn content(&mut self, size: u64) -> Content<'_, R> {
        Content { input: self, left: size }
    }

    pub(super) fn truncated(&self) -> Error {
        Error::Malformed { offset: self.offset, reason: "the archive ends in the middle of an entry".into() }
    }
}

/// The content of one entry.
pub(super) struct Content<'i, R> {
    input: &'i mut Input<R>,
    left: u64,
}

impl<R> Content<'_, R> {
    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || out.is_empty() {
            return Ok(0);
        }
        let limit = self.left.min(out.len() as u64) as usize;
        let input = &mut *self.input;
        let n = if input.start < input.end {
            let n = limit.min(input.end - input.start);
            out[..n].copy_from_slice(&input.buffer[input.start..input.start + n]);
            input.start += n;
            n
        } else if limit >= BUFFER / 2 {
            // Large content goes past the buffer.
            input.inner.read(&mut out[..limit])?
        } else {
            (input.start, input.end) = (0, 0);
            input.read_more()?;
            if input.eof {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the archive ends in the middle of a file",
                ));
            }
            return self.read(out);
        };
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive ends in the middle of a file",
            ));
        }
        input.offset += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

/// The content of a sparse file with its holes as zeros.
pub(super) struct Sparse<C> {
    stored: C,
    /// Data regions that are still to come.
    regions: std::vec::IntoIter<SparseEntry>,
    /// Start and end of the region that is next or being read.
    region: (u64, u64),
    position: u64,
    size: u64,
}

impl<C: Read> Sparse<C> {
    /// The regions must be in order, within `size`, and as long together as what is stored.
    pub(super) fn new(stored: C, regions: Vec<SparseEntry>, size: u64) -> Self {
        let mut this = Self { stored, regions: regions.into_iter(), region: (0, 0), position: 0, size };
        this.next_region();
        this
    }

    fn next_region(&mut self) {
        let next = self.regions.by_ref().find(|region| region.length > 0);
        self.region = next.map_or((self.size, self.size), |r| (r.offset, r.offset + r.length));
    }
}

impl<C: Read> Read for Sparse<C> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (start, end) = self.region;
        let n = if self.position < start {
            let n = (start - self.position).min(out.len() as u64) as usize;
            out[..n].fill(0);
            n
        } else {
            let limit = (end - self.position).min(out.len() as u64) as usize;
            self.stored.read(&mut out[..limit])?
        };
        self.position += n as u64;
        if self.position == end && start < end {
            self.next_region();
        }
        Ok(n)
    }
}
