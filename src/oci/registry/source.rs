//! The synchronous face of a registry.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Runtime};

use super::blob::Transfer;
use super::options::Options;
use super::pipe::pipe;
use super::server::Server;
use super::throttle::Throttle;
use crate::env::Env;
use crate::oci::manifest::LayerDescriptor;
use crate::oci::platform::Platform;
use crate::oci::resolve::resolve_image;
use crate::oci::source::{ImageSource, ResolvedImage};
use crate::oci::{Error, ImageReference, Result, registries_conf};

/// Threads that receive. One fills a fast line; the second keeps other layers going while it decrypts.
const WORKERS: usize = 2;

pub(super) fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_name("registry")
        .enable_all()
        .build()
        .map_err(Error::io("starting the threads that speak to registries"))
}

/// An image in a registry. Nothing is asked over the network before [`ImageSource::resolve`].
///
/// Methods block, so they must not be called inside an async runtime. Dropping it ends its transfers.
#[derive(Debug)]
pub struct RegistrySource {
    /// As it was given, for messages.
    name: String,
    /// Mirrors in order, the primary last.
    servers: Vec<Arc<Server>>,
    /// The server that the image was resolved at is asked first from then on.
    preferred: AtomicUsize,
    throttle: Arc<Throttle>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl RegistrySource {
    /// Reads the machine's configuration for the reference: aliases, mirrors, certificates. A reference to a
    /// directory or archive is an error.
    pub fn with_options(reference: &ImageReference, env: &Env, options: &Options) -> Result<Self> {
        let conf = registries_conf::load(env)?;
        let registry = match reference {
            ImageReference::Registry(registry) => registry.clone(),
            ImageReference::ShortName(short) => conf.resolve_alias(short)?,
            _ => return Err(Error::incompatible(reference.to_string(), "it is not in a registry")),
        };
        let env = Arc::new(env.clone());
        let servers = conf
            .endpoints(&registry)?
            .into_iter()
            .map(|endpoint| Server::new(endpoint, &conf.credential_helpers, options, &env).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        let runtime = runtime()?;
        let (name, preferred) = (reference.to_string(), AtomicUsize::new(0));
        let throttle = Arc::new(Throttle::new(options.rate));
        Ok(Self { name, servers, preferred, throttle, runtime: Some(runtime) })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only drop takes the runtime")
    }

    /// Asks the servers in order, and remembers which one answered. The error is that of the last, the primary.
    fn at_first<T>(&self, ask: impl Fn(&Server) -> Result<T>) -> Result<T> {
        let primary = self.servers.len() - 1;
        for (index, server) in self.servers.iter().enumerate() {
            match ask(server) {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if index == primary => return Err(error),
                Err(error) => tracing::warn!("mirror {}: {error}", server.name()),
            }
        }
        Err(Error::NotFound { what: self.name.clone(), known: Vec::new() })
    }

    fn resolve_at(&self, server: &Server, platform: &Platform) -> Result<ResolvedImage> {
        let top = self.runtime().block_on(server.top())?;
        resolve_image(&self.name, top, platform, &mut |wanted| self.runtime().block_on(server.wanted(wanted)))
    }
}

impl ImageSource for RegistrySource {
    fn resolve(&self, platform: &Platform) -> Result<ResolvedImage> {
        self.at_first(|server| self.resolve_at(server, platform))
    }

    fn open_blob(&self, layer: &LayerDescriptor) -> Result<Box<dyn Read + Send>> {
        let mut servers = self.servers.clone();
        servers.rotate_left(self.preferred.load(Ordering::Relaxed));
        let (sender, reader) = pipe();
        let transfer = Transfer::new(layer.digest, layer.size, sender, self.throttle.clone());
        self.runtime().spawn(transfer.run(servers));
        Ok(Box::new(reader))
    }

    fn tags(&self) -> Result<Vec<String>> {
        self.at_first(|server| self.runtime().block_on(server.tags()))
    }
}

impl Drop for RegistrySource {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Does not wait: a look-up of a name may hang for a long time.
            runtime.shutdown_background();
        }
    }
}
