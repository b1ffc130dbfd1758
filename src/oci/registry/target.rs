//! The synchronous face of a registry that an image is pushed to.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;

use super::options::Options;
use super::server::Server;
use super::source::runtime;
use super::upload::Sent;
use crate::env::Env;
use crate::oci::push::{Outgoing, OutgoingBlob, Pushed};
use crate::oci::registries_conf::{self, RegistriesConf};
use crate::oci::{Error, RegistryReference, Result};
use crate::parallel::in_batches;

/// Blobs that are on their way at the same time: one fills a fast line, the others wait for the registry to store theirs.
const AT_ONCE: usize = 3;

/// A repository and a tag in it. Mirrors are for pulling: this is always the primary.
///
/// Methods block, so they must not be called inside an async runtime.
#[derive(Debug)]
pub struct RegistryTarget {
    server: Arc<Server>,
    conf: RegistriesConf,
    runtime: Runtime,
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
        let mut endpoints = conf.endpoints(reference)?;
        let primary = endpoints.pop().expect("the primary is always there");
        let server = Server::new(primary, &conf.credential_helpers, options, &Arc::new(env.clone()))?;
        Ok(Self { server: Arc::new(server), conf, runtime: runtime()? })
    }

    /// Sends what is missing, blobs first and the manifest last. Interrupted and run again it sends what is still missing.
    pub fn push(&self, image: &Outgoing<'_>) -> Result<Pushed> {
        let pushed = Mutex::new(Pushed::default());
        in_batches(
            &image.blobs,
            1,
            AT_ONCE,
            || (),
            |(), batch| {
                for blob in batch {
                    let from = self.same_registry(blob);
                    let open = || (image.open)(&blob.digest);
                    let sent = self.runtime.block_on(self.server.upload(blob, from.as_deref(), &open))?;
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
        self.runtime.block_on(self.server.name_it(&image.manifest, &image.media_type))?;
        Ok(pushed.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// The repository that has a blob, when it is in the registry that we speak to.
    fn same_registry(&self, blob: &OutgoingBlob) -> Option<String> {
        let known = self.conf.endpoints(blob.known_in.as_ref()?).ok()?.pop()?.reference;
        let own = &self.server.reference;
        (known.host == own.host && known.repository != own.repository).then_some(known.repository)
    }
}
