//! Units that upgrades need.

use crate::container::facts::wanted_units;
use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;
use crate::repo::Node;

pub const UNITS: Lint = Lint {
    id: "units",
    level: Level::Error,
    needs: Needs::Root,
    about: "the units without which no upgrade boots are there and enabled",
    why: "An upgrade is finalized at shutdown and found good at the end of a boot. Without these units what is staged never \
          boots, or falls back after its tries.",
    fix: "Install reroot's units and its preset, then `systemctl preset-all`: docs/units.md",
    check,
};

/// Those that reroot's own preset enables.
const NEEDED: [&str; 5] = [
    "reroot-finalize-staged.service",
    "reroot-finalize-staged-hold.path",
    "reroot-boot-complete.service",
    "reroot-boot-deadline.timer",
    "reroot-status-updated.path",
];
const VENDOR: &str = "usr/lib/systemd/system";

fn check(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let root = subject.root;
    if root.follow("usr/bin/reroot").is_none() {
        findings.whole("there is no /usr/bin/reroot: machines cannot upgrade themselves");
        return Ok(());
    }
    let wanted = wanted_units(root);
    for unit in NEEDED {
        let local = root.get(&root.etc(&format!("systemd/system/{unit}")));
        let is_masked = local.is_some_and(|entry| {
            matches!(&entry.node, Node::Symlink { target } if &**target == b"/dev/null")
                || entry.node == Node::Empty
        });
        if is_masked {
            findings.whole(format!("{unit} is masked"));
        } else if local.is_none() && root.follow(&format!("{VENDOR}/{unit}")).is_none() {
            findings.whole(format!("{unit} is not in /{VENDOR}"));
        } else if !wanted.contains(unit) {
            findings.whole(format!("{unit} is not enabled"));
        }
    }
    Ok(())
}
