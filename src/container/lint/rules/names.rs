//! Names that other programs stumble over.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;
use crate::repo::Node;

pub const NAMES: Lint = Lint {
    id: "names",
    level: Level::Warning,
    needs: Needs::Root,
    about: "names are UTF-8 without control characters",
    why: "reroot keeps any name, but ostree, composefs and many scripts do not.",
    fix: "Rename it; certificates with such names are made by the unpacking of old archives",
    check: names,
};

fn names(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for entry in subject.root.tree.entries() {
        match str::from_utf8(entry.path.file_name()) {
            Ok(name) if name.chars().any(char::is_control) => {
                findings.at(&entry.path, "its name has control characters");
            }
            Ok(_) => {}
            Err(_) => findings.at(&entry.path, "its name is not UTF-8"),
        }
        if matches!(&entry.node, Node::Symlink { target } if str::from_utf8(target).is_err()) {
            findings.at(&entry.path, "it leads to a name that is not UTF-8");
        }
    }
    Ok(())
}
