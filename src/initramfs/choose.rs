//! Which deployment is meant, and whether it can be booted: decided on the kernel's command line and on what was
//! seen on the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::settings::{Etc, Settings};
use super::var::Var;
use super::{Error, Result};
use crate::boot::cmdline::KernelArgs;
use crate::names::{StaterootName, printable};

/// The kernel argument that names the deployment by its path from the physical root.
pub const ARGUMENT: &str = "reroot";

/// A deployment as the kernel argument names it. Its text is the path, `/reroot/deploy/<stateroot>/deploy/<N>`, in the
/// one spelling that reroot writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub stateroot: StaterootName,
    pub id: u64,
}

impl Target {
    /// For people.
    pub fn name(&self) -> String {
        format!("deployment {} of stateroot {}", self.id, self.stateroot)
    }

    /// The stateroot's directory from the physical root.
    pub fn stateroot_path(&self) -> String {
        format!("/reroot/deploy/{}", self.stateroot)
    }
}

impl Target {
    /// The stateroot's `/var` from the physical root.
    pub fn var_path(&self) -> String {
        format!("{}/var", self.stateroot_path())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/deploy/{}", self.stateroot_path(), self.id)
    }
}

impl FromStr for Target {
    type Err = &'static str;

    /// Accepts only what [`Display`](fmt::Display) writes, so that nothing in it can lead elsewhere.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix("/reroot/deploy/").ok_or("does not begin with /reroot/deploy/")?;
        let (stateroot, id) = rest.split_once("/deploy/").ok_or("has no second /deploy/")?;
        let stateroot = stateroot.parse().map_err(|_| "has no valid name of a stateroot in it")?;
        let target = parse_id(id).map(|id| Self { stateroot, id });
        target.ok_or("does not end with the number of a deployment")
    }
}

/// A deployment's number, in its one spelling: no sign, no leading zero, nothing that a double would round.
pub fn parse_id(text: &str) -> Option<u64> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|id| plain && (1..=1 << 53).contains(id))
}

/// The deployment that the kernel's command line names; `None` when it names none.
pub fn target(arguments: &KernelArgs) -> Result<Option<Target>> {
    let mut named = arguments.with_key(ARGUMENT);
    let Some(first) = named.next() else { return Ok(None) };
    let value = first.value().unwrap_or_default();
    let error = |problem| Error::Argument { value: printable(value.as_bytes()), problem };
    if named.any(|other| !other.means(first)) {
        return Err(error("is not the only one, and they differ"));
    }
    if value.is_empty() {
        return Err(error("has no value"));
    }
    value.parse().map(Some).map_err(error)
}

/// What there is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Missing,
    Directory,
    File,
    /// A symbolic link, a device; never followed, never opened.
    Other,
}

/// What was seen on the disk, at the paths of [`requirements`].
pub type Observed = BTreeMap<String, Kind>;

/// A path that a deployment needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// From the physical root, with a leading slash. Its parent is a requirement before it, or the physical root.
    pub path: String,
    pub kind: Kind,
    /// What to do when it is not so.
    advice: &'static str,
}

const NO_REROOT: &str = "this root file system has no deployments: does root= name the right one?";
const NO_DEPLOYMENT: &str =
    "it was removed, or never finished; the entry in the boot menu is older than that";
const NO_VAR: &str =
    "the data of this stateroot is not here: has /reroot been copied without it, or is it on another disk?";
const BAD_IMAGE: &str = "the deployment is damaged, or its image was not made for this";
const NO_MOUNT_POINT: &str =
    "the image must have an empty directory there, something is mounted on it; build the image again";

/// Everything that must be there for `target` to boot, parents first.
pub fn requirements(target: &Target, settings: &Settings) -> Vec<Requirement> {
    let stateroot = target.stateroot_path();
    let directory = |path: String, advice| Requirement { path, kind: Kind::Directory, advice };
    let mut all = vec![
        directory("/reroot".into(), NO_REROOT),
        directory("/reroot/deploy".into(), NO_REROOT),
        directory(stateroot.clone(), NO_DEPLOYMENT),
        directory(format!("{stateroot}/deploy"), NO_DEPLOYMENT),
        directory(target.to_string(), NO_DEPLOYMENT),
        // It is written last and removed first: it makes the deployment exist.
        Requirement { path: format!("{target}.json"), kind: Kind::File, advice: NO_DEPLOYMENT },
        directory(target.var_path(), NO_VAR),
        directory(format!("{target}/usr"), BAD_IMAGE),
        directory(format!("{target}/etc"), BAD_IMAGE),
        directory(format!("{target}/var"), NO_MOUNT_POINT),
        directory(format!("{target}/sysroot"), NO_MOUNT_POINT),
    ];
    if settings.etc == Etc::Transient {
        all.push(directory(format!("{target}/usr/etc"), BAD_IMAGE));
    }
    all
}

