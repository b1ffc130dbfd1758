//! Upgrade: the image that the newest deployment follows, if there is a newer one.

use super::boot;
use super::deploy::{Deployed, Request, make_deployment, plan_deployment};
use super::fetch::{FetchPlan, Resolved, absolute, resolve};
use super::health::{KnownFailed, refuse_failed};
use super::image::ImageFacts;
use super::initramfs::Check;
use super::publish::Finalization;
use super::status::ImageStatus;
use super::{Context, Error, ForeignInitramfs, Result, ResultExt, Run, select, staging};
use crate::digest::Sha256;
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::oci::platform::Platform;
use crate::sysroot::etc_merge::EtcStrategy;
use crate::sysroot::{Deployment, Observed, Origin, Sysroot};

/// How to upgrade or switch.
#[derive(Debug, Clone, Default)]
pub struct UpgradeOptions {
    /// `None`: the current one.
    pub stateroot: Option<StaterootName>,
    /// `None`: that of this machine.
    pub platform: Option<Platform>,
    pub downgrade: Downgrade,
    pub initramfs: ForeignInitramfs,
    /// Another tag of the image that is followed; it is followed from then on.
    pub tag: Option<String>,
    /// This manifest of the repository, whatever the tag says; the tag stays what is followed.
    pub manifest: Option<Sha256>,
    /// Nothing but this image is taken: what somebody has checked, and not what the tag is by now.
    pub require_digest: Option<Sha256>,
    /// Whether an image is taken that failed to boot here.
    pub failed: KnownFailed,
    pub etc: EtcStrategy,
    pub finalization: Finalization,
    pub run: Run,
}

/// Whether an image that was built before the deployed one is taken. A registry, or somebody between here and
/// there, could otherwise bring back old holes with an old image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Downgrade {
    #[default]
    Refuse,
    Allow,
}

/// Deploys what the first deployment in boot order follows, with its kernel arguments.
pub fn upgrade(sysroot: &Sysroot, options: &UpgradeOptions, context: &Context<'_>) -> Result<Deployed> {
    let start = Start::observe(sysroot, options.stateroot.as_ref())?;
    let resolved = start.resolve(options, context)?;
    start.move_to(sysroot, &resolved, options, context)
}

/// Where an upgrade or a switch starts: the first deployment of the stateroot in boot order.
pub(super) struct Start {
    pub deployment: Deployment,
    pub origin: Origin,
    /// Whose image nothing older replaces: the booted deployment, where there is one.
    pub running: Deployment,
    /// Whether `deployment` is staged, and whether that is locked.
    pub staged: Option<Finalization>,
}

impl Start {
    pub fn observe(sysroot: &Sysroot, stateroot: Option<&StaterootName>) -> Result<Self> {
        let observed = sysroot.observe()?;
        let stateroot = stateroot.cloned().unwrap_or_else(|| observed.current_stateroot());
        let deployment = select::merge_deployment(&observed, &stateroot)?.clone();
        let origin = deployment.origin.clone().ok_or_else(|| bad_origin(&observed, &deployment))?;
        let running = observed.machine(&stateroot).unwrap_or(&deployment).clone();
        let is_staged = observed.staged.as_ref().is_some_and(|key| deployment.is(key));
        let finalization =
            if observed.staged_is_locked { Finalization::Locked } else { Finalization::AtShutdown };
        Ok(Self { deployment, origin, running, staged: is_staged.then_some(finalization) })
    }

    /// The reference to follow.
    pub fn reference(&self) -> Result<ImageReference> {
        let file = || format!("reading {}.origin", self.deployment.path());
        self.origin.reference.parse::<ImageReference>().context(file)
    }

    /// Looks up what is followed, or the tag or manifest that is asked for.
    pub fn resolve(&self, options: &UpgradeOptions, context: &Context<'_>) -> Result<Resolved> {
        let mut reference = self.reference()?;
        if let Some(tag) = &options.tag {
            reference = reference.with_tag(tag).map_err(|e| Error::invalid(e.to_string()))?;
        }
        let platform = options.platform.as_ref();
        let Some(manifest) = options.manifest else { return resolve(&reference, platform, context) };
        let mut resolved = resolve(&reference.with_digest(manifest), platform, context)?;
        resolved.reference = absolute(&reference)?;
        Ok(resolved)
    }

    /// True when `resolved` is what is deployed and followed already.
    pub fn is_at(&self, resolved: &Resolved) -> bool {
        self.deployment.record.image.digest == *resolved.digest() && self.follows(&resolved.reference)
    }

    /// Compares by meaning: people may have written the origin in another spelling.
    fn follows(&self, reference: &ImageReference) -> bool {
        self.reference().and_then(|own| absolute(&own)).is_ok_and(|own| own == *reference)
    }

