//! `/run/reboot-required`: the file that tells other programs (kured, motd scripts) that a reboot would bring something.

use super::{Error, Result};
use crate::env::Env;
use crate::fsx;
use crate::sysroot::DeployedImage;

const FILE: &str = "reboot-required";
/// What is ours begins so: others write the same file.
const MARK: &str = "reroot: ";

/// Says that a reboot brings `image`. Nothing when there is no `/run`.
pub(super) fn set(env: &Env, image: &DeployedImage) -> Result<()> {
    let text = format!("{MARK}reboot required for {} ({})\n", image.reference, image.digest);
    match fsx::open_dir(&env.config_root.join("run")) {
        Ok(run) => fsx::write_atomic(&run, FILE, text.as_bytes(), 0o644)
            .map_err(Error::io(format!("writing /run/{FILE}"))),
        Err(_) => Ok(()),
    }
}

/// Takes it back, when it is ours.
pub(super) fn clear(env: &Env) -> Result<()> {
    let clear = || {
        let Ok(run) = fsx::open_dir(&env.config_root.join("run")) else { return Ok(()) };
        match fsx::read_limited(&run, FILE, 1 << 16)? {
            Some(text) if text.starts_with(MARK.as_bytes()) => fsx::remove_file(&run, FILE).map(drop),
            _ => Ok(()),
        }
    };
    clear().map_err(Error::io(format!("removing /run/{FILE}")))
}
