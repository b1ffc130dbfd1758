//! Deploy: an image becomes the newest deployment of a stateroot.
//!
//! The download holds the shared lock, so that others can deploy and look meanwhile; the checkout and the
//! publication hold the exclusive one. A gc that comes between the two finds an image that nothing refers to
//! yet, and may take it: then it is fetched once more.

use serde::Serialize;

use super::boot::{self, Place};
use super::checkout::DeploymentTree;
use super::fetch::{FetchPlan, Resolved, resolve};
use super::image::ImageFacts;
use super::pull::{Bootable, Pulled};
use super::status::ImageStatus;
use super::var;
use super::{Context, Error, Result, ResultExt, Run};
use crate::digest::TreeId;
use crate::fsx;
use crate::layer;
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::oci::platform::Platform;
use crate::progress::Event;
use crate::repo::ImageRecord;
use crate::sysroot::{
    DeployedImage, DeploymentId, DeploymentKey, DeploymentRecord, KernelArgument, LockedSysroot, Observed,
    Origin, Stateroot, Sysroot, layout,
};

/// How often an image that a gc took away is fetched again.
const ATTEMPTS: usize = 3;

/// What a deployment is asked for beside the image.
#[derive(Debug, Clone, Default)]
pub struct DeployOptions {
    /// `None`: the current one.
    pub stateroot: Option<StaterootName>,
    /// This machine's own kernel arguments.
    pub kernel_arguments: Vec<KernelArgument>,
    /// `None`: that of this machine.
    pub platform: Option<Platform>,
    pub run: Run,
}

/// What `deploy`, `upgrade` and `switch` made, or would make.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    pub dry_run: bool,
    /// True when the newest deployment is this image already and nothing was done.
    pub unchanged: bool,
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// From the physical root, with a leading slash.
    pub path: String,
    pub image: ImageStatus,
    /// Absent in a dry run of an image that is not in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// What had to be fetched, decided before fetching.
    pub fetch: FetchPlan,
    /// What was fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulled: Option<Pulled>,
}

/// Deploys an image. Every call makes a new deployment, the same image or not.
pub fn deploy(
    sysroot: &Sysroot,
    reference: &ImageReference,
    options: &DeployOptions,
    context: &Context<'_>,
) -> Result<Deployed> {
    let resolved = resolve(reference, options.platform.as_ref(), context)?;
    let request = Request {
        stateroot: options.stateroot.clone(),
        kernel_arguments: options.kernel_arguments.clone(),
        follow: None,
    };
    match options.run {
        Run::Dry => plan_deployment(sysroot, &resolved, &request),
        Run::Real => make_deployment(sysroot, &resolved, &request, context),
    }
}

/// A deployment to be made.
pub(super) struct Request {
    pub stateroot: Option<StaterootName>,
    pub kernel_arguments: Vec<KernelArgument>,
    /// What upgrades follow, when it is not where the image is fetched from.
    pub follow: Option<ImageReference>,
}

impl Request {
    fn stateroot(&self, observed: &Observed) -> StaterootName {
        self.stateroot.clone().unwrap_or_else(|| observed.current_stateroot())
    }
}

/// What [`make_deployment`] would make.
pub(super) fn plan_deployment(sysroot: &Sysroot, resolved: &Resolved, request: &Request) -> Result<Deployed> {
    let observed = sysroot.observe()?;
    let stateroot = request.stateroot(&observed);
    let key = DeploymentKey { id: observed.counters.next_id(&stateroot), stateroot };
    let stored = sysroot.repo().image(resolved.digest())?;
    let facts = ImageFacts::of_config(&resolved.image.config);
    Ok(Deployed {
        dry_run: true,
        unchanged: false,
        id: key.id,
        path: layout::deployment_path(&key),
        stateroot: key.stateroot,
        image: ImageStatus::new(&resolved.reference, *resolved.digest(), facts),
        tree: stored.as_ref().map(|record| record.tree),
        kernel: stored.and_then(|record| record.kernel),
        fetch: resolved.plan(sysroot.repo())?,
        pulled: None,
    })
}

