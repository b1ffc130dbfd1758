//! `reroot agent check-config`

use serde::Serialize;

use crate::agent::Setup;
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{Context, Result};

/// Say whether the agent's configuration can be used, and what it means
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    policy: String,
    reboots: String,
    follows: String,
    group: String,
    node_id: String,
    rollout_wariness: f64,
}

pub(super) fn run(Args {}: &Args, context: &Context<'_>, output: Output) -> Result<Code> {
    let setup = Setup::load(context.env)?;
    let report = Report {
        policy: setup.settings.policy.name().into(),
        reboots: crate::agent::reboots(&setup.settings),
        follows: crate::agent::follows(&setup.settings, "the image that is booted"),
        group: setup.identity.group.clone(),
        node_id: setup.identity.node_id.clone(),
        rollout_wariness: setup.identity.wariness(),
    };
    output.show(&report, |report| {
        format!(
            "The configuration can be used\n\
             Policy:   {}\nFollows:  {}\nReboots:  {}\nGroup:    {}\nNode id:  {}\nWariness: {:.6}\n",
            report.policy,
            report.follows,
            report.reboots,
            report.group,
            report.node_id,
            report.rollout_wariness
        )
    })?;
    Ok(Code::Done)
}
