//! Everything that changes a sysroot. Each step can run twice, and the order of the steps is the order of C4 to
//! C10: new content is durable before it has a name, the record comes last; removal goes the other way round.

use super::record::print_state;
use super::{
    Counters, DeploymentId, DeploymentKey, DeploymentRecord, Error, Observed, Origin, Result, Stateroot,
    Sysroot, layout,
};
use crate::crashpoint;
use crate::fsx::lock::ExclusiveGuard;
use crate::fsx::{self, Dir, FilesystemSync};
use crate::names::StaterootName;

/// A sysroot on which nobody else works.
#[derive(Debug)]
pub struct LockedSysroot<'a> {
    sysroot: &'a Sysroot,
    guard: ExclusiveGuard,
}

impl<'a> LockedSysroot<'a> {
    pub(super) fn new(sysroot: &'a Sysroot, guard: ExclusiveGuard) -> Self {
        Self { sysroot, guard }
    }

    pub fn sysroot(&self) -> &'a Sysroot {
        self.sysroot
    }

    pub fn guard(&self) -> &ExclusiveGuard {
        &self.guard
    }

    pub fn observe(&self) -> Result<Observed> {
        self.sysroot.observe()
    }

    /// Opens a stateroot, making it when it is missing. Durable.
    pub fn ensure_stateroot(&self, name: &StaterootName) -> Result<Stateroot> {
        Stateroot::ensure(self.sysroot, name)
    }

    /// Makes the empty directory in which a deployment is checked out, and begins what makes it durable.
    pub fn make_scratch(&self, stateroot: &Stateroot, id: DeploymentId) -> Result<(Dir, FilesystemSync)> {
        let name = layout::scratch_name(id);
        let make = || {
            fsx::remove_tree(&stateroot.deploy, &name)?;
            let written = FilesystemSync::begin(&stateroot.deploy)?;
            Ok((fsx::ensure_dir(&stateroot.deploy, &name, 0o755)?, written))
        };
        make().map_err(Error::io(format!("making {}", self.shown(&stateroot.name, &name))))
    }

    /// Turns the finished checkout of a deployment into a deployment: everything on disk, then the directory's
    /// name, the origin, the counters, and last the record, which makes it exist. Durable when it returns.
    pub fn publish(
        &self,
        stateroot: &Stateroot,
        record: &DeploymentRecord,
        origin: &Origin,
        observed: &Observed,
        written: &FilesystemSync,
    ) -> Result<()> {
        let key = DeploymentKey { stateroot: stateroot.name.clone(), id: record.id };
        let path = layout::deployment_path(&key);
        let context = |step: &str| Error::io(format!("{step} {path}"));
        crashpoint!("deploy.checked-out").map_err(context("checking out"))?;
        written.sync().map_err(context("syncing"))?;
        crashpoint!("deploy.synced").map_err(context("syncing"))?;
        let (scratch, directory) = (layout::scratch_name(record.id), layout::directory_name(record.id));
        fsx::rename(&stateroot.deploy, &scratch, &stateroot.deploy, &directory)
            .and_then(|()| fsx::sync_dir(&stateroot.deploy))
            .map_err(context("renaming the checkout to"))?;
        crashpoint!("deploy.renamed").map_err(context("renaming the checkout to"))?;
        fsx::write_atomic(
            &stateroot.deploy,
            &layout::origin_name(record.id),
            origin.print().as_bytes(),
            0o644,
        )
        .map_err(Error::io(format!("writing {path}.origin")))?;
        crashpoint!("deploy.origin").map_err(context("writing the origin of"))?;
        let mut counters = observed.counters.clone();
        counters.saw_id(&key);
        counters.saw_order(record.order);
        self.write_counters(&counters)?;
        crashpoint!("deploy.counters").map_err(context("counting"))?;
        self.write_record(stateroot, record)?;
        crashpoint!("deploy.recorded").map_err(context("recording"))
    }

    /// Replaces the record of a deployment in one step. Durable.
    pub fn write_record(&self, stateroot: &Stateroot, record: &DeploymentRecord) -> Result<()> {
        let name = layout::record_name(record.id);
        fsx::write_atomic(&stateroot.deploy, &name, &print_state(record), 0o644)
            .map_err(Error::io(format!("writing {}", self.shown(&stateroot.name, &name))))
    }

    /// Makes the next numbers durable. Always before a number is used.
    pub fn write_counters(&self, counters: &Counters) -> Result<()> {
        fsx::write_atomic(self.sysroot.reroot(), layout::COUNTERS, &print_state(counters), 0o644)
            .map_err(Error::io(format!("writing /{}/{}", layout::REROOT, layout::COUNTERS)))
    }

    /// Removes a deployment: the record first, which ends its existence, then its directory under another
    /// name, then the origin. Its objects stay for gc. What is already gone is fine.
    pub fn remove_deployment(&self, key: &DeploymentKey, observed: &Observed) -> Result<()> {
        let Some(stateroot) = Stateroot::open(self.sysroot, &key.stateroot)? else { return Ok(()) };
        // Its number must stay used even when it was the highest.
        let mut counters = observed.counters.clone();
        counters.saw_id(key);
        self.write_counters(&counters)?;
        let path = layout::deployment_path(key);
        let remove = || {
            let deploy = &stateroot.deploy;
            fsx::remove_file(deploy, &layout::record_name(key.id))?;
            fsx::sync_dir(deploy)?;
            crashpoint!("undeploy.unrecorded")?;
            self.remove_directory(deploy, key.id)?;
            crashpoint!("undeploy.deleted")?;
            fsx::remove_file(deploy, &layout::origin_name(key.id))?;
            fsx::sync_dir(deploy)
        };
        remove().map_err(Error::io(format!("removing {path}")))
    }

    fn remove_directory(&self, deploy: &Dir, id: DeploymentId) -> std::io::Result<()> {
        let (directory, doomed) = (layout::directory_name(id), layout::doomed_name(id));
        fsx::remove_tree(deploy, &doomed)?;
        match fsx::rename(deploy, &directory, deploy, &doomed) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other?,
        }
        crashpoint!("undeploy.renamed")?;
        fsx::remove_tree(deploy, &doomed)
    }

    /// Removes the unfinished checkout of a deployment.
    pub fn drop_scratch(&self, stateroot: &Stateroot, id: DeploymentId) -> Result<()> {
        let name = layout::scratch_name(id);
        let context = || Error::io(format!("removing {}", self.shown(&stateroot.name, &name)));
        fsx::remove_tree(&stateroot.deploy, &name).map_err(context())
    }

    /// Removes what killed processes left behind. What the running system uses is not touched, whatever its
    /// record looks like.
    pub(super) fn sweep(&self) -> Result<()> {
        let observed = self.observe()?;
        for leftover in &observed.leftovers {
            let in_use =
                [&observed.booted, &observed.staged, &observed.prepared].into_iter().flatten().any(|key| {
                    key.stateroot == leftover.stateroot
                        && [layout::directory_name(key.id), layout::origin_name(key.id)]
                            .contains(&leftover.name)
                });
            let Some(stateroot) = Stateroot::open(self.sysroot, &leftover.stateroot)? else { continue };
            if in_use {
                continue;
            }
            let sweep = || {
                // Whoever removed the record may have been stopped before that was on disk.
                fsx::sync_dir(&stateroot.deploy)?;
                crashpoint!("sweep.leftover")?;
                match layout::classify(leftover.name.as_bytes()) {
                    layout::Name::Directory(id) => self.remove_directory(&stateroot.deploy, id),
                    _ => fsx::remove_tree(&stateroot.deploy, &leftover.name),
                }
            };
            sweep().map_err(Error::io(format!("sweeping {}", leftover.path())))?;
        }
        sweep_scratch(self.sysroot.reroot()).map_err(Error::io("sweeping /reroot"))?;
        for name in &observed.stateroots {
            if let Some(stateroot) = Stateroot::open(self.sysroot, name)? {
                let context = || Error::io(format!("sweeping {}", layout::stateroot_path(name)));
                sweep_scratch(&stateroot.dir).map_err(context())?;
            }
        }
        Ok(self.sysroot.repo().sweep(&self.guard)?)
    }

    fn shown(&self, stateroot: &StaterootName, name: &str) -> String {
        format!("{}/{}/{name}", layout::stateroot_path(stateroot), layout::DEPLOY)
    }
}

/// Removes the `.tmp-` names directly in a directory.
fn sweep_scratch(dir: &Dir) -> std::io::Result<()> {
    for fsx::Listed { name, .. } in fsx::list_dir(dir)? {
        match str::from_utf8(&name) {
            Ok(name) if name.starts_with(".tmp-") => fsx::remove_tree(dir, name)?,
            _ => {}
        }
    }
    Ok(())
}
