//! Secrets that were needed for the build, or are the same on every machine.

use std::io::Read;

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::names::ImagePath;
use crate::ops::{Error, Result};
use crate::repo::{Node, TreeEntry};

/// Where people and builds put theirs. `/usr` is what packages bring, with keys for their own tests.
const PLACES: [&str; 9] =
    ["etc", "usr/etc", "home", "root", "srv", "opt", "usr/local", "var/lib", "var/home"];
/// A key has a few thousand bytes, and says at once what it is.
const LARGEST_KEY: u64 = 64 << 10;
const START: u64 = 1 << 10;

pub const PRIVATE_KEYS: Lint = Lint {
    id: "private-keys",
    level: Level::Error,
    needs: Needs::Root,
    about: "there are no private keys",
    why: "An image is read by everybody who may pull it, and layers below keep what a later one removes.",
    fix: "Mount keys for the time of a RUN (`--mount=type=secret`); give machines theirs by systemd's credentials",
    check: private_keys,
};

fn private_keys(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for place in PLACES {
        for entry in subject.root.below(place) {
            // Those have a lint of their own.
            let is_host_key = entry.path.file_name().starts_with(b"ssh_host_");
            if matches!(entry.node, Node::File { size, .. } if size <= LARGEST_KEY) && !is_host_key {
                match start(subject, entry) {
                    Ok(text) if is_private_key(&text) => findings.at(&entry.path, "it is a private key"),
                    Ok(_) => {}
                    // The lint about what can be read is about this as well.
                    Err(error) => findings.at(&entry.path, error.to_string()),
                }
            }
        }
    }
    Ok(())
}

fn start(subject: &Subject<'_>, entry: &TreeEntry) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(content) = subject.root.open(entry)? {
        content.take(START).read_to_end(&mut bytes).map_err(Error::io(format!("reading /{}", entry.path)))?;
    }
    Ok(bytes)
}

/// PEM of any kind (RFC 7468, and what OpenSSH and PGP have made of it).
fn is_private_key(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        line.starts_with(b"-----BEGIN ")
            && (line.ends_with(b"PRIVATE KEY-----") || line.ends_with(b"PRIVATE KEY BLOCK-----"))
    })
}

pub const PASSWORDS: Lint = Lint {
    id: "passwords",
    level: Level::Error,
    needs: Needs::Root,
    about: "no account has a password, and none can be used without one",
    why: "Every machine would have the same password, and everybody who may pull the image could try to guess it at leisure.",
    fix: "passwd --lock USER; give machines passwords by systemd's credentials (`passwd.hashed-password.root`)",
    check: passwords,
};

fn passwords(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for path in ["etc/shadow", "usr/etc/shadow", "usr/lib/shadow"] {
        let Some(entry) = subject.root.follow(path) else { continue };
        let Some(bytes) = subject.root.read(entry, 4 << 20)? else { continue };
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut fields = line.split(':');
            let (Some(user), Some(password)) = (fields.next(), fields.next()) else { continue };
            let user = crate::names::printable(user.as_bytes());
            match password.trim_start_matches('!') {
                "" if password.is_empty() => findings.at(&entry.path, format!("{user} needs no password")),
                "" | "*" | "x" => {}
                hash if hash.starts_with('*') => {}
                _ => findings.at(&entry.path, format!("{user} has a password")),
            }
        }
    }
    Ok(())
}

pub const CREDENTIALS: Lint = Lint {
    id: "credentials",
    level: Level::Error,
    needs: Needs::Root,
    about: "no credentials and histories of those who built it are left",
    why: "Tokens that a build needed can be used by everybody who may pull the image, and histories have whatever was typed.",
    fix: "Remove it in the same RUN that made it, or mount it (`--mount=type=secret`). Machines that must have it: allow it by \
          its path in /usr/lib/reroot/lint.toml, with a reason",
    check: credentials,
};

/// Ends of paths, below the homes of people.
const OF_PEOPLE: [&str; 14] = [
    ".docker/config.json",
    ".config/containers/auth.json",
    ".aws/credentials",
    ".azure/accessTokens.json",
    ".config/gcloud/credentials.db",
    ".kube/config",
    ".netrc",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    ".bash_history",
    ".python_history",
    ".viminfo",
];
/// Of the system.
const OF_SYSTEM: [&str; 6] = [
    "etc/containers/auth.json",
    "etc/ostree/auth.json",
    "usr/lib/ostree/auth.json",
    "run/containers/0/auth.json",
    "var/lib/containers/auth.json",
    "etc/NetworkManager/system-connections",
];

fn credentials(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for place in ["root", "home", "var/roothome", "var/home"] {
        for entry in subject.root.below(place) {
            let is_file = matches!(entry.node, Node::File { .. });
            if is_file && OF_PEOPLE.iter().any(|end| ends_with(&entry.path, end)) {
                findings.at(&entry.path, "it is somebody's");
            }
        }
    }
    for path in OF_SYSTEM {
        let below = subject.root.below(path).iter();
        for entry in subject.root.get(path).into_iter().chain(below) {
            if matches!(entry.node, Node::File { .. }) {
                findings.at(&entry.path, "it is a credential");
            }
        }
    }
    Ok(())
}

fn ends_with(path: &ImagePath, end: &str) -> bool {
    path.as_bytes().strip_suffix(end.as_bytes()).is_some_and(|front| front.ends_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_kind_are_known() {
        for (text, expected) in [
            ("-----BEGIN PRIVATE KEY-----\n", true),
            ("# mine\r\n-----BEGIN OPENSSH PRIVATE KEY-----\r\n", true),
            ("-----BEGIN PGP PRIVATE KEY BLOCK-----", true),
            ("-----BEGIN EC PRIVATE KEY-----\nMH", true),
            ("-----BEGIN PUBLIC KEY-----\n", false),
            ("-----BEGIN CERTIFICATE-----\n", false),
            ("about PRIVATE KEY-----\n", false),
        ] {
            assert_eq!(is_private_key(text.as_bytes()), expected, "{text}");
        }
    }
}
