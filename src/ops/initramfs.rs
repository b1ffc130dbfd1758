//! Whether an image's initramfs can mount a deployment.
//!
//! One that does not know `reroot=` boots into the physical root or into an emergency shell, when it is too late. So it
//! is looked at when a deployment is made, and at no other time.

use std::io::{self, Read};

use super::{Error, Result, files};
use crate::boot::initrd::{self, Search};
use crate::layer;
use crate::names::ImagePath;
use crate::repo::Tree;
use crate::sysroot::Sysroot;

const PROGRAM: &str = "reroot-prepare-root";

/// Whether an initramfs without our program is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignInitramfs {
    #[default]
    Refuse,
    Allow,
}

/// When the initramfs is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// When a boot loader was installed for the sysroot: else nothing boots from it.
    WhereBooted(ForeignInitramfs),
    /// Always: a boot loader is to come.
    Always(ForeignInitramfs),
    /// Somebody has looked already.
    Never,
}

impl Default for Check {
    fn default() -> Self {
        Self::WhereBooted(ForeignInitramfs::Refuse)
    }
}

/// Refuses an image whose initramfs has no program of ours.
pub(super) fn check(sysroot: &Sysroot, tree: &Tree, check: Check) -> Result<()> {
    let wanted = match check {
        Check::WhereBooted(foreign) => {
            foreign == ForeignInitramfs::Refuse && super::boot::is_installed(sysroot)?
        }
        Check::Always(foreign) => foreign == ForeignInitramfs::Refuse,
        Check::Never => false,
    };
    if !wanted {
        return Ok(());
    }
    let path = layer::check_bootable(tree)?.initramfs;
    let entry = tree.get(&path).ok_or_else(|| Error::bug(format!("/{path} is not there any more")))?;
    let Some(mut content) = files::open(sysroot.repo(), entry, u64::MAX)? else {
        return Err(Error::incompatible(format!("/{path} of the image is not a regular file")));
    };
    judge(&path, search(&mut content))
}

/// Looks for our program. Reads no more than it needs.
pub(crate) fn search(content: &mut dyn Read) -> io::Result<Search> {
    initrd::search(content, PROGRAM.as_bytes())
}

/// What a search means for the image that has the initramfs at `path`.
pub(crate) fn judge(path: &ImagePath, found: io::Result<Search>) -> Result<()> {
    match found {
        Ok(Search::Found) => Ok(()),
        Ok(Search::Missing) => Err(foreign(&format!("/{path} of the image has no {PROGRAM}"))),
        Err(error) if is_content(&error) => {
            Err(foreign(&format!("/{path} of the image is no initramfs: {error}")))
        }
        Err(error) => Err(Error::io(format!("reading /{path} of the image"))(error)),
    }
}

/// Whether an error is about what was read, and not about reading. Decoders say `InvalidInput` and `Other` of what they cannot read.
pub(crate) fn is_content(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

fn foreign(reason: &str) -> Error {
    Error::incompatible(format!(
        "{reason}, so no deployment of it would boot. When the image is built, put {PROGRAM} into /usr/lib/reroot, \
         bootloader/dracut/90reroot into /usr/lib/dracut/modules.d (or what is in bootloader/initramfs-tools into \
         /usr/share/initramfs-tools), then build the initramfs again: docs/initramfs.md. \
         `--allow-foreign-initramfs` takes the image as it is"
    ))
}
