//! The write-ahead log beside a file (4): pages that were committed and are not in the file yet. rpm empties it when it
//! ends; a build that was stopped leaves it.
//!
//! ```text
//! header of 32 bytes   magic, version 3007000, bytes of a page, counter, two salts, two checksums of these 24 bytes
//! frames               of 24 bytes: number of the page, pages of the file after a commit or 0, the salts,
//!                      two checksums of the first 8 bytes and the page, going on from those before
//!                      the page
//! ```
//!
//! A frame with other salts or checksums is what an earlier log left behind: it and all after it do not count.

use std::collections::HashMap;

use super::file::valid_size;

#[derive(Default)]
pub(super) struct Log<'f> {
    pub pages: HashMap<u32, &'f [u8]>,
    /// The number of the last page after the last commit; `None` without one.
    pub last: Option<u32>,
}

const HEADER: usize = 32;
const FRAME: usize = 24;
/// The last bit says in which order numbers are added up.
const MAGIC: u32 = 0x377f_0682;

/// The size of pages that a log is about.
pub(super) fn page_size(log: &[u8]) -> Option<usize> {
    (log.len() >= HEADER).then(|| valid_size(u32_at(log, 8)))?
}

/// What was committed. A log for pages of another size is none.
pub(super) fn read(log: &[u8], size: usize) -> Log<'_> {
    let mut committed = Log::default();
    if page_size(log) != Some(size) || u32_at(log, 0) | 1 != MAGIC | 1 {
        return committed;
    }
    let (header, frames) = log.split_at(HEADER);
    let number: fn([u8; 4]) -> u32 = match u32_at(log, 0) & 1 {
        1 => u32::from_be_bytes,
        _ => u32::from_le_bytes,
    };
    let mut sum = added([0, 0], &header[..24], number);
    if sum != [u32_at(header, 24), u32_at(header, 28)] {
        return committed;
    }
    // Not committed yet.
    let mut open = Vec::new();
    for frame in frames.chunks_exact(FRAME + size) {
        let (head, page) = frame.split_at(FRAME);
        sum = added(added(sum, &head[..8], number), page, number);
        if head[8..16] != header[16..24] || sum != [u32_at(head, 16), u32_at(head, 20)] {
            break;
        }
        open.push((u32_at(head, 0), page));
        if u32_at(head, 4) != 0 {
            committed.last = Some(u32_at(head, 4));
            committed.pages.extend(open.drain(..));
        }
    }
    committed
}

/// 4.2; the length is a multiple of eight.
fn added(sum: [u32; 2], bytes: &[u8], number: fn([u8; 4]) -> u32) -> [u32; 2] {
    bytes.as_chunks::<8>().0.iter().fold(sum, |[a, b], [p, q, r, s, t, u, v, w]| {
        let a = a.wrapping_add(number([*p, *q, *r, *s])).wrapping_add(b);
        [a, b.wrapping_add(number([*t, *u, *v, *w])).wrapping_add(a)]
    })
}

/// A big endian number in bytes that have it.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
