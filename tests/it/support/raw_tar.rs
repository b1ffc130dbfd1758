//! Tar archives byte by byte, for what no library would write.
//!
//! ```text
//! Header (512 bytes, any field any bytes, checksum right unless said) -> with(content) -> padded to blocks
//! ```
//! Fields: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".

use std::ops::Range;

pub const BLOCK: usize = 512;
pub const NAME: Range<usize> = 0..100;
pub const MODE: Range<usize> = 100..108;
pub const UID: Range<usize> = 108..116;
pub const GID: Range<usize> = 116..124;
pub const SIZE: Range<usize> = 124..136;
pub const MTIME: Range<usize> = 136..148;
pub const CHECKSUM: Range<usize> = 148..156;
pub const KIND: usize = 156;
pub const LINK: Range<usize> = 157..257;
pub const MAGIC: Range<usize> = 257..265;
pub const MAJOR: Range<usize> = 329..337;
pub const MINOR: Range<usize> = 337..345;
pub const PREFIX: Range<usize> = 345..500;
/// GNU's old sparse format: four regions, then more in blocks of their own, then the size with holes.
pub const SPARSE: usize = 386;
pub const EXTENDED: usize = 482;
pub const REAL_SIZE: Range<usize> = 483..495;

/// Two blocks of zeros.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

#[derive(Debug, Clone)]
pub struct Header {
    bytes: [u8; BLOCK],
    checksum: bool,
}

impl Header {
    /// A POSIX header: mode 0644, root's, time 1.
    pub fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        let header = Self { bytes: [0; BLOCK], checksum: true };
        header
            .set(NAME, name)
            .set(MODE, "0000644\0")
            .set(UID, "0000000\0")
            .set(GID, "0000000\0")
            .size(0)
            .set(MTIME, "00000000001\0")
            .set(KIND..KIND + 1, [kind])
            .set(MAGIC, "ustar\x0000")
            .set(MAJOR, "0000000\0")
            .set(MINOR, "0000000\0")
    }

    pub fn gnu(self) -> Self {
        self.set(MAGIC, "ustar  \0")
    }

    /// The format before POSIX: no magic, and nothing behind the link.
    pub fn v7(mut self) -> Self {
        self.bytes[MAGIC.start..].fill(0);
        self
    }

    /// Writes a field from its front; the rest of it becomes zeros.
    pub fn set(mut self, field: Range<usize>, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.bytes[field.clone()].fill(0);
        self.bytes[field][..value.len()].copy_from_slice(value);
        self
    }

    pub fn size(self, size: usize) -> Self {
        self.set(SIZE, format!("{size:011o}\0"))
    }

    pub fn link(self, target: impl AsRef<[u8]>) -> Self {
        self.set(LINK, target)
    }

    pub fn without_checksum(self) -> Self {
        Self { checksum: false, ..self }
    }

    /// The block.
    pub fn block(mut self) -> Vec<u8> {
        if self.checksum {
            self.bytes[CHECKSUM].fill(b' ');
            let sum: u32 = self.bytes.iter().map(|b| u32::from(*b)).sum();
            self = self.set(CHECKSUM, format!("{sum:06o}\0 "));
        }
        self.bytes.to_vec()
    }

    /// The block and content, with the header's size set to it.
    pub fn with(self, content: impl AsRef<[u8]>) -> Vec<u8> {
        let content = content.as_ref();
        [self.size(content.len()).block(), padded(content)].concat()
    }
}

pub fn padded(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(BLOCK), 0);
    content
}

/// A number in GNU's binary form for a field of `N` bytes.
pub fn base256<const N: usize>(value: i128) -> [u8; N] {
    let bytes = value.to_be_bytes();
    let mut field = [0; N];
    field.copy_from_slice(&bytes[bytes.len() - N..]);
    field[0] |= 0x80;
    field
}

pub fn file(name: &str, content: impl AsRef<[u8]>) -> Vec<u8> {
    Header::new(b'0', name).with(content)
}

pub fn directory(name: &str) -> Vec<u8> {
    Header::new(b'5', name).set(MODE, "0000755\0").block()
}

pub fn symlink(name: &str, target: &str) -> Vec<u8> {
    Header::new(b'2', name).link(target).block()
}

pub fn hardlink(name: &str, target: &str) -> Vec<u8> {
    Header::new(b'1', name).link(target).block()
}

/// Extension records with the right lengths.
pub fn records(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        out.extend_from_slice(format!("{length} {key}=").as_bytes());
        out.extend_from_slice(value);
        out.push(b'\n');
    }
    out
}

/// An extension header of pax for the next entry.
pub fn pax(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    Header::new(b'x', "PaxHeaders/x").with(records(pairs))
}

/// An extension header of pax for all later entries.
pub fn global(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    Header::new(b'g', "pax_global_header").with(records(pairs))
}

/// GNU's long name (`L`) or long link (`K`) for the next entry.
pub fn gnu_long(kind: u8, name: &str) -> Vec<u8> {
    Header::new(kind, "././@LongLink").gnu().with(format!("{name}\0"))
}

/// Parts, then the end.
pub fn archive(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), END.to_vec()].concat()
}
