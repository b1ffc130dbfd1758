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
const BEGIN: &[u8] = b"-----BEGIN ";

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
            // Those of ssh have a lint of their own.
            if matches!(entry.node, Node::File { size, .. } if size <= LARGEST_KEY)
                && !super::identity::is_host_key(entry)
                && is_private_key(&text(subject, entry)?)
            {
                findings.at(&entry.path, "it has a private key");
            }
        }
    }
    Ok(())
}

/// The whole of what looks like PEM, in which a key may stand behind certificates; else the start.
fn text(subject: &Subject<'_>, entry: &TreeEntry) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reading = || Error::io(format!("reading /{}", entry.path));
    if let Some(mut content) = subject.root.open(entry)? {
        content.by_ref().take(START).read_to_end(&mut bytes).map_err(reading())?;
        if bytes.windows(BEGIN.len()).any(|window| window == BEGIN) {
            content.read_to_end(&mut bytes).map_err(reading())?;
        }
    }
    Ok(bytes)
}

/// PEM of any kind (RFC 7468, and what OpenSSH and PGP have made of it).
fn is_private_key(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        line.starts_with(BEGIN)
            && (line.ends_with(b"PRIVATE KEY-----") || line.ends_with(b"PRIVATE KEY BLOCK-----"))
    })
}

pub const PASSWORDS: Lint = Lint {
    id: "passwords",
    level: Level::Error,
    needs: Needs::Root,
    about: "no account has a password, and none can be used without one",
    why: "Every machine would have the same password, and everybody who may pull the image could try to guess it at leisure.",
    fix: "usermod --password '!' USER, and rm -f /etc/*- where the backups have it; give machines passwords by systemd's credentials (`passwd.hashed-password.root`)",
    check: passwords,
};

/// Files whose second field is a password or says where it is, and their backups, which password tools leave behind.
const WITH_PASSWORDS: [&str; 8] =
    ["passwd", "passwd-", "shadow", "shadow-", "group", "group-", "gshadow", "gshadow-"];

fn passwords(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let places = ["etc", "usr/etc", "usr/lib"].iter();
    for path in places.flat_map(|place| WITH_PASSWORDS.iter().map(move |name| format!("{place}/{name}"))) {
        let Some(entry) = subject.root.get(&path) else { continue };
        let Some(bytes) = subject.root.read(entry, 4 << 20)? else { continue };
        // A group without a password is one that nobody joins by a password.
        let is_of_groups = path.contains("group") || path.contains("gshadow");
        for line in String::from_utf8_lossy(&bytes).lines().filter(|line| !line.starts_with(['#', '+', '-']))
        {
            let mut fields = line.split(':');
            let (Some(user), Some(password)) = (fields.next(), fields.next()) else { continue };
            let user = crate::names::printable(user.as_bytes());
            match password.trim_start_matches('!') {
                "" if password.is_empty() && !is_of_groups => {
                    findings.at(&entry.path, format!("{user} needs no password"));
                }
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
const OF_PEOPLE: [&str; 17] = [
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
    ".zsh_history",
    ".cargo/credentials.toml",
    ".config/gh/hosts.yml",
];
/// Of the system.
const OF_SYSTEM: [&str; 7] = [
    "etc/containers/auth.json",
    "etc/ostree/auth.json",
    "usr/etc/containers/auth.json",
    "usr/etc/ostree/auth.json",
    "usr/lib/ostree/auth.json",
    "run/containers/0/auth.json",
    "var/lib/containers/auth.json",
];
/// NetworkManager's (nm-settings-keyfile(5)), and the settings in them that are secret.
const CONNECTIONS: [&str; 2] =
    ["etc/NetworkManager/system-connections", "usr/etc/NetworkManager/system-connections"];
const SECRETS: [&str; 6] =
    ["psk=", "password=", "private-key-password=", "leap-password=", "wep-key", "pin="];

fn credentials(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for place in ["root", "home", "var/roothome", "var/home"] {
        for entry in subject.root.below(place) {
            let is_file = matches!(entry.node, Node::File { .. });
            if is_file && OF_PEOPLE.iter().any(|end| ends_with(&entry.path, end)) {
                findings.at(&entry.path, "it is somebody's");
            }
        }
    }
    for entry in OF_SYSTEM.iter().filter_map(|path| subject.root.get(path)) {
        if matches!(entry.node, Node::File { .. }) {
            findings.at(&entry.path, "it is a credential");
        }
    }
    for entry in CONNECTIONS.iter().flat_map(|directory| subject.root.children(directory)) {
        let Some(bytes) = subject.root.read(entry, LARGEST_KEY)? else { continue };
        let text = String::from_utf8_lossy(&bytes);
        if text.lines().any(|line| SECRETS.iter().any(|secret| line.trim_start().starts_with(secret))) {
            findings.at(&entry.path, "it has a secret of a network");
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
