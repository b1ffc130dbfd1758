//! Whether a root file system has what a machine boots from.
//!
//! The rule is that of bootc and ostree: exactly one directory `usr/lib/modules/<version>` with a kernel in
//! `vmlinuz`, and its initramfs beside it in `initramfs.img`.

use super::{Error, Result, resolve};
use crate::names::{ImagePath, printable};
use crate::repo::{Node, Tree};

const MODULES: &[u8] = b"usr/lib/modules";

/// The kernel of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootable {
    /// The name of its directory, from `[A-Za-z0-9._+~-]`: it reaches boot entries.
    pub kernel_version: String,
    pub vmlinuz: ImagePath,
    pub initramfs: ImagePath,
}

/// Finds the kernel, or says what is missing.
pub fn check_bootable(tree: &Tree) -> Result<Bootable> {
    let not_bootable = |reason: String| Err(Error::NotBootable(reason));
    let path = |bytes: &[u8]| ImagePath::new(bytes).map_err(Error::name);
    if !tree.get(&path(b"usr")?).is_some_and(|e| e.node.is_directory()) {
        return not_bootable("/usr is missing or not a directory".into());
    }
    let modules = path(MODULES)?;
    let Some(directory) = resolve(tree, &modules).filter(|e| e.node.is_directory()) else {
        return not_bootable("there is no directory /usr/lib/modules; install a kernel in the image".into());
    };
    let mut kernels = Vec::new();
    for entry in tree.below(&directory.path) {
        if entry.node.is_directory() && entry.path.parent().as_ref() == Some(&directory.path) {
            let vmlinuz = entry.path.join(b"vmlinuz").map_err(Error::name)?;
            if tree.get(&vmlinuz).is_some() {
                kernels.push((entry.path.clone(), vmlinuz));
            }
        }
    }
    let (directory, vmlinuz) = match kernels.len() {
        0 => {
            return not_bootable(
                "there is no kernel at /usr/lib/modules/<version>/vmlinuz; put it there when the image is built".into(),
            );
        }
        1 => kernels.swap_remove(0),
        _ => {
            let names: Vec<_> = kernels.iter().map(|(d, _)| printable(d.file_name())).collect();
            return not_bootable(format!("it has {} kernels ({}); leave one", names.len(), names.join(", ")));
        }
    };
    let version = directory.file_name();
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"._+~-".contains(b);
    let kernel_version = match str::from_utf8(version) {
        Ok(version) if version.bytes().all(|b| allowed(&b)) && !version.starts_with(['.', '-']) => {
            version.to_owned()
        }
        _ => {
            let version = printable(version);
            return not_bootable(format!(
                "the kernel version `{version}` has characters that boot entries cannot hold"
            ));
        }
    };
    let initramfs = directory.join(b"initramfs.img").map_err(Error::name)?;
    for file in [&vmlinuz, &initramfs] {
        match tree.get(file).map(|e| &e.node) {
            Some(Node::File { .. }) => {}
            None => {
                return not_bootable(format!(
                    "/{file} is missing; build the initramfs when the image is built"
                ));
            }
            Some(Node::Empty) => return not_bootable(format!("/{file} is empty")),
            Some(_) => return not_bootable(format!("/{file} is not a regular file")),
        }
    }
    Ok(Bootable { kernel_version, vmlinuz, initramfs })
}
