//! `/run/reroot/health.json`: how the boot turned out, for `status` and for what watches the machine. Gone at every reboot.

use serde::{Deserialize, Serialize};

use super::run::CheckResult;
use crate::env::Env;
use crate::fsx;
use crate::ops::{Error, Result};
use crate::sysroot::{Deployment, DeploymentKey, Sysroot, layout, parse_state, print_state};

const FILE: &str = "health.json";
const VERSION: u32 = 1;

/// How the boot of the running system turned out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootCompleted {
    pub version: u32,
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    pub boot_id: String,
    /// Seconds since the epoch.
    pub time: u64,
    pub state: BootState,
    /// Why it failed.
    pub reason: Option<String>,
    /// The deployments that the loader gave up before it came to this one.
    pub fell_back: Vec<FailedDeployment>,
    pub checks: Vec<CheckResult>,
    /// Removed by the prune that followed.
    pub pruned: Vec<DeploymentKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootState {
    /// All is well, and the deployment is good.
    Good,
    /// All is well this time, but the deployment is known to be bad and stays so.
    Bad,
    /// The boot has failed; the machine goes on running.
    Failed,
    /// The boot has failed; the machine restarts.
    Restarting,
}

/// A deployment that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedDeployment {
    #[serde(flatten)]
    pub key: DeploymentKey,
    pub reason: String,
}

impl BootCompleted {
    /// Of a boot of which nothing else is known yet.
    pub(super) fn new(booted: &Deployment, env: &Env) -> Self {
        Self {
            version: VERSION,
            deployment: booted.key(),
            boot_id: env.boot_id().unwrap_or_default(),
            time: env.unix_time(),
            state: BootState::Failed,
            reason: None,
            fell_back: Vec::new(),
            checks: Vec::new(),
            pruned: Vec::new(),
        }
    }

    pub(super) fn write(&self, sysroot: &Sysroot) -> Result<()> {
        let Some(run) = sysroot.run() else { return Ok(()) };
        fsx::write_atomic(run, FILE, &print_state(self), 0o644)
            .map_err(Error::io(format!("writing /{}/{FILE}", layout::RUN)))
    }
}

/// How the boot turned out; `None` when that is not known yet, or nothing is booted from this sysroot.
pub fn last_boot(sysroot: &Sysroot) -> Result<Option<BootCompleted>> {
    let Some(run) = sysroot.run() else { return Ok(None) };
    let path = format!("/{}/{FILE}", layout::RUN);
    let bytes =
        fsx::read_limited(run, FILE, layout::STATE_LIMIT).map_err(Error::io(format!("reading {path}")))?;
    Ok(bytes.map(|bytes| parse_state(&bytes, &path)).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTH_V1: &str = include_str!("../../../fixtures/state/v1/health.json");

    #[test]
    fn version_1_reads_for_ever() {
        let report: BootCompleted = parse_state(HEALTH_V1.as_bytes(), FILE).unwrap();
        assert_eq!(report.state, BootState::Restarting);
        assert_eq!(report.checks[0].reason.as_deref(), Some("exit status 1"));
        assert_eq!(String::from_utf8(print_state(&report)).unwrap(), HEALTH_V1);
    }
}
