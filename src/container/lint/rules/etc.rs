//! `/etc`, of which every deployment has a copy of its own.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;
use crate::repo::Node;

pub const ETC: Lint = Lint {
    id: "etc",
    level: Level::Error,
    needs: Needs::Root,
    about: "the defaults of `/etc` are in one place: `/etc`, or `/usr/etc` and `/etc` empty",
    why: "The defaults of a deployment's /etc are one directory of the image. With two of them nobody knows which was meant.",
    fix: "Move what is in /usr/etc to /etc, and remove /usr/etc",
    check: etc,
};

fn etc(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let (etc, usr_etc) = (subject.root.get("etc"), subject.root.get("usr/etc"));
    match (etc, usr_etc) {
        (None, None) => findings.whole("/etc is missing"),
        (Some(entry), _) if !entry.node.is_directory() => findings.at(&entry.path, "it is not a directory"),
        (Some(etc), Some(entry)) if !subject.root.tree.below(&etc.path).is_empty() => {
            findings.at(&entry.path, "it is there beside /etc");
        }
        _ => {}
    }
    Ok(())
}

pub const MERGE: Lint = Lint {
    id: "etc-merge",
    level: Level::Warning,
    needs: Needs::Root,
    about: "an upgrade can bring everything in `/etc` to machines that have changed theirs",
    why: "Pipes and devices are not carried from one /etc to the next. Where a file became a directory since the base, or a \
          directory a file, upgrades fail on every machine that has changed it.",
    fix: "Make pipes and devices with tmpfiles.d; give the new file or directory another name",
    check: merge,
};

fn merge(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for entry in subject.root.below(subject.root.etc("").trim_end_matches('/')) {
        if matches!(entry.node, Node::Fifo | Node::CharDevice { .. } | Node::BlockDevice { .. }) {
            findings.at(&entry.path, "it is a pipe or a device");
        }
        let before = subject.base.and_then(|base| base.tree.get(&entry.path));
        match before.map(|before| (before.node.is_directory(), entry.node.is_directory())) {
            Some((true, false)) => findings.at(&entry.path, "it was a directory in the base"),
            Some((false, true)) => findings.at(&entry.path, "it is a directory, and was none in the base"),
            _ => {}
        }
    }
    Ok(())
}
