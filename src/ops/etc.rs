//! Etc: how the `/etc` of a deployment differs from its own defaults.

use serde::Serialize;

use super::{Error, Result, ResultExt, select};
use crate::fsx::{self, Dir};
use crate::names::StaterootName;
use crate::sysroot::etc_merge::{self, ChangeKind, Differences, Live, Skipped};
use crate::sysroot::{Deployment, DeploymentId, Observed, Stateroot, Sysroot};

/// The version of the JSON.
const VERSION: u32 = 1;

/// What was changed in a deployment's `/etc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcDrift {
    pub version: u32,
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// Sorted by path; everything below a directory that was added or deleted is listed.
    pub changes: Vec<EtcChange>,
    /// Sockets, pipes and devices, which no new deployment gets.
    pub skipped: Vec<Skipped>,
}

/// A path that is not as the image has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcChange {
    /// Printable, with `/etc` in front.
    pub path: String,
    pub kind: ChangeKind,
    /// Of what was modified: in what.
    pub what: Differences,
}

/// Compares the `/etc` of a deployment with its defaults; without a number that of the booted one, else of the first
/// in boot order. Takes no lock.
pub fn etc_drift(
    sysroot: &Sysroot,
    id: Option<DeploymentId>,
    stateroot: Option<&StaterootName>,
) -> Result<EtcDrift> {
    let observed = sysroot.observe()?;
    let deployment = match id {
        Some(id) => select::deployment(&observed, id, stateroot)?,
        None => current(&observed, stateroot)?,
    };
    let trees = Trees::open(sysroot, deployment)?;
    let drift =
        etc_merge::drift(trees.live()).context(|| format!("comparing the /etc of {}", deployment.key()))?;
    let change = |c: etc_merge::Change| EtcChange { path: c.shown(), kind: c.kind, what: c.what };
    Ok(EtcDrift {
        version: VERSION,
        id: deployment.record.id,
        stateroot: deployment.record.stateroot.clone(),
        changes: drift.changes.into_iter().map(change).collect(),
        skipped: drift.skipped,
    })
}

/// How many paths of a deployment's `/etc` are not as the image has them. Reads no file that nobody touched.
pub fn etc_drift_count(sysroot: &Sysroot, deployment: &Deployment) -> Result<u64> {
    let trees = Trees::open(sysroot, deployment)?;
    etc_merge::count(trees.live()).context(|| format!("comparing the /etc of {}", deployment.key()))
}

fn current<'o>(observed: &'o Observed, stateroot: Option<&StaterootName>) -> Result<&'o Deployment> {
    let wanted = |d: &&Deployment| stateroot.is_none_or(|name| d.record.stateroot == *name);
    let booted = observed.booted.as_ref().and_then(|key| observed.deployment(key)).filter(wanted);
    booted
        .or_else(|| observed.finalized().find(wanted))
        .ok_or_else(|| Error::not_found("there is no deployment"))
}

/// `etc` and `usr/etc` of a deployment: what is on disk, whatever is mounted over it now.
struct Trees {
    etc: Dir,
    defaults: Dir,
}

impl Trees {
    fn open(sysroot: &Sysroot, deployment: &Deployment) -> Result<Self> {
        let record = &deployment.record;
        let stateroot = Stateroot::open(sysroot, &record.stateroot)?
            .ok_or_else(|| Error::not_found(format!("stateroot {}", record.stateroot)))?;
        let open = || {
            let root = fsx::open_subdir(&stateroot.deploy, &record.id.to_string())?;
            let defaults = fsx::open_subdir(&fsx::open_subdir(&root, "usr")?, "etc")?;
            Ok(Self { etc: fsx::open_subdir(&root, "etc")?, defaults })
        };
        open().map_err(Error::io(format!("opening the /etc of {}", deployment.key())))
    }

    fn live(&self) -> Live<'_> {
        Live { defaults: &self.defaults, etc: &self.etc }
    }
}
