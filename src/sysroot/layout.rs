//! Names below the physical root. Everything that is spelled in more than one place is spelled here.

use super::{DeploymentId, DeploymentKey};
use crate::names::StaterootName;

/// The one directory that is ours in the physical root; mode 0700, because old deployments hold unpatched
/// setuid programs and old shadow files.
pub const REROOT: &str = "reroot";
pub const LOCK: &str = "lock";
pub const COUNTERS: &str = "counters.json";
/// Holds the stateroots, and in each stateroot the deployments (ostree's shape: `../../var` is the stateroot's).
pub const DEPLOY: &str = "deploy";
pub const VAR: &str = "var";
/// The scratch name under which a stateroot's `var` is filled.
pub const VAR_SCRATCH: &str = ".tmp-var";
/// Where the running system says what was booted and what is staged, below the configuration root.
pub const RUN: &str = "run/reroot";
pub const BOOTED: &str = "booted.json";
pub const STAGED: &str = "staged.json";
/// A deployment's own `/etc`.
pub const ETC: &str = "etc";
/// Why the last finalization failed.
pub const FINALIZE_FAILED: &str = "finalize-failed.json";
/// What becomes [`BOOTED`] with a soft reboot.
pub const NEXTROOT: &str = "nextroot.json";
/// Where a booted system mounts its physical root.
pub const BOOTED_SYSROOT: &str = "sysroot";

/// No state file of ours may be larger.
pub const STATE_LIMIT: u64 = 1 << 20;

/// `<N>`, the directory of a deployment.
pub fn directory_name(id: DeploymentId) -> String {
    id.to_string()
}

/// `<N>.json`
pub fn record_name(id: DeploymentId) -> String {
    format!("{id}.json")
}

/// `<N>.origin`
pub fn origin_name(id: DeploymentId) -> String {
    format!("{id}.origin")
}

/// `.tmp-<N>`, the directory while it is being checked out.
pub fn scratch_name(id: DeploymentId) -> String {
    format!(".tmp-{id}")
}

/// `.del-<N>`, the directory while it is being removed.
pub fn doomed_name(id: DeploymentId) -> String {
    format!(".del-{id}")
}

/// The stateroot's directory from the physical root, with a leading slash.
pub fn stateroot_path(stateroot: &StaterootName) -> String {
    format!("/{REROOT}/{DEPLOY}/{stateroot}")
}

/// The deployment's directory from the physical root, with a leading slash: what the kernel argument names.
pub fn deployment_path(key: &DeploymentKey) -> String {
    format!("{}/{DEPLOY}/{}", stateroot_path(&key.stateroot), key.id)
}

/// What a name in a stateroot's `deploy` directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Directory(DeploymentId),
    Record(DeploymentId),
    Origin(DeploymentId),
    /// Work in progress or left over from it.
    Scratch,
    Unknown,
}

/// Sorts a name into what we write.
pub fn classify(name: &[u8]) -> Name {
    let Ok(name) = str::from_utf8(name) else { return Name::Unknown };
    if name.starts_with(".tmp-") || name.starts_with(".del-") {
        return Name::Scratch;
    }
    let (stem, make): (_, fn(DeploymentId) -> Name) = match name.rsplit_once('.') {
        Some((stem, "json")) => (stem, Name::Record),
        Some((stem, "origin")) => (stem, Name::Origin),
        _ => (name, Name::Directory),
    };
    stem.parse().map_or(Name::Unknown, make)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_look_like() {
        let id = "12".parse().unwrap();
        assert_eq!(classify(b"12"), Name::Directory(id));
        assert_eq!(classify(record_name(id).as_bytes()), Name::Record(id));
        assert_eq!(classify(origin_name(id).as_bytes()), Name::Origin(id));
        assert_eq!(classify(scratch_name(id).as_bytes()), Name::Scratch);
        assert_eq!(classify(doomed_name(id).as_bytes()), Name::Scratch);
        for other in
            [&b"012"[..], b"0", b"x", b"12.json.bak", b"-1", b"\xff", b".json", b"99999999999999999999"]
        {
            assert_eq!(classify(other), Name::Unknown);
        }
    }
}
