//! What is installed to: a raw image in a regular file, or a disk.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::table;
use crate::ops::{Error, Result};

/// An open disk that nobody else uses.
#[derive(Debug)]
pub struct Target {
    pub file: File,
    /// Bytes.
    pub size: u64,
}

/// Whether what is on the disk may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wipe {
    #[default]
    Refuse,
    Allow,
}

impl Target {
    /// Opens a block device, or makes or opens a regular file and gives it `size` bytes. Refuses a device that is
    /// mounted or otherwise held, and anything that is not empty unless it may be wiped. Changes nothing but the
    /// size of a new file.
    pub fn open(path: &Path, size: Option<u64>, wipe: Wipe) -> Result<Self> {
        let shown = path.display();
        let target = match rustix::fs::stat(path).map(|s| FileType::from_raw_mode(s.st_mode)) {
            Ok(FileType::BlockDevice) => Self::device(path, size)?,
            Ok(FileType::RegularFile) | Err(Errno::NOENT) => Self::image(path, size)?,
            Ok(_) => return Err(Error::invalid(format!("{shown} is neither a block device nor a file"))),
            Err(errno) => return Err(Error::io(format!("looking at {shown}"))(errno.into())),
        };
        if wipe == Wipe::Refuse && table::is_in_use(&target.file, target.size)? {
            return Err(Error::invalid(format!(
                "{shown} is not empty; `--wipe` installs over what is there, which is lost then"
            )));
        }
        Ok(target)
    }

    fn device(path: &Path, size: Option<u64>) -> Result<Self> {
        let shown = path.display();
        if size.is_some() {
            return Err(Error::invalid(format!(
                "`--size` is for files; {shown} is a device with its own size"
            )));
        }
        // O_EXCL on a block device: EBUSY when it or one of its partitions is mounted or held (open(2)).
        let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::BUSY) => {
                return Err(Error::invalid(format!("{shown} is in use: unmount what is on it first")));
            }
            Err(errno) => return Err(Error::io(format!("opening {shown}"))(errno.into())),
        };
        let size = file.seek(SeekFrom::End(0)).map_err(Error::io(format!("measuring {shown}")))?;
        Ok(Self { file, size })
    }

    fn image(path: &Path, size: Option<u64>) -> Result<Self> {
        let shown = path.display();
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)).map(File::from);
        let known = rustix::fs::stat(path).map(|s| s.st_size as u64).unwrap_or(0);
        let size = size.or((known > 0).then_some(known)).ok_or_else(|| {
            Error::invalid(format!(
                "{shown} is no device: `--size`, for example `--size 8G`, says how large the image becomes"
            ))
        })?;
        let file = open().map_err(|e| Error::io(format!("opening {shown}"))(e.into()))?;
        if known < size {
            file.set_len(size).map_err(Error::io(format!("giving {shown} {size} bytes")))?;
        }
        Ok(Self { file, size: size.max(known) })
    }
}

impl Target {
    /// Tells the kernel that the partitions changed (BLKRRPART). Who has the disk open may keep it from looking: then
    /// it sees them at the next boot.
    pub fn announce(&self) {
        /// `_IO(0x12, 95)` of linux/fs.h.
        const REREAD: rustix::ioctl::Opcode = 0x125F;
        #[expect(unsafe_code, reason = "rustix has no wrapper for this ioctl")]
        // SAFETY: the ioctl takes no argument.
        let _ = unsafe { rustix::ioctl::ioctl(&self.file, rustix::ioctl::NoArg::<REREAD>::new()) };
    }
}
