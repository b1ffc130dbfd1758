//! The databases of package managers.

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::{Result, packages};

pub const PACKAGES: Lint = Lint {
    id: "packages",
    level: Level::Warning,
    needs: Needs::Root,
    about: "there is a package database, and it can be read",
    why: "By it people see what an update brings (`diff`, `upgrade --check`), scanners look for what is vulnerable, and `rechunk` makes \
          small updates.",
    fix: "Leave the database of dpkg, apk or rpm where its manager has it; `rpmdb --rebuilddb` mends rpm's",
    check: packages,
};

/// One that is broken is the error of reading it.
fn packages(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let mut not_read = Vec::new();
    let found = packages::read(subject.root.view(), &mut not_read)?;
    if found.is_empty() && not_read.is_empty() {
        findings.whole("there is no package in a database of dpkg, apk or rpm");
    }
    not_read.into_iter().for_each(|database| findings.whole(database));
    Ok(())
}
