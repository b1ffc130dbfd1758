//! GRUB on `$BOOT` and on the EFI system partition, from the image.

use super::loader::first_program;
use crate::boot::grub::{self, GrubRoot, env};
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

/// Where Debian and its descendants have the signed program, and the other one.
fn paths(architecture: EfiArchitecture) -> [String; 2] {
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
    ]
}

/// The programs of GRUB that an image has, the best first: Debian's signed one, what Fedora keeps for bootupd(8), Debian's
/// other one.
pub fn candidates(tree: &Tree, architecture: EfiArchitecture) -> Vec<String> {
    let [signed, unsigned] = paths(architecture);
    let name = format!("/grub{}.efi", architecture.as_str());
    let bootupd = files::follow(tree, BOOTUPD).map_or(&[][..], |directory| tree.below(&directory.path));
    let bootupd = bootupd.iter().map(|entry| entry.path.to_string());
    let bootupd = bootupd.filter(|path| path.ends_with(&name) && !path.ends_with(&format!("/BOOT{name}")));
    let all = [signed].into_iter().chain(bootupd).chain([unsigned]);
    all.filter(|path| files::follow(tree, path).is_some()).collect()
}

/// The directory below `/EFI` that a program looks for its configuration in: it is built in when the program is made,
/// whatever the system calls itself.
fn vendor(program: &[u8]) -> Option<String> {
    const PREFIX: &[u8] = b"/EFI/";
    program.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX).find_map(|(at, _)| {
        let rest = &program[at + PREFIX.len()..];
        let name = &rest[..rest.iter().take(64).position(|b| *b == 0)?];
        let is_name = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(b));
        (is_name && name != b"BOOT").then(|| String::from_utf8_lossy(name).into_owned())
    })
}

pub fn no_grub(architecture: EfiArchitecture) -> Error {
    let [signed, unsigned] = paths(architecture);
    Error::incompatible(format!(
        "the image has no GRUB for UEFI at /{signed}, /{unsigned} or below /{BOOTUPD}; install the package that has it \
         (Debian: grub-efi-amd64-signed with shim-signed, or grub-efi-amd64-unsigned), or choose another boot loader"
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
    pub fn read(repo: &Repo, tree: &Tree, architecture: EfiArchitecture) -> Result<Self> {
        let arch = architecture.as_str();
        let candidates = candidates(tree, architecture);
        let path = candidates.first().ok_or_else(|| no_grub(architecture))?;
        let grub = first_program(repo, tree, &candidates[..1])?.ok_or_else(|| no_grub(architecture))?;
        let Some(vendor) = vendor(&grub) else {
            return Err(Error::incompatible(format!(
                "GRUB at /{path} of the image does not say where it looks for its configuration (/EFI/<vendor>)"
            )));
        };
        let bootupd = format!("{BOOTUPD}/{vendor}");
        let first = |paths: &[String]| first_program(repo, tree, paths);
        let shim =
            first(&[format!("usr/lib/shim/shim{arch}.efi.signed"), format!("{bootupd}/shim{arch}.efi")])?;
        let keys = first(&[format!("usr/lib/shim/mm{arch}.efi.signed"), format!("{bootupd}/mm{arch}.efi")])?;
        Ok(Self { vendor, grub, shim: shim.map(|shim| (shim, keys)) })
    }

    /// What goes where below `EFI`: under the names that firmware starts by itself (UEFI, "Removable Media Boot
    /// Behavior"), and under those that its menu can be told. What firmware starts by itself comes last.
    fn files<'a>(&'a self, architecture: EfiArchitecture, stub: &'a str) -> Vec<(&'a str, String, &'a [u8])> {
        const REMOVABLE: &str = "BOOT";
        let (arch, fallback) = (architecture.as_str(), architecture.fallback_name());
        let vendor = self.vendor.as_str();
        let grub = format!("grub{arch}.efi");
        // Signed programs look beside themselves as well.
        let mut files = vec![
            (vendor, "grub.cfg".to_owned(), stub.as_bytes()),
            (REMOVABLE, "grub.cfg".to_owned(), stub.as_bytes()),
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

/// Installs what GRUB reads: its configuration on `$BOOT`, which upgrades never change, the file that it writes, and with `efi` what the
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
    // Nothing boots from it yet, so it need not be settled.
    env::ensure(boot, &mut || Ok(()))?;
    match efi {
        Some((esp, architecture, programs)) => {
            programs.write(esp, architecture, &grub::esp_stub(root, DIRECTORY))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_says_where_its_configuration_is() {
        for (program, expected) in [
            (&b"MZ..%s/EFI/\0..(,gpt2)/EFI/debian\0.."[..], Some("debian")),
            (b"/EFI/BOOT\0/EFI/fedora\0", Some("fedora")),
            (b"/EFI/../x\0", None),
            (b"/EFI/debian", None),
            (b"/EFI/", None),
        ] {
            assert_eq!(vendor(program).as_deref(), expected);
        }
    }
}
