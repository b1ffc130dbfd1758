//! A file as pages (1.2, 1.3).
//!
//! ```text
//!  0  "SQLite format 3\0"
//! 16  u16  bytes of a page, a power of two from 512; 1 is 65536
//! 19  u8   what a reader must know: 1, or 2 where a write-ahead log is used
//! 20  u8   bytes at the end of each page that are not used
//! 24  u32  how often the file was changed
//! 28  u32  how many pages, where the number at 92 is that at 24
//! 56  u32  the encoding of text; 1 is UTF-8
//! 92  u32
//! ```

use std::collections::HashMap;

use super::super::super::{Error, Place};
use super::log;

/// A database in memory; what it says of its size was checked.
pub(super) struct File<'f> {
    bytes: &'f [u8],
    /// Pages that are newer in the log.
    newer: HashMap<u32, &'f [u8]>,
    page_size: usize,
    /// Bytes of a page that are used.
    pub usable: usize,
    /// The number of the last page.
    last: u32,
}

/// The header is at the beginning of the first page.
pub(super) const HEADER: usize = 100;

impl<'f> File<'f> {
    pub fn open(bytes: &'f [u8], log: &'f [u8]) -> Result<Self, Error> {
        let wrong = |reason| Error::Malformed { place: Place::Header, reason };
        // The first page may be in the log alone.
        let page_size = match bytes {
            [] => log::page_size(log),
            _ => page_size(bytes),
        };
        let page_size = page_size.ok_or_else(|| wrong("not a SQLite database"))?;
        let log = log::read(log, page_size);
        let in_file = u32::try_from(bytes.len() / page_size).unwrap_or(u32::MAX);
        let last = log.last.unwrap_or(in_file);
        let mut file = Self { bytes, newer: log.pages, page_size, usable: page_size, last };
        let first = file.page(1).map_err(|_| wrong("it is cut off"))?;
        if self::page_size(first) != Some(page_size) {
            return Err(wrong("its pages have two sizes"));
        }
        if !matches!(first[19], 1 | 2) {
            return Err(wrong("a version that is not known"));
        }
        if u32_at(first, 56) != 1 {
            return Err(wrong("its text is not UTF-8"));
        }
        let usable = page_size - usize::from(first[20]);
        // 1.3.4; the arithmetic of what runs over rests on it.
        if usable < 480 {
            return Err(wrong("its pages are too small"));
        }
        let said = (u32_at(first, 24) == u32_at(first, 92)).then(|| u32_at(first, 28)).filter(|n| *n != 0);
        file.usable = usable;
        match said {
            // What the log says is newer.
            _ if log.last.is_some() => {}
            Some(said) if said > in_file => return Err(wrong("it is cut off")),
            Some(said) => file.last = said,
            None => {}
        }
        Ok(file)
    }

    /// How many pages there are at most.
    pub fn pages(&self) -> usize {
        self.bytes.len() / self.page_size + self.newer.len()
    }

    /// A page by its number; the first is 1.
    pub fn page(&self, number: u32) -> Result<&'f [u8], Error> {
        let missing = Error::Malformed { place: Place::Page(number), reason: "it is not in the file" };
        if number == 0 || number > self.last {
            return Err(missing);
        }
        if let Some(page) = self.newer.get(&number) {
            return Ok(page);
        }
        let start = (number as usize - 1).checked_mul(self.page_size);
        start.and_then(|start| self.bytes.get(start..)?.get(..self.page_size)).ok_or(missing)
    }
}

/// What a first page says of the size of pages.
fn page_size(first: &[u8]) -> Option<usize> {
    let header = first.get(..HEADER)?.strip_prefix(b"SQLite format 3\0")?;
    match u16::from_be_bytes([header[0], header[1]]) {
        1 => Some(65536),
        size => valid_size(size.into()),
    }
}

/// A size that pages may have.
pub(super) fn valid_size(size: u32) -> Option<usize> {
    (size.is_power_of_two() && (512..=65536).contains(&size)).then_some(size as usize)
}

/// A big endian number in bytes that have it.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
