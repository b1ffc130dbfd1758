//! What must not be the same on two machines.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;
use crate::repo::{Node, TreeEntry};

pub const MACHINE_ID: Lint = Lint {
    id: "machine-id",
    level: Level::Error,
    needs: Needs::Root,
    about: "`/etc/machine-id` is missing, empty or `uninitialized`, as are the other files that tell machines apart",
    why: "Every machine would have the same id: the same address by DHCP, one journal, one lock in a fleet (machine-id(5)).",
    fix: "rm -f /etc/machine-id /var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret at the \
          end of the build",
    check: machine_id,
};

/// Beside /etc/machine-id: D-Bus has it as well; a seed that two machines have is no secret, nor is a key.
const OTHERS: [&str; 4] = [
    "var/lib/dbus/machine-id",
    "var/lib/systemd/random-seed",
    "var/lib/random-seed",
    "var/lib/systemd/credential.secret",
];

fn machine_id(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let root = subject.root;
    for path in ["etc/machine-id", "usr/etc/machine-id"] {
        let Some(entry) = root.get(path) else { continue };
        let bytes = root.read(entry, 1 << 10)?.unwrap_or_default();
        if !bytes.trim_ascii().is_empty() && bytes.trim_ascii() != b"uninitialized" {
            findings.at(&entry.path, "it has an id, which all machines would have");
        }
    }
    for path in OTHERS {
        if let Some(entry) = root.get(path)
            && matches!(entry.node, Node::File { .. })
        {
            findings.at(&entry.path, "all machines would have the same one");
        }
    }
    Ok(())
}

pub const HOST_KEYS: Lint = Lint {
    id: "host-keys",
    level: Level::Error,
    needs: Needs::Root,
    about: "there are no ssh host keys",
    why: "Whoever has the image has the key, and can pass for every machine that runs it.",
    fix: "rm -f /etc/ssh/ssh_host_* at the end of the build; sshd-keygen makes them at the first boot",
    check: host_keys,
};

fn host_keys(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for entry in subject.root.tree.entries().iter().filter(|entry| is_host_key(entry)) {
        findings.at(&entry.path, "it is the private key of a machine");
    }
    Ok(())
}

/// Wherever sshd is told to find it; packages have no such names below /usr.
pub(super) fn is_host_key(entry: &TreeEntry) -> bool {
    let (path, name) = (entry.path.as_bytes(), entry.path.file_name());
    let is_of_package =
        path.starts_with(b"usr/") && !path.starts_with(b"usr/etc/") && !path.starts_with(b"usr/local/");
    name.starts_with(b"ssh_host_")
        && name.ends_with(b"_key")
        && matches!(entry.node, Node::File { .. })
        && !is_of_package
}
