//! A tar that is cut into frames while it goes through.

use std::collections::BTreeMap;
use std::io::{self, Write};

use tar_core::parse::{Limits, ParseEvent, Parser};

use super::entry::Entry;
use super::frames::Frames;
use super::tables;
use super::tar_split::{Checksum, TarSplit, checksum};
use super::toc::Toc;
use crate::digest::Sha256Hasher;

const BLOCK: usize = 512;

/// Takes a tar and writes it as zstd:chunked. Has in memory the header of one entry and what is compressed of the tables.
pub(in crate::oci) struct Encoder<W> {
    frames: Frames<W>,
    toc: Toc,
    tar_split: TarSplit,
    parser: Parser,
    state: State,
    /// What came of the next header, with the padding of the content before it in front.
    header: Vec<u8>,
    padding: usize,
    /// With so many bytes of it the parser is asked again.
    wanted: usize,
}

enum State {
    Header,
    Content(Box<Content>),
    /// After the blocks that end the archive.
    End,
}

struct Content {
    entry: Entry,
    left: u64,
    hash: Sha256Hasher,
    checksum: Checksum,
}

impl Content {
    /// Takes what belongs to it.
    fn split<'b>(&mut self, bytes: &'b [u8]) -> (&'b [u8], &'b [u8]) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let (now, rest) = bytes.split_at(bytes.len().min(left));
        self.hash.update(now);
        self.checksum.update(now);
        self.left -= now.len() as u64;
        (now, rest)
    }
}

impl<W: Write> Encoder<W> {
    pub(in crate::oci) fn new(out: W) -> io::Result<Self> {
        let mut parser = Parser::new(Limits::permissive());
        // It knows no fractions and nothing before 1970; an entry reads its time itself.
        parser.set_ignore_pax_errors(true);
        Ok(Self {
            frames: Frames::new(out)?,
            toc: Toc::new()?,
            tar_split: TarSplit::new()?,
            parser,
            state: State::Header,
            header: Vec::new(),
            padding: 0,
            wanted: BLOCK,
        })
    }

    /// Writes the tables. Gives the annotations that tell where they are.
    pub(in crate::oci) fn finish(mut self) -> io::Result<(W, BTreeMap<String, String>)> {
        match &self.state {
            State::Content(content) => {
                return Err(malformed(format!("the tar ends in the middle of {}", content.entry.name)));
            }
            State::Header if self.header.len() != self.padding => {
                return Err(malformed("the tar ends in the middle of a block".into()));
            }
            State::Header if !self.header.is_empty() => self.pass_header()?,
            State::Header | State::End => {}
        }
        self.frames.end()?;
        let tar_split = self.tar_split.finish()?;
        let toc = self.toc.finish(tar_split.digest)?;
        let annotations = tables::write(&mut self.frames, &toc, &tar_split)?;
        Ok((self.frames.into_inner(), annotations))
    }

    /// Takes what belongs to a header; gives the rest.
    fn header<'b>(&mut self, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
        let (now, rest) = bytes.split_at(bytes.len().min(self.wanted - self.header.len()));
        self.header.extend_from_slice(now);
        if self.header.len() < self.wanted {
            return Ok(rest);
        }
        let found = match self.parser.parse(&self.header[self.padding..]) {
            Ok(ParseEvent::NeedData { min_bytes }) if self.padding + min_bytes > self.wanted => {
                self.wanted = self.padding + min_bytes;
                return Ok(rest);
            }
            Ok(ParseEvent::Entry { consumed, entry }) if self.padding + consumed == self.wanted => {
                Some(Entry::of(&entry).map_err(malformed)?)
            }
            Ok(ParseEvent::End { .. }) => None,
            Ok(_) => {
                return Err(malformed("zstd:chunked knows neither sparse files nor global headers".into()));
            }
            Err(error) => return Err(malformed(error.to_string())),
        };
        self.pass_header()?;
        match found {
            None => self.state = State::End,
            Some(entry) if entry.size == 0 => {
                self.tar_split.content(&entry.name, None)?;
                self.toc.add(&entry)?;
            }
            Some(entry) => self.begin(entry)?,
        }
        Ok(rest)
    }

    fn pass_header(&mut self) -> io::Result<()> {
        self.frames.write(&self.header)?;
        self.tar_split.bytes(&self.header)?;
        self.header.clear();
        (self.padding, self.wanted) = (0, BLOCK);
        Ok(())
    }

    fn begin(&mut self, mut entry: Entry) -> io::Result<()> {
        entry.offset = self.frames.end()?;
        self.frames.announce(entry.size)?;
        let (hash, checksum) = (Sha256Hasher::new(), checksum());
        self.state = State::Content(Box::new(Content { left: entry.size, entry, hash, checksum }));
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        let State::Content(content) = std::mem::replace(&mut self.state, State::Header) else {
            return Ok(());
        };
        let Content { mut entry, hash, checksum, .. } = *content;
        entry.end_offset = self.frames.end()?;
        entry.digest = Some(hash.finish());
        self.tar_split.content(&entry.name, Some((entry.size, checksum)))?;
        self.toc.add(&entry)?;
        self.padding = (entry.size.wrapping_neg() % BLOCK as u64) as usize;
        self.wanted = self.padding + BLOCK;
        Ok(())
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match &mut self.state {
                State::Header => self.header(rest)?,
                State::Content(content) => {
                    let (now, rest) = content.split(rest);
                    self.frames.write(now)?;
                    if content.left == 0 {
                        self.end()?;
                    }
                    rest
                }
                State::End => {
                    self.frames.write(rest)?;
                    self.tar_split.bytes(rest)?;
                    &[]
                }
            };
        }
        Ok(bytes.len())
    }

    /// A frame is not flushed before its end: that would make another one of it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn malformed(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
