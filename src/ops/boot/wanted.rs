//! What the boot loader should know of a deployment: from its record, or from its tree when the record is of before
//! there were such things in it.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;

use super::arguments::{self, Local};
use super::facts::{self, Machine};
use crate::boot::bls;
use crate::boot::file_name::BootOrder;
use crate::boot::kernel::{BootDigest, Pair, PairSource};
use crate::boot::plan::Wanted;
use crate::digest::TreeId;
use crate::names::StaterootName;
use crate::ops::{Error, Result};
use crate::sysroot::{BootFacts, Deployment, DeploymentRecord, HealthState, SeparateVar, Stateroot, Sysroot};

/// Kernels of deployments, each read when it has to be and then once.
pub struct Kernels<'s> {
    sysroot: &'s Sysroot,
    by_tree: BTreeMap<TreeId, BootFacts>,
    trees: BTreeMap<BootDigest, TreeId>,
}

impl<'s> Kernels<'s> {
    pub fn new(sysroot: &'s Sysroot) -> Self {
        Self { sysroot, by_tree: BTreeMap::new(), trees: BTreeMap::new() }
    }

    /// The entry of a deployment.
    pub fn wanted(&mut self, deployment: &Deployment, several_stateroots: bool) -> Result<Wanted> {
        let record = &deployment.record;
        let facts = self.facts(deployment)?;
        let label = match several_stateroots {
            true => format!("{}:{}", record.stateroot, record.id),
            false => record.id.to_string(),
        };
        let order = BootOrder::new(record.order).ok_or_else(|| {
            Error::incompatible(format!("boot order {} is not a number of ten digits", record.order))
        })?;
        let origin = deployment.origin.as_ref().ok_or_else(|| {
            Error::invalid(format!(
                "{}.origin cannot be read: it has the kernel arguments",
                deployment.path()
            ))
        })?;
        let var = self.separate_var(&record.stateroot)?;
        let local = Local::of_origin(origin)?;
        let line = arguments::command_line(&facts, &local, &deployment.path(), var.as_ref())?;
        let pair = pair(&facts)?;
        self.trees.insert(pair.digest, record.tree);
        Ok(Wanted {
            order,
            title: bls::title(&facts.pretty_name, &label),
            options: arguments::print(&line),
            pair,
            machine_id: None,
            tries: tries(record),
            extra: Vec::new(),
        })
    }

    /// What the record says, else what the tree says.
    pub fn facts(&mut self, deployment: &Deployment) -> Result<BootFacts> {
        let record = &deployment.record;
        if let Some(facts) = record.boot.as_ref().or_else(|| self.by_tree.get(&record.tree)) {
            return Ok(facts.clone());
        }
        let repo = self.sysroot.repo();
        let digest = &record.image.digest;
        let image = repo
            .image(digest)?
            .ok_or_else(|| Error::not_found(format!("image {digest}, which {} needs", deployment.key())))?;
        let mut facts = facts::facts(self.sysroot, &repo.read_tree(&record.tree)?, &image, Machine::Image)?;
        // There were no such files when it was made.
        facts.machine_arguments.clear();
        self.by_tree.insert(record.tree, facts.clone());
        Ok(facts)
    }

    /// A fact of the stateroot: whatever its deployments ask for, their `/var` is there.
    pub fn separate_var(&self, stateroot: &StaterootName) -> Result<Option<SeparateVar>> {
        let stateroot = Stateroot::open(self.sysroot, stateroot)?;
        Ok(stateroot.as_ref().map(SeparateVar::read).transpose()?.flatten())
    }

    /// Opens the files of a pair that [`Self::wanted`] named.
    pub fn open(&self, pair: &Pair) -> io::Result<PairSource> {
        let tree = self.trees.get(&pair.digest).ok_or(io::ErrorKind::NotFound)?;
        let repo = self.sysroot.repo();
        let tree = repo.read_tree(tree).map_err(io::Error::other)?;
        let (vmlinuz, initrd) = facts::kernel_objects(&tree).map_err(io::Error::other)?;
        let open = |object| repo.open_object(&object).map_err(io::Error::other);
        Ok(PairSource { vmlinuz: open(vmlinuz)?, initrd: open(initrd)? })
    }
}

/// How often the loader may try an entry. A bad one keeps the counters that it has.
fn tries(record: &DeploymentRecord) -> Option<NonZeroU32> {
    record.tries.filter(|_| record.health.state != HealthState::Good)
}

fn pair(facts: &BootFacts) -> Result<Pair> {
    let digest = facts.digest.parse().map_err(|e: crate::names::NameError| Error::corrupt(e.to_string()))?;
    Ok(Pair { digest, vmlinuz_bytes: facts.vmlinuz_bytes, initrd_bytes: facts.initrd_bytes })
}
