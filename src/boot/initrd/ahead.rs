//! A reader that can look ahead, and gives what it looked at to whoever reads next.

use std::io::{self, BufRead, Read};

use super::Walk;

const BUFFER_BYTES: usize = 64 << 10;

pub struct Ahead<'r> {
    inner: &'r mut dyn Read,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<'r> Ahead<'r> {
    pub fn new(inner: &'r mut dyn Read) -> Self {
        Self { inner, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    /// The next bytes, `count` of them unless the end is nearer. At most as many as the buffer has.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            while self.end < count {
                match self.inner.read(&mut self.buffer[self.end..]) {
                    Ok(0) => break,
                    Ok(read) => self.end += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    /// Skips the padding between archives.
    pub fn skip_zeros(&mut self, walk: &mut Walk<'_>) -> io::Result<()> {
        loop {
            let buffer = self.fill_buf()?;
            let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
            let all = zeros == buffer.len();
            self.consume(zeros);
            walk.count(zeros as u64)?;
            if !all || zeros == 0 {
                return Ok(());
            }
        }
    }

    /// Skips exactly so many bytes.
    pub fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let there = self.fill_buf()?.len();
            if there == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of a file"));
            }
            let skipped = usize::try_from(count).unwrap_or(there).min(there);
            self.consume(skipped);
            count -= skipped as u64;
        }
        Ok(())
    }
}

impl Read for Ahead<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.fill_buf()?;
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Ahead<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.peek(1)?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }
}
