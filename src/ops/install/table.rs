//! The partition table: the last thing that an installation writes, because it makes the disk one that boots.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use gptman::{GPT, GPTPartitionEntry};
use uuid::Uuid;

use super::disk::{ALIGNMENT, Architecture, Partition, Role, SECTOR};
use super::slice::Slice;
use crate::ops::{Error, Result};

/// "The file system grows to the size of its partition" (Discoverable Partitions Specification, flag 59).
const GROW: u64 = 1 << 59;

/// What finds a partition again.
#[derive(Debug, Clone, Copy)]
pub struct Numbered {
    pub partition: Partition,
    pub uuid: Uuid,
}

/// Makes sure that nothing finds a table or a file system on the disk: its first and last MiB are zeroed. Durable.
pub fn wipe(disk: &File, size: u64) -> Result<()> {
    let zeros = vec![0; ALIGNMENT as usize];
    let wipe = || {
        disk.write_all_at(&zeros, 0)?;
        disk.write_all_at(&zeros, size.saturating_sub(ALIGNMENT))?;
        disk.sync_all()
    };
    wipe().map_err(Error::io("wiping the disk's partition table"))
}

/// True when the disk has a partition table or a file system that starts at its beginning.
pub fn is_in_use(disk: &File, size: u64) -> Result<bool> {
    let mut start = vec![0; ALIGNMENT.min(size) as usize];
    disk.read_exact_at(&mut start, 0).map_err(Error::io("reading the start of the disk"))?;
    Ok(start.iter().any(|b| *b != 0))
}

/// Writes a GUID partition table (UEFI specification, 5.3) and the protective MBR in front of it. Durable.
pub fn write(
    disk: &File,
    size: u64,
    disk_uuid: Uuid,
    partitions: &[Numbered],
    architecture: Architecture,
) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut whole = Slice::new(disk, 0, size);
        let other = |e: gptman::Error| io::Error::other(e.to_string());
        let mut table = GPT::new_from(&mut whole, SECTOR, disk_uuid.to_bytes_le()).map_err(other)?;
        for (number, Numbered { partition, uuid }) in (1..).zip(partitions) {
            table[number] = GPTPartitionEntry {
                partition_type_guid: partition.role.partition_type(architecture).to_bytes_le(),
                unique_partition_guid: uuid.to_bytes_le(),
                starting_lba: partition.start / SECTOR,
                ending_lba: (partition.start + partition.length) / SECTOR - 1,
                attribute_bits: if partition.role == Role::Root { GROW } else { 0 },
                partition_name: partition.role.name().into(),
            };
        }
        // The backup and the protective MBR first: the primary header is what makes it a table.
        GPT::write_protective_mbr_into(&mut whole, SECTOR).map_err(other)?;
        table.write_into(&mut whole).map_err(other)?;
        disk.sync_all()
    };
    write().map_err(Error::io("writing the partition table"))
}

#[cfg(test)]
mod tests {
    use super::super::disk::lay_out;
    use super::*;

    #[test]
    fn a_table_reads_back() {
        let file = tempfile::tempfile().unwrap();
        let size = 2 << 30;
        file.set_len(size).unwrap();
        assert!(!is_in_use(&file, size).unwrap());
        let others = [(Role::BiosBoot, 1 << 20), (Role::Esp, 64 << 20), (Role::XbootLdr, 64 << 20)];
        let partitions: Vec<Numbered> = lay_out(size, &others)
            .unwrap()
            .into_iter()
            .map(|partition| Numbered { partition, uuid: Uuid::new_v4() })
            .collect();
        let disk_uuid = Uuid::new_v4();
        write(&file, size, disk_uuid, &partitions, Architecture::X86_64).unwrap();
        let table = GPT::read_from(&mut Slice::new(&file, 0, size), SECTOR).unwrap();
        assert_eq!(table.header.disk_guid, disk_uuid.to_bytes_le());
        for (number, numbered) in (1..).zip(&partitions) {
            assert_eq!(table[number].starting_lba * SECTOR, numbered.partition.start);
            assert_eq!(table[number].size().unwrap() * SECTOR, numbered.partition.length);
            assert_eq!(table[number].unique_partition_guid, numbered.uuid.to_bytes_le());
        }
        assert!(is_in_use(&file, size).unwrap());
        wipe(&file, size).unwrap();
        assert!(!is_in_use(&file, size).unwrap());
        assert!(GPT::find_from(&mut Slice::new(&file, 0, size)).is_err());
    }
}
