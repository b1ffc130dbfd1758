//! Putting a boot loader where firmware finds it.

use std::io::Read;

use super::{BootRecord, Bootloader};
use crate::boot::entries;
use crate::boot::loader_conf::{LoaderConf, Timeout};
use crate::boot::systemd_boot::{self, EfiArchitecture, Foreign};
use crate::fsx::Dir;
use crate::ops::{Error, Result, files};
use crate::sysroot::{Deployment, Sysroot};

/// Where Debian, Fedora and others keep systemd's EFI programs.
const PROGRAMS: &str = "usr/lib/systemd/boot/efi";
const LARGEST_PROGRAM: u64 = 16 << 20;
/// Seconds that the menu waits: enough to press a key.
const MENU_SECONDS: u32 = 3;

/// Installs the boot loader of a deployment's image on `$BOOT`, and notes in the sysroot that there is one. Durable
/// when it returns. `architecture` as images name it.
pub fn install(
    sysroot: &Sysroot,
    deployment: &Deployment,
    boot: &Dir,
    loader: Bootloader,
    architecture: &str,
) -> Result<()> {
    match loader {
        Bootloader::SystemdBoot => {
            let architecture = EfiArchitecture::of(architecture)
                .ok_or_else(|| Error::incompatible(format!("there is no systemd-boot for {architecture}")))?;
            let program = read_program(sysroot, deployment, architecture)?;
            systemd_boot::install(boot, &program, architecture, Foreign::Replace)?;
            let mut conf = LoaderConf::read(boot)?.unwrap_or_default();
            conf.add_missing(Timeout::Seconds(MENU_SECONDS));
            conf.write(boot)?;
        }
        Bootloader::None => {}
    }
    entries::ensure_directory(boot)?;
    BootRecord { version: BootRecord::VERSION, loader }.write(sysroot)
}

fn read_program(
    sysroot: &Sysroot,
    deployment: &Deployment,
    architecture: EfiArchitecture,
) -> Result<Vec<u8>> {
    let name = architecture.program_name();
    let tree = sysroot.repo().read_tree(&deployment.record.tree)?;
    // A signed program works with and without Secure Boot.
    for path in [format!("{PROGRAMS}/{name}.signed"), format!("{PROGRAMS}/{name}")] {
        let Some(entry) = files::follow(&tree, &path) else { continue };
        let Some(mut content) = files::open(sysroot.repo(), entry, LARGEST_PROGRAM)? else { continue };
        let mut program = Vec::new();
        content.read_to_end(&mut program).map_err(Error::io(format!("reading /{path} of the image")))?;
        return Ok(program);
    }
    Err(Error::incompatible(format!(
        "the image has no systemd-boot at /{PROGRAMS}/{name}; install the package that has it (Debian: \
         systemd-boot-efi), or choose another boot loader"
    )))
}
