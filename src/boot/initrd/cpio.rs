//! cpio archives in the format `newc` (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst): for
//! each file a header of 110 characters, the name with a zero, the content, each padded to four bytes.

use std::io::{self, Read};

use rustix::fs::FileType;

use super::ahead::Ahead;
use super::{Walk, invalid};

const HEADER: usize = 110;
/// The kernel's `PATH_MAX`; a longer name is skipped by it.
const LONGEST_NAME: u64 = 4096;
/// An initramfs of a distribution has a few thousand.
const MOST_ENTRIES: u64 = 1_000_000;
const END: &[u8] = b"TRAILER!!!";

/// Whether something begins as an archive does, without checksums or with them.
pub fn is_archive(start: &[u8]) -> bool {
    start.starts_with(b"070701") || start.starts_with(b"070702")
}

impl Walk<'_> {
    /// Reads an archive up to its end, or up to the program; true when that is there.
    pub(super) fn archive(&mut self, input: &mut Ahead<'_>) -> io::Result<bool> {
        loop {
            let mut header = [0; HEADER];
            input.read_exact(&mut header).map_err(short)?;
            if !is_archive(&header) {
                return Err(invalid("a file in it has a header that is none"));
            }
            let (mode, size, name_size) = (field(&header, 1)?, field(&header, 6)?, field(&header, 11)?);
            if name_size == 0 || name_size > LONGEST_NAME {
                return Err(invalid("a file in it has a name of impossible length"));
            }
            let mut name = vec![0; name_size as usize];
            input.read_exact(&mut name).map_err(short)?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if name == END {
                return self.count(HEADER as u64 + name_size).map(|()| false);
            }
            let mode = FileType::from_raw_mode(mode as u32);
            if mode == FileType::RegularFile && name.rsplit(|byte| *byte == b'/').next() == Some(self.program)
            {
                return Ok(true);
            }
            let rest = padding(HEADER as u64 + name_size) + size + padding(size);
            input.skip(rest)?;
            self.entries += 1;
            if self.entries > MOST_ENTRIES {
                return Err(invalid("it has more than a million files"));
            }
            self.count(HEADER as u64 + name_size + rest)?;
        }
    }
}

/// A field of eight hexadecimal digits behind the magic number.
fn field(header: &[u8; HEADER], index: usize) -> io::Result<u64> {
    let digits = &header[6 + 8 * index..14 + 8 * index];
    let number = str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
    number
        .and_then(|text| u64::from_str_radix(text, 16).ok())
        .ok_or_else(|| invalid("a file in it has a header with something that is no number"))
}

fn padding(length: u64) -> u64 {
    length.next_multiple_of(4) - length
}

fn short(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "it ends in the middle of an archive"),
        _ => error,
    }
}
