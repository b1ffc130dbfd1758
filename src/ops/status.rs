//! Status: what is deployed, in boot order.

use jiff::Timestamp;
use serde::Serialize;

use super::image::ImageFacts;
use super::{Error, Result};
use crate::digest::{Sha256, TreeId};
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::repo::{Mode, Repo, TreeUsage};
use crate::sysroot::{
    DeployedImage, Deployment, DeploymentId, KernelArgument, Observed, Problem, ProblemKind, Slot, Slots,
    Sysroot,
};

/// The version of the JSON. Keys may be added within a version.
const VERSION: u32 = 1;

/// What `status --json` prints. The keys are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub version: u32,
    /// The physical root.
    pub sysroot: String,
    pub mode: Mode,
    pub stateroots: Vec<StaterootName>,
    /// In boot order.
    pub deployments: Vec<DeploymentStatus>,
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// From the physical root, with a leading slash.
    pub path: String,
    pub image: ImageStatus,
    pub tree: TreeId,
    pub kernel: String,
    pub slots: Vec<Slot>,
    pub pinned: bool,
    /// Content bytes of all files, an inode once, as du(1) counts it. Absent when the tree cannot be read.
    pub size_bytes: Option<u64>,
    /// Of these, bytes that no other deployment shares.
    pub unique_bytes: Option<u64>,
    pub created: Timestamp,
    pub order: u64,
    /// What `upgrade` would look for; differs from the image's reference when people edited the origin.
    pub follows: Option<String>,
    pub kernel_arguments: Vec<KernelArgument>,
}

/// Which image, in words and exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    pub reference: String,
    pub transport: String,
    pub digest: Sha256,
    pub version: Option<String>,
    /// When it was built, RFC 3339.
    pub timestamp: Option<String>,
}

impl ImageStatus {
    pub(super) fn new(reference: &ImageReference, digest: Sha256, facts: ImageFacts) -> Self {
        Self {
            reference: reference.to_string(),
            transport: reference.transport().to_string(),
            digest,
            version: facts.version,
            timestamp: facts.timestamp,
        }
    }
}

impl From<DeployedImage> for ImageStatus {
    fn from(image: DeployedImage) -> Self {
        let DeployedImage { reference, transport, digest, version, timestamp } = image;
        Self { reference, transport, digest, version, timestamp }
    }
}

/// Reads the state of a sysroot. Takes no lock and never waits.
pub fn status(sysroot: &Sysroot) -> Result<Status> {
    let mut observed = sysroot.observe()?;
    let usage = match usage(&observed, sysroot.repo()) {
        Ok(usage) => usage.into_iter().map(Some).collect(),
        Err(error) => {
            observed.problems.push(Problem {
                kind: ProblemKind::DamagedState,
                path: "/reroot/repo".into(),
                message: format!("computing sizes: {error}"),
                deployment: None,
            });
            vec![None; observed.deployments.len()]
        }
    };
    Ok(assemble(sysroot, observed, &usage))
}

fn assemble(sysroot: &Sysroot, observed: Observed, usage: &[Option<TreeUsage>]) -> Status {
    let slots = Slots::of(&observed);
    let deployments =
        observed.deployments.iter().zip(usage).map(|(d, usage)| describe(d, &slots, *usage)).collect();
    let mut problems = observed.problems;
    problems.extend(observed.leftovers.iter().map(|leftover| Problem {
        kind: ProblemKind::Leftover,
        path: leftover.path(),
        message: "work in progress, or left by an interrupted command; the next one removes it".into(),
        deployment: None,
    }));
    Status {
        version: VERSION,
        sysroot: sysroot.path().display().to_string(),
        mode: sysroot.repo().mode(),
        stateroots: observed.stateroots,
        deployments,
        problems,
    }
}

fn describe(deployment: &Deployment, slots: &Slots, usage: Option<TreeUsage>) -> DeploymentStatus {
    let Deployment { record, origin } = deployment;
    DeploymentStatus {
        id: record.id,
        stateroot: record.stateroot.clone(),
        path: deployment.path(),
        image: ImageStatus::from(record.image.clone()),
        tree: record.tree,
        kernel: record.kernel.clone(),
        slots: slots.of_deployment(deployment),
        pinned: record.pinned,
        // The deployment's own copies of /etc come on top of what is linked, and nobody shares them.
        size_bytes: usage.map(|u| u.linked_bytes + u.etc_bytes),
        unique_bytes: usage.map(|u| u.unique_bytes + u.etc_bytes),
        created: timestamp(record.created),
        order: record.order,
        follows: origin.as_ref().map(|o| o.reference.clone()),
        kernel_arguments: origin.as_ref().map(|o| o.kernel_arguments.clone()).unwrap_or_default(),
    }
}

pub(super) fn timestamp(seconds: u64) -> Timestamp {
    i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MAX)
}

/// The usage of each deployment's tree against the others, in the order of [`Observed::deployments`].
///
/// The repo is asked in an order that a rollback does not change, so that its cached answer stays good.
pub(super) fn usage(observed: &Observed, repo: &Repo) -> Result<Vec<TreeUsage>> {
    let mut by_key: Vec<usize> = (0..observed.deployments.len()).collect();
    by_key.sort_by_key(|i| observed.deployments[*i].key());
    let trees: Vec<TreeId> = by_key.iter().map(|i| observed.deployments[*i].record.tree).collect();
    let answers = repo.usage(&trees)?;
    let mut usage = vec![TreeUsage::default(); trees.len()];
    for (index, answer) in by_key.into_iter().zip(answers) {
        usage[index] = answer;
    }
    Ok(usage)
}

/// Computes the usage after a change, so that the next `status` is fast.
pub(super) fn warm_usage(observed: &Observed, repo: &Repo) {
    // Only speed is at stake; what is damaged shows up in `status` and `fsck`.
    let _: Result<_, Error> = usage(observed, repo);
}
