//! GRUB on `$BOOT` and on the EFI system partition, from the image.

use super::loader::first_program;
use crate::boot::grub::{self, GrubRoot};
use crate::boot::systemd_boot::EfiArchitecture;
use crate::fsx::{self, Dir};
use crate::ops::{Error, Result, files};
use crate::repo::{Repo, Tree};

/// GRUB's own directory below `$BOOT`.
pub const DIRECTORY: &str = "grub";
/// Seconds that the menu waits: enough to press a key.
const MENU_SECONDS: u32 = 3;

/// Where bootupd(8) takes programs from.
const BOOTUPD: &str = "usr/lib/bootupd/updates/EFI";

/// Where an image may have GRUB: the signed program of Debian and its descendants, the other one, and a directory with the
/// programs of several vendors.
pub fn paths(architecture: EfiArchitecture) -> [String; 3] {
    let arch = architecture.as_str();
    let cpu = match architecture {
        EfiArchitecture::X64 => "x86_64",
        EfiArchitecture::Aa64 => "arm64",
        EfiArchitecture::Ia32 => "i386",
        EfiArchitecture::RiscV64 => "riscv64",
        EfiArchitecture::LoongArch64 => "loongarch64",
    };
    [
        format!("usr/lib/grub/{cpu}-efi-signed/grub{arch}.efi.signed"),
        format!("usr/lib/grub/{cpu}-efi/monolithic/grub{arch}.efi"),
        BOOTUPD.to_owned(),
    ]
}

pub fn no_grub(architecture: EfiArchitecture) -> Error {
    let [signed, unsigned, _] = paths(architecture);
    Error::incompatible(format!(
        "the image has no GRUB for UEFI at /{signed} or /{unsigned}; install the package that has it (Debian: \
         grub-efi-amd64-signed with shim-signed, or grub-efi-amd64-unsigned), or choose another boot loader"
    ))
}

/// What an EFI system partition gets of GRUB. The programs bring all modules with them, and look for their
/// configuration in `EFI/<vendor>`, a name that is built in.
#[derive(Debug)]
pub struct EfiPrograms {
    vendor: String,
    grub: Vec<u8>,
    /// What firmware with Secure Boot starts, and what that starts to enrol keys.
    shim: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

impl EfiPrograms {
    /// Finds them in an image: signed ones before others, with shim when that is there.
    ///
    /// Debian and its descendants keep them below `/usr/lib/grub` and `/usr/lib/shim`; Fedora, in images, where
    /// bootupd(8) takes them from.
    pub fn read(repo: &Repo, tree: &Tree, architecture: EfiArchitecture) -> Result<Self> {
        let release = files::os_release(repo, tree)?;
        let vendor = release.get("ID").map_or("linux", String::as_str);
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with('.')
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !is_name(vendor) {
            return Err(Error::incompatible(format!(
                "the image's os-release has the ID `{}`, which cannot name a directory",
                vendor.escape_debug()
            )));
        }
        let arch = architecture.as_str();
        let bootupd = format!("{BOOTUPD}/{vendor}");
        let first = |paths: &[String]| first_program(repo, tree, paths);
        let [signed, unsigned, _] = paths(architecture);
        let grub = first(&[signed, format!("{bootupd}/grub{arch}.efi"), unsigned])?;
        let grub = grub.ok_or_else(|| no_grub(architecture))?;
        let shim =
            first(&[format!("usr/lib/shim/shim{arch}.efi.signed"), format!("{bootupd}/shim{arch}.efi")])?;
        let keys = first(&[format!("usr/lib/shim/mm{arch}.efi.signed"), format!("{bootupd}/mm{arch}.efi")])?;
        Ok(Self { vendor: vendor.into(), grub, shim: shim.map(|shim| (shim, keys)) })
    }

    /// What goes where below `EFI`: under the names that firmware starts by itself (UEFI, "Removable Media Boot
    /// Behavior"), and under those that its menu can be told. What firmware starts by itself comes last.
    fn files<'a>(&'a self, architecture: EfiArchitecture, stub: &'a str) -> Vec<(&'a str, String, &'a [u8])> {
        const REMOVABLE: &str = "BOOT";
        let (arch, fallback) = (architecture.as_str(), architecture.fallback_name());
        let vendor = self.vendor.as_str();
        let grub = format!("grub{arch}.efi");
        let mut files = vec![
            (vendor, "grub.cfg".to_owned(), stub.as_bytes()),
            (vendor, grub.clone(), self.grub.as_slice()),
        ];
        let Some((shim, keys)) = &self.shim else {
            files.push((REMOVABLE, fallback, &self.grub));
            return files;
        };
        let keys = keys.iter().map(|keys| (format!("mm{arch}.efi"), keys.as_slice()));
        for (name, keys) in keys {
            files.extend([(vendor, name.clone(), keys), (REMOVABLE, name, keys)]);
        }
        files.extend([
            (REMOVABLE, grub, self.grub.as_slice()),
            (vendor, format!("shim{arch}.efi"), shim),
            (REMOVABLE, fallback, shim),
        ]);
        files
    }

    /// Durable when it returns.
    fn write(&self, esp: &Dir, architecture: EfiArchitecture, stub: &str) -> Result<()> {
        let context = || Error::io("writing GRUB to the EFI system partition");
        let efi = fsx::ensure_dir(esp, "EFI", 0o755).map_err(context())?;
        for (directory, name, bytes) in self.files(architecture, stub) {
            let dir = fsx::ensure_dir(&efi, directory, 0o755).map_err(context())?;
            fsx::write_atomic(&dir, &name, bytes, 0o644)
                .map_err(Error::io(format!("writing EFI/{directory}/{name}")))?;
        }
        fsx::sync_dir(&efi).and_then(|()| fsx::sync_dir(esp)).map_err(context())
    }
}

/// Installs what GRUB reads: its configuration on `$BOOT`, which upgrades never change, and with `efi` what the
/// firmware starts on the EFI system partition. Durable when it returns.
pub fn install(
    boot: &Dir,
    root: &GrubRoot,
    efi: Option<(&Dir, EfiArchitecture, &EfiPrograms)>,
) -> Result<()> {
    let context = || Error::io(format!("writing {DIRECTORY}/grub.cfg on $BOOT"));
    let directory = fsx::ensure_dir(boot, DIRECTORY, 0o755).map_err(context())?;
    let config = grub::main_config(root, MENU_SECONDS);
    fsx::write_atomic(&directory, "grub.cfg", config.as_bytes(), 0o644)
        .and_then(|()| fsx::sync_dir(boot))
        .map_err(context())?;
    match efi {
        Some((esp, architecture, programs)) => {
            programs.write(esp, architecture, &grub::esp_stub(root, DIRECTORY))
        }
        None => Ok(()),
    }
}
