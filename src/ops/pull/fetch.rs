//! One layer from its blob to the store, in one pass and two threads: one inflates and checks digests, the other
//! reads the tar and writes objects.

use std::io::{self, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use super::pipe::{Filler, pipe};
use crate::digest::Sha256Hasher;
use crate::layer::sink::ObjectSink;
use crate::layer::{self, Limits, Warning};
use crate::oci::manifest::LayerDescriptor;
use crate::oci::source::ImageSource;
use crate::oci::{self, compress, verify::VerifyingReader};
use crate::ops::{Error, Result};
use crate::progress::{Event, Reporter};
use crate::repo::{LayerTree, Transaction, Written};

/// When the tar is malformed but the blob is not at its end, this much more is read to find out whether the
/// blob itself is wrong, which is the better message.
const BLAME_LIMIT: u64 = 64 << 20;
/// Progress is reported in steps of this many bytes.
const PROGRESS_STEP: u64 = 512 << 10;

/// What came of a layer.
pub(super) struct Fetched {
    pub written: Written,
    pub warnings: Vec<Warning>,
}

/// Fetches, checks, unpacks and commits a layer. One whose digest is wrong is fetched once more from the start:
/// a proxy or a resumed connection may have garbled it.
pub(super) fn fetch_layer(
    source: &dyn ImageSource,
    transaction: &Transaction<'_>,
    layer: &LayerDescriptor,
    index: usize,
    reporter: &dyn Reporter,
) -> Result<Fetched> {
    let digest = layer.digest.to_string();
    reporter.report(Event::LayerStarted { index, digest: &digest, size: layer.size });
    let fetched = match attempt(source, transaction, layer, index, reporter) {
        Err(error) if error.is_wrong_digest() => {
            reporter.report(Event::Warning(&format!("{error}; fetching the layer again")));
            reporter.report(Event::LayerProgress { index, position: 0 });
            attempt(source, transaction, layer, index, reporter)?
        }
        result => result?,
    };
    let Written { new_bytes, shared_bytes, .. } = fetched.written;
    reporter.report(Event::LayerDone { index, new_bytes, shared_bytes });
    Ok(fetched)
}

fn attempt(
    source: &dyn ImageSource,
    transaction: &Transaction<'_>,
    layer: &LayerDescriptor,
    index: usize,
    reporter: &dyn Reporter,
) -> Result<Fetched> {
    let mut writer = transaction.writer();
    let reader = Reader { source, layer, index, reporter };
    let (tree, warnings) = reader.read(&mut writer, transaction.remaining())?;
    let written = writer.written();
    transaction.commit_layer(writer, &layer.diff_id, &tree)?;
    Ok(Fetched { written, warnings })
}

/// Reads one layer from its source.
pub(in crate::ops) struct Reader<'a> {
    pub source: &'a dyn ImageSource,
    pub layer: &'a LayerDescriptor,
    /// Which layer of the image, for progress.
    pub index: usize,
    pub reporter: &'a dyn Reporter,
}

impl Reader<'_> {
    /// Reads the layer and gives its files to `sink`; size, digest and diff_id are right when it returns Ok.
    /// No file may have more than `available_bytes`.
    pub(in crate::ops) fn read(
        &self,
        sink: &mut dyn ObjectSink,
        available_bytes: u64,
    ) -> Result<(LayerTree, Vec<Warning>)> {
        let Self { source, layer, index, reporter } = *self;
        let blob = Progress { inner: source.open_blob(layer)?, index, position: 0, reported: 0, reporter };
        let blob = VerifyingReader::new(blob, layer.digest, layer.size);
        let limits = Limits { available_bytes, ..Limits::default() };
        let (filler, mut drain) = pipe();
        let give_up = AtomicBool::new(false);
        let (read, inflated) = std::thread::scope(|scope| {
            let inflate = || inflate(blob, layer, filler, &give_up);
            let inflating = std::thread::Builder::new()
                .spawn_scoped(scope, inflate)
                .map_err(Error::io("starting a thread that decompresses"))?;
            let read = layer::read_layer(&mut drain, sink, &limits);
            if read.is_err() {
                give_up.store(true, Ordering::Relaxed);
            }
            drop(drain);
            let inflated =
                inflating.join().unwrap_or_else(|_| Err(Error::bug("the inflating thread panicked")));
            Ok::<_, Error>((read, inflated))
        })?;
        // A wrong blob explains a malformed tar, not the other way round.
        inflated?;
        Ok(read?)
    }
}

/// Reads the blob to its end. Ok means: size, digest and diff_id are right, or the reader of the tar gave up.
fn inflate(
    mut blob: VerifyingReader<Progress<'_>>,
    layer: &LayerDescriptor,
    filler: Filler,
    give_up: &AtomicBool,
) -> Result<()> {
    let from_io = |error| oci::Error::from_io(error, || format!("blob {}", layer.digest));
    let mut hasher = Sha256Hasher::new();
    let result = {
        let buffered = BufReader::with_capacity(256 << 10, &mut blob);
        let mut tar = compress::decompressor(layer.compression, buffered).map_err(from_io)?;
        loop {
            let mut buffer = filler.buffer();
            let n = match fill(&mut tar, &mut buffer) {
                Ok(n) => n,
                Err(error) => break Err(error),
            };
            if n == 0 {
                break Ok(());
            }
            buffer.truncate(n);
            hasher.update(&buffer);
            if !filler.send(buffer) {
                break Ok(());
            }
        }
    };
    drop(filler);
    let stopped = give_up.load(Ordering::Relaxed);
    match result {
        // Not even the compression is intact: is it the blob? Its digest says so.
        Err(error) => {
            let error = from_io(error);
            if matches!(error, oci::Error::Malformed { .. }) && blob.remaining() <= BLAME_LIMIT {
                blob.finish().map_err(from_io)?;
            }
            return Err(error.into());
        }
        Ok(()) if stopped && blob.remaining() > BLAME_LIMIT => return Ok(()),
        Ok(()) => blob.finish().map_err(from_io)?,
    }
    let found = hasher.finish();
    if !stopped && found != layer.diff_id {
        return Err(oci::Error::wrong_diff_id(layer, found).into());
    }
    Ok(())
}

/// Fills a buffer as far as the stream goes.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reports how far a blob was read.
struct Progress<'a> {
    inner: Box<dyn Read + Send>,
    index: usize,
    position: u64,
    reported: u64,
    reporter: &'a dyn Reporter,
}

impl Read for Progress<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.position += n as u64;
        if self.position >= self.reported + PROGRESS_STEP || (n == 0 && self.position > self.reported) {
            self.reported = self.position;
            self.reporter.report(Event::LayerProgress { index: self.index, position: self.position });
        }
        Ok(n)
    }
}
