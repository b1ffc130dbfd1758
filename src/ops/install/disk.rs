//! Where the partitions of a disk go; pure.

use uuid::{Uuid, uuid};

use crate::ops::{Error, Result};

/// Partitions start on multiples of this many bytes.
pub const ALIGNMENT: u64 = 1 << 20;
/// A sector, as the partition table counts them.
pub const SECTOR: u64 = 512;
/// Less is no home for an operating system.
const SMALLEST_ROOT: u64 = 256 << 20;

/// What a partition is for. The types are those of the Discoverable Partitions Specification (UAPI.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Where GRUB's core image is when a BIOS starts it.
    BiosBoot,
    /// The EFI system partition.
    Esp,
    /// `$BOOT`, when it is neither the ESP nor on the root file system.
    XbootLdr,
    /// The `/var` that outlives every deployment.
    Var,
    Root,
}

impl Role {
    /// The partition type; that of the root file system names the architecture.
    pub fn partition_type(self, architecture: Architecture) -> Uuid {
        match (self, architecture) {
            (Role::BiosBoot, _) => uuid!("21686148-6449-6e6f-744e-656564454649"),
            (Role::Esp, _) => uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
            (Role::XbootLdr, _) => uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172"),
            (Role::Var, _) => uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d"),
            (Role::Root, Architecture::X86_64) => uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
            (Role::Root, Architecture::Aarch64) => uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae"),
            (Role::Root, Architecture::Riscv64) => uuid!("72ec70a6-cf74-40e6-bd49-4bda08e8f224"),
        }
    }

    /// The partition's name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Role::BiosBoot => "BIOS boot",
            Role::Esp => "EFI system",
            Role::XbootLdr => "boot",
            Role::Var => "var",
            Role::Root => "root",
        }
    }
}

/// Processors that can be installed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    X86_64,
    Aarch64,
    Riscv64,
}

impl Architecture {
    /// From the name that images use (GOARCH).
    pub fn of_image(architecture: &str) -> Result<Self> {
        match architecture {
            "amd64" => Ok(Self::X86_64),
            "arm64" => Ok(Self::Aarch64),
            "riscv64" => Ok(Self::Riscv64),
            other => Err(Error::incompatible(format!("installing for {other} is not supported"))),
        }
    }
}

/// A partition by its place, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    pub role: Role,
    pub start: u64,
    pub length: u64,
}

/// Lays out a disk of `size` bytes: the partitions in `others` with their lengths, in order, then the root file
/// system to the end.
pub fn lay_out(size: u64, others: &[(Role, u64)]) -> Result<Vec<Partition>> {
    let mut partitions = Vec::new();
    let mut start = ALIGNMENT;
    for (role, length) in others {
        let length = length.next_multiple_of(ALIGNMENT);
        partitions.push(Partition { role: *role, start, length });
        start += length;
    }
    // The backup of the table takes the last 33 sectors; with alignment that is the last MiB.
    let end = size.saturating_sub(ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    let smallest = start + SMALLEST_ROOT + ALIGNMENT;
    if end < start + SMALLEST_ROOT {
        return Err(Error::incompatible(format!(
            "the disk has {size} bytes; the partitions need at least {smallest}"
        )));
    }
    partitions.push(Partition { role: Role::Root, start, length: end - start });
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_aligned_ordered_and_leave_room_for_both_tables() {
        let all = [(Role::BiosBoot, 1 << 20), (Role::Esp, 128 << 20), (Role::XbootLdr, (512 << 20) - 5)];
        for size in [2_u64 << 30, (4 << 30) + 511, 3_000_000_000] {
            for others in [&all[..], &all[1..], &all[..1], &[]] {
                let partitions = lay_out(size, others).unwrap();
                let mut end = ALIGNMENT;
                for partition in &partitions {
                    assert_eq!(partition.start, end);
                    assert_eq!((partition.start % ALIGNMENT, partition.length % ALIGNMENT), (0, 0));
                    end += partition.length;
                }
                assert!(end + 33 * SECTOR <= size && end + 2 * ALIGNMENT > size, "{size} {end}");
                assert_eq!(partitions.last().unwrap().role, Role::Root);
                assert_eq!(partitions.len(), 1 + others.len());
            }
        }
    }

    #[test]
    fn a_disk_that_is_too_small_is_refused_with_numbers() {
        let others = [(Role::BiosBoot, 1 << 20), (Role::Esp, 512 << 20)];
        let error = lay_out(512 << 20, &others).unwrap_err().to_string();
        assert_eq!(error, "the disk has 536870912 bytes; the partitions need at least 808452096");
        assert!(lay_out(0, &[]).is_err());
        assert!(lay_out(808_452_096, &others).is_ok());
    }
}
