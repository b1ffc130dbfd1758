//! An image between its resolution and its pull: what is shown, checked and fetched is the same manifest.

use std::collections::HashSet;
use std::path::Path;

use serde::Serialize;

use super::pull::{Bootable, PullOptions, PullPlan, Pulled, Reader, pull_resolved};
use super::spool::Spool;
use super::{Context, Error, Result, ResultExt};
use crate::digest::Sha256;
use crate::fsx::lock::SharedGuard;
use crate::oci::ImageReference;
use crate::oci::platform::Platform;
use crate::oci::source::{ImageSource, ResolvedImage};
use crate::progress::{Event, Reporter};
use crate::repo::Repo;

/// An image whose tag was looked up; from here on everything is by digest.
pub(super) struct Resolved {
    pub reference: ImageReference,
    pub image: ResolvedImage,
    source: Box<dyn ImageSource>,
    platform: Platform,
}

/// What a pull would do, from metadata alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchPlan {
    /// True when the image is in the store and nothing needs to be fetched.
    pub stored: bool,
    pub layers_new: usize,
    pub layers_known: usize,
    /// Compressed bytes of the new layers.
    pub fetch_bytes: u64,
    /// Compressed bytes of all layers.
    pub total_bytes: u64,
}

/// The same reference with an absolute path: what a deployment follows must not depend on where the command
/// was typed.
pub(super) fn absolute(reference: &ImageReference) -> Result<ImageReference> {
    let mut reference = reference.clone();
    match &mut reference {
        ImageReference::OciDir(local)
        | ImageReference::OciArchive(local)
        | ImageReference::DockerArchive(local) => {
            let path =
                std::path::absolute(&local.path).map_err(Error::io(format!("resolving {}", local.path)))?;
            // The text of a reference has no room for what is not UTF-8.
            local.path = path.into_os_string().into_string().map_err(|path| {
                Error::invalid(format!("{} is below a directory whose name is not UTF-8", path.display()))
            })?;
        }
        ImageReference::Registry(_) | ImageReference::ShortName(_) => {}
    }
    Ok(reference)
}

/// Looks an image up where it comes from.
pub(super) fn resolve(
    reference: &ImageReference,
    platform: Option<&Platform>,
    context: &Context<'_>,
) -> Result<Resolved> {
    context.reporter.report(Event::Phase(&format!("resolving {reference}")));
    let platform = platform.cloned().unwrap_or_else(Platform::host);
    let reference = absolute(reference)?;
    let what = || format!("resolving {reference}");
    let source = context.open(&reference).context(what)?;
    let image = source.resolve(&platform).context(what)?;
    Ok(Resolved { reference, image, source, platform })
}

impl Resolved {
    pub fn digest(&self) -> &Sha256 {
        &self.image.manifest_digest
    }

    /// Reads one layer without storing it.
    pub fn reader<'a>(&'a self, index: usize, reporter: &'a dyn Reporter) -> Reader<'a> {
        Reader { source: &*self.source, layer: &self.image.layers[index], index, reporter }
    }

    /// Lets what is fetched over the network be read twice, see [`Spool`].
    pub fn spooled(self, directory: &Path) -> Self {
        match self.reference {
            ImageReference::Registry(_) | ImageReference::ShortName(_) => {
                Self { source: Box::new(Spool::new(self.source, directory)), ..self }
            }
            _ => self,
        }
    }

    /// What fetching it into `repo` would cost.
    pub fn plan(&self, repo: &Repo) -> Result<FetchPlan> {
        let known = repo.layer_ids()?.into_iter().collect::<HashSet<_>>();
        let plan = PullPlan::new(&self.image.layers, &known);
        let stored = repo.image(self.digest())?.is_some();
        Ok(FetchPlan {
            stored,
            layers_new: plan.fetch.len(),
            layers_known: plan.reuse,
            fetch_bytes: plan.fetch_bytes,
            total_bytes: plan.total_bytes,
        })
    }

    /// Fetches it into `repo`, under `name` when it is to be kept by itself.
    pub fn pull(
        &self,
        repo: &Repo,
        guard: &SharedGuard,
        bootable: Bootable,
        name: Option<String>,
        context: &Context<'_>,
    ) -> Result<Pulled> {
        let options = PullOptions {
            platform: self.platform.clone(),
            reserve: context.config.reserve,
            bootable,
            set_ref: name,
        };
        pull_resolved(repo, guard, &*self.source, &self.image, &options, context)
            .context(|| format!("pulling {}", self.reference))
    }
}
