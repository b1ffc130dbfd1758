//! The EFI system partition, written without mounting it: the kernel of a build container often has no vfat.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use super::disk::Partition;
use super::fat_dots;
use super::slice::Slice;
use crate::fsx::{self, Dir, FileType};
use crate::ops::{Error, Result};

const LABEL: [u8; 11] = *b"ESP        ";
const CHUNK: usize = 256 << 10;
/// Bytes at the start of the partition.
const WIPED: usize = 1 << 20;

/// Makes a FAT32 file system in the partition and copies a directory into it. Not synced.
pub fn write(disk: &File, partition: &Partition, volume_id: u32, content: &Dir) -> Result<()> {
    let write = || {
        let mut slice = Slice::new(disk, partition.start, partition.length);
        // What was on the disk before: formatting leaves sectors alone in which other file systems have their marks.
        slice.write_all(&vec![0; WIPED])?;
        slice.rewind()?;
        let options = fatfs::FormatVolumeOptions::new()
            .fat_type(fatfs::FatType::Fat32)
            .volume_label(LABEL)
            .volume_id(volume_id);
        fatfs::format_volume(&mut slice, options)?;
        let slice = Slice::new(disk, partition.start, partition.length);
        let volume = fatfs::FileSystem::new(slice, fatfs::FsOptions::new())?;
        copy(content, &volume.root_dir())?;
        volume.unmount()?;
        fat_dots::put_right(&mut Slice::new(disk, partition.start, partition.length))
    };
    write().map_err(Error::io("writing the EFI system partition"))
}

fn copy(from: &Dir, to: &fatfs::Dir<'_, Slice<'_>>) -> io::Result<()> {
    for fsx::Listed { name, kind, .. } in fsx::list_dir(from)? {
        let name = String::from_utf8(name).map_err(|_| io::ErrorKind::InvalidFilename)?;
        match kind {
            FileType::Directory => copy(&fsx::open_subdir(from, &name)?, &to.create_dir(&name)?)?,
            FileType::RegularFile => {
                let mut source = fsx::open_regular(from, &name)?;
                let mut target = to.create_file(&name)?;
                let mut buffer = vec![0; CHUNK];
                loop {
                    let n = source.read(&mut buffer)?;
                    if n == 0 {
                        break;
                    }
                    target.write_all(&buffer[..n])?;
                }
                target.flush()?;
            }
            _ => return Err(io::Error::other(format!("`{name}` is not a file"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::disk::Role;
    use super::*;

    #[test]
    fn a_directory_comes_out_as_it_went_in_and_nothing_around_it_changes() {
        let source = tempfile::tempdir().unwrap();
        let dir = fsx::open_dir(source.path()).unwrap();
        let deep = fsx::ensure_dir(&fsx::ensure_dir(&dir, "EFI", 0o755).unwrap(), "BOOT", 0o755).unwrap();
        let long: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        fsx::write_atomic(&deep, "BOOTX64.EFI", &long, 0o644).unwrap();
        fsx::write_atomic(&dir, "a long name with+signs.conf", b"x", 0o644).unwrap();

        let disk = tempfile::tempfile().unwrap();
        let partition = Partition { role: Role::Esp, start: 1 << 20, length: 64 << 20 };
        disk.set_len(66 << 20).unwrap();
        write(&disk, &partition, 7, &dir).unwrap();

        let slice = Slice::new(&disk, partition.start, partition.length);
        let volume = fatfs::FileSystem::new(slice, fatfs::FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), fatfs::FatType::Fat32);
        let read = |path: &str| {
            let mut bytes = Vec::new();
            volume.root_dir().open_file(path).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(read("EFI/BOOT/BOOTX64.EFI"), long);
        assert_eq!(read("a long name with+signs.conf"), b"x");
        let names: Vec<String> = volume.root_dir().iter().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["EFI", "a long name with+signs.conf"]);
        let mut edge = vec![0; 1 << 20];
        std::os::unix::fs::FileExt::read_exact_at(&disk, &mut edge, 0).unwrap();
        assert!(edge.iter().all(|b| *b == 0));
    }
}
