//! The entries `.` and `..` of directories, as FAT wants them: the first two of their directory, without long names
//! ("Microsoft Extensible Firmware Initiative FAT32 File System Specification", 1.03, "FAT Directory Structure").
//!
//! The crate fatfs (0.3) gives them long names, and `..` of a directory in the root a cluster. Firmware and Linux read
//! that; fsck.vfat, which systemd runs at boot, takes it for damage and renames both, and then Linux makes the file
//! system read-only.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::slice::Slice;

/// Of a directory entry, in bytes.
const ENTRY: usize = 32;
const ATTRIBUTES: usize = 11;
const LONG_NAME: u8 = 0x0F;
const DIRECTORY: u8 = 0x10;
const DELETED: u8 = 0xE5;
const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";

/// Where things are in a FAT32 file system, in bytes.
struct Volume<'s, 'f> {
    slice: &'s mut Slice<'f>,
    table: u64,
    data: u64,
    cluster: usize,
    root: u32,
}

/// Puts them right in every directory of a FAT32 file system that fatfs has written. Not synced.
pub fn put_right(slice: &mut Slice<'_>) -> io::Result<()> {
    let mut boot = [0; 512];
    slice.seek(SeekFrom::Start(0))?;
    slice.read_exact(&mut boot)?;
    let sector = u64::from(u16_at(&boot, 11));
    let table = u64::from(u16_at(&boot, 14)) * sector;
    let mut volume = Volume {
        table,
        data: table + u64::from(boot[16]) * u64::from(u32_at(&boot, 36)) * sector,
        cluster: usize::from(boot[13]) * usize::from(u16_at(&boot, 11)),
        root: u32_at(&boot, 44),
        slice,
    };
    let mut todo = volume.subdirectories(volume.root)?;
    while let Some((parent, directory)) = todo.pop() {
        volume.put_right(parent, directory)?;
        todo.extend(volume.subdirectories(directory)?);
    }
    Ok(())
}

impl Volume<'_, '_> {
    fn at(&self, cluster: u32) -> u64 {
        self.data + u64::from(cluster.saturating_sub(2)) * self.cluster as u64
    }

    fn read(&mut self, cluster: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.cluster];
        self.slice.seek(SeekFrom::Start(self.at(cluster)))?;
        self.slice.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The first clusters of the directories in a directory, each with that of the latter.
    fn subdirectories(&mut self, directory: u32) -> io::Result<Vec<(u32, u32)>> {
        let (mut found, mut cluster) = (Vec::new(), directory);
        while (2..0x0FFF_FFF7).contains(&cluster) {
            for entry in self.read(cluster)?.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0) {
                let is_directory = entry[ATTRIBUTES] != LONG_NAME && entry[ATTRIBUTES] & DIRECTORY != 0;
                if is_directory && ![DELETED, b'.'].contains(&entry[0]) {
                    let first = u32::from(u16_at(entry, 20)) << 16 | u32::from(u16_at(entry, 26));
                    found.push((directory, first));
                }
            }
            let mut next = [0; 4];
            self.slice.seek(SeekFrom::Start(self.table + 4 * u64::from(cluster)))?;
            self.slice.read_exact(&mut next)?;
            cluster = u32_at(&next, 0) & 0x0FFF_FFFF;
        }
        Ok(found)
    }

    fn put_right(&mut self, parent: u32, directory: u32) -> io::Result<()> {
        let mut bytes = self.read(directory)?;
        let (head, _) = bytes.split_at_mut(4 * ENTRY);
        let is = |n: usize, name: &[u8; 11]| head[n * ENTRY..].starts_with(name);
        if is(0, DOT) && is(1, DOT_DOT) {
            return Ok(());
        }
        if !is(1, DOT) || !is(3, DOT_DOT) {
            return Err(io::Error::other(
                "a directory of the FAT file system does not begin with `.` and `..`",
            ));
        }
        head.copy_within(ENTRY..2 * ENTRY, 0);
        head.copy_within(3 * ENTRY..4 * ENTRY, ENTRY);
        if parent == self.root {
            // The root directory is written as cluster 0.
            for place in [20, 26] {
                head[ENTRY + place..][..2].fill(0);
            }
        }
        head[2 * ENTRY] = DELETED;
        head[3 * ENTRY] = DELETED;
        self.slice.seek(SeekFrom::Start(self.at(directory)))?;
        self.slice.write_all(&bytes[..4 * ENTRY])
    }
}

fn u16_at(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([bytes[place], bytes[place + 1]])
}

fn u32_at(bytes: &[u8], place: usize) -> u32 {
    u32::from(u16_at(bytes, place)) | u32::from(u16_at(bytes, place + 2)) << 16
}
