//! Everything can be looked at.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;

pub const READABLE: Lint = Lint {
    id: "readable",
    level: Level::Error,
    needs: Needs::Root,
    about: "everything of the root can be looked at",
    why: "What cannot be read was not looked at by the other lints, and whoever makes a layer of this directory may leave it out.",
    fix: "Run the lint as a user who may read everything: in a build that is root",
    check: readable,
};

fn readable(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for unread in &subject.root.unread {
        findings.at(&unread.path, unread.reason.clone());
    }
    Ok(())
}
