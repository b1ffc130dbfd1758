//! Deploy: an image becomes the newest deployment of a stateroot; on the running system at the next shutdown.
//!
//! The download holds the shared lock, so that others can deploy and look meanwhile; the checkout and the
//! publication hold the exclusive one. A gc that comes between the two finds an image that nothing refers to
//! yet, and may take it: then it is fetched once more.

use serde::Serialize;

use super::boot::arguments::Local;
use super::boot::facts::{self, Machine};
use super::fetch::{FetchPlan, Resolved, resolve};
use super::image::ImageFacts;
use super::initramfs::Check;
use super::publish::{Finalization, Publication};
use super::pull::{Bootable, Pulled};
use super::status::ImageStatus;
use super::{Context, Error, ForeignInitramfs, Result, ResultExt, Run, boot, platform, select, staging};
use crate::digest::TreeId;
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::oci::platform::Platform;
use crate::repo::ImageRecord;
use crate::sysroot::etc_merge::EtcStrategy;
use crate::sysroot::{
    DeployedImage, DeploymentId, DeploymentKey, KernelArgument, Observed, Origin, Sysroot, layout,
};

/// How often an image that a gc took away is fetched again.
const ATTEMPTS: usize = 3;

/// What a deployment is asked for beside the image.
#[derive(Debug, Clone, Default)]
pub struct DeployOptions {
    /// `None`: the current one.
    pub stateroot: Option<StaterootName>,
    /// This machine's own kernel arguments, beside those of the first deployment.
    pub kernel_arguments: Vec<KernelArgument>,
    /// `None`: that of this machine.
    pub platform: Option<Platform>,
    pub initramfs: ForeignInitramfs,
    pub etc: EtcStrategy,
    pub finalization: Finalization,
    pub run: Run,
}

/// What `deploy`, `upgrade` and `switch` made, or would make.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    pub dry_run: bool,
    /// True when the newest deployment is this image already and nothing was done.
    pub unchanged: bool,
    /// True when it waits for the shutdown to be finalized.
    pub staged: bool,
    /// True when it waits until it is unlocked as well.
    pub locked: bool,
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
        initramfs: Check::WhereBooted(options.initramfs),
        etc: options.etc,
        finalization: options.finalization,
        ..Request::default()
    };
    match options.run {
        Run::Dry => plan_deployment(sysroot, &resolved, &request),
        Run::Real => make_deployment(sysroot, &resolved, &request, context),
    }
}

/// A deployment to be made. What was decided about kernel arguments for the first deployment of the stateroot stays.
#[derive(Default)]
pub(super) struct Request {
    pub stateroot: Option<StaterootName>,
    /// Added to those.
    pub kernel_arguments: Vec<KernelArgument>,
    /// What upgrades follow, when it is not where the image is fetched from.
    pub follow: Option<ImageReference>,
    pub initramfs: Check,
    pub etc: EtcStrategy,
    pub finalization: Finalization,
}

impl Request {
    fn stateroot(&self, observed: &Observed) -> StaterootName {
        self.stateroot.clone().unwrap_or_else(|| observed.current_stateroot())
    }

    /// What is decided about kernel arguments on this machine.
    fn local(&self, observed: &Observed) -> Result<Local> {
        let first = select::merge_deployment(observed, &self.stateroot(observed)).ok();
        let origin = first.and_then(|first| first.origin.as_ref());
        let mut local = origin.map(Local::of_origin).transpose()?.unwrap_or_default();
        for argument in &Local::of_lists(&self.kernel_arguments, &[])?.added {
            local.added.append_if_missing(argument.clone());
        }
        Ok(local)
    }

    /// Finds mistakes of people before anything is fetched.
    fn check(&self, sysroot: &Sysroot, resolved: &Resolved, observed: &Observed) -> Result<()> {
        select::check_running(observed)?;
        platform::check(sysroot, resolved)?;
        self.local(observed)?;
        if self.finalization == Finalization::Locked && !staging::stages(observed) {
            return Err(staging::only_where_booted());
        }
        if let Machine::Deployment(deployment) = Machine::of(observed, &self.stateroot(observed)) {
            facts::of_machine(sysroot, deployment, &resolved.image.config.architecture)?;
        }
        Ok(())
    }

    fn publication(
        &self,
        image: &ImageRecord,
        resolved: &Resolved,
        observed: &Observed,
    ) -> Result<Publication> {
        let facts = ImageFacts::of_record(image)?;
        let reference = self.follow.as_ref().unwrap_or(&resolved.reference);
        let (kernel_arguments, removed_arguments) = self.local(observed)?.lists()?;
        Ok(Publication {
            stateroot: self.stateroot(observed),
            tree: image.tree,
            image: DeployedImage {
                reference: reference.to_string(),
                transport: reference.transport().to_string(),
                digest: image.manifest_digest,
                version: facts.version,
                timestamp: facts.timestamp,
            },
            origin: Origin {
                reference: reference.to_string(),
                digest: image.manifest_digest,
                kernel_arguments,
                removed_arguments,
            },
            facts: None,
            initramfs: self.initramfs,
            etc: self.etc,
            finalization: self.finalization,
        })
    }
}

/// What [`make_deployment`] would make.
pub(super) fn plan_deployment(sysroot: &Sysroot, resolved: &Resolved, request: &Request) -> Result<Deployed> {
    let observed = sysroot.observe()?;
    request.check(sysroot, resolved, &observed)?;
    let stateroot = request.stateroot(&observed);
    let key = DeploymentKey { id: observed.counters.next_id(&stateroot), stateroot };
    let stored = sysroot.repo().image(resolved.digest())?;
    let facts = ImageFacts::of_config(&resolved.image.config);
    Ok(Deployed {
        dry_run: true,
        unchanged: false,
        staged: staging::stages(&observed),
        locked: request.finalization == Finalization::Locked,
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
    request.check(sysroot, resolved, &sysroot.observe()?)?;
    let fetch = resolved.plan(sysroot.repo())?;
    for _ in 0..ATTEMPTS {
        let guard = sysroot.shared_for_fetching(context.wait)?;
        let pulled = resolved.pull(sysroot.repo(), &guard, Bootable::Required, None, context)?;
        drop(guard);
        let locked = sysroot.lock(context.wait)?;
        let Some(image) = sysroot.repo().image(resolved.digest())? else { continue };
        let deploying = || format!("deploying {}", resolved.reference);
        let publication = request.publication(&image, resolved, &locked.observe()?).context(deploying)?;
        let deployment = publication.publish(&locked, context).context(deploying)?;
        super::status::warm_usage(&locked.observe()?, sysroot.repo());
        let record = &deployment.record;
        return Ok(Deployed {
            dry_run: false,
            unchanged: false,
            staged: !record.finalized,
            locked: request.finalization == Finalization::Locked,
            id: record.id,
            path: deployment.path(),
            stateroot: record.stateroot.clone(),
            image: ImageStatus::from(record.image.clone()),
            tree: Some(record.tree),
            kernel: Some(record.kernel.clone()),
            fetch,
            pulled: Some(pulled),
        });
    }
    Err(Error::bug(format!("{} was taken away {ATTEMPTS} times while it was deployed", resolved.reference)))
}
