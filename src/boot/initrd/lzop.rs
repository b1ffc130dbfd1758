//! Files of lzop: a header, then blocks with their sizes and checksums, as the kernel reads them
//! (its lib/decompress_unlzo.c). Checksums are passed over: what is in here is only looked through.

use std::io::{self, Read};

use super::invalid;

const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";
/// The kernel takes no larger blocks.
const BLOCK: usize = 256 << 10;

/// From this version on the header has three fields more.
const LONGER: u16 = 0x0940;
const HAS_FILTER: u32 = 0x0800;
/// Checksums of a block: of its content, and of it compressed.
const OF_CONTENT: [u32; 2] = [0x0001, 0x0100];
const OF_COMPRESSED: [u32; 2] = [0x0002, 0x0200];

/// The content of such a file.
pub(super) struct Lzop<R> {
    input: R,
    flags: u32,
    block: Vec<u8>,
    position: usize,
    ended: bool,
}

impl<R: Read> Lzop<R> {
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        if take::<9>(&mut input)? != *MAGIC {
            return Err(invalid("what looks like lzo is not"));
        }
        let version = u16::from_be_bytes(take(&mut input)?);
        let is_longer = version >= LONGER;
        // The version of the library, that which is needed, and the method.
        take::<3>(&mut input)?;
        if is_longer {
            take::<3>(&mut input)?;
        }
        let flags = number(&mut input)?;
        if flags & HAS_FILTER != 0 {
            number(&mut input)?;
        }
        // Mode and time.
        take::<8>(&mut input)?;
        if is_longer {
            number(&mut input)?;
        }
        let [name] = take(&mut input)?;
        for _ in 0..name {
            take::<1>(&mut input)?;
        }
        // Of the header.
        number(&mut input)?;
        Ok(Self { input, flags, block: Vec::new(), position: 0, ended: false })
    }

    fn next_block(&mut self) -> io::Result<()> {
        let size = number(&mut self.input)? as usize;
        if size == 0 {
            self.ended = true;
            return Ok(());
        }
        let compressed = number(&mut self.input)? as usize;
        if size > BLOCK || compressed > size {
            return Err(invalid("a block of lzo in it has an impossible size"));
        }
        let mut checksums = OF_CONTENT.iter().filter(|flag| self.flags & **flag != 0).count();
        if compressed < size {
            checksums += OF_COMPRESSED.iter().filter(|flag| self.flags & **flag != 0).count();
        }
        for _ in 0..checksums {
            number(&mut self.input)?;
        }
        let mut bytes = vec![0; compressed];
        self.input.read_exact(&mut bytes)?;
        self.position = 0;
        if compressed == size {
            self.block = bytes;
            return Ok(());
        }
        self.block.resize(size, 0);
        let written = lzokay::decompress::decompress(&bytes, &mut self.block);
        match written == Ok(size) {
            true => Ok(()),
            false => Err(invalid("a block of lzo in it is damaged")),
        }
    }
}

impl<R: Read> Read for Lzop<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.block.len() && !self.ended {
            self.block.clear();
            self.position = 0;
            self.next_block()?;
        }
        let there = &self.block[self.position..];
        let count = there.len().min(buffer.len());
        buffer[..count].copy_from_slice(&there[..count]);
        self.position += count;
        Ok(count)
    }
}

fn take<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn number(input: &mut impl Read) -> io::Result<u32> {
    Ok(u32::from_be_bytes(take(input)?))
}
