//! A part of a file or device as a block device of its own (loop(4)).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode};

/// `LOOP_CTL_GET_FREE` and `LOOP_CONFIGURE` of linux/loop.h.
const GET_FREE: Opcode = 0x4C82;
const CONFIGURE: Opcode = 0x4C0A;
/// Detach when the last user is gone.
const AUTOCLEAR: u32 = 4;
/// Another process may take the device that was free a moment ago.
const ATTEMPTS: u32 = 64;

/// An attached loop device. The kernel detaches it when nobody uses it any more: not this value, and no mount.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    _device: File,
}

impl LoopDevice {
    /// Attaches `length` bytes of `file`, which is open for reading and writing, from `offset` on. Both are
    /// multiples of 512.
    pub fn attach(file: &File, offset: u64, length: u64) -> io::Result<Self> {
        let open = |path: &Path| {
            rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map(File::from)
        };
        let control = open(Path::new("/dev/loop-control"))?;
        for _ in 0..ATTEMPTS {
            #[expect(unsafe_code, reason = "rustix has no wrapper for the ioctls of loop devices")]
            // SAFETY: takes no argument and returns a number.
            let number = unsafe { ioctl::ioctl(&control, GetFree) }?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open(&path)?;
            let mut config = LoopConfig {
                descriptor: file.as_raw_fd() as u32,
                block_size: 0,
                info: LoopInfo { offset, size_limit: length, flags: AUTOCLEAR, ..LoopInfo::ZERO },
                reserved: [0; 8],
            };
            #[expect(unsafe_code, reason = "rustix has no wrapper for the ioctls of loop devices")]
            // SAFETY: the structure is the one of linux/loop.h, and the kernel only reads it.
            let configured =
                unsafe { ioctl::ioctl(&device, ioctl::Updater::<CONFIGURE, LoopConfig>::new(&mut config)) };
            match configured {
                Ok(()) => return Ok(Self { path, _device: device }),
                Err(Errno::BUSY) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::BUSY.into())
    }

    /// `/dev/loopN`
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Asks for the number of a free device.
struct GetFree;

#[expect(unsafe_code, reason = "rustix has no wrapper for the ioctls of loop devices")]
// SAFETY: the opcode takes no argument, and what it returns is the number itself.
unsafe impl Ioctl for GetFree {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_FREE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut std::ffi::c_void) -> rustix::io::Result<u32> {
        Ok(out as u32)
    }
}

/// `struct loop_config`
#[repr(C)]
struct LoopConfig {
    descriptor: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `struct loop_info64`
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl LoopInfo {
    const ZERO: Self = Self {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_are_those_of_the_kernel() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
