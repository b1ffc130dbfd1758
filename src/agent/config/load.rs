//! Reading the files of the configuration.

use super::keys::merged;
use super::{Settings, check};
use crate::env::Env;
use crate::ops::Result;
use crate::ops::drop_in::{self, DropIn};

/// Reads the agent's configuration below [`Env::config_root`], with the time zone and the machine's id that it needs.
pub fn load(env: &Env) -> Result<Settings> {
    merge(&drop_in::read("agent.d", env)?, env)
}

/// What one file means by itself; `file` names it in errors.
pub fn parse(text: &str, file: &str, env: &Env) -> Result<Settings> {
    merge(&[DropIn { file: file.into(), text: text.into() }], env)
}

fn merge(files: &[DropIn], env: &Env) -> Result<Settings> {
    let mut merged = merged::File::default();
    for file in files {
        merged.add(file.parse()?, file);
    }
    check::check(merged, env)
}