    /// Makes a deployment of `resolved` unless that is what the newest one is.
    pub fn move_to(
        &self,
        sysroot: &Sysroot,
        resolved: &Resolved,
        options: &UpgradeOptions,
        context: &Context<'_>,
    ) -> Result<Deployed> {
        check_digest(resolved, options.require_digest.as_ref())?;
        if self.is_at(resolved) {
            let mut finalization = self.staged;
            if options.run == Run::Real {
                boot::finish(sysroot, context)?;
                // It was only downloaded until now.
                if self.staged == Some(Finalization::Locked)
                    && options.finalization == Finalization::AtShutdown
                {
                    staging::set_finalization(sysroot, Finalization::AtShutdown, context)?;
                    finalization = Some(Finalization::AtShutdown);
                }
            }
            return self.unchanged(sysroot, resolved, finalization, options.run);
        }
        let stateroot = &self.deployment.record.stateroot;
        refuse_failed(sysroot, stateroot, resolved.digest(), options.failed)?;
        self.check_age(resolved, options.downgrade)?;
        let request = Request {
            stateroot: Some(self.deployment.record.stateroot.clone()),
            initramfs: Check::WhereBooted(options.initramfs),
            etc: options.etc,
            finalization: options.finalization,
            ..Request::default()
        };
        match options.run {
            Run::Dry => plan_deployment(sysroot, resolved, &request),
            Run::Real => make_deployment(sysroot, resolved, &request, context),
        }
    }

    fn unchanged(
        &self,
        sysroot: &Sysroot,
        resolved: &Resolved,
        finalization: Option<Finalization>,
        run: Run,
    ) -> Result<Deployed> {
        let record = &self.deployment.record;
        Ok(Deployed {
            dry_run: run.is_dry(),
            unchanged: finalization == self.staged,
            staged: finalization.is_some(),
            locked: finalization == Some(Finalization::Locked),
            id: record.id,
            stateroot: record.stateroot.clone(),
            path: self.deployment.path(),
            image: ImageStatus::from(record.image.clone()),
            tree: Some(record.tree),
            kernel: Some(record.kernel.clone()),
            fetch: FetchPlan { layers_new: 0, fetch_bytes: 0, ..resolved.plan(sysroot.repo())? },
            pulled: None,
        })
    }

    /// Refuses an image that is older than the one that runs.
    fn check_age(&self, resolved: &Resolved, downgrade: Downgrade) -> Result<()> {
        match self.ages_of_downgrade(resolved).filter(|_| downgrade == Downgrade::Refuse) {
            None => Ok(()),
            Some((new, old)) => Err(Error::incompatible(format!(
                "{} is older than what is deployed: it was built at {new}, {} at {old}; --allow-downgrade takes it",
                resolved.reference,
                self.running.key(),
            ))),
        }
    }

    /// When `resolved` and what runs were built, if `resolved` is the older one. Only within one reference: another line of
    /// images has its own times.
    pub fn ages_of_downgrade(&self, resolved: &Resolved) -> Option<(String, String)> {
        if !self.follows(&resolved.reference) {
            return None;
        }
        let new = ImageFacts::of_config(&resolved.image.config).timestamp?;
        let old = self.running.record.image.timestamp.clone()?;
        is_older(&new, &old).then_some((new, old))
    }
}

/// Refuses anything but what was asked for: a tag may have moved since somebody looked.
fn check_digest(resolved: &Resolved, required: Option<&Sha256>) -> Result<()> {
    match required {
        Some(required) if required != resolved.digest() => Err(Error::verification(format!(
            "{} is {}, and not the required {required}; nothing was fetched",
            resolved.reference,
            resolved.digest()
        ))),
        _ => Ok(()),
    }
}

/// True when both are times (RFC 3339) and the first is the earlier one.
fn is_older(new: &str, old: &str) -> bool {
    match (new.parse::<jiff::Timestamp>(), old.parse::<jiff::Timestamp>()) {
        (Ok(new), Ok(old)) => new < old,
        _ => false,
    }
}

fn bad_origin(observed: &Observed, deployment: &Deployment) -> Error {
    let key = deployment.key();
    let problem = observed.problems.iter().find(|p| p.deployment.as_ref() == Some(&key));
    Error::invalid(problem.map_or_else(|| format!("{key} has no origin"), |p| p.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_compared_as_time_not_as_text() {
        assert!(is_older("2025-01-01T00:00:00Z", "2025-01-01T00:00:01Z"));
        assert!(is_older("2025-01-01T01:00:00+02:00", "2025-01-01T00:00:00Z"));
        assert!(!is_older("2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z"));
        assert!(!is_older("yesterday", "2025-01-01T00:00:00Z"));
    }
}
