//! Kernel arguments: what a deployment boots with and where each comes from, and other ones in a new deployment.
//!
//! A deployment's arguments never change: a change is a new deployment of the same tree. What is decided here is kept
//! in its origin, and upgrades keep it: arguments that are added, and those of the image that are not wanted.

mod change;
mod edit;

pub use change::{ChangedArguments, KernelArgumentsChange, change_kernel_arguments, editable};
pub use edit::Edits;

use serde::Serialize;

use super::boot::Kernels;
use super::boot::arguments::{self, Argument, Local};
use super::{Error, Result, select};
use crate::names::StaterootName;
use crate::sysroot::{Deployment, DeploymentId, Observed, Origin, Sysroot};

pub use super::boot::arguments::Source;

/// Which deployment's arguments.
#[derive(Debug, Clone, Default)]
pub struct KernelArgumentsOf {
    /// `None`: the first of the stateroot in boot order.
    pub id: Option<DeploymentId>,
    /// `None`: the current one.
    pub stateroot: Option<StaterootName>,
}

/// The command line of a deployment, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelArguments {
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    pub path: String,
    pub arguments: Vec<ShownArgument>,
    /// What the image or the machine brings and is taken off.
    pub removed: Vec<ShownArgument>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownArgument {
    pub argument: String,
    pub source: Source,
    /// The file that asks for it, with a leading slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl From<Argument> for ShownArgument {
    fn from(argument: Argument) -> Self {
        let Argument { argument, source, file } = argument;
        Self { argument: argument.as_str().into(), source, file }
    }
}

/// Shows what a deployment boots with. Takes no lock.
pub fn kernel_arguments(sysroot: &Sysroot, of: &KernelArgumentsOf) -> Result<KernelArguments> {
    let observed = sysroot.observe()?;
    let deployment = of.find(&observed)?;
    let local = Local::of_origin(origin(&observed, deployment)?)?;
    let mut kernels = Kernels::new(sysroot);
    let facts = kernels.facts(deployment)?;
    let var = kernels.separate_var(&deployment.record.stateroot)?;
    let removed = arguments::brought(&facts)?.into_iter().filter(|a| local.removed.contains(&a.argument));
    Ok(KernelArguments {
        id: deployment.record.id,
        stateroot: deployment.record.stateroot.clone(),
        path: deployment.path(),
        removed: removed.map(ShownArgument::from).collect(),
        arguments: arguments::command_line(&facts, &local, &deployment.path(), var.as_ref())?
            .into_iter()
            .map(ShownArgument::from)
            .collect(),
    })
}

impl KernelArgumentsOf {
    fn find<'o>(&self, observed: &'o Observed) -> Result<&'o Deployment> {
        match self.id {
            Some(id) => select::deployment(observed, id, self.stateroot.as_ref()),
            None => {
                let stateroot = self.stateroot.clone().unwrap_or_else(|| observed.current_stateroot());
                select::merge_deployment(observed, &stateroot)
            }
        }
    }
}

fn origin<'o>(observed: &Observed, deployment: &'o Deployment) -> Result<&'o Origin> {
    let problem = || {
        let key = deployment.key();
        let problem = observed.problems.iter().find(|p| p.deployment.as_ref() == Some(&key));
        Error::invalid(problem.map_or_else(|| format!("{key} has no origin"), |p| p.message.clone()))
    };
    deployment.origin.as_ref().ok_or_else(problem)
}
