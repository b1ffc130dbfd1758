//! Manifests, indexes and configs: small, and whole in memory.

use super::server::{Request, Server};
use super::stall::Meter;
use crate::digest::Sha256;
use crate::oci::limits::DOCUMENT_BYTES;
use crate::oci::manifest::{Descriptor, MANIFEST_TYPES};
use crate::oci::resolve::{Fetched, Wanted};
use crate::oci::{Error, Result};

impl Server {
    /// Fetches what the reference names: by digest when it has one, else by tag.
    pub async fn top(&self) -> Result<Fetched> {
        let tag = self.reference.tag.as_deref().unwrap_or("latest");
        match &self.reference.digest {
            Some(digest) => {
                let what = format!("{}@{digest}", self.name());
                self.document(&format!("manifests/{digest}"), Some(digest), Kind::Manifest, &what).await
            }
            None => {
                let what = format!("{}:{tag}", self.name());
                self.document(&format!("manifests/{tag}"), None, Kind::Manifest, &what).await
            }
        }
    }

    /// Fetches a document by digest. The size is the caller's to check.
    pub async fn wanted(&self, wanted: Wanted<'_>) -> Result<Fetched> {
        let (kind, directory, Descriptor { digest, .. }) = match wanted {
            Wanted::Document(descriptor) => (Kind::Manifest, "manifests", descriptor),
            Wanted::Config(descriptor) => (Kind::Blob, "blobs", descriptor),
        };
        let what = format!("{}@{digest}", self.name());
        self.document(&format!("{directory}/{digest}"), Some(digest), kind, &what).await
    }

    async fn document(&self, path: &str, digest: Option<&Sha256>, kind: Kind, what: &str) -> Result<Fetched> {
        let accept = MANIFEST_TYPES.join(", ");
        let accept = (kind == Kind::Manifest).then_some(accept.as_str());
        let mut attempts = self.attempts();
        loop {
            let attempt = async {
                let response = self.send(&Request { accept, ..Request::get(path.to_owned(), what) }).await?;
                let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
                let media_type = header("content-type").filter(|_| kind == Kind::Manifest);
                let announced = header("docker-content-digest").and_then(|d| d.parse::<Sha256>().ok());
                let bytes =
                    Meter::new(self.options.timeouts).read_all(response, DOCUMENT_BYTES, what).await?;
                let found = Sha256::of(&bytes);
                if let Some(expected) = digest.or(announced.as_ref()).filter(|expected| **expected != found) {
                    let (what, expected, found) = (what.to_owned(), expected.to_string(), found.to_string());
                    return Err(Error::Verification { what, expected, found }.into());
                }
                Ok(Fetched { bytes, media_type })
            };
            match attempt.await {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }
}

/// Where a document is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Manifest,
    Blob,
}
