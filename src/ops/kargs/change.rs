//! Other kernel arguments: a new deployment of the same tree.

use serde::Serialize;

use super::edit::{self, Edits};
use super::{KernelArgumentsOf, ShownArgument, origin};
use crate::boot::cmdline::{KernelArg, KernelArgs};
use crate::boot::kargs_d::ArgumentDiff;
use crate::names::StaterootName;
use crate::ops::boot::arguments::{self, Local};
use crate::ops::boot::facts::{self, Machine};
use crate::ops::boot::{self, Kernels, Place};
use crate::ops::initramfs::Check;
use crate::ops::publish::{Finalization, Publication};
use crate::ops::{Context, Error, Result, ResultExt, Run, staging, status};
use crate::sysroot::etc_merge::EtcStrategy;
use crate::sysroot::{
    BootFacts, Deployment, DeploymentId, DeploymentKey, Observed, Origin, SeparateVar, Sysroot,
};

/// How kernel arguments are changed.
#[derive(Debug, Clone)]
pub enum KernelArgumentsChange {
    Edits(Edits),
    /// To exactly these, from [`editable`] ones.
    List {
        was: Vec<ShownArgument>,
        wanted: KernelArgs,
    },
    /// Only what files of the machine say now.
    Refresh,
}

/// What a change made, or would make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedArguments {
    pub dry_run: bool,
    /// True when everything is so already and no deployment was made.
    pub unchanged: bool,
    /// True when it waits for the shutdown to be finalized.
    pub staged: bool,
    /// The new deployment; the old one when nothing changed.
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// From the physical root, with a leading slash.
    pub path: String,
    /// The deployment that it has everything else from.
    pub from: DeploymentId,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// The whole command line, in order.
    pub arguments: Vec<ShownArgument>,
    /// Deployments that leave the boot menu, and go, to make room for this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaving: Vec<DeploymentKey>,
}

/// The command line as a change would start from, with what files of the machine say now and without `reroot=`.
pub fn editable(sysroot: &Sysroot, of: &KernelArgumentsOf) -> Result<Vec<ShownArgument>> {
    let observed = sysroot.observe()?;
    Start::of(sysroot, of, &observed)?.editable()
}

/// Makes a deployment with other arguments, unless they are so already. What was changed in `/etc` goes into it, as into
/// every new deployment.
pub fn change_kernel_arguments(
    sysroot: &Sysroot,
    of: &KernelArgumentsOf,
    change: &KernelArgumentsChange,
    run: Run,
    context: &Context<'_>,
) -> Result<ChangedArguments> {
    boot::check(sysroot)?;
    let changing = |key: &DeploymentKey| format!("changing the kernel arguments of {key}");
    if run.is_dry() {
        let observed = sysroot.observe()?;
        let start = Start::of(sysroot, of, &observed)?;
        let local = start.decide(change)?;
        let mut report = start.report(&local, &observed, run)?;
        if !report.unchanged {
            let publication = start.publication(&local)?;
            let prepared = publication.prepare(sysroot, &observed, context);
            report.leaving = prepared.context(|| changing(&start.deployment.key()))?.leaving().to_vec();
        }
        return Ok(report);
    }
    let locked = sysroot.lock(context.wait)?;
    let observed = locked.observe()?;
    let start = Start::of(sysroot, of, &observed)?;
    let local = start.decide(change)?;
    let mut report = start.report(&local, &observed, run)?;
    if report.unchanged {
        // The command before may have been killed when its deployment was not in the menu yet.
        boot::update(&locked, &Place::Mounted, &[], context.reporter)?;
    } else {
        let before = observed.deployments.iter().map(Deployment::key);
        start.publication(&local)?.publish(&locked, context).context(|| changing(&start.deployment.key()))?;
        let after = locked.observe()?;
        report.leaving = before.filter(|key| after.deployment(key).is_none()).collect();
        status::warm_usage(&after, sysroot.repo());
    }
    Ok(report)
}

/// What a change starts from.
struct Start<'o> {
    deployment: &'o Deployment,
    origin: &'o Origin,
    /// As the deployment was made.
    before: BootFacts,
    /// With what files of the machine say now.
    facts: BootFacts,
    local: Local,
    var: Option<SeparateVar>,
}

