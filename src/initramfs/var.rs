//! Where `/var` comes from: the stateroot's directory, a file system of its own that is mounted here, or one that the
//! running system mounts. In the last case the stateroot's must not be in the way, because systemd takes what is mounted
//! already for what it was to mount.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::Access;
use rustix::io::Errno;

use super::{Error, Result};
use crate::boot::cmdline::KernelArgs;
use crate::fsx::{self, Dir};

/// The file system that is `/var`: `UUID=…:TYPE`, `PARTUUID=…:TYPE` or `/dev/…:TYPE`.
const OURS: &str = "reroot.var";
/// Has systemd mount something: `WHAT:WHERE[:TYPE[:OPTIONS]]` (systemd-fstab-generator(8)).
const OF_SYSTEMD: &str = "systemd.mount-extra";
const VAR: &str = "/var";
/// For udev to find a device; the disk of the root file system is there already.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where `/var` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Var {
    /// The stateroot's directory.
    Stateroot,
    /// A file system that is mounted here, before any service starts.
    Separate(Source),
    /// A file system that the running system mounts.
    Elsewhere,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    device: PathBuf,
    /// The name that mount(2) knows.
    kind: String,
}

impl Var {
    /// Decides on the kernel's command line and the deployment's fstab(5), which is empty when there is none.
    pub fn of(arguments: &KernelArgs, fstab: &[u8]) -> Result<Self> {
        if let Some(value) = arguments.values(OURS).last() {
            return Source::parse(value).map(Self::Separate);
        }
        let told = arguments.values(OF_SYSTEMD).any(|value| place_of(value) == Some(VAR.into()));
        match told || String::from_utf8_lossy(fstab).lines().any(mounts_var) {
            true => Ok(Self::Elsewhere),
            false => Ok(Self::Stateroot),
        }
    }
}

impl Source {
    fn parse(value: &str) -> Result<Self> {
        let is_word = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        let device = |what: &str| {
            let tag = |name: &str, directory: &str| {
                let value = what.strip_prefix(name)?;
                is_word(value).then(|| Path::new("/dev/disk").join(directory).join(value))
            };
            let path = || what.starts_with("/dev/").then(|| PathBuf::from(what));
            tag("UUID=", "by-uuid").or_else(|| tag("PARTUUID=", "by-partuuid")).or_else(path)
        };
        let parsed = value.rsplit_once(':').and_then(|(what, kind)| {
            let kind = is_word(kind).then(|| kind.to_owned())?;
            Some(Self { device: device(what)?, kind })
        });
        parsed.ok_or_else(|| Error::Unfit {
            path: format!("the kernel argument `{OURS}={}`", crate::names::printable(value.as_bytes())),
            problem: "names no file system",
            advice: "it must be reroot.var=UUID=…:TYPE; edit it in the boot menu",
        })
    }

    /// Mounts it for this process alone, waiting for its device to appear.
    pub fn mount(&self) -> Result<Dir> {
        let Self { device, kind } = self;
        let end = Instant::now() + PATIENCE;
        while rustix::fs::access(device, Access::EXISTS) == Err(Errno::NOENT) {
            if Instant::now() > end {
                return Err(Error::Unfit {
                    path: device.display().to_string(),
                    problem: "with /var did not appear",
                    advice: "is its disk connected? the kernel argument `reroot.var` names it",
                });
            }
            sleep(Duration::from_millis(20));
        }
        fsx::mount_detached(device, kind)
            .map_err(Error::io(format!("mounting {} ({kind}), which is /var", device.display())))
    }
}

/// The second part; a colon with a backslash before it separates nothing.
fn place_of(value: &str) -> Option<String> {
    let mut parts = vec![String::new()];
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            ':' => parts.push(String::new()),
            '\\' => parts.last_mut()?.extend(characters.next()),
            c => parts.last_mut()?.push(c),
        }
    }
    parts.get(1).map(|place| without_slash(place).to_owned())
}

/// A line of fstab that is mounted without being asked for.
fn mounts_var(line: &str) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let (Some(what), Some(place)) = (fields.next(), fields.next()) else { return false };
    let is_noauto = |options: &str| options.split(',').any(|option| option == "noauto");
    !what.starts_with('#') && without_slash(place) == VAR && !fields.nth(1).is_some_and(is_noauto)
}

fn without_slash(path: &str) -> &str {
    path.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_or_fstab_say_so() {
        use Var::{Elsewhere, Stateroot};
        for (line, fstab, expected) in [
            ("quiet", "", Stateroot),
            ("systemd.mount-extra=UUID=1-2:/var:ext4", "", Elsewhere),
            ("systemd.mount_extra=/dev/x:/var/", "", Elsewhere),
            ("systemd.mount-extra=/dev/x:/srv systemd.mount-extra=/dev/y:/var:xfs:noatime", "", Elsewhere),
            ("systemd.mount-extra=PARTLABEL=a\\:/b:/var", "", Elsewhere),
            (
                "systemd.mount-extra=/dev/x:/var/lib systemd.mount-extra=/var systemd.mount-extra",
                "",
                Stateroot,
            ),
            ("rd.systemd.mount-extra=/dev/x:/var", "", Stateroot),
            ("", "# /dev/x /var ext4\n/dev/x /var/log ext4\n", Stateroot),
            ("", "\n  LABEL=v\t/var/ \text4 defaults 0 2\n", Elsewhere),
            ("", "LABEL=v /var", Elsewhere),
            ("", "LABEL=v /var ext4 ro,noauto 0 0", Stateroot),
            ("", "\u{0}\u{0} garbage", Stateroot),
        ] {
            let arguments = KernelArgs::of_running_kernel(line.as_bytes());
            assert_eq!(Var::of(&arguments, fstab.as_bytes()).unwrap(), expected, "{line} {fstab}");
        }
    }

    #[test]
    fn our_argument_names_a_file_system_and_wins() {
        let of = |value: &str| {
            let line = format!("systemd.mount-extra=UUID=1:/var reroot.var={value}");
            Var::of(&KernelArgs::of_running_kernel(line.as_bytes()), b"")
        };
        for (value, path) in [
            ("UUID=1-2:ext4", "/dev/disk/by-uuid/1-2"),
            ("PARTUUID=ab:ext4", "/dev/disk/by-partuuid/ab"),
            ("/dev/mapper/a:b:ext4", "/dev/mapper/a:b"),
        ] {
            let source = Source { device: path.into(), kind: "ext4".into() };
            assert_eq!(of(value).unwrap(), Var::Separate(source));
        }
        for value in [
            "",
            "UUID=1",
            "UUID=:ext4",
            "UUID=../x:ext4",
            "LABEL=v:ext4",
            "UUID=1:",
            "etc/x:ext4",
            "UUID=1:a/b",
        ] {
            let error = of(value).unwrap_err().to_string();
            assert!(error.ends_with("names no file system"), "{value}: {error}");
        }
    }
}
