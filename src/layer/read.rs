//! Reading a layer's tar: entries to a [`LayerTree`], contents to the store, in one pass.

use std::io::Read;

use tar_core::SparseEntry;
use tar_core::parse::{Limits as TarLimits, ParseEvent, Parser};

use super::builder::Builder;
use super::entry::{Entry, Found, Kind, SparseMap};
use super::input::{Input, Sparse};
use super::limits::{EXTENSION_BYTES, PADDING_BYTES};
use super::sink::ObjectSink;
use super::whiteout::{Marker, marker};
use super::xattr::Chooser;
use super::{Error, Limits, Result, Warning, headers, pax};
use crate::names::{ImagePath, MAX_PATH_LEN};
use crate::repo::{self, Change, LayerTree, Node};

const BLOCK: u64 = 512;

/// Reads a layer to the end of its stream. Whether the stream was the right one (its digest, its diff_id) is for
/// the caller to check before it believes the result.
pub fn read_layer(
    tar: impl Read,
    sink: &mut dyn ObjectSink,
    limits: &Limits,
) -> Result<(LayerTree, Vec<Warning>)> {
    let mut input = Input::new(tar);
    let mut parser = Parser::new(TarLimits {
        max_metadata_size: EXTENSION_BYTES,
        max_path_len: Some(MAX_PATH_LEN as u32),
        ..TarLimits::default()
    });
    // Errors of values are ours to find, all of them: the parser knows no times before 1970.
    parser.set_ignore_pax_errors(true);
    let mut layer = LayerReader {
        builder: Builder::default(),
        xattrs: Chooser::default(),
        sink,
        limits,
        entries: 0,
        metadata: 0,
    };
    while let Some(header) = next_header(&mut input, &mut parser, &mut layer)? {
        layer.take(header, &mut input)?;
    }
    expect_padding(&mut input)?;
    let warnings = layer.xattrs.dropped().into_iter().map(Warning::DroppedXattr).collect();
    Ok((layer.builder.finish()?, warnings))
}

struct LayerReader<'a> {
    builder: Builder,
    xattrs: Chooser,
    sink: &'a mut dyn ObjectSink,
    limits: &'a Limits,
    entries: u64,
    metadata: u64,
}

/// A checked entry and how its content is stored.
struct Header {
    entry: Entry,
    /// Bytes of content in the stream, without padding.
    stored: u64,
    sparse: Option<Vec<SparseEntry>>,
}

/// Parses up to the content of the next entry; `None` at the end of the archive.
fn next_header<R: Read>(
    input: &mut Input<R>,
    parser: &mut Parser,
    layer: &mut LayerReader<'_>,
) -> Result<Option<Header>> {
    loop {
        let offset = input.offset();
        let malformed = |reason: String| Error::Malformed { offset, reason };
        let available = input.available();
        let (consumed, header) = match parser.parse(available).map_err(|e| malformed(e.to_string()))? {
            ParseEvent::NeedData { min_bytes } => {
                let had = available.len();
                // The parser's wish is too small for a sparse map that it cannot see the end of. Parsing starts
                // over each time, so it is not given single bytes.
                let wanted = if min_bytes > had { min_bytes } else { had * 2 };
                if input.require(wanted)? || input.available().len() > had {
                    continue;
                }
                // Some writers leave the end marker away, or half of it.
                if input.available().iter().all(|b| *b == 0) && had.is_multiple_of(BLOCK as usize) {
                    input.consume(had);
                    return Ok(None);
                }
                return Err(input.truncated());
            }
            ParseEvent::Entry { consumed, entry: parsed } => {
                let stored = parsed.size;
                let found = Found { parsed, blocks: &available[..consumed], sparse: None };
                let entry = found.check(&mut layer.xattrs)?;
                (consumed, Some(Header { entry, stored, sparse: None }))
            }
            ParseEvent::SparseEntry { consumed, entry: parsed, sparse_map, real_size } => {
                let stored = parsed.size;
                let sparse = Some(SparseMap { regions: &sparse_map, size: real_size });
                let found = Found { parsed, blocks: &available[..consumed], sparse };
                let entry = found.check(&mut layer.xattrs)?;
                (consumed, Some(Header { entry, stored, sparse: Some(sparse_map) }))
            }
            ParseEvent::GlobalExtensions { consumed, pax_data } => {
                headers::check(&available[..consumed]).map_err(|reason| malformed(reason.into()))?;
                pax::check_global(pax_data).map_err(malformed)?;
                (consumed, None)
            }
            ParseEvent::End { consumed } => {
                input.consume(consumed);
                return Ok(None);
            }
        };
        layer.count(consumed as u64, header.as_ref())?;
        input.consume(consumed);
        if header.is_some() {
            return Ok(header);
        }
    }
}

