//! GRUB for a BIOS: a program in the first sector of the disk that loads the one in the BIOS boot partition, which knows
//! where its configuration is (GRUB manual, "BIOS installation"; the fields are those of `boot.S` and `diskboot.S`).
//!
//! The second is put together by grub-mkimage(1) of the machine that installs, of its own parts, as grub-install(8)
//! does it: the two belong to one version. Nothing of the image runs.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::MemfdFlags;

use super::disk::{Partition, SECTOR};
use crate::boot::grub::MODULES;
use crate::fsx;
use crate::ops::program::run;
use crate::ops::{Error, Result};

const PROGRAM: &str = "grub-mkimage";
/// Fedora and SUSE call it so.
const PROGRAMS: [&str; 2] = [PROGRAM, "grub2-mkimage"];
const PARTS: &str = "/usr/lib/grub/i386-pc";
/// Code in the first sector ends where the partition table of the MBR begins, with the disk's signature before it.
const CODE_BYTES: usize = 440;
/// In the first sector: where the rest begins, u64.
const REST_SECTOR: usize = 0x5C;
/// In the first sector: a jump that is taken on floppy disks, and that must not be on disks where firmware gives a wrong
/// number for its drive (`GRUB_BOOT_MACHINE_DRIVE_CHECK`).
const DRIVE_CHECK: usize = 0x66;
const NO_OPERATIONS: [u8; 2] = [0x90; 2];
/// In the first sector of the rest: where the second begins, u64; how many come is there already.
const BLOCK_LIST: usize = 512 - 12;

/// What the installing machine has for a BIOS.
#[derive(Debug)]
pub struct Parts {
    program: &'static str,
    first_sector: Vec<u8>,
}

impl Parts {
    /// `None` when it is not installed here.
    pub fn find() -> Result<Option<Self>> {
        let boot = PathBuf::from(PARTS).join("boot.img");
        let mut first_sector = Vec::new();
        match fsx::open_file(&boot).and_then(|file| file.take(SECTOR).read_to_end(&mut first_sector)) {
            Ok(512) => {}
            Ok(_) => return Err(Error::incompatible(format!("{} is not one sector", boot.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("reading {}", boot.display()))(error)),
        }
        let exists = |program: &&str| {
            Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
        };
        let program = PROGRAMS.into_iter().find(exists);
        Ok(program.map(|program| Self { program, first_sector }))
    }

    /// Writes both programs. `prefix` is GRUB's directory on the partition with this number, as `/boot/grub`. The disk
    /// does not start them before it has a table. Not synced.
    pub fn write(&self, disk: &File, bios_boot: &Partition, number: u32, prefix: &str) -> Result<()> {
        let mut rest = self.make(number, prefix)?;
        let start = bios_boot.start / SECTOR;
        if rest.len() as u64 > bios_boot.length {
            return Err(Error::incompatible(format!(
                "GRUB has {} bytes and the BIOS boot partition {}",
                rest.len(),
                bios_boot.length
            )));
        }
        let mut first = self.first_sector.clone();
        link(&mut first, &mut rest, start);
        disk.write_all_at(&rest, bios_boot.start)
            .and_then(|()| disk.write_all_at(&first[..CODE_BYTES], 0))
            .map_err(Error::io("writing GRUB to the disk"))
    }

    fn make(&self, number: u32, prefix: &str) -> Result<Vec<u8>> {
        let context = || Error::io(format!("running {}", self.program));
        // It wants to sync what it writes, so no pipe.
        let output = rustix::fs::memfd_create(PROGRAM, MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|errno| context()(errno.into()))?;
        let mut command = Command::new(self.program);
        command.args(["--directory", PARTS, "--format", "i386-pc"]);
        command.arg("--prefix").arg(format!("(,gpt{number}){prefix}"));
        command.args(["biosdisk", "ext2"]).args(MODULES);
        command.stdout(output.try_clone().map_err(context())?);
        run(command)?;
        let read = |mut output: File| {
            let mut image = Vec::new();
            output.seek(SeekFrom::Start(0))?;
            output.read_to_end(&mut image)?;
            Ok(image)
        };
        let image = read(output).map_err(context())?;
        match image.len() > 2 * SECTOR as usize {
            true => Ok(image),
            false => Err(Error::incompatible(format!("{} made only {} bytes", self.program, image.len()))),
        }
    }
}

/// Tells the first sector where the rest is, which begins at sector `start`, and the rest where it goes on.
fn link(first: &mut [u8], rest: &mut [u8], start: u64) {
    first[REST_SECTOR..REST_SECTOR + 8].copy_from_slice(&start.to_le_bytes());
    first[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&NO_OPERATIONS);
    rest[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(start + 1).to_le_bytes());
}

/// What to install for disks that start by BIOS.
pub fn how_to_get() -> String {
    let parts = Path::new(PARTS).display();
    format!("{PROGRAM} and {parts} (Debian: grub-common, grub-pc-bin; Fedora: grub2-tools, grub2-pc-modules)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_programs_find_each_other() {
        let (mut first, mut rest) = (vec![1; 512], vec![2; 2000]);
        link(&mut first, &mut rest, 2048);
        assert_eq!(first[0x5C..0x64], 2048_u64.to_le_bytes());
        assert_eq!(first[0x66..0x68], [0x90, 0x90]);
        assert_eq!(rest[0x1F4..0x1FC], 2049_u64.to_le_bytes());
        let changed = |bytes: &[u8], was| bytes.iter().filter(|b| **b != was).count();
        assert_eq!((changed(&first, 1), changed(&rest, 2)), (10, 8));
    }
}
