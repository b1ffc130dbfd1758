//! Init: makes a directory a sysroot.

use std::path::Path;

use serde::Serialize;

use super::{Context, Error, ErrorKind, Result, Run};
use crate::names::StaterootName;
use crate::repo::Mode;
use crate::sysroot::Sysroot;

#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// A stateroot to make at once; deploying makes it otherwise.
    pub stateroot: Option<StaterootName>,
    pub run: Run,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Initialized {
    pub dry_run: bool,
    /// True when it was a sysroot before.
    pub unchanged: bool,
    pub sysroot: String,
    pub mode: Mode,
    pub stateroot: Option<StaterootName>,
}

/// Makes the existing directory `path` a sysroot. Twice is as good as once. Root gets a `bare` repo, everybody
/// else a `bare-user` one.
pub fn init(path: &Path, options: &InitOptions, context: &Context<'_>) -> Result<Initialized> {
    let env = context.env;
    let existing = match Sysroot::open(path, env).map_err(Error::from) {
        Ok(sysroot) => Some(sysroot),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let default_mode = if env.privileged { Mode::Bare } else { Mode::BareUser };
    let mode = existing.as_ref().map_or(default_mode, |s| s.repo().mode());
    let mut unchanged = existing.is_some();
    if let (Some(sysroot), Some(name)) = (&existing, &options.stateroot) {
        unchanged &= sysroot.observe()?.stateroots.contains(name);
    }
    if options.run == Run::Real && !unchanged {
        let sysroot = Sysroot::init(path, mode, env)?;
        let locked = sysroot.lock(context.wait)?;
        if let Some(name) = &options.stateroot {
            locked.ensure_stateroot(name)?;
        }
    }
    Ok(Initialized {
        dry_run: options.run.is_dry(),
        unchanged,
        sysroot: path.display().to_string(),
        mode,
        stateroot: options.stateroot.clone(),
    })
}
