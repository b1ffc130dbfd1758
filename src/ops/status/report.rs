//! What `status --json` prints: docs/status-json.md explains the keys, docs/status.schema.json is what programs may rely on.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::Serialize;

use crate::digest::{Sha256, TreeId};
use crate::fsx::FreeSpace;
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::ops::health::{BootState, CheckResult};
use crate::ops::image::ImageFacts;
use crate::repo::Mode;
use crate::sysroot::etc_merge::{EtcMergeReport, EtcStrategy};
use crate::sysroot::{
    DeployedImage, DeploymentId, DeploymentKey, FailedBoot, FailedImage, FinalizeFailure, HealthState,
    KernelArgument, Problem, Slot,
};

/// The version of the JSON. Keys may be added within a version.
pub(super) const VERSION: u32 = 1;

/// The state of a sysroot. The keys are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub version: u32,
    /// The physical root.
    pub sysroot: String,
    pub mode: Mode,
    pub stateroots: Vec<StaterootName>,
    /// What runs; `None` when the running system was not booted from this sysroot.
    pub booted: Option<DeploymentKey>,
    /// What the next reboot brings.
    pub next: Option<NextBoot>,
    /// True when that is another deployment than the one that runs.
    pub reboot_pending: bool,
    pub staged: Option<StagedStatus>,
    /// What `rollback` would make first.
    pub rollback: Option<DeploymentKey>,
    /// How the boot of the running system turned out; `None` before it is complete.
    pub boot_health: Option<BootHealth>,
    /// The last finalization, when it failed.
    pub finalize_failure: Option<FinalizeFailed>,
    /// Images that `upgrade` does not take again by itself, the newest last.
    pub failed_images: Vec<FailedImageStatus>,
    /// Whether the running system forgets its changes of `/etc`.
    pub transient_etc: bool,
    /// Whether `/usr` of the running system can be written until the next boot.
    pub usr_overlay: bool,
    pub space: Space,
    /// In boot order.
    pub deployments: Vec<DeploymentStatus>,
    pub problems: Vec<Problem>,
}

/// What the next reboot brings, and why that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextBoot {
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    pub why: Why,
    /// Why it does not boot: what was rolled back or fell back from.
    pub instead_of: Option<DeploymentKey>,
    /// In words: why `instead_of` failed.
    pub reason: Option<String>,
    /// What boots after that, when this one boots once.
    pub then: Option<DeploymentKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nothing newer is in the boot menu.
    Newest,
    /// It is finalized at the shutdown.
    Staged,
    /// There is a newer one, and somebody put this one before it.
    RolledBack,
    /// All newer ones are bad.
    FellBack,
    /// `boot-once`
    Once,
    /// It is prepared at `/run/nextroot`; a reboot goes over to it without a new kernel.
    SoftReboot,
}

/// What waits for the shutdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedStatus {
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    /// Waits until it is unlocked as well.
    pub locked: bool,
    pub etc_strategy: EtcStrategy,
    /// What the merge of `/etc` would do now; `None` when nothing is carried over, or it would fail.
    pub etc_merge: Option<EtcMergeReport>,
    /// Why that merge would fail, and with it the finalization.
    pub etc_failure: Option<String>,
}

/// How the boot of the running system turned out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootHealth {
    pub state: BootState,
    pub time: Timestamp,
    /// Why it failed.
    pub reason: Option<String>,
    /// What the loader gave up before it came to what runs.
    pub fell_back: Vec<GivenUp>,
    pub checks: Vec<CheckResult>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenUp {
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    pub reason: String,
}

/// A finalization that failed: what was staged did not boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalizeFailed {
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    pub time: Timestamp,
    pub reason: String,
}

impl From<FinalizeFailure> for FinalizeFailed {
    fn from(FinalizeFailure { deployment, time, reason, .. }: FinalizeFailure) -> Self {
        Self { deployment, time: timestamp(time), reason }
    }
}

/// An image that failed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedImageStatus {
    pub digest: Sha256,
    pub reference: String,
    pub version: Option<String>,
    pub stateroot: StaterootName,
    /// The deployment that showed it.
    pub id: DeploymentId,
    pub time: Timestamp,
    pub reason: String,
}

impl From<FailedImage> for FailedImageStatus {
    fn from(image: FailedImage) -> Self {
        let FailedImage { digest, reference, image_version, stateroot, id, time, reason } = image;
        Self { digest, reference, version: image_version, stateroot, id, time: timestamp(time), reason }
    }
}

/// How much room there is. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Space {
    /// Of the physical root's file system.
    pub root: Option<Room>,
    /// `None` when it is a directory of that, is not there, or cannot be reached.
    pub boot: Option<BootDirectorySpace>,
    /// All files of all deployments, an object once.
    pub deployments_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

impl From<FreeSpace> for Room {
    fn from(space: FreeSpace) -> Self {
        Self { free_bytes: space.available_bytes, total_bytes: space.total_bytes }
    }
}

/// `$BOOT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BootDirectorySpace {
    #[serde(flatten)]
    pub room: Room,
    /// What one more kernel with its initramfs takes, as large as that of the first deployment.
    pub kernel_bytes: Option<u64>,
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
    /// Names kernel and initramfs together; the same digest, the same files on `$BOOT`.
    pub kernel_digest: Option<String>,
    pub slots: Vec<Slot>,
    pub pinned: bool,
    /// False from staging to finalization.
    pub finalized: bool,
    /// Was staged, and lost its chance when the power went: it never boots, and `prune` removes it.
    pub abandoned: bool,
    pub health: HealthStatus,
    /// While its boots are counted.
    pub trial: Option<Trial>,
    /// How its `/etc` came to be; `None` when nothing was carried over.
    pub etc_merge: Option<EtcMergeReport>,
    /// Of the booted one: how many paths of `/etc` are not as the image has them.
    pub etc_changes: Option<u64>,
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

impl DeploymentStatus {
    pub fn key(&self) -> DeploymentKey {
        DeploymentKey { stateroot: self.stateroot.clone(), id: self.id }
    }
}

/// What its boots showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthStatus {
    pub state: HealthState,
    /// Oldest first.
    pub failures: Vec<FailedBootStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedBootStatus {
    pub time: Timestamp,
    pub boot_id: String,
    pub reason: String,
}

impl From<FailedBoot> for FailedBootStatus {
    fn from(FailedBoot { time, boot_id, reason }: FailedBoot) -> Self {
        Self { time: timestamp(time), boot_id, reason }
    }
}

/// A deployment that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// How often the loader may try it.
    pub tries: NonZeroU32,
    /// Tries that are left; `None` when `$BOOT` cannot be read. While the last one runs it is 0.
    pub left: Option<u32>,
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
    pub(in crate::ops) fn new(reference: &ImageReference, digest: Sha256, facts: ImageFacts) -> Self {
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

pub(in crate::ops) fn timestamp(seconds: u64) -> Timestamp {
    i64::try_from(seconds).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MAX)
}
