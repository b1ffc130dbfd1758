//! `/var`, which is the machine's: what the image has there comes to a machine once, and never changes again.

use super::tmpfiles::Made;
use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::names::ImagePath;
use crate::ops::Result;
use crate::repo::Node;

pub const TMPFILES: Lint = Lint {
    id: "var-tmpfiles",
    level: Level::Warning,
    needs: Needs::Root,
    about: "everything in `/var` is made by tmpfiles.d",
    why: "/var is copied to a machine when it is empty, and no upgrade touches it afterwards: machines that are older do not \
          have what is new, nor what has changed.",
    fix: "Write a line for it (`d /var/lib/x 0755 x x -`) into /usr/lib/tmpfiles.d, or use StateDirectory= in its unit and leave it out of the image; keep data \
          in /usr/share or /usr/lib",
    check: tmpfiles,
};

fn tmpfiles(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let made = Made::read(subject.root)?;
    let mut last: Option<&ImagePath> = None;
    for entry in subject.root.below("var") {
        // One line about a directory is enough.
        if last.is_some_and(|last| entry.path.is_below(last)) {
            continue;
        }
        let path = entry.path.to_string();
        // What other lints are about.
        let is_log = path.starts_with("var/log/") && !entry.node.is_directory();
        if path == "var/run" || is_log || path.starts_with("var/tmp/") {
            continue;
        }
        if !made.has(&path) {
            findings.at(&entry.path, "no file of tmpfiles.d makes it");
            last = Some(&entry.path);
        }
    }
    Ok(())
}

pub const LOGS: Lint = Lint {
    id: "var-log",
    level: Level::Warning,
    needs: Needs::Root,
    about: "there are no logs of the build",
    why: "They tell what happened in a build, on every machine, and change with each build.",
    fix: "rm -rf /var/log/* in the RUN that makes them",
    check: logs,
};

fn logs(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for entry in subject.root.below("var/log") {
        if let Node::File { size, .. } = entry.node {
            findings.at(&entry.path, format!("it has {size} bytes"));
        }
    }
    Ok(())
}