impl LayerReader<'_> {
    /// Counts towards the limits before anything is kept.
    fn count(&mut self, header_bytes: u64, header: Option<&Header>) -> Result<()> {
        let name = || header.map_or_else(|| "global header".into(), |h| h.entry.path.to_string());
        self.entries += 1;
        self.metadata += header_bytes;
        let too_large = |what, found, limit| Err(Error::TooLarge { entry: name(), what, found, limit });
        if self.entries > self.limits.entries {
            return too_large("the number of entries", self.entries, self.limits.entries);
        }
        // A plain header is a block; only what goes beyond is counted, so that many small files are not.
        let extra = self.metadata.saturating_sub(self.entries * BLOCK);
        if extra > self.limits.metadata_bytes {
            return too_large("metadata of", extra, self.limits.metadata_bytes);
        }
        match header {
            Some(Header { entry: Entry { kind: Kind::File { size }, .. }, .. })
                if *size > self.limits.available_bytes =>
            {
                too_large("its size of", *size, self.limits.available_bytes)
            }
            _ => Ok(()),
        }
    }

    fn take<R: Read>(&mut self, header: Header, input: &mut Input<R>) -> Result<()> {
        let Header { entry, stored, sparse } = header;
        let padding = stored.next_multiple_of(BLOCK) - stored;
        match marker(&entry.path)? {
            Marker::Plain => self.take_plain(entry, stored, sparse, input)?,
            marker => {
                match marker {
                    Marker::Whiteout(path) => self.builder.whiteout(path)?,
                    Marker::Opaque(directory) => self.builder.opaque(directory)?,
                    Marker::Plain | Marker::Reserved => {}
                }
                input.skip(stored)?;
            }
        }
        input.skip(padding)
    }

    fn take_plain<R: Read>(
        &mut self,
        entry: Entry,
        stored: u64,
        sparse: Option<Vec<SparseEntry>>,
        input: &mut Input<R>,
    ) -> Result<()> {
        let Entry { path, meta, mtime, kind } = entry;
        let node = match kind {
            Kind::File { size: 0 } if stored == 0 => Node::Empty,
            Kind::File { size } => {
                self.sink.announce(&path);
                let mut content = input.content(stored);
                let object = match sparse {
                    None => self.sink.store(&meta, mtime, size, &mut content),
                    Some(map) => {
                        self.sink.store(&meta, mtime, size, &mut Sparse::new(&mut content, map, size))
                    }
                };
                let left = content.left();
                let object = object.map_err(|e| unwrap_read(e, &path))?;
                // A store that stops early would put the rest of the file where the next header is expected.
                input.skip(left)?;
                Node::File { object, size }
            }
            Kind::Directory => Node::Directory,
            Kind::Symlink { target } => Node::Symlink { target },
            Kind::CharDevice { major, minor } => Node::CharDevice { major, minor },
            Kind::BlockDevice { major, minor } => Node::BlockDevice { major, minor },
            Kind::Fifo => Node::Fifo,
            Kind::Hardlink { target } => return self.builder.hardlink(path, target),
        };
        self.builder.set(path, Change::Set { meta, mtime, node })
    }
}

/// An error of the stream that went through the sink is one of the stream again.
fn unwrap_read(error: repo::Error, path: &ImagePath) -> Error {
    match error {
        repo::Error::Io { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::refused(path.as_bytes(), "the archive ends in the middle of it")
        }
        repo::Error::Io { source, .. } if source.get_ref().is_some() => Error::Read(source),
        other => Error::Repo(other),
    }
}

/// After the end marker come only zeros, and not many.
fn expect_padding<R: Read>(input: &mut Input<R>) -> Result<()> {
    let end = input.offset();
    loop {
        if input.available().is_empty() && !input.require(1)? {
            return Ok(());
        }
        let malformed =
            |reason: &str| Err(Error::Malformed { offset: input.offset(), reason: reason.into() });
        if input.available().iter().any(|b| *b != 0) {
            return malformed("data after the end of the archive");
        }
        if input.offset() - end > PADDING_BYTES {
            return malformed("too much padding after the end of the archive");
        }
        let n = input.available().len();
        input.consume(n);
    }
}
