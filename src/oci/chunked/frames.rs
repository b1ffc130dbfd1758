//! A stream of zstd frames (RFC 8878), and where each begins.

use std::io::{self, Write};

use zstd::stream::raw::{Encoder, Operation, OutBuffer};

/// The first of the sixteen magic numbers of a frame that decoders pass over.
const SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

pub(super) struct Frames<W> {
    out: W,
    /// One context for all frames: making one costs more than a small file.
    zstd: Encoder<'static>,
    buffer: Box<[u8]>,
    /// Bytes that were written.
    position: u64,
    is_open: bool,
}

impl<W: Write> Frames<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        let buffer = vec![0; 128 << 10].into_boxed_slice();
        Ok(Self { out, zstd: Encoder::new(0)?, buffer, position: 0, is_open: false })
    }

    /// Says how long the content of the next frame is: small ones are compressed better and faster for it, and a frame that becomes
    /// longer or shorter is an error.
    pub(super) fn announce(&mut self, size: u64) -> io::Result<()> {
        self.zstd.set_pledged_src_size(Some(size))
    }

    /// Writes to the frame that is open; without one, to a new one.
    pub(super) fn write(&mut self, mut content: &[u8]) -> io::Result<()> {
        while !content.is_empty() {
            self.is_open = true;
            let status = self.zstd.run_on_buffers(content, &mut self.buffer)?;
            content = &content[status.bytes_read..];
            self.pass_on(status.bytes_written)?;
        }
        Ok(())
    }

    /// Ends the frame that is open, if there is one. Gives the place in the stream.
    pub(super) fn end(&mut self) -> io::Result<u64> {
        while self.is_open {
            let mut output = OutBuffer::around(&mut self.buffer[..]);
            let left = self.zstd.finish(&mut output, false)?;
            let written = output.pos();
            self.pass_on(written)?;
            self.is_open = left > 0;
        }
        self.zstd.reinit()?;
        Ok(self.position)
    }

    /// Writes a frame that decoders pass over. Gives the place of its content.
    pub(super) fn skippable(&mut self, content: &[u8]) -> io::Result<u64> {
        let too_large = |_| io::Error::other("a table of zstd:chunked has no more than 4 GiB");
        let size = u32::try_from(content.len()).map_err(too_large)?.to_le_bytes();
        let header = [SKIPPABLE, size].concat();
        let at = self.end()? + header.len() as u64;
        self.out.write_all(&header)?;
        self.out.write_all(content)?;
        self.position = at + content.len() as u64;
        Ok(at)
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }

    fn pass_on(&mut self, bytes: usize) -> io::Result<()> {
        self.out.write_all(&self.buffer[..bytes])?;
        self.position += bytes as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_where_it_is_said() {
        let mut frames = Frames::new(Vec::new()).unwrap();
        let contents = [
            vec![7; 300_000],
            b"small".to_vec(),
            (0..200_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect(),
        ];
        let mut places = vec![frames.end().unwrap()];
        for content in &contents {
            frames.announce(content.len() as u64).unwrap();
            content.chunks(1000).for_each(|part| frames.write(part).unwrap());
            places.push(frames.end().unwrap());
        }
        let table = frames.skippable(b"table").unwrap();
        let bytes = frames.into_inner();
        for (content, range) in contents.iter().zip(places.windows(2)) {
            let frame = &bytes[range[0] as usize..range[1] as usize];
            assert_eq!(zstd::bulk::decompress(frame, 1 << 20).unwrap(), *content);
        }
        assert_eq!(&bytes[table as usize..], b"table");
        assert_eq!(zstd::stream::decode_all(&*bytes).unwrap(), contents.concat());
    }

    #[test]
    fn a_content_of_another_length_is_an_error() {
        let mut frames = Frames::new(Vec::new()).unwrap();
        frames.announce(5).unwrap();
        assert!(frames.write(b"four").and_then(|()| frames.end()).is_err());
    }
}
