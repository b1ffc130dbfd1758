//! Running the checks of a machine, each with a time limit, their output told line by line.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::checks::{self, CheckKind};
use super::greenboot::{self, Aftermath};
use crate::ops::Context;
use crate::ops::program::{Found, Program};
use crate::progress::{Event, Reporter};

/// How a check turned out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    pub name: String,
    /// From the root.
    pub file: String,
    pub kind: CheckKind,
    pub passed: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub duration_ms: u64,
}

/// Runs the required checks, all of them, and then the wanted ones unless a required one has failed.
pub fn checks(context: &Context<'_>) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for kind in [CheckKind::Required, CheckKind::Wanted] {
        if failure(&results).is_some() {
            break;
        }
        let found = checks::find(kind, context.env).unwrap_or_else(|error| {
            // What cannot be looked for has not passed.
            results.push(CheckResult {
                name: "looking for checks".into(),
                file: String::new(),
                kind,
                passed: false,
                reason: Some(error.to_string()),
                duration_ms: 0,
            });
            Found::default()
        });
        for warning in &found.warnings {
            warn(context.reporter, &format!("{warning}, and is not run as a health check"));
        }
        results.extend(found.programs.iter().map(|program| check(program, kind, context)));
    }
    results
}

/// The first required check that failed, and why; how many more there are.
pub fn failure(results: &[CheckResult]) -> Option<String> {
    let mut failed = results.iter().filter(|r| r.kind == CheckKind::Required && !r.passed);
    let first = failed.next()?;
    let more = match failed.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!("{}: {}{more}", first.name, first.reason.as_deref().unwrap_or("failed")))
}

fn check(program: &Program, kind: CheckKind, context: &Context<'_>) -> CheckResult {
    let start = Instant::now();
    let ended = run(program, context);
    let reason = ended.err();
    if let Some(reason) = &reason {
        let kind = if kind == CheckKind::Required { "required" } else { "wanted" };
        warn(context.reporter, &format!("the {kind} health check {} failed: {reason}", program.file));
    }
    CheckResult {
        name: program.name.clone(),
        file: program.file.clone(),
        kind,
        passed: reason.is_none(),
        reason,
        duration_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Runs what greenboot runs after the checks. How it turns out is only said.
pub fn aftermath(which: Aftermath, context: &Context<'_>) {
    match greenboot::aftermath(which, context.env) {
        Err(error) => warn(context.reporter, &error.to_string()),
        Ok(programs) => {
            for program in programs {
                if let Err(reason) = run(&program, context) {
                    warn(context.reporter, &format!("{} failed: {reason}", program.file));
                }
            }
        }
    }
}

fn warn(reporter: &dyn Reporter, text: &str) {
    reporter.report(Event::Warning(text));
}

/// Runs a program, and tells what it prints.
fn run(program: &Program, context: &Context<'_>) -> Result<(), String> {
    let Context { env, config, reporter, .. } = context;
    reporter.report(Event::Phase(&format!("running {}", program.file)));
    let tell = |line: &str| reporter.report(Event::Output { of: &program.name, line });
    program.run(env, &[], config.health_check_timeout, tell)
}
