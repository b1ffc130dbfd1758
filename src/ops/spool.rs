//! Blobs of an image that is read twice: first to know what is in it, then to store it. What came over the network
//! is kept between the two in files without names, which are gone when the process is.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

use crate::digest::Sha256;
use crate::oci;
use crate::oci::manifest::LayerDescriptor;
use crate::oci::platform::Platform;
use crate::oci::source::{ImageSource, ResolvedImage};

type Blobs = Arc<Mutex<HashMap<Sha256, File>>>;

/// A source that keeps the blobs that were read to their end. A blob for which there is no room is fetched again.
pub(super) struct Spool {
    inner: Box<dyn ImageSource>,
    directory: PathBuf,
    blobs: Blobs,
}

impl Spool {
    /// `directory` is where the files without names are.
    pub fn new(inner: Box<dyn ImageSource>, directory: &Path) -> Self {
        Self { inner, directory: directory.into(), blobs: Blobs::default() }
    }
}

impl ImageSource for Spool {
    fn resolve(&self, platform: &Platform) -> oci::Result<ResolvedImage> {
        self.inner.resolve(platform)
    }

    fn open_blob(&self, layer: &LayerDescriptor) -> oci::Result<Box<dyn Read + Send>> {
        let kept = self.blobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&layer.digest);
        if let Some(file) = kept {
            // Taken out: a layer that turns out to be wrong is fetched again, and the disk is given back early.
            return Ok(Box::new(Kept { file, position: 0 }));
        }
        let inner = self.inner.open_blob(layer)?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.directory, flags, Mode::RUSR | Mode::WUSR).ok().map(File::from);
        Ok(Box::new(Copying {
            inner,
            file,
            left: layer.size,
            digest: layer.digest,
            blobs: self.blobs.clone(),
        }))
    }
}

/// Writes down what passes.
struct Copying {
    inner: Box<dyn Read + Send>,
    /// `None` when it cannot be kept.
    file: Option<File>,
    left: u64,
    digest: Sha256,
    blobs: Blobs,
}

impl Read for Copying {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if self.file.as_mut().is_some_and(|file| file.write_all(&buffer[..n]).is_err()) {
            self.file = None;
        }
        self.left = self.left.saturating_sub(n as u64);
        if self.left == 0
            && let Some(file) = self.file.take()
        {
            self.blobs.lock().unwrap_or_else(PoisonError::into_inner).insert(self.digest, file);
        }
        Ok(n)
    }
}

/// Reads a file that was written before, from its start.
struct Kept {
    file: File,
    position: u64,
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::oci::manifest::Compression;

    struct Counting(Arc<AtomicU32>);

    impl ImageSource for Counting {
        fn resolve(&self, _: &Platform) -> oci::Result<ResolvedImage> {
            unreachable!("nothing is resolved here")
        }

        fn open_blob(&self, _: &LayerDescriptor) -> oci::Result<Box<dyn Read + Send>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(&b"some bytes"[..]))
        }
    }

    fn opened(directory: &Path) -> u32 {
        let count = Arc::new(AtomicU32::new(0));
        let spool = Spool::new(Box::new(Counting(count.clone())), directory);
        let layer = LayerDescriptor {
            digest: Sha256([1; 32]),
            size: 10,
            compression: Compression::None,
            diff_id: Sha256([1; 32]),
            annotations: BTreeMap::new(),
        };
        for _ in 0..2 {
            let mut bytes = Vec::new();
            spool.open_blob(&layer).unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, b"some bytes");
        }
        count.load(Ordering::Relaxed)
    }

    #[test]
    fn a_blob_is_fetched_once_and_twice_where_there_is_no_room() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(opened(directory.path()), 1);
        assert_eq!(opened(&directory.path().join("missing")), 2);
    }
}
