//! A partition of an open disk as something to read, write and seek in, without the kernel knowing of it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// `length` bytes of a file from `start` on. Never touches a byte outside.
#[derive(Debug)]
pub struct Slice<'f> {
    file: &'f File,
    start: u64,
    length: u64,
    position: u64,
}

impl<'f> Slice<'f> {
    pub fn new(file: &'f File, start: u64, length: u64) -> Self {
        Self { file, start, length, position: 0 }
    }

    /// As much of `wanted` as lies inside.
    fn room(&self, wanted: usize) -> usize {
        usize::try_from(self.length.saturating_sub(self.position)).map_or(wanted, |left| left.min(wanted))
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let n = self.file.read_at(&mut buffer[..room], self.start + self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Write for Slice<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let n = self.file.write_at(&buffer[..room], self.start + self.position)?;
        self.position += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Slice<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_read_or_written() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 30], 0).unwrap();
        let mut slice = Slice::new(&file, 10, 10);
        slice.seek(SeekFrom::End(-2)).unwrap();
        assert_eq!(slice.write(&[9; 5]).unwrap(), 2);
        assert_eq!(slice.write(&[9; 5]).unwrap(), 0);
        slice.seek(SeekFrom::Start(0)).unwrap();
        let mut bytes = Vec::new();
        slice.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [1, 1, 1, 1, 1, 1, 1, 1, 9, 9]);
        let mut all = [0; 30];
        file.read_exact_at(&mut all, 0).unwrap();
        assert_eq!(all.iter().filter(|b| **b == 9).count(), 2);
        assert!(slice.seek(SeekFrom::Current(-100)).is_err());
    }
}
