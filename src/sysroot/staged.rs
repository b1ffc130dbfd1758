//! What waits for the shutdown: `/run/reroot/staged.json`, and what a finalization that failed leaves for the next boot.

use serde::{Deserialize, Serialize};

use super::etc_merge::EtcStrategy;
use super::record::{VERSION, print_state};
use super::{
    DeploymentKey, DeploymentRecord, Error, LockedSysroot, Result, StagedRecord, Stateroot, Sysroot,
};
use super::{layout, parse_state};
use crate::crashpoint;
use crate::fsx::{self, Dir};

/// The next `etc` of a deployment while it is put together, beside it; swept when nobody works on it.
fn etc_scratch_name(key: &DeploymentKey) -> String {
    format!("{}-etc", layout::scratch_name(key.id))
}

/// `/reroot/finalize-failed.json`: the last finalization failed. Stays until one succeeds, or something else is staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalizeFailure {
    pub version: u32,
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    /// Seconds since the epoch.
    pub time: u64,
    pub boot_id: String,
    pub reason: String,
}

impl FinalizeFailure {
    pub const VERSION: u32 = VERSION;

    /// The failure of the last finalization. What does not read back is none: it is only for people.
    pub fn read(sysroot: &Sysroot) -> Result<Option<Self>> {
        let path = format!("/{}/{}", layout::REROOT, layout::FINALIZE_FAILED);
        let bytes = fsx::read_limited(sysroot.reroot(), layout::FINALIZE_FAILED, layout::STATE_LIMIT)
            .map_err(Error::io(format!("reading {path}")))?;
        Ok(bytes.and_then(|bytes| parse_state(&bytes, &path).ok()))
    }
}

impl LockedSysroot<'_> {
    /// Makes a deployment the staged one. Not durable, as nothing in `/run` is.
    pub fn write_staged(&self, key: &DeploymentKey, locked: bool, etc_strategy: EtcStrategy) -> Result<()> {
        let record = StagedRecord { version: VERSION, deployment: key.clone(), locked, etc_strategy };
        fsx::write_atomic(self.run()?, layout::STAGED, &print_state(&record), 0o644)
            .map_err(Error::io(format!("writing /{}/{}", layout::RUN, layout::STAGED)))
    }

    /// Makes no deployment the staged one.
    pub fn remove_staged(&self) -> Result<()> {
        let removed = fsx::remove_file(self.run()?, layout::STAGED);
        removed.map(drop).map_err(Error::io(format!("removing /{}/{}", layout::RUN, layout::STAGED)))
    }

    fn run(&self) -> Result<&Dir> {
        let none = || Error::NotFound { object: format!("/{} of a system booted from here", layout::RUN) };
        self.sysroot().run().ok_or_else(none)
    }

    /// Gives a deployment that is not finalized a new `etc`, which `fill` puts together in an empty directory. In one
    /// step, and durable when it returns; before it the deployment has the `etc` it had.
    /// `fill` is given the directory of the deployment, and the empty one.
    pub fn replace_etc<T, E: From<Error>>(
        &self,
        key: &DeploymentKey,
        fill: impl FnOnce(&Dir, &Dir) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = layout::deployment_path(key);
        let context = |step: &str| Error::io(format!("{step} /etc of {path}"));
        let stateroot = Stateroot::open(self.sysroot(), &key.stateroot)?
            .ok_or_else(|| Error::NotFound { object: path.clone() })?;
        let deploy = &stateroot.deploy;
        let directory =
            fsx::open_subdir(deploy, &layout::directory_name(key.id)).map_err(context("opening the"))?;
        let scratch = etc_scratch_name(key);
        let make = || {
            fsx::remove_tree(deploy, &scratch)?;
            let written = fsx::FilesystemSync::begin(deploy)?;
            Ok((fsx::ensure_dir(deploy, &scratch, 0o755)?, written))
        };
        let (dir, written) = make().map_err(context("making the new"))?;
        let filled = fill(&directory, &dir).inspect_err(|_| {
            // A full disk must not stay full. What cannot be removed now is swept by the next holder of the lock.
            let _ = fsx::remove_tree(deploy, &scratch);
        })?;
        crashpoint!("finalize.merged").map_err(context("merging"))?;
        written.sync().map_err(context("syncing the new"))?;
        crashpoint!("finalize.synced").map_err(context("syncing the new"))?;
        let switch = || {
            fsx::exchange_between(deploy, &scratch, &directory, layout::ETC)?;
            fsx::sync_dir(&directory)?;
            fsx::sync_dir(deploy)?;
            crashpoint!("finalize.exchanged")?;
            fsx::remove_tree(deploy, &scratch)
        };
        switch().map_err(context("replacing"))?;
        Ok(filled)
    }

    /// Makes a deployment one that the boot loader may be told of. Durable.
    pub fn write_finalized(&self, record: &DeploymentRecord) -> Result<()> {
        let stateroot = Stateroot::open(self.sysroot(), &record.stateroot)?
            .ok_or_else(|| Error::NotFound { object: layout::stateroot_path(&record.stateroot) })?;
        self.write_record(&stateroot, &DeploymentRecord { finalized: true, ..record.clone() })?;
        crashpoint!("finalize.recorded").map_err(Error::io("recording the finalization"))
    }

    /// Leaves a note for the next boot. Durable.
    pub fn write_finalize_failure(&self, failure: &FinalizeFailure) -> Result<()> {
        fsx::write_atomic(self.sysroot().reroot(), layout::FINALIZE_FAILED, &print_state(failure), 0o644)
            .map_err(Error::io(format!("writing /{}/{}", layout::REROOT, layout::FINALIZE_FAILED)))
    }

    /// Removes that note. Not made durable: once more is no harm.
    pub fn remove_finalize_failure(&self) -> Result<()> {
        let removed = fsx::remove_file(self.sysroot().reroot(), layout::FINALIZE_FAILED);
        removed.map(drop).map_err(Error::io(format!(
            "removing /{}/{}",
            layout::REROOT,
            layout::FINALIZE_FAILED
        )))
    }
}
