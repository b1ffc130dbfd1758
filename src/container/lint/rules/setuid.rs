//! Files that give rights to whoever runs them.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;
use crate::repo::{Node, TreeEntry};

pub const SETUID: Lint = Lint {
    id: "setuid",
    level: Level::Warning,
    needs: Needs::Base,
    about: "there are no setuid and setgid files and none with capabilities that the base has not",
    why: "Each is a way for every user to become more than that, and a package may bring one unseen.",
    fix: "chmod ug-s FILE, or `setcap -r FILE`; if it is meant, allow it in /usr/lib/reroot/lint.toml with a reason",
    check: setuid,
};

fn setuid(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let Some(base) = subject.base else { return Ok(()) };
    for entry in subject.root.tree.entries() {
        let Some(rights) = rights(entry) else { continue };
        let before = base.tree.get(&entry.path).and_then(self::rights);
        if before.as_ref() != Some(&rights) {
            findings.at(&entry.path, format!("it is {}", rights.words()));
        }
    }
    Ok(())
}

#[derive(PartialEq)]
struct Rights<'e> {
    mode: u16,
    uid: u32,
    gid: u32,
    capabilities: Option<&'e [u8]>,
}

fn rights(entry: &TreeEntry) -> Option<Rights<'_>> {
    if !matches!(entry.node, Node::File { .. }) {
        return None;
    }
    let meta = &entry.meta;
    let capabilities =
        meta.xattrs.iter().find(|(name, _)| *name == b"security.capability").map(|(_, value)| value);
    let mode = meta.mode & 0o6000;
    (mode != 0 || capabilities.is_some()).then_some(Rights {
        mode,
        uid: meta.uid,
        gid: meta.gid,
        capabilities,
    })
}

impl Rights<'_> {
    fn words(&self) -> String {
        let mut words = Vec::new();
        if self.mode & 0o4000 != 0 {
            words.push(format!("setuid {}", self.uid));
        }
        if self.mode & 0o2000 != 0 {
            words.push(format!("setgid {}", self.gid));
        }
        if self.capabilities.is_some() {
            words.push("with capabilities".into());
        }
        words.join(", ")
    }
}
