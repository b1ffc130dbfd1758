//! Putting a boot loader where firmware finds it.

use std::io::Read;

use super::Bootloader;
use super::grub::{self, EfiPrograms};
use super::record::{BootRecord, Loader};
use crate::boot::entries;
use crate::boot::loader_conf::{LoaderConf, Timeout};
use crate::boot::systemd_boot::{self, EfiArchitecture, Foreign};
use crate::fsx::Dir;
use crate::ops::{Error, Result, files};
use crate::repo::{Repo, Tree};
use crate::sysroot::{Deployment, Sysroot};

/// Where Debian, Fedora and others keep systemd's EFI programs.
const PROGRAMS: &str = "usr/lib/systemd/boot/efi";
const LARGEST_PROGRAM: u64 = 16 << 20;
/// Seconds that the menu waits: enough to press a key.
const MENU_SECONDS: u32 = 3;

/// The directories that a boot loader is put into.
#[derive(Debug)]
pub struct Directories<'a> {
    /// `$BOOT`
    pub boot: &'a Dir,
    /// The EFI system partition; the same as `boot` for systemd-boot. Without one nothing is installed for UEFI.
    pub esp: Option<&'a Dir>,
}

/// Installs the boot loader of a deployment's image, and notes in the sysroot that there is one. Durable when it returns.
/// `architecture` as images name it.
pub fn install(
    sysroot: &Sysroot,
    deployment: &Deployment,
    directories: &Directories<'_>,
    loader: Loader,
    architecture: &str,
) -> Result<()> {
    let efi = || {
        EfiArchitecture::of(architecture)
            .ok_or_else(|| Error::incompatible(format!("there is no {loader} for UEFI on {architecture}")))
    };
    let (repo, tree) = (sysroot.repo(), sysroot.repo().read_tree(&deployment.record.tree)?);
    match (&loader, directories.esp) {
        (Loader::SystemdBoot, Some(esp)) => install_systemd_boot(esp, repo, &tree, efi()?)?,
        (Loader::SystemdBoot, None) => {
            return Err(Error::invalid("systemd-boot needs an EFI system partition, and there is none"));
        }
        (Loader::Grub { root }, Some(esp)) => {
            let programs = EfiPrograms::read(repo, &tree, efi()?)?;
            grub::install(directories.boot, root, Some((esp, efi()?, &programs)))?;
        }
        (Loader::Grub { root }, None) => grub::install(directories.boot, root, None)?,
        (Loader::None, _) => {}
    }
    entries::ensure_directory(directories.boot)?;
    BootRecord::new(loader).write(sysroot)
}

/// Whether an image has what [`install`] takes from it, as far as names tell; for before anything is written.
pub fn check_image(tree: &Tree, loader: Bootloader, architecture: &str) -> Result<()> {
    let Some(efi) = EfiArchitecture::of(architecture) else { return Ok(()) };
    let has = |path: &String| files::follow(tree, path).is_some();
    match loader {
        Bootloader::SystemdBoot if !systemd_boot_paths(efi).iter().any(has) => Err(no_systemd_boot(efi)),
        Bootloader::Grub if grub::candidates(tree, efi).is_empty() => Err(grub::no_grub(efi)),
        _ => Ok(()),
    }
}

/// A signed program works with and without Secure Boot.
fn systemd_boot_paths(architecture: EfiArchitecture) -> [String; 2] {
    let path = format!("{PROGRAMS}/{}", architecture.program_name());
    [format!("{path}.signed"), path]
}

fn no_systemd_boot(architecture: EfiArchitecture) -> Error {
    Error::incompatible(format!(
        "the image has no systemd-boot at /{PROGRAMS}/{}; install the package that has it (Debian: \
         systemd-boot-efi), or choose another boot loader",
        architecture.program_name()
    ))
}

fn install_systemd_boot(esp: &Dir, repo: &Repo, tree: &Tree, architecture: EfiArchitecture) -> Result<()> {
    let program = first_program(repo, tree, &systemd_boot_paths(architecture))?
        .ok_or_else(|| no_systemd_boot(architecture))?;
    systemd_boot::install(esp, &program, architecture, Foreign::Replace)?;
    let mut conf = LoaderConf::read(esp)?.unwrap_or_default();
    conf.add_missing(Timeout::Seconds(MENU_SECONDS));
    conf.write(esp)?;
    Ok(())
}

/// The first of these EFI programs that an image has.
pub(super) fn first_program(repo: &Repo, tree: &Tree, paths: &[String]) -> Result<Option<Vec<u8>>> {
    for path in paths {
        if let Some(program) = read_program(repo, tree, path)? {
            return Ok(Some(program));
        }
    }
    Ok(None)
}

fn read_program(repo: &Repo, tree: &Tree, path: &str) -> Result<Option<Vec<u8>>> {
    let Some(entry) = files::follow(tree, path) else { return Ok(None) };
    let Some(mut content) = files::open(repo, entry, LARGEST_PROGRAM)? else { return Ok(None) };
    let mut program = Vec::new();
    content.read_to_end(&mut program).map_err(Error::io(format!("reading /{path} of the image")))?;
    Ok(Some(program))
}
