//! A table (1.6): a b-tree whose leaves have the rows.
//!
//! ```text
//! page        u8 kind: 5 leads to others, 13 has rows; u16 at 3: how many cells; u32 at 8 of a kind 5: the last page below
//!             then, from 12 or 8 on, where each cell begins (u16)
//! kind 5      u32 the page, varint the largest row in it
//! kind 13     varint bytes of the record, varint the row's number, the record's beginning,
//!             u32 a page with more of it, if it is longer than fits
//! overflow    u32 the next page or 0, the rest of the page more of the record
//! ```

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::super::{Error, Place};
use super::super::Visit;
use super::file::{File, HEADER};
use super::record::varint;

/// Reads tables of a file. Each page belongs to one thing; the second time it is met, the file is wrong.
pub(super) struct Walk<'f> {
    file: &'f File<'f>,
    seen: HashSet<u32>,
}

const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

impl<'f> Walk<'f> {
    pub fn new(file: &'f File<'f>) -> Self {
        Self { file, seen: HashSet::new() }
    }

    /// Calls back with the number and the record of each row, in their order.
    pub fn rows(&mut self, root: u32, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut open = vec![root];
        while let Some(number) = open.pop() {
            let page = Page::parse(self.take(number)?, number, self.file.usable)?;
            match page.kind {
                INTERIOR => {
                    // The last one is popped first.
                    open.extend(page.last);
                    for at in page.cells().rev() {
                        let below = page.cell(at)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                        open.push(below.ok_or_else(|| page.malformed("a cell that is cut off"))?);
                    }
                    if open.len() > self.file.pages() {
                        return Err(page.malformed("it leads to more pages than there are"));
                    }
                }
                _ => self.leaf(&page, visit)?,
            }
        }
        Ok(())
    }

    fn leaf(&mut self, page: &Page<'_>, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut room = self.file.usable;
        for at in page.cells() {
            let cell = page.cell(at)?;
            let mut rest = cell;
            let length = varint(&mut rest).zip(varint(&mut rest));
            let (length, row) = length.ok_or_else(|| page.malformed("a cell that is cut off"))?;
            let length = usize::try_from(length).map_err(|_| page.malformed("a row that is too long"))?;
            let here = bytes_here(length, self.file.usable);
            let beginning = rest.get(..here).ok_or_else(|| page.malformed("a cell that is cut off"))?;
            // Cells do not overlap: what is in them fits into the page.
            room = room
                .checked_sub(cell.len() - rest.len() + here)
                .ok_or_else(|| page.malformed("more in its cells than it has"))?;
            let mut record = Cow::Borrowed(beginning);
            if here < length {
                let next = rest[here..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                let next = next.ok_or_else(|| page.malformed("a cell that is cut off"))?;
                self.append(record.to_mut(), length, next)?;
            }
            visit(row, &record)?;
        }
        Ok(())
    }

    /// Appends what ran over until the record has its length.
    fn append(&mut self, record: &mut Vec<u8>, length: usize, mut next: u32) -> Result<(), Error> {
        while record.len() < length {
            let page = &self.take(next)?[..self.file.usable];
            let (link, more) = page.split_first_chunk::<4>().expect("a page has 480 bytes and more");
            record.extend_from_slice(&more[..more.len().min(length - record.len())]);
            next = u32::from_be_bytes(*link);
        }
        Ok(())
    }

    /// A page, for the first time.
    fn take(&mut self, number: u32) -> Result<&'f [u8], Error> {
        let page = self.file.page(number)?;
        if !self.seen.insert(number) {
            return Err(Error::Malformed { place: Place::Page(number), reason: "it is used twice" });
        }
        Ok(page)
    }
}

/// How much of a record is in the cell itself.
fn bytes_here(length: usize, usable: usize) -> usize {
    let most = usable - 35;
    if length <= most {
        return length;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    match least + (length - least) % (usable - 4) {
        here if here <= most => here,
        _ => least,
    }
}

struct Page<'f> {
    number: u32,
    bytes: &'f [u8],
    kind: u8,
    pointers: &'f [[u8; 2]],
    last: Option<u32>,
}

impl<'f> Page<'f> {
    fn parse(bytes: &'f [u8], number: u32, usable: usize) -> Result<Self, Error> {
        let malformed = |reason| Error::Malformed { place: Place::Page(number), reason };
        let bytes = &bytes[..usable];
        let header = &bytes[if number == 1 { HEADER } else { 0 }..];
        let kind = header[0];
        let (last, pointers) = match kind {
            INTERIOR => {
                (Some(u32::from_be_bytes([header[8], header[9], header[10], header[11]])), &header[12..])
            }
            LEAF => (None, &header[8..]),
            _ => return Err(malformed("not a page of a table")),
        };
        let count = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let pointers = pointers.as_chunks().0.get(..count).ok_or_else(|| malformed("too many cells"))?;
        Ok(Self { number, bytes, kind, pointers, last })
    }

    /// Where its cells begin.
    fn cells(&self) -> impl DoubleEndedIterator<Item = usize> + use<'f> {
        self.pointers.iter().map(|pointer| u16::from_be_bytes(*pointer).into())
    }

    /// A cell, and what is behind it.
    fn cell(&self, at: usize) -> Result<&'f [u8], Error> {
        self.bytes.get(at..).ok_or_else(|| self.malformed("a cell outside of it"))
    }

    fn malformed(&self, reason: &'static str) -> Error {
        Error::Malformed { place: Place::Page(self.number), reason }
    }
}
