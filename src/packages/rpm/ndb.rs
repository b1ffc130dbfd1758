//! `Packages.db`, rpm's own container (`lib/backend/ndb/rpmpkg.c` of rpm).
//!
//! ```text
//! pages of 4096 bytes with slots of 16; the first two slots are the header
//!   header   "RpmP", version 0, generation, how many pages of slots, next number
//!   slot     "Slot", number of the package, first block, how many blocks; no first block: a free slot
//! blocks of 16 bytes, each blob in as many as it needs
//!   "BlbS", number of the package, generation, length of the blob
//!   the blob, and zeros until the end fits
//!   adler32 of all before, length of the blob, "BlbE"
//! ```
//!
//! All numbers are little endian `u32`.

use super::super::{Error, MOST_PACKAGES, Place};
use super::Visit;

const SLOT: usize = 16;
const BLOCK: usize = 16;
const PAGE: usize = 4096;
const HEAD: usize = 16;
const TAIL: usize = 12;

/// Where the blob of a package is, in bytes.
struct Slot {
    number: u32,
    start: usize,
    end: usize,
}

/// Calls back for each package, in the order of their numbers.
pub(super) fn each_blob(file: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
    let mut slots = slots(file)?;
    slots.sort_by_key(|slot| slot.start);
    // Without this a file could have one large blob under many numbers.
    if let Some(pair) = slots.windows(2).find(|pair| pair[1].start < pair[0].end) {
        return Err(malformed(pair[1].number, "its blob is in another one's"));
    }
    slots.sort_by_key(|slot| slot.number);
    if let Some(pair) = slots.windows(2).find(|pair| pair[0].number == pair[1].number) {
        return Err(malformed(pair[0].number, "it is there twice"));
    }
    for slot in slots {
        visit(slot.number.into(), blob(file, &slot)?)?;
    }
    Ok(())
}

/// The slots that are used.
fn slots(file: &[u8]) -> Result<Vec<Slot>, Error> {
    let wrong = |reason| Error::Malformed { place: Place::Header, reason };
    if !file.starts_with(b"RpmP") {
        return Err(wrong("not a database of packages"));
    }
    if u32_at(file, 4) != Some(0) {
        return Err(wrong("a version that is not known"));
    }
    let pages = u32_at(file, 12).and_then(|pages| (pages as usize).checked_mul(PAGE));
    let index = pages.and_then(|bytes| file.get(..bytes)).ok_or_else(|| wrong("it is cut off"))?;
    let mut slots = Vec::new();
    for slot in index.chunks_exact(SLOT).skip(2) {
        let field = |at| u32_at(slot, at).unwrap_or_default();
        if !slot.starts_with(b"Slot") {
            return Err(wrong("a slot that is none"));
        }
        let (number, first, count) = (field(4), field(8) as usize, field(12) as usize);
        if first == 0 {
            continue;
        }
        let end = first.checked_add(count).and_then(|end| end.checked_mul(BLOCK));
        let end =
            end.filter(|end| *end <= file.len()).ok_or_else(|| malformed(number, "its blob is cut off"))?;
        let start = first * BLOCK;
        if start < index.len() || end - start < HEAD + TAIL {
            return Err(malformed(number, "its blob is not among the blobs"));
        }
        if slots.len() == MOST_PACKAGES {
            return Err(wrong("too many packages"));
        }
        slots.push(Slot { number, start, end });
    }
    Ok(slots)
}

fn blob<'f>(file: &'f [u8], slot: &Slot) -> Result<&'f [u8], Error> {
    let blocks = &file[slot.start..slot.end];
    let (before, tail) = blocks.split_at(blocks.len() - TAIL);
    let length = u32_at(before, 12);
    if !before.starts_with(b"BlbS") || u32_at(before, 4) != Some(slot.number) || !tail.ends_with(b"BlbE") {
        return Err(malformed(slot.number, "its slot leads to something else"));
    }
    if u32_at(tail, 4) != length || u32_at(tail, 0) != Some(adler32(before)) {
        return Err(malformed(slot.number, "its checksum is wrong"));
    }
    let blob = length.and_then(|length| before[HEAD..].get(..length as usize));
    blob.ok_or_else(|| malformed(slot.number, "its blob is cut off"))
}

fn malformed(number: u32, reason: &'static str) -> Error {
    Error::Malformed { place: Place::Package(number.into()), reason }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes))
}

/// RFC 1950.
pub(super) fn adler32(bytes: &[u8]) -> u32 {
    const BASE: u32 = 65521;
    let (mut a, mut b) = (1, 0);
    // So many can be added before a sum outgrows 32 bits.
    for chunk in bytes.chunks(5552) {
        for byte in chunk {
            a += u32::from(*byte);
            b += a;
        }
        (a, b) = (a % BASE, b % BASE);
    }
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Rpm, ndb};
    use super::*;

    fn read(file: &[u8]) -> Result<Vec<u64>, String> {
        let mut numbers = Vec::new();
        each_blob(file, &mut |number, _| {
            numbers.push(number);
            Ok(())
        })
        .map_err(|error| error.to_string())?;
        Ok(numbers)
    }

    #[test]
    fn blobs_are_found_by_their_slots() {
        let blobs: Vec<_> = (0..300).map(|n| Rpm::new(&format!("p{n}"), "1", "1").header()).collect();
        let file = ndb(&blobs);
        assert_eq!(read(&file), Ok((1..=300).collect()));
        let mut found = Vec::new();
        each_blob(&file, &mut |_, blob| {
            found.push(blob.to_vec());
            Ok(())
        })
        .unwrap();
        assert_eq!(found, blobs);
        assert_eq!(read(&ndb(&[])), Ok(vec![]));
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn what_is_not_one_is_refused() {
        let file = ndb(&[Rpm::new("a", "1", "1").header(), Rpm::new("b", "1", "1").header()]);
        let refused = |at: usize, bytes: &[u8]| {
            let mut file = file.clone();
            file[at..at + bytes.len()].copy_from_slice(bytes);
            read(&file).unwrap_err()
        };
        let first = PAGE;
        for (at, bytes, reason) in [
            (0, &b"x"[..], "the header: not a database of packages"),
            (4, &[1], "the header: a version that is not known"),
            (12, &[2], "the header: it is cut off"),
            (15, &[0xff], "the header: it is cut off"),
            (32, b"x", "the header: a slot that is none"),
            (32 + 8, &[1, 0], "package 1: its blob is not among the blobs"),
            (32 + 12, &[0xff, 0xff, 0xff, 0xff], "package 1: its blob is cut off"),
            (48 + 8, &[0, 1], "package 2: its blob is in another one's"),
            (48 + 4, &[9], "package 9: its slot leads to something else"),
            (first + 12, &[1], "package 1: its checksum is wrong"),
            (first + 30, &[1], "package 1: its checksum is wrong"),
        ] {
            assert_eq!(refused(at, bytes), reason);
        }
        assert_eq!(read(&file[..20]), Err("the header: it is cut off".into()));
        assert_eq!(read(&file[..file.len() - 1]), Err("package 2: its blob is cut off".into()));
    }
}
