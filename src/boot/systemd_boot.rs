//! systemd-boot on the ESP: its program under its own name, and under the name that firmware starts by itself
//! (bootctl(1), "install"; UEFI, "Removable Media Boot Behavior").
//!
//! Nothing else of the ESP is touched. The random seed (`loader/random-seed`) is bootctl's and the loader's: an image
//! that is installed on many machines must not have one.

use std::cmp::Ordering;

use super::order::compare_versions;
use super::{Error, Result};
use crate::fsx::{self, Dir};

/// Larger than any EFI program that boots something.
const PROGRAM_LIMIT: u64 = 16 << 20;
/// How systemd-boot says what it is (`get_file_version` of bootctl).
const MAGIC: &[u8] = b"#### LoaderInfo: ";
const MAGIC_END: &[u8] = b" ####";
const PRODUCT: &str = "systemd-boot ";

/// An architecture as UEFI names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EfiArchitecture {
    Aa64,
    Ia32,
    LoongArch64,
    RiscV64,
    X64,
}

impl EfiArchitecture {
    /// By Rust's or the kernel's name; `None` where there is no systemd-boot.
    pub fn of(architecture: &str) -> Option<Self> {
        Some(match architecture {
            "aarch64" | "arm64" => Self::Aa64,
            "x86" | "i386" | "i686" => Self::Ia32,
            "loongarch64" => Self::LoongArch64,
            "riscv64" => Self::RiscV64,
            "x86_64" | "amd64" => Self::X64,
            _ => return None,
        })
    }

    /// As in file names, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aa64 => "aa64",
            Self::Ia32 => "ia32",
            Self::LoongArch64 => "loongarch64",
            Self::RiscV64 => "riscv64",
            Self::X64 => "x64",
        }
    }

    /// `systemd-bootx64.efi`: in the image's `/usr/lib/systemd/boot/efi` and in `EFI/systemd`.
    pub fn program_name(self) -> String {
        format!("systemd-boot{}.efi", self.as_str())
    }

    /// `BOOTX64.EFI`, in `EFI/BOOT`.
    pub fn fallback_name(self) -> String {
        format!("BOOT{}.EFI", self.as_str().to_uppercase())
    }
}

/// What becomes of a program of somebody else under the name that firmware starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    Keep,
    Replace,
}

/// What was done with one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Written,
    /// The same bytes were there.
    Same,
    /// A newer systemd-boot was there, of this version.
    NewerKept(String),
    /// Another program was there.
    ForeignKept,
}

/// What was done with both files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    pub program: Outcome,
    pub fallback: Outcome,
}

/// Installs or updates systemd-boot from the bytes of its program. Each file is replaced by one rename and durable
/// before the next is touched, so that firmware finds one of the two whole.
pub fn install(
    esp: &Dir,
    program: &[u8],
    architecture: EfiArchitecture,
    foreign: Foreign,
) -> Result<Installed> {
    if version_of(program).is_none() {
        return Err(Error::refused(format!(
            "{} is not systemd-boot: it does not say its version",
            architecture.program_name()
        )));
    }
    let context = || Error::io("making EFI");
    let efi = fsx::ensure_dir(esp, "EFI", 0o755).map_err(context())?;
    fsx::sync_dir(esp).map_err(context())?;
    let own = install_one(&efi, "systemd", &architecture.program_name(), program, Foreign::Replace)?;
    let fallback = install_one(&efi, "BOOT", &architecture.fallback_name(), program, foreign)?;
    Ok(Installed { program: own, fallback })
}

fn install_one(efi: &Dir, directory: &str, name: &str, program: &[u8], foreign: Foreign) -> Result<Outcome> {
    let path = format!("EFI/{directory}/{name}");
    let context = || Error::io(format!("writing {path}"));
    let dir = fsx::ensure_dir(efi, directory, 0o755).map_err(context())?;
    fsx::sync_dir(efi).map_err(context())?;
    let old = fsx::read_limited(&dir, name, PROGRAM_LIMIT).map_err(Error::io(format!("reading {path}")))?;
    if let Some(kept) = old.and_then(|old| reason_to_keep(&old, program, foreign)) {
        return Ok(kept);
    }
    fsx::write_atomic(&dir, name, program, 0o644).map_err(context())?;
    Ok(Outcome::Written)
}

