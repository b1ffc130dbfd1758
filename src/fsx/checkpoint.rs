//! Bringing names and files to where a boot loader finds them, which knows no journal.

use std::io;

use cap_std::fs::Dir;
use rustix::io::Errno;
use rustix::ioctl::{self, Opcode, Setter};

use super::dir::reopen;

/// `EXT4_IOC_CHECKPOINT` of ext4: `_IOW('f', 43, __u32)`.
const EXT4_CHECKPOINT: Opcode = 0x4004_662B;
/// `EXT4_SUPER_MAGIC`, `XFS_SUPER_MAGIC` of linux/magic.h.
const EXT4: u64 = 0xEF53;
const XFS: u64 = 0x5846_5342;

/// Writes everything of the file system that holds `dir` to the place where it stays, and not to a journal alone: a
/// boot loader reads ext4 without replaying its journal. When it returns, all that was done before is there for such
/// a reader as well. Others may write at the same time; nothing is frozen, so a process that is killed here leaves
/// nothing behind that must be undone.
///
/// Needs Linux 5.14 and `CAP_SYS_ADMIN` on ext4 (ext4(5), `EXT4_IOC_CHECKPOINT`). The journal of xfs cannot be emptied
/// in this way: an error.
pub fn checkpoint(dir: &Dir) -> io::Result<()> {
    let open = reopen(dir)?;
    rustix::fs::syncfs(&open)?;
    match rustix::fs::fstatfs(&open)?.f_type as u64 {
        EXT4 => {
            #[expect(unsafe_code, reason = "rustix has no wrapper for this ioctl")]
            // SAFETY: the ioctl reads flags, a u32, and no flag is set.
            let done = unsafe { ioctl::ioctl(&open, Setter::<EXT4_CHECKPOINT, u32>::new(0)) };
            match done {
                // Without a journal everything is where it stays.
                Ok(()) | Err(Errno::NODEV) => Ok(()),
                // What somebody else than root made no machine boots from.
                Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
                Err(Errno::NOTTY) => Err(io::Error::other("the journal cannot be emptied; Linux 5.14 can")),
                Err(errno) => Err(errno.into()),
            }
        }
        XFS => Err(io::Error::other("xfs keeps changes in its journal, where no boot loader sees them")),
        _ => Ok(()),
    }
}
