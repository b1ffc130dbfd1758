//! Switch: follow another image.

use super::deploy::Deployed;
use super::fetch::{Resolved, resolve};
use super::upgrade::{Start, UpgradeOptions};
use super::{Context, Result, files};
use crate::oci::ImageReference;
use crate::progress::Event;
use crate::repo::Repo;
use crate::sysroot::Sysroot;

/// Deploys `reference`, which later upgrades follow. The kernel arguments of this machine stay. The same image
/// under another reference is a new deployment all the same: what it follows has changed.
pub fn switch(
    sysroot: &Sysroot,
    reference: &ImageReference,
    options: &UpgradeOptions,
    context: &Context<'_>,
) -> Result<Deployed> {
    let start = Start::observe(sysroot, options.stateroot.as_ref())?;
    let resolved = resolve(reference, options.platform.as_ref(), context)?;
    let deployed = start.move_to(sysroot, &resolved, options, context)?;
    // The switch is done: not being able to compare is worth a warning, not a failure.
    if let Err(error) = warn_of_another_system(sysroot.repo(), &start, &deployed, &resolved, context) {
        context.reporter.report(Event::Warning(&format!("comparing the systems: {error}")));
    }
    Ok(deployed)
}

/// `latest` of something else is a common slip, and a shared `/var` rarely suits two systems.
fn warn_of_another_system(
    repo: &Repo,
    start: &Start,
    deployed: &Deployed,
    resolved: &Resolved,
    context: &Context<'_>,
) -> Result<()> {
    let Some(tree) = &deployed.tree else { return Ok(()) };
    let id = |tree| Ok::<_, super::Error>(files::os_release(repo, &repo.read_tree(tree)?)?.remove("ID"));
    let (old, new) = (id(&start.deployment.record.tree)?, id(tree)?);
    if old != new {
        let name = |id: Option<String>| id.unwrap_or_else(|| "unknown".into());
        context.reporter.report(Event::Warning(&format!(
            "{} is another operating system (os-release ID {}, was {}); both use the /var of stateroot {}",
            resolved.reference,
            name(new),
            name(old),
            deployed.stateroot,
        )));
    }
    Ok(())
}
