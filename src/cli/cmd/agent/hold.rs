//! `reroot agent hold` and `release`

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::agent::machine::Hold;
use crate::agent::runtime::{Nudge, nudge};
use crate::agent::status::HoldReport;
use crate::agent::{parse_duration, store};
use crate::cli::exit::Code;
use crate::cli::output::Output;
use crate::ops::{Context, Error, Result};

/// Hold updates back: nothing is staged and nothing restarts by itself
///
/// The agent goes on looking, and says what there is. Survives restarts; `reroot agent release` ends it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Until then: 2026-12-01T06:00Z, or `2026-12-01 06:00` in this machine's time zone
    #[arg(long, value_name = "TIME", conflicts_with = "for_")]
    until: Option<String>,
    /// For so long: 90m, 2d
    #[arg(long = "for", value_name = "TIME")]
    for_: Option<String>,
    /// Why, for others
    #[arg(long, value_name = "TEXT", default_value = "somebody wants it so")]
    reason: String,
}

/// Hold nothing back any more
#[derive(Debug, clap::Args)]
pub(super) struct ReleaseArgs {}

pub(super) fn hold(args: &Args, context: &Context<'_>, output: Output) -> Result<Code> {
    let now = Timestamp::try_from(context.env.now()).map_err(|error| Error::bug(error.to_string()))?;
    let until =
        match (&args.until, &args.for_) {
            (Some(text), _) => Some(time(text)?),
            (None, Some(text)) => {
                let wait = parse_duration(text).and_then(|wait| jiff::SignedDuration::try_from(wait).ok());
                let until = wait.and_then(|wait| now.checked_add(wait).ok());
                Some(until.ok_or_else(|| {
                    Error::invalid(format!("`{text}` is no length of time, such as 90m or 2d"))
                })?)
            }
            (None, None) => None,
        };
    if until.is_some_and(|until| until <= now) {
        return Err(Error::invalid("that time is over already"));
    }
    let hold = Hold { until, reason: args.reason.clone() };
    store::set_hold(context.env, &hold)?;
    nudge(context.env, Nudge::Changed)?;
    output.show(&HoldReport::from(&hold), |hold| match hold.until {
        Some(until) => format!("Updates are held back until {until}\n"),
        None => "Updates are held back until `reroot agent release`\n".into(),
    })?;
    Ok(Code::Done)
}

pub(super) fn release(ReleaseArgs {}: &ReleaseArgs, context: &Context<'_>, output: Output) -> Result<Code> {
    let released = store::release_hold(context.env)?;
    nudge(context.env, Nudge::Changed)?;
    output.show(&serde_json::json!({ "unchanged": !released }), |_| match released {
        true => "Updates are not held back any more\n".into(),
        false => "No change: updates were not held back\n".into(),
    })?;
    Ok(Code::Done)
}

/// With an offset, or in the machine's zone.
fn time(text: &str) -> Result<Timestamp> {
    let local =
        || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::system()).ok().map(|time| time.timestamp());
    text.parse::<Timestamp>().ok().or_else(local).ok_or_else(|| {
        Error::invalid(format!("`{text}` is no time, such as 2026-12-01T06:00Z or `2026-12-01 06:00`"))
    })
}
