//! Errors as people see them: what failed, on what, and what to do next.

use std::io::Write;

use super::exit::Code;
use crate::ops::{Error, ErrorKind};
use crate::{oci, sysroot};

/// Prints an error and its hint on stderr and gives the exit code.
pub(super) fn report(error: &Error) -> Code {
    let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
    let mut stderr = anstream::stderr().lock();
    // When stderr is gone there is nobody left to tell.
    let _ = writeln!(stderr, "{style}error:{style:#} {error}");
    if let Some(hint) = hint(error) {
        let style = anstyle::Style::new().bold();
        let _ = writeln!(stderr, "{style}hint:{style:#} {hint}");
    }
    code(error.kind())
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidInput => Code::Usage,
        ErrorKind::Busy => Code::Busy,
        ErrorKind::Verification => Code::Verification,
        _ => Code::Failed,
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    match error.cause() {
        Error::Sysroot(sysroot::Error::NotASysroot { .. }) => {
            return Some("`reroot --sysroot DIR init` makes a directory a sysroot");
        }
        Error::Sysroot(sysroot::Error::EtcConflicts(_)) => {
            return Some(
                "`--etc-strategy keep-local` or `take-new` settles all of them; rules in \
                 /etc/reroot/etc-merge.toml settle single paths, and stay",
            );
        }
        Error::Oci(oci::Error::Unauthorized { .. }) => {
            return Some(
                "put credentials into /etc/reroot/auth.json (the format of `podman login --authfile`)",
            );
        }
        Error::Oci(oci::Error::Incompatible { .. }) => return None,
        Error::Oci(oci::Error::WrongDiffId { .. }) => {
            return Some("the image contradicts itself; whoever made it has to build it again");
        }
        _ => {}
    }
    match error.kind() {
        ErrorKind::Busy => Some("wait for it with `--wait`, or for at most N seconds with `--wait=N`"),
        ErrorKind::Network => Some("running the same command again continues where this one stopped"),
        ErrorKind::Verification => {
            Some("the source or something on the way to it changed the bytes; nothing of them was kept")
        }
        ErrorKind::NoSpace => Some("`reroot prune` frees space; `reroot prune --dry-run` shows how much"),
        ErrorKind::Corrupt => {
            Some("`reroot fsck` checks everything, `reroot fsck --repair` fetches what is damaged again")
        }
        ErrorKind::Bug => {
            Some("this is a mistake in reroot; please report it with the command that led to it")
        }
        ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Incompatible | ErrorKind::Io => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        assert_eq!(code(ErrorKind::InvalidInput) as u8, 2);
        assert_eq!(code(ErrorKind::Busy) as u8, 4);
        assert_eq!(code(ErrorKind::Verification) as u8, 5);
        assert_eq!(code(ErrorKind::NoSpace) as u8, 1);
        assert_eq!(Code::Unchanged as u8, 77);
    }
}
