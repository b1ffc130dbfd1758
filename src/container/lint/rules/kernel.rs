//! The kernel and its arguments.

use crate::boot::kargs_d;
use crate::container::facts::{LARGEST_ARGUMENTS, argument_entries};
use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::layer::{self, check_bootable};
use crate::ops::Result;

pub const KERNEL: Lint = Lint {
    id: "kernel",
    level: Level::Error,
    needs: Needs::Root,
    about: "exactly one kernel in `/usr/lib/modules/<version>/vmlinuz`, its initramfs beside it",
    why: "An image without a kernel is not deployed, nor is one with two: nobody could say which of them to boot.",
    fix: "Move the kernel to `/usr/lib/modules/<version>/vmlinuz`, build `initramfs.img` beside it, and remove the directories \
          of other kernels",
    check: kernel,
};

fn kernel(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    match check_bootable(&subject.root.tree) {
        Ok(_) => {}
        Err(layer::Error::NotBootable(reason)) => findings.whole(reason),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

pub const ARGUMENTS: Lint = Lint {
    id: "kernel-arguments",
    level: Level::Error,
    needs: Needs::Root,
    about: "files in `kargs.d` can be read",
    why: "A deployment of an image whose kernel arguments cannot be read is refused: an upgrade to it fails on every machine.",
    fix: "Write the files as docs/boot-entries.md says: `kargs = [\"console=ttyS0\"]`",
    check: arguments,
};

fn arguments(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for entry in argument_entries(subject.root) {
        let name = entry.path.file_name();
        if name.starts_with(b".") || !name.ends_with(b".toml") {
            continue;
        }
        let path = entry.path.to_string();
        // What leads nowhere, or is no file, is passed over by upgrades as well.
        let Some(file) = subject.root.follow(&path) else { continue };
        match subject.root.read(file, LARGEST_ARGUMENTS) {
            Ok(None) => {}
            Err(error) => findings.at(&entry.path, error.to_string()),
            Ok(Some(bytes)) => {
                if let Err(error) = kargs_d::parse(&bytes, &path, &subject.architecture) {
                    findings.at(&entry.path, error.to_string());
                }
            }
        }
    }
    Ok(())
}
