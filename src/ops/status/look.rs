//! Reading everything that is told. What cannot be read is a problem among others: somebody who asks how things are gets an
//! answer.

use std::collections::BTreeMap;

use super::assemble::assemble;
use super::report::{Room, Status};
use super::usage;
use crate::boot::file_name::Tries;
use crate::fsx::{self, FreeSpace};
use crate::ops::health::{self, BootCompleted};
use crate::ops::merge::EtcSource;
use crate::ops::{Error, Result, boot, etc_drift_count, usr_overlay};
use crate::repo::Usage;
use crate::sysroot::etc_merge::EtcMergeReport;
use crate::sysroot::{
    self, Deployment, DeploymentKey, FailedImage, FinalizeFailure, Observed, Problem, ProblemKind, Stateroot,
    Sysroot, layout,
};

/// Everything that was read beside [`Observed`].
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// `None` when a tree cannot be read.
    pub usage: Option<Usage>,
    /// By boot order; `None` when `$BOOT` cannot be read.
    pub counted: Option<BTreeMap<u64, Tries>>,
    pub once: Option<DeploymentKey>,
    pub root: Option<Room>,
    /// `None` also when `$BOOT` is no file system of its own.
    pub boot: Option<FreeSpace>,
    pub last_boot: Option<BootCompleted>,
    pub failed_images: Vec<FailedImage>,
    pub finalize_failure: Option<FinalizeFailure>,
    /// Of the booted deployment.
    pub etc_changes: Option<u64>,
    /// What the merge of the staged deployment would do, or why it would fail.
    pub planned_merge: Option<Result<EtcMergeReport, String>>,
    pub usr_overlay: bool,
}

/// Reads the state of a sysroot. Takes no lock and never waits.
pub fn status(sysroot: &Sysroot) -> Result<Status> {
    let mut observed = sysroot.observe()?;
    let seen = look(sysroot, &mut observed);
    Ok(assemble(sysroot.path(), sysroot.repo().mode(), observed, seen))
}

fn look(sysroot: &Sysroot, observed: &mut Observed) -> Seen {
    let mut problems = Vec::new();
    let mut seen = Seen::default();
    let mut or_problem = Problems(&mut problems);
    let damaged = ProblemKind::DamagedState;
    let usage = usage::of_all(observed, sysroot.repo());
    seen.usage = or_problem.take(usage, damaged, "/reroot/repo", "computing sizes: ");
    let free = fsx::free_space(sysroot.root()).map_err(Error::io("asking for free space"));
    seen.root = or_problem.take(free, damaged, "/", "").map(Room::from);
    if let Some(boot) = or_problem.take(boot::look(sysroot), ProblemKind::UnreachableBoot, "$BOOT", "") {
        seen.boot = boot.as_ref().and_then(|boot| boot.free);
        seen.counted = Some(boot.map(|boot| boot.counted).unwrap_or_default());
        let once = boot::once::boots_once(sysroot, observed);
        seen.once = or_problem.take(once, ProblemKind::UnreachableBoot, "$BOOT", "").flatten();
    }
    let health = format!("/{}/health.json", layout::RUN);
    seen.last_boot = or_problem.take(health::last_boot(sysroot), damaged, &health, "").flatten();
    let failed = sysroot.failed_images().map_err(Error::from);
    seen.failed_images = or_problem.take(failed, damaged, "/reroot/failed.json", "").unwrap_or_default();
    let finalize = FinalizeFailure::read(sysroot).map_err(Error::from);
    seen.finalize_failure = or_problem.take(finalize, damaged, "/reroot/finalize-failed.json", "").flatten();
    let overlay = usr_overlay::is_active(sysroot);
    seen.usr_overlay = or_problem.take(overlay, damaged, "/run/reroot/usr-overlay.json", "").unwrap_or(false);
    if let Some(booted) = booted(observed).filter(|_| !observed.transient_etc) {
        let path = format!("{}/{}", booted.path(), layout::ETC);
        seen.etc_changes = or_problem.take(etc_drift_count(sysroot, booted), damaged, &path, "");
    }
    if let Some(staged) = observed.staged.as_ref().and_then(|key| observed.deployment(key)) {
        seen.planned_merge = planned_merge(sysroot, observed, staged).transpose();
    }
    observed.problems.append(&mut problems);
    seen
}

fn booted(observed: &Observed) -> Option<&Deployment> {
    observed.booted.as_ref().and_then(|key| observed.deployment(key))
}

/// What the shutdown would do with `/etc`; an error is what would stop it.
fn planned_merge(
    sysroot: &Sysroot,
    observed: &Observed,
    staged: &Deployment,
) -> Result<Option<EtcMergeReport>, String> {
    let key = staged.key();
    let check = || -> Result<Option<EtcMergeReport>> {
        let Some(source) = EtcSource::of(sysroot, observed, &key.stateroot)? else { return Ok(None) };
        let Some(stateroot) = Stateroot::open(sysroot, &key.stateroot)? else { return Ok(None) };
        let root = fsx::open_subdir(&stateroot.deploy, &layout::directory_name(key.id))
            .map_err(sysroot::Error::io(format!("opening {}", staged.path())))?;
        source.check(&root, observed.etc_strategy).map(Some)
    };
    check().map_err(|error| error.to_string())
}

/// Where what cannot be read goes.
struct Problems<'p>(&'p mut Vec<Problem>);

impl Problems<'_> {
    fn take<T>(&mut self, result: Result<T>, kind: ProblemKind, path: &str, doing: &str) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("{doing}{error}");
                self.0.push(Problem { kind, path: path.into(), message, deployment: None });
                None
            }
        }
    }
}