fn reason_to_keep(old: &[u8], new: &[u8], foreign: Foreign) -> Option<Outcome> {
    if old == new {
        return Some(Outcome::Same);
    }
    match (version_of(old), version_of(new)) {
        (None, _) => (foreign == Foreign::Keep).then_some(Outcome::ForeignKept),
        (Some(old), Some(new)) if compare_versions(&old, &new) == Ordering::Greater => {
            Some(Outcome::NewerKept(old))
        }
        _ => None,
    }
}

/// The version of a systemd-boot program; `None` for other programs.
pub fn version_of(program: &[u8]) -> Option<String> {
    let start = find(program, MAGIC)? + MAGIC.len();
    let rest = &program[start..];
    let info = str::from_utf8(&rest[..find(&rest[..rest.len().min(256)], MAGIC_END)?]).ok()?;
    info.strip_prefix(PRODUCT).filter(|version| !version.is_empty()).map(String::from)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    // The first byte is rare in programs; comparing everywhere else is not worth a crate.
    let mut from = 0;
    loop {
        let hash = from + bytes.get(from..)?.iter().position(|b| *b == wanted[0])?;
        if bytes[hash..].starts_with(wanted) {
            return Some(hash);
        }
        from = hash + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(info: &str) -> Vec<u8> {
        [b"MZ\0#### x", format!("#### LoaderInfo: {info} ####").as_bytes(), &[0; 300]].concat()
    }

    #[test]
    fn a_program_says_its_version() {
        assert_eq!(
            version_of(&program("systemd-boot 257.13-1~deb13u1")).as_deref(),
            Some("257.13-1~deb13u1")
        );
        for other in ["systemd-boot ", "systemd-stub 257", "rEFInd 0.14"] {
            assert_eq!(version_of(&program(other)), None, "{other}");
        }
        for other in [&b""[..], b"#", b"#### LoaderInfo: ", b"#### LoaderInfo: systemd-boot 257"] {
            assert_eq!(version_of(other), None);
        }
        let far = [b"#### LoaderInfo: ".to_vec(), vec![b'x'; 300], b" ####".to_vec()].concat();
        assert_eq!(version_of(&far), None);
    }

    proptest::proptest! {
        #[test]
        fn any_program_has_a_version_or_none(front: Vec<u8>, version in "[0-9.~a-z-]{1,20}", back: Vec<u8>) {
            version_of(&front);
            let program = [&*front, format!("#### LoaderInfo: systemd-boot {version} ####").as_bytes(), &back].concat();
            proptest::prop_assert_eq!(version_of(&program), Some(version));
        }
    }

    #[test]
    fn only_what_is_older_or_different_is_replaced() {
        let (old, new) = (program("systemd-boot 252.9"), program("systemd-boot 252.10"));
        let rebuilt = [new.clone(), vec![1]].concat();
        let other = b"MZ shim".to_vec();
        for (there, wanted, foreign, expected) in [
            (&old, &new, Foreign::Keep, None),
            (&new, &new, Foreign::Keep, Some(Outcome::Same)),
            (&new, &rebuilt, Foreign::Keep, None),
            (&new, &old, Foreign::Replace, Some(Outcome::NewerKept("252.10".into()))),
            (&other, &new, Foreign::Keep, Some(Outcome::ForeignKept)),
            (&other, &new, Foreign::Replace, None),
        ] {
            assert_eq!(reason_to_keep(there, wanted, foreign), expected);
        }
    }

    #[test]
    fn architectures_have_the_names_of_uefi() {
        let names = |architecture: &str| {
            let efi = EfiArchitecture::of(architecture).unwrap();
            (efi.program_name(), efi.fallback_name())
        };
        for (architecture, program, fallback) in [
            ("x86_64", "systemd-bootx64.efi", "BOOTX64.EFI"),
            ("aarch64", "systemd-bootaa64.efi", "BOOTAA64.EFI"),
            ("i686", "systemd-bootia32.efi", "BOOTIA32.EFI"),
            ("riscv64", "systemd-bootriscv64.efi", "BOOTRISCV64.EFI"),
            ("loongarch64", "systemd-bootloongarch64.efi", "BOOTLOONGARCH64.EFI"),
        ] {
            assert_eq!(names(architecture), (program.into(), fallback.into()));
        }
        assert_eq!(EfiArchitecture::of("s390x"), None);
    }
}