/// Fetches a resolved image and makes it the newest deployment.
pub(super) fn make_deployment(
    sysroot: &Sysroot,
    resolved: &Resolved,
    request: &Request,
    context: &Context<'_>,
) -> Result<Deployed> {
    boot::check(sysroot)?;
    let fetch = resolved.plan(sysroot.repo())?;
    for _ in 0..ATTEMPTS {
        let guard = sysroot.shared_for_fetching(context.wait)?;
        let pulled = resolved.pull(sysroot.repo(), &guard, Bootable::Required, None, context)?;
        drop(guard);
        let locked = sysroot.lock(context.wait)?;
        let Some(image) = sysroot.repo().image(resolved.digest())? else { continue };
        let deploying = || format!("deploying {}", resolved.reference);
        let (record, path) = publish(&locked, &image, resolved, request, context).context(deploying)?;
        boot::update(&locked, &Place::Mounted, &[], context.reporter).context(deploying)?;
        super::status::warm_usage(&locked.observe()?, sysroot.repo());
        return Ok(Deployed {
            dry_run: false,
            unchanged: false,
            id: record.id,
            stateroot: record.stateroot,
            path,
            image: ImageStatus::from(record.image),
            tree: Some(record.tree),
            kernel: Some(record.kernel),
            fetch,
            pulled: Some(pulled),
        });
    }
    Err(Error::bug(format!("{} was taken away {ATTEMPTS} times while it was deployed", resolved.reference)))
}

/// Checks an image out and publishes it. Leaves nothing behind when it fails.
fn publish(
    locked: &LockedSysroot<'_>,
    image: &ImageRecord,
    resolved: &Resolved,
    request: &Request,
    context: &Context<'_>,
) -> Result<(DeploymentRecord, String)> {
    let observed = locked.observe()?;
    let repo = locked.sysroot().repo();
    let name = request.stateroot(&observed);
    let key = DeploymentKey { id: observed.counters.next_id(&name), stateroot: name };
    let path = layout::deployment_path(&key);
    context.reporter.report(Event::Phase(&format!("checking out {path}")));

    let tree = repo.read_tree(&image.tree)?;
    let kernel = layer::check_bootable(&tree)?.kernel_version;
    let files = DeploymentTree::new(&tree)?;
    let stateroot = locked.ensure_stateroot(&key.stateroot)?;
    files.needed_space().check(&path, &stateroot.deploy, context.config.reserve)?;
    let scratch = Scratch::new(locked, &stateroot, key.id)?;
    files.check_out(repo, &scratch.dir).context(|| format!("checking out {path}"))?;
    drop(files);
    var::populate(repo, &stateroot, &tree, context.config.reserve)?;
    drop(tree);

    let facts = ImageFacts::of_record(image)?;
    let reference = request.follow.as_ref().unwrap_or(&resolved.reference);
    let record = DeploymentRecord {
        version: DeploymentRecord::VERSION,
        id: key.id,
        stateroot: key.stateroot,
        order: observed.counters.next_order,
        created: context.env.unix_time(),
        pinned: false,
        tree: image.tree,
        image: DeployedImage {
            reference: reference.to_string(),
            transport: reference.transport().to_string(),
            digest: image.manifest_digest,
            version: facts.version,
            timestamp: facts.timestamp,
        },
        kernel,
    };
    let origin = Origin {
        reference: reference.to_string(),
        digest: image.manifest_digest,
        kernel_arguments: request.kernel_arguments.clone(),
    };
    locked.publish(&stateroot, &record, &origin, &observed, &scratch.written)?;
    scratch.keep();
    Ok((record, path))
}

/// A checkout that is removed when what follows it fails: a full disk must not stay full.
struct Scratch<'a> {
    dir: fsx::Dir,
    written: fsx::FilesystemSync,
    locked: &'a LockedSysroot<'a>,
    stateroot: &'a Stateroot,
    id: Option<DeploymentId>,
}

impl<'a> Scratch<'a> {
    fn new(locked: &'a LockedSysroot<'a>, stateroot: &'a Stateroot, id: DeploymentId) -> Result<Self> {
        let (dir, written) = locked.make_scratch(stateroot, id)?;
        Ok(Self { dir, written, locked, stateroot, id: Some(id) })
    }

    fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // What cannot be removed now is swept by the next holder of the lock.
            let _ = self.locked.drop_scratch(self.stateroot, id);
        }
    }
}
