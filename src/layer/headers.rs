//! The raw header blocks in front of an entry, looked at for what respectable tools read differently.
//!
//! The parser is lenient, as every tar reader is, and each in its own way. Here is where two of them would part:
//!
//! * a number that is followed by something, or does not fit (one reads its front, one its low bits, one fails);
//! * a single block of zeros (GNU tar ends there, others go on);
//! * a global header between an extension and its entry (some forget the extension);
//! * `ustar` of another version, star's own use of the prefix field, a GNU header with text where its times are
//!   (Go reads a prefix there);
//! * a name or a link both in a GNU and in a pax extension, see [`super::entry`].
//!
//! Layout: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use std::ops::Range;

const BLOCK: usize = 512;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const TYPE: usize = 156;
const MAGIC: Range<usize> = 257..265;
/// Last byte of a prefix as star writes it; POSIX has 24 more.
const STAR_PREFIX_END: usize = 345 + 130;
const STAR_TRAILER: Range<usize> = 508..512;
const GNU_TIMES: [Range<usize>; 2] = [345..357, 357..369];
const GNU_SPARSE: Range<usize> = 386..482;
const GNU_EXTENDED: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;
/// Sparse regions of an extension block, each an offset and a length of 12 bytes.
const EXTENSION_SPARSE: Range<usize> = 0..504;
const EXTENSION_EXTENDED: usize = 504;

/// What the blocks say that the parser does not pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headers {
    /// The type byte of the entry itself.
    pub kind: u8,
    /// Seconds since the epoch; before it only in base-256.
    pub mtime: i64,
    /// Whether a GNU extension gives the name, and whether one gives the link.
    pub gnu_name: bool,
    pub gnu_link: bool,
}

/// Checks the blocks of one entry: its extensions, then its own header, then what more belongs to it.
pub(super) fn check(blocks: &[u8]) -> Result<Headers, &'static str> {
    let mut headers = Headers { kind: 0, mtime: 0, gnu_name: false, gnu_link: false };
    let mut at = 0;
    loop {
        let block = blocks.get(at..at + BLOCK).ok_or("it has no header")?;
        if block.iter().all(|b| *b == 0) {
            return Err("a lone block of zeros stands before it");
        }
        let size = check_block(block)?;
        // Without the magic they are unknown types.
        let extends = block[MAGIC].starts_with(b"ustar");
        match block[TYPE] {
            b'L' if extends => headers.gnu_name = true,
            b'K' if extends => headers.gnu_link = true,
            b'x' if extends => {}
            b'g' if at > 0 => return Err("a global header stands between it and its extension headers"),
            kind => {
                headers.kind = kind;
                headers.mtime = number(&block[MTIME]).ok_or("its mtime is malformed")?;
                if kind == b'S' {
                    check_sparse(&blocks[at..])?;
                }
                return Ok(headers);
            }
        }
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
}

/// Checks the fields every header has, and gives its size.
fn check_block(block: &[u8]) -> Result<usize, &'static str> {
    match &block[MAGIC] {
        b"ustar\x0000" if block[STAR_TRAILER] == *b"tar\0" && block[STAR_PREFIX_END] != 0 => {
            return Err("its header uses star's fields, which others read as part of the name");
        }
        b"ustar  \0" if GNU_TIMES.into_iter().any(|field| number(&block[field]).is_none()) => {
            return Err("its GNU header has text where its times belong");
        }
        b"ustar\x0000" | b"ustar  \0" => {}
        magic if magic.starts_with(b"ustar") => return Err("its header is of an unknown ustar version"),
        _ => {}
    }
    let natural =
        |field: Range<usize>, error| number(&block[field]).and_then(|n| u64::try_from(n).ok()).ok_or(error);
    natural(MODE, "its mode is malformed")?;
    natural(UID, "its uid is malformed or negative")?;
    natural(GID, "its gid is malformed or negative")?;
    let size = natural(SIZE, "its size is malformed or negative")?;
    usize::try_from(size).map_err(|_| "its size is too large")
}

/// The numbers of GNU's old sparse format, in the header and in the blocks after it.
fn check_sparse(blocks: &[u8]) -> Result<(), &'static str> {
    let malformed = "its sparse map is malformed";
    let regions = |fields: &[u8]| {
        let sound = |field: &[u8]| number(field).is_some_and(|n| n >= 0);
        if fields.chunks(12).all(sound) { Ok(()) } else { Err(malformed) }
    };
    regions(&blocks[GNU_SPARSE])?;
    regions(&blocks[GNU_REAL_SIZE])?;
    let mut extended = blocks[GNU_EXTENDED] != 0;
    let mut rest = blocks[BLOCK..].chunks_exact(BLOCK);
    while extended {
        let block = rest.next().ok_or(malformed)?;
        regions(&block[EXTENSION_SPARSE])?;
        extended = block[EXTENSION_EXTENDED] != 0;
    }
    Ok(())
}

/// A number field: octal digits between spaces and NULs, blank for zero; or, with the high bit set, binary in
/// two's complement (GNU tar manual, "Extensions to the Traditional Format").
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        // The bit below the mark is the sign.
        let first = i128::from((field[0] << 1) as i8 >> 1);
        let value = field[1..].iter().fold(first, |value, byte| value << 8 | i128::from(*byte));
        return i64::try_from(value).ok();
    }
    let start = field.iter().position(|b| *b != b' ').unwrap_or(field.len());
    let (_, rest) = field.split_at(start);
    let end = rest.iter().position(|b| !(b'0'..=b'7').contains(b)).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(end);
    if rest.iter().any(|b| !matches!(b, b' ' | 0)) {
        return None;
    }
    // Twelve octal digits have 36 bits.
    Some(digits.iter().fold(0, |value, digit| value << 3 | i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_reading() {
        let cases: &[(&[u8], Option<i64>)] = &[
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"00000000", Some(0)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"777777777777", Some(0o777777777777)),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfb", Some(-5)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb", Some(-5)),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", Some(i64::MAX)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\x05", None),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"000644\x001", None),
            (b"\x000000644", None),
            (b"000 0644", None),
            (b"000064x\0", None),
            (b"0000648\0", None),
            (b"+000644\0", None),
            (b"-000644\0", None),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), *expected, "{}", crate::names::printable(field));
        }
    }
}
