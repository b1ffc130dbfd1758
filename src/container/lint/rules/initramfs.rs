//! The initramfs.

use crate::boot::initrd::Search;
use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::layer::check_bootable;
use crate::ops::{Error, Result, initramfs};

pub const INITRAMFS: Lint = Lint {
    id: "initramfs",
    level: Level::Error,
    needs: Needs::Root,
    about: "the initramfs has what mounts a deployment",
    why: "An initramfs that does not know the kernel argument `reroot=` boots into the physical root or into an emergency shell.",
    fix: "Put reroot-prepare-root into /usr/lib/reroot and its part for dracut or initramfs-tools beside theirs, then build the \
          initramfs again: docs/initramfs.md",
    check,
};

fn check(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    // Without a kernel another lint has said so.
    let Ok(bootable) = check_bootable(&subject.root.tree) else { return Ok(()) };
    let Some(entry) = subject.root.tree.get(&bootable.initramfs) else { return Ok(()) };
    let Some(mut content) = subject.root.open(entry)? else { return Ok(()) };
    match initramfs::search(&mut content) {
        Ok(Search::Found) => {}
        Ok(Search::Missing) => findings.at(&entry.path, "it has no reroot-prepare-root"),
        Err(error) if initramfs::is_content(&error) => {
            findings.at(&entry.path, format!("it is no initramfs: {error}"));
        }
        Err(error) => return Err(Error::io(format!("reading /{}", entry.path))(error)),
    }
    Ok(())
}