/// Says what is wrong first, when `target` cannot be booted.
///
/// The stateroot's `/var` need not be there when the running system mounts another one.
pub fn check(target: &Target, settings: &Settings, var: &Var, observed: &Observed) -> Result<()> {
    let optional = (*var != Var::Stateroot).then(|| target.var_path());
    for Requirement { path, kind, advice } in requirements(target, settings) {
        if Some(&path) == optional.as_ref() {
            continue;
        }
        let problem = match observed.get(&path).copied().unwrap_or(Kind::Missing) {
            found if found == kind => continue,
            Kind::Missing => "does not exist",
            _ if kind == Kind::File => "is not a regular file",
            _ => "is not a directory",
        };
        return Err(Error::Unfit { path, problem, advice });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::settings::Root;
    use super::*;

    fn named(line: &str) -> Result<Option<String>, String> {
        let target = target(&KernelArgs::of_running_kernel(line.as_bytes()));
        target.map(|t| t.map(|t| t.to_string())).map_err(|e| e.to_string())
    }

    #[test]
    fn the_argument_names_one_deployment() {
        let path = "/reroot/deploy/os/deploy/3".to_owned();
        for (line, expected) in [
            ("root=/dev/vda4 rw", None),
            ("reroot.debug noreroot=/x xreroot", None),
            ("root=x reroot=/reroot/deploy/os/deploy/3 quiet\n", Some(path.clone())),
            ("reroot=\"/reroot/deploy/os/deploy/3\"", Some(path.clone())),
            ("reroot=/reroot/deploy/os/deploy/3 \"reroot=/reroot/deploy/os/deploy/3\"", Some(path)),
        ] {
            assert_eq!(named(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn an_argument_that_names_nothing_is_an_error() {
        for (line, expected) in [
            ("reroot", "the kernel argument `reroot=` has no value"),
            ("reroot=", "the kernel argument `reroot=` has no value"),
            (
                "reroot=/reroot/deploy/a/deploy/1 reroot=/reroot/deploy/a/deploy/2",
                "the kernel argument `reroot=/reroot/deploy/a/deploy/1` is not the only one, and they differ",
            ),
            ("reroot=/etc", "the kernel argument `reroot=/etc` does not begin with /reroot/deploy/"),
            ("reroot=\x1b[2J", "the kernel argument `reroot=\\u{1b}[2J` does not begin with /reroot/deploy/"),
        ] {
            assert_eq!(named(line).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_path_has_one_spelling_and_leads_nowhere_else() {
        for bad in [
            "/reroot/deploy/os/deploy/",
            "/reroot/deploy/os/deploy/0",
            "/reroot/deploy/os/deploy/01",
            "/reroot/deploy/os/deploy/+1",
            "/reroot/deploy/os/deploy/1/",
            "/reroot/deploy/os/deploy/1.json",
            "/reroot/deploy/os/deploy/1/../2",
            "/reroot/deploy/os/deploy/9007199254740993",
            "/reroot/deploy/os/deploy/99999999999999999999",
            "/reroot/deploy/../deploy/1",
            "/reroot/deploy/./deploy/1",
            "/reroot/deploy//deploy/1",
            "/reroot/deploy/a/b/deploy/1",
            "/reroot/deploy/a/deploy/deploy/1",
            "/reroot/deploy/-a/deploy/1",
            "/reroot//deploy/os/deploy/1",
            "reroot/deploy/os/deploy/1",
            "/reroot/deploy/os/1",
            " /reroot/deploy/os/deploy/1",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        for good in ["/reroot/deploy/deploy/deploy/1", "/reroot/deploy/os-13.x_y/deploy/9007199254740992"] {
            assert_eq!(good.parse::<Target>().unwrap().to_string(), good);
        }
    }

    fn sound(target: &Target) -> Observed {
        let settings = Settings { root: Root::ReadOnly, etc: Etc::Transient };
        requirements(target, &settings).into_iter().map(|r| (r.path, r.kind)).collect()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let target: Target = "/reroot/deploy/os/deploy/3".parse().unwrap();
        let own = Settings::default();
        let transient = Settings { etc: Etc::Transient, ..own };
        check(&target, &own, &Var::Stateroot, &sound(&target)).unwrap();
        check(&target, &transient, &Var::Stateroot, &sound(&target)).unwrap();
        let without = |path: &str, kind| {
            let mut observed = sound(&target);
            observed.insert(path.into(), kind);
            observed
        };
        for (path, kind, message) in [
            ("/reroot", Kind::Missing, "/reroot does not exist"),
            ("/reroot/deploy/os", Kind::Other, "/reroot/deploy/os is not a directory"),
            ("/reroot/deploy/os/deploy/3", Kind::Missing, "/reroot/deploy/os/deploy/3 does not exist"),
            ("/reroot/deploy/os/deploy/3", Kind::File, "/reroot/deploy/os/deploy/3 is not a directory"),
            (
                "/reroot/deploy/os/deploy/3.json",
                Kind::Missing,
                "/reroot/deploy/os/deploy/3.json does not exist",
            ),
            (
                "/reroot/deploy/os/deploy/3.json",
                Kind::Directory,
                "/reroot/deploy/os/deploy/3.json is not a regular file",
            ),
            ("/reroot/deploy/os/var", Kind::Missing, "/reroot/deploy/os/var does not exist"),
            (
                "/reroot/deploy/os/deploy/3/sysroot",
                Kind::Other,
                "/reroot/deploy/os/deploy/3/sysroot is not a directory",
            ),
        ] {
            let error = check(&target, &own, &Var::Stateroot, &without(path, kind)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
        let no_var = without("/reroot/deploy/os/var", Kind::Missing);
        assert!(check(&target, &own, &Var::Stateroot, &no_var).is_err());
        check(&target, &own, &Var::Elsewhere, &no_var).unwrap();
        let no_defaults = without("/reroot/deploy/os/deploy/3/usr/etc", Kind::Missing);
        check(&target, &own, &Var::Stateroot, &no_defaults).unwrap();
        assert!(check(&target, &transient, &Var::Stateroot, &no_defaults).is_err());
    }

    #[test]
    fn parents_are_looked_at_before_what_is_in_them() {
        let target: Target = "/reroot/deploy/os/deploy/3".parse().unwrap();
        let settings = Settings { root: Root::Transient, etc: Etc::Transient };
        let mut seen = vec![String::new()];
        for Requirement { path, .. } in requirements(&target, &settings) {
            let parent = path.rsplit_once('/').unwrap().0.to_owned();
            assert!(seen.contains(&parent), "{path}");
            seen.push(path);
        }
    }
}
