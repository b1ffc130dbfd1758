//! Reading the files of the configuration.

use super::keys::merged;
use super::{Settings, check};
use crate::env::Env;
use crate::ops::{Result, drop_in};

/// Reads the agent's configuration below [`Env::config_root`], with the time zone and the machine's id that it needs.
pub fn load(env: &Env) -> Result<Settings> {
    let mut merged = merged::File::default();
    for file in drop_in::read("agent.d", env)? {
        merged.add(file.parse()?, &file);
    }
    check::check(merged, env)
}
