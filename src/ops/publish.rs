//! From an image in the store to a deployment: everything is known and checked before anything is written.
//!
//! On the running system a new deployment is [staged](super::staging): what the machine's `/etc` is at the shutdown goes
//! into it. On another one there is nothing to wait for.

use std::num::NonZeroU32;

use super::boot::facts::{self, Machine};
use super::boot::room::Room;
use super::boot::{self, Bootloader, Place};
use super::checkout::DeploymentTree;
use super::merge::EtcSource;
use super::{Context, Error, Result, ResultExt, initramfs, note, select, staging, var};
use crate::digest::TreeId;
use crate::fsx;
use crate::layer;
use crate::names::{ImagePath, StaterootName};
use crate::progress::Event;
use crate::repo::Tree;
use crate::sysroot::etc_merge::EtcStrategy;
use crate::sysroot::{
    BootFacts, DeployedImage, Deployment, DeploymentId, DeploymentKey, DeploymentRecord, EventKind, Health,
    HistoryEvent, LockedSysroot, Observed, Origin, Stateroot, Sysroot,
};

/// What says that a boot of a deployment has completed. Boots of an image without it are not counted: it would fall back
/// for no reason.
const BLESSES: &str = "usr/lib/systemd/system/reroot-boot-complete.service";

/// A deployment that is to be made.
pub(super) struct Publication {
    pub stateroot: StaterootName,
    /// The image is in the store.
    pub tree: TreeId,
    pub image: DeployedImage,
    pub origin: Origin,
    /// `None`: to be read from the tree and from the machine's `/etc`.
    pub facts: Option<BootFacts>,
    pub initramfs: initramfs::Check,
    pub etc: EtcStrategy,
    pub finalization: Finalization,
}

/// Whether a staged deployment is finalized at the next shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Finalization {
    #[default]
    AtShutdown,
    /// When it was unlocked.
    Locked,
}

/// A [`Publication`] that nothing speaks against.
pub(super) struct Prepared {
    /// As it will be observed.
    pub deployment: Deployment,
    room: Room,
    tree: Tree,
}

impl Publication {
    /// Reads and checks everything. Changes nothing.
    pub fn prepare(&self, sysroot: &Sysroot, observed: &Observed, context: &Context<'_>) -> Result<Prepared> {
        select::check_running(observed)?;
        let tree = sysroot.repo().read_tree(&self.tree)?;
        let kernel = layer::check_bootable(&tree)?.kernel_version;
        initramfs::check(sysroot, &tree, self.initramfs)?;
        let boot = match &self.facts {
            Some(facts) => facts.clone(),
            None => {
                let digest = &self.image.digest;
                let image = sysroot.repo().image(digest)?;
                let image = image.ok_or_else(|| Error::not_found(format!("image {digest} in the store")))?;
                facts::facts(sysroot, &tree, &image, Machine::of(observed, &self.stateroot))?
            }
        };
        let record = DeploymentRecord {
            version: DeploymentRecord::VERSION,
            id: observed.counters.next_id(&self.stateroot),
            stateroot: self.stateroot.clone(),
            order: observed.counters.next_order,
            created: context.env.unix_time(),
            pinned: false,
            tree: self.tree,
            image: self.image.clone(),
            kernel,
            boot: Some(boot),
            finalized: true,
            tries: tries(sysroot, &tree, observed, context)?,
            health: Health::default(),
            etc_merge: None,
        };
        let deployment = Deployment { record, origin: Some(self.origin.clone()) };
        let room = Room::find(sysroot, Place::Mounted, observed, &deployment)?;
        Ok(Prepared { deployment, room, tree })
    }

    /// Makes the deployment, and puts it first into the boot loader's menu or stages it for that. Durable when it
    /// returns, but for what is in `/run`; leaves nothing behind when it fails.
    pub fn publish(&self, locked: &LockedSysroot<'_>, context: &Context<'_>) -> Result<Deployment> {
        let observed = locked.observe()?;
        let mut prepared = self.prepare(locked.sysroot(), &observed, context)?;
        let stages = staging::stages(&observed);
        if self.finalization == Finalization::Locked && !stages {
            return Err(staging::only_where_booted());
        }
        prepared.deployment.record.finalized = !stages;
        let deployment = prepared.write(locked, &observed, self, context)?;
        let kind = if stages { EventKind::Staged } else { EventKind::Deployed };
        let event = HistoryEvent::new(context.env, kind, &deployment.key());
        note(locked, &event.with_image(&self.image), context.reporter);
        match stages {
            true => staging::stage(locked, &observed, &deployment, self, context)?,
            false => boot::update(locked, &Place::Mounted, &[], context.reporter)?,
        }
        Ok(deployment)
    }
}

/// How often the boot loader is to try it: not when nothing could be fallen back to, or nobody would say that it is good.
fn tries(
    sysroot: &Sysroot,
    tree: &Tree,
    observed: &Observed,
    context: &Context<'_>,
) -> Result<Option<NonZeroU32>> {
    let blesses = ImagePath::new(BLESSES.as_bytes()).is_ok_and(|path| tree.get(&path).is_some());
    let counts = boot::bootloader(sysroot)?.is_some_and(|loader| loader != Bootloader::None);
    let falls_back = observed.finalized().next().is_some();
    Ok(context.config.boot_tries.filter(|_| blesses && counts && falls_back))
}

impl Prepared {
    /// What leaves the menu, and goes, to make room.
    pub fn leaving(&self) -> &[DeploymentKey] {
        self.room.leaving()
    }

    fn write(
        self,
        locked: &LockedSysroot<'_>,
        observed: &Observed,
        publication: &Publication,
        context: &Context<'_>,
    ) -> Result<Deployment> {
        let Self { mut deployment, room, tree } = self;
        let path = deployment.path();
        let record = &deployment.record;
        let repo = locked.sysroot().repo();
        context.reporter.report(Event::Phase(&format!("checking out {path}")));
        let files = DeploymentTree::new(&tree)?;
        let stateroot = locked.ensure_stateroot(&record.stateroot)?;
        files.needed_space().check(&path, &stateroot.deploy, context.config.reserve)?;
        let scratch = Scratch::new(locked, &stateroot, record.id)?;
        files.check_out(repo, &scratch.dir).context(|| format!("checking out {path}"))?;
        drop(files);
        var::populate(repo, &stateroot, &tree, context.config.reserve)?;
        drop(tree);
        if let Some(source) = EtcSource::of(locked.sysroot(), observed, &record.stateroot)? {
            let report = match record.finalized {
                true => source.merge_into(&scratch.dir, publication.etc),
                // To know in time what would be in the way at the shutdown.
                false => source.check(&scratch.dir, publication.etc),
            };
            deployment.record.etc_merge = Some(report?);
        }
        let record = &deployment.record;
        // As late as possible: whatever fails before has cost nobody a deployment.
        if record.finalized {
            room.make(locked, Place::Mounted, observed, &deployment, context.reporter)?;
        }
        locked.publish(&stateroot, record, &publication.origin, observed, &scratch.written)?;
        scratch.keep();
        Ok(deployment)
    }
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
