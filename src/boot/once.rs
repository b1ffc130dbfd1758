//! What boots once, at the next start: a word that the loader takes away before it boots what it says.
//!
//! systemd-boot reads it from the EFI variable `LoaderEntryOneShot` (systemd-boot(7), "EFI Variables"), a file of efivarfs
//! with four bytes of attributes and UTF-16. It is a pattern for the names of entries; those of older versions have their
//! counters, those of newer ones have not, and ours fits both. GRUB's menu reads it from the environment block.

use std::fs::File;
use std::io::{self, Write};

use rustix::fs::{IFlags, Mode, OFlags};
use rustix::io::Errno;

use super::file_name::BootOrder;
use super::grub::entry_id;
use super::grub::env::{self, ONCE};
use super::{Error, Result};
use crate::crashpoint;
use crate::fsx::{self, Dir};

const VARIABLE: &str = "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Non-volatile, for the loader and for the running system.
const ATTRIBUTES: [u8; 4] = 7_u32.to_le_bytes();
const LONGEST: u64 = 4096;

/// Where the loader looks.
#[derive(Debug, Clone, Copy)]
pub enum Memory<'a> {
    /// The directory of EFI variables, for systemd-boot.
    Efi(&'a Dir),
    /// `$BOOT`, for GRUB.
    Grub(&'a Dir),
}

impl Memory<'_> {
    /// The order of the entry of ours that boots once; `None` for entries of others as well.
    pub fn read(self) -> Result<Option<BootOrder>> {
        let id = match self {
            Self::Efi(variables) => read_variable(variables)?,
            Self::Grub(boot) => env::read(boot)?.and_then(|variables| variables.get(ONCE).map(String::from)),
        };
        Ok(id.and_then(|id| BootOrder::new(id.strip_prefix("reroot-")?.get(..10)?.parse().ok()?)))
    }

    /// Says which entry boots once. The loader knows it when this returns. `settle` as in
    /// [`Outside`](super::execute::Outside::settle).
    pub fn set(self, order: BootOrder, settle: &mut dyn FnMut() -> io::Result<()>) -> Result<()> {
        match self {
            Self::Efi(variables) => write_variable(variables, &pattern(order)),
            Self::Grub(boot) => env::change(boot, settle, |variables| variables.set(ONCE, &entry_id(order))),
        }?;
        crashpoint!("boot.once-written").map_err(Error::io("writing what boots once"))
    }

    /// Takes it back, whoever wrote it; false when nothing was to boot once.
    pub fn clear(self, settle: &mut dyn FnMut() -> io::Result<()>) -> Result<bool> {
        match self {
            Self::Efi(variables) => remove_variable(variables),
            Self::Grub(boot) => {
                let mut was_set = false;
                if env::read(boot)?.is_some() {
                    env::change(boot, settle, |variables| {
                        was_set = variables.get(ONCE).is_some();
                        variables.remove(ONCE);
                    })?;
                }
                Ok(was_set)
            }
        }
    }
}

/// Fits the entry's name with counters and without, and not a copy that somebody made.
fn pattern(order: BootOrder) -> String {
    format!("{}[.+]*", entry_id(order))
}

fn context(doing: &str) -> impl FnOnce(io::Error) -> Error {
    Error::io(format!("{doing} the EFI variable {VARIABLE}"))
}

fn read_variable(variables: &Dir) -> Result<Option<String>> {
    let bytes = fsx::read_limited(variables, VARIABLE, LONGEST).map_err(context("reading"))?;
    let Some(value) = bytes.as_deref().and_then(|bytes| bytes.get(ATTRIBUTES.len()..)) else {
        return Ok(None);
    };
    let units = value.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    Ok(Some(String::from_utf16_lossy(&units.take_while(|unit| *unit != 0).collect::<Vec<_>>())))
}

/// In one call of write(2), which is one call of the firmware. An older value may be longer, and goes first.
fn write_variable(variables: &Dir, value: &str) -> Result<()> {
    remove_variable(variables)?;
    let mut bytes = ATTRIBUTES.to_vec();
    bytes.extend(value.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
    let write = || {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(variables, VARIABLE, flags, Mode::from_raw_mode(0o644))?;
        match File::from(file).write(&bytes)? {
            written if written == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    };
    write().map_err(context("writing"))
}

fn remove_variable(variables: &Dir) -> Result<bool> {
    let remove = || {
        make_mutable(variables)?;
        fsx::remove_file(variables, VARIABLE)
    };
    remove().map_err(context("removing"))
}

/// The kernel protects variables that it does not know from `rm -r` (Documentation/filesystems/efivarfs.rst).
fn make_mutable(variables: &Dir) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(variables, VARIABLE, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    match rustix::fs::ioctl_getflags(&file) {
        Ok(flags) if flags.contains(IFlags::IMMUTABLE) => {
            Ok(rustix::fs::ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?)
        }
        Ok(_) | Err(Errno::NOTTY | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: u64) -> BootOrder {
        BootOrder::new(number).unwrap()
    }

    #[test]
    fn systemd_boot_reads_it_from_a_variable() {
        let temp = tempfile::tempdir().unwrap();
        let variables = fsx::open_dir(temp.path()).unwrap();
        let (memory, mut settle) = (Memory::Efi(&variables), || Ok(()));
        assert_eq!(memory.read().unwrap(), None);
        assert!(!memory.clear(&mut settle).unwrap());
        memory.set(order(12), &mut settle).unwrap();
        let bytes = variables.read(VARIABLE).unwrap();
        let expected = b"\x07\0\0\0r\0e\0r\0o\0o\0t\0-\x000\x000\x000\x000\x000\x000\x000\x000\x001\x002\0[\0.\0+\0]\0*\0\0\0";
        assert_eq!(bytes, expected);
        memory.set(order(9), &mut settle).unwrap();
        assert_eq!(memory.read().unwrap(), Some(order(9)));
        assert!(memory.clear(&mut settle).unwrap() && !variables.exists(VARIABLE));
        // As `bootctl set-oneshot` writes it.
        for (value, expected) in
            [("reroot-0000000012+3.conf", Some(12)), ("debian.conf", None), ("reroot-1.conf", None)]
        {
            write_variable(&variables, value).unwrap();
            assert_eq!(memory.read().unwrap().map(BootOrder::get), expected);
        }
        for damaged in [&b""[..], b"\x07", b"\x07\0\0\0r"] {
            variables.write(VARIABLE, damaged).unwrap();
            assert_eq!(memory.read().unwrap(), None);
        }
    }

    #[test]
    fn grub_reads_it_from_its_environment() {
        let temp = tempfile::tempdir().unwrap();
        let boot = fsx::open_dir(temp.path()).unwrap();
        let (memory, mut settled) = (Memory::Grub(&boot), 0);
        let mut settle = || {
            settled += 1;
            Ok(())
        };
        assert!(!memory.clear(&mut settle).unwrap());
        assert!(memory.set(order(12), &mut settle).is_err());
        env::ensure(&boot, &mut settle).unwrap();
        memory.set(order(12), &mut settle).unwrap();
        assert_eq!(memory.read().unwrap(), Some(order(12)));
        assert_eq!(env::read(&boot).unwrap().unwrap().get(ONCE), Some("reroot-0000000012"));
        assert!(memory.clear(&mut settle).unwrap() && !memory.clear(&mut settle).unwrap());
        assert_eq!((memory.read().unwrap(), settled), (None, 3));
    }
}
