//! The UUID of a file system, read from where it keeps it: no udev, no program of somebody else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use crate::fsx;

/// What `UUID=` of a kernel argument or of fstab(5) names the file system of this kind on `device` by; `None` when it
/// has none or is not known.
pub fn uuid_of(device: &Path, kind: &str) -> Option<String> {
    // A file system without a device has a word there.
    let file = device.is_absolute().then(|| fsx::open_file(device).ok()).flatten()?;
    read(&file, kind)
}

fn read(file: &File, kind: &str) -> Option<String> {
    let bytes = |offset: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).ok().map(|()| bytes)
    };
    let long = |magic_at: u64, magic: &[u8], at: u64| {
        let uuid = (bytes(magic_at, magic.len())? == magic).then(|| bytes(at, 16)).flatten()?;
        Some(Uuid::from_slice(&uuid).ok()?.to_string())
    };
    match kind {
        "ext2" | "ext3" | "ext4" => long(0x438, &[0x53, 0xEF], 0x468),
        "xfs" => long(0, b"XFSB", 32),
        "btrfs" => long(0x1_0040, b"_BHRfS_M", 0x1_0020),
        "vfat" => {
            let at = if bytes(0x52, 8)? == b"FAT32   " { 0x43 } else { 0x27 };
            let id = u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?);
            Some(format!("{:04X}-{:04X}", id >> 16, id & 0xFFFF))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_place() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let uuid = Uuid::new_v4();
        for (kind, magic_at, magic, at) in [
            ("ext4", 0x438, &[0x53, 0xEF][..], 0x468),
            ("xfs", 0, b"XFSB", 32),
            ("btrfs", 0x1_0040, b"_BHRfS_M", 0x1_0020),
        ] {
            assert_eq!(read(&file, kind), None, "{kind}");
            file.write_all_at(magic, magic_at).unwrap();
            file.write_all_at(uuid.as_bytes(), at).unwrap();
            assert_eq!(read(&file, kind), Some(uuid.to_string()), "{kind}");
        }
        file.write_all_at(b"FAT32   ", 0x52).unwrap();
        file.write_all_at(&[0x78, 0x56, 0x34, 0x12], 0x43).unwrap();
        assert_eq!(read(&file, "vfat").as_deref(), Some("1234-5678"));
        assert_eq!(read(&file, "tmpfs"), None);
    }
}