impl<'o> Start<'o> {
    fn of(sysroot: &Sysroot, of: &KernelArgumentsOf, observed: &'o Observed) -> Result<Self> {
        let deployment = of.find(observed)?;
        let origin = origin(observed, deployment)?;
        let mut kernels = Kernels::new(sysroot);
        let before = kernels.facts(deployment)?;
        let var = kernels.separate_var(&deployment.record.stateroot)?;
        let mut facts = before.clone();
        if let Machine::Deployment(machine) = Machine::of(observed, &deployment.record.stateroot) {
            let digest = &deployment.record.image.digest;
            let image = sysroot.repo().image(digest)?;
            let image = image.ok_or_else(|| Error::not_found(format!("image {digest} in the store")))?;
            facts.machine_arguments = facts::of_machine(sysroot, machine, &facts::architecture(&image)?)?;
        }
        Ok(Self { deployment, origin, before, facts, local: Local::of_origin(origin)?, var })
    }

    fn brought(&self) -> Result<Vec<KernelArg>> {
        Ok(arguments::brought(&self.facts)?.into_iter().map(|a| a.argument).collect())
    }

    fn line(&self, facts: &BootFacts, local: &Local, path: &str) -> Result<Vec<arguments::Argument>> {
        arguments::command_line(facts, local, path, self.var.as_ref())
    }

    fn editable(&self) -> Result<Vec<ShownArgument>> {
        let line = self.line(&self.facts, &self.local, &self.deployment.path())?;
        let is_ours = |a: &arguments::Argument| a.source != arguments::Source::Reroot;
        Ok(line.into_iter().filter(is_ours).map(ShownArgument::from).collect())
    }

    fn decide(&self, change: &KernelArgumentsChange) -> Result<Local> {
        match change {
            KernelArgumentsChange::Refresh => Ok(self.local.clone()),
            KernelArgumentsChange::Edits(edits) => edit::apply(edits, &self.brought()?, &self.local),
            KernelArgumentsChange::List { was, .. } if *was != self.editable()? => {
                Err(Error::invalid(format!(
                    "the kernel arguments of {} were changed by somebody else meanwhile; nothing was done",
                    self.deployment.key()
                )))
            }
            KernelArgumentsChange::List { wanted, .. } => {
                if wanted.with_key("reroot").next().is_some() {
                    return Err(Error::invalid("`reroot` names the deployment and is set by reroot itself"));
                }
                Ok(edit::of_list(wanted, &self.brought()?, &self.local))
            }
        }
    }

    fn report(&self, local: &Local, observed: &Observed, run: Run) -> Result<ChangedArguments> {
        let record = &self.deployment.record;
        let unchanged = *local == self.local && self.facts == self.before;
        let key = match unchanged {
            true => self.deployment.key(),
            false => DeploymentKey {
                stateroot: record.stateroot.clone(),
                id: observed.counters.next_id(&record.stateroot),
            },
        };
        let path = crate::sysroot::layout::deployment_path(&key);
        let line = self.line(&self.facts, local, &path)?;
        let words = |line: &[arguments::Argument]| -> Vec<String> {
            let own = line.iter().filter(|a| a.source != arguments::Source::Reroot);
            own.map(|a| a.argument.as_str().to_owned()).collect()
        };
        let old = self.line(&self.before, &self.local, &path)?;
        let ArgumentDiff { added, removed } = ArgumentDiff::between(&words(&old), &words(&line));
        Ok(ChangedArguments {
            dry_run: run.is_dry(),
            unchanged,
            staged: !unchanged && staging::stages(observed),
            id: key.id,
            stateroot: key.stateroot,
            path,
            from: record.id,
            added,
            removed,
            arguments: line.into_iter().map(ShownArgument::from).collect(),
            leaving: Vec::new(),
        })
    }

    fn publication(&self, local: &Local) -> Result<Publication> {
        let (kernel_arguments, removed_arguments) = local.lists()?;
        let record = &self.deployment.record;
        Ok(Publication {
            stateroot: record.stateroot.clone(),
            tree: record.tree,
            image: record.image.clone(),
            origin: Origin { kernel_arguments, removed_arguments, ..self.origin.clone() },
            facts: Some(self.facts.clone()),
            initramfs: Check::Never,
            etc: EtcStrategy::default(),
            finalization: Finalization::AtShutdown,
        })
    }
}
