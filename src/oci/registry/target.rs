//! The synchronous face of a registry that an image is pushed to.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;

use super::options::Options;
use super::server::Server;
use super::source::runtime;
use super::upload::Sent;
use crate::env::Env;
use crate::oci::push::{Outgoing, OutgoingBlob, Pushed};
use crate::oci::registries_conf;
use crate::oci::{Error, RegistryReference, Result};
use crate::parallel::in_batches;

/// Blobs that are on their way at the same time: one fills a fast line, the others wait for the registry to store theirs.
const AT_ONCE: usize = 3;

/// A repository and a tag in it, by the name that was typed: mirrors and other locations are for pulling.
///
/// Methods block, so they must not be called inside an async runtime.
#[derive(Debug)]
pub struct RegistryTarget {
    server: Server,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl RegistryTarget {
    /// Reads the machine's configuration for the reference, as for a pull. One by digest is an error: what is pushed has its own.
    pub fn with_options(reference: &RegistryReference, env: &Env, options: &Options) -> Result<Self> {
        if reference.digest.is_some() {
            return Err(Error::InvalidReference {
                text: crate::oci::ImageReference::Registry(reference.clone()).to_string(),
                reason: "an image that is pushed has a digest of its own; name it by a tag".into(),
            });
        }
        let conf = registries_conf::load(env)?;
        let endpoint = conf.endpoint_to_push(reference)?;
        let server = Server::to_push(endpoint, &conf.credential_helpers, options, &Arc::new(env.clone()))?;
        Ok(Self { server, runtime: Some(runtime()?) })
    }

    /// Sends what is missing, blobs first and the manifest last. Interrupted and run again it sends what is still missing.
    pub fn push(&self, image: &Outgoing<'_>) -> Result<Pushed> {
        let pushed = Mutex::new(Pushed::default());
        let runtime = self.runtime.as_ref().expect("only drop takes the runtime");
        in_batches(
            &image.blobs,
            1,
            AT_ONCE,
            || (),
            |(), batch| {
                for blob in batch {
                    let from = self.same_registry(blob);
                    let open = || (image.open)(&blob.digest);
                    let sent = runtime.block_on(self.server.upload(blob, from.as_deref(), &open))?;
                    let mut pushed = pushed.lock().unwrap_or_else(PoisonError::into_inner);
                    match sent {
                        Sent::Present => pushed.present += 1,
                        Sent::Mounted => pushed.mounted += 1,
                        Sent::Whole => {
                            pushed.sent += 1;
                            pushed.sent_bytes += blob.size;
                        }
                    }
                }
                Ok::<(), Error>(())
            },
        )?;
        runtime.block_on(self.server.name_it(&image.manifest, &image.media_type))?;
        Ok(pushed.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The repository that has a blob, when it is in the registry that we speak to.
    fn same_registry(&self, blob: &OutgoingBlob) -> Option<String> {
        let (known, own) = (blob.known_in.as_ref()?, &self.server.reference);
        (known.host == own.host && known.repository != own.repository).then(|| known.repository.clone())
    }
}

impl Drop for RegistryTarget {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Does not wait: who reads a blob may wait for another registry.
            runtime.shutdown_background();
        }
    }
}
