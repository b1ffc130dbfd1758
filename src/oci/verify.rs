//! Reading a blob and checking it at the same time.

use std::io::{self, Read};

use super::Error;
use crate::digest::{Sha256, Sha256Hasher};

/// Counts and hashes everything that is read. At the end of the stream the size and the digest are compared; a
/// blob that is too long fails as soon as it is. Nothing that came through may be believed before the end.
#[derive(Debug)]
pub struct VerifyingReader<R> {
    inner: R,
    digest: Sha256,
    size: u64,
    read: u64,
    /// `None` once the end was reached and everything was right.
    hasher: Option<Sha256Hasher>,
}

impl<R: Read> VerifyingReader<R> {
    pub fn new(inner: R, digest: Sha256, size: u64) -> Self {
        Self { inner, digest, size, read: 0, hasher: Some(Sha256Hasher::new()) }
    }

    /// Bytes that should still come.
    pub fn remaining(&self) -> u64 {
        self.size.saturating_sub(self.read)
    }

    /// Reads to the end and checks. Fine to call when the end was reached before.
    pub fn finish(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn wrong(&self, expected: String, found: String) -> io::Error {
        Error::Verification { what: format!("blob {}", self.digest), expected, found }.into()
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.hasher.is_none() {
            return Ok(0);
        }
        let n = self.inner.read(buffer)?;
        if n > 0 {
            self.read += n as u64;
            if self.read > self.size {
                return Err(self.wrong(format!("{} bytes", self.size), "more".into()));
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..n]);
            }
            return Ok(n);
        }
        if self.read < self.size {
            return Err(self.wrong(format!("{} bytes", self.size), format!("{} bytes", self.read)));
        }
        if let Some(hasher) = self.hasher.clone() {
            let found = hasher.finish();
            if found != self.digest {
                return Err(self.wrong("that digest".into(), found.to_string()));
            }
            self.hasher = None;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &[u8], digest: &[u8], size: u64) -> Result<(), String> {
        let mut reader = VerifyingReader::new(content, Sha256::of(digest), size);
        let mut out = Vec::new();
        reader.read_to_end(&mut out).map_err(|e| Error::from_io(e, String::new).to_string())?;
        assert_eq!(out, content);
        reader.finish().map_err(|e| e.to_string())
    }

    #[test]
    fn only_the_promised_bytes_reach_their_end() {
        assert_eq!(check(b"content", b"content", 7), Ok(()));
        assert_eq!(check(b"", b"", 0), Ok(()));
        assert!(check(b"conten", b"content", 7).unwrap_err().ends_with("expected 7 bytes, found 6 bytes"));
        assert!(check(b"content!", b"content", 7).unwrap_err().ends_with("expected 7 bytes, found more"));
        assert!(check(b"contenu", b"content", 7).unwrap_err().contains("expected that digest"));
    }
}
