//! Whether the running system mounts a `/var` of its own: then the stateroot's must not be in the way, because systemd
//! takes what is mounted already for what it was to mount.

use crate::boot::cmdline::KernelArgs;

/// Has systemd mount something: `WHAT:WHERE[:TYPE[:OPTIONS]]` (systemd-fstab-generator(8)).
const ARGUMENT: &str = "systemd.mount-extra";
const VAR: &str = "/var";

/// Where `/var` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Var {
    /// The stateroot's directory.
    Stateroot,
    /// A file system that the running system mounts.
    Separate,
}

impl Var {
    /// Decides on the kernel's command line and the deployment's fstab(5), which is empty when there is none.
    pub fn of(arguments: &KernelArgs, fstab: &[u8]) -> Self {
        let told = arguments.values(ARGUMENT).any(|value| place_of(value) == Some(VAR.into()));
        if told || String::from_utf8_lossy(fstab).lines().any(mounts_var) {
            Self::Separate
        } else {
            Self::Stateroot
        }
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
        use Var::{Separate, Stateroot};
        for (line, fstab, expected) in [
            ("quiet", "", Stateroot),
            ("systemd.mount-extra=UUID=1-2:/var:ext4", "", Separate),
            ("systemd.mount_extra=/dev/x:/var/", "", Separate),
            ("systemd.mount-extra=/dev/x:/srv systemd.mount-extra=/dev/y:/var:xfs:noatime", "", Separate),
            ("systemd.mount-extra=PARTLABEL=a\\:/b:/var", "", Separate),
            (
                "systemd.mount-extra=/dev/x:/var/lib systemd.mount-extra=/var systemd.mount-extra",
                "",
                Stateroot,
            ),
            ("rd.systemd.mount-extra=/dev/x:/var", "", Stateroot),
            ("", "# /dev/x /var ext4\n/dev/x /var/log ext4\n", Stateroot),
            ("", "\n  LABEL=v\t/var/ \text4 defaults 0 2\n", Separate),
            ("", "LABEL=v /var", Separate),
            ("", "LABEL=v /var ext4 ro,noauto 0 0", Stateroot),
            ("", "\u{0}\u{0} garbage", Stateroot),
        ] {
            let arguments = KernelArgs::of_running_kernel(line.as_bytes());
            assert_eq!(Var::of(&arguments, fstab.as_bytes()), expected, "{line} {fstab}");
        }
    }
}
