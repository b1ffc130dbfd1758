//! Kernels with their initramfs: `$BOOT/reroot/<digest>/{vmlinuz,initrd}`, shared by all deployments that have both
//! byte for byte.
//!
//! A pair is written under a name that begins with `.tmp-`, synced, read back, and then renamed, so that a
//! directory with the name of a digest is whole. One that is removed is renamed to `.del-` first. Both are swept.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::str::FromStr;

use rustix::fs::{Advice, FileType, Mode, OFlags};

use super::{Error, Result};
use crate::fsx::{self, Dir};
use crate::names::{NameError, printable};

const PAIRS: &str = "reroot";
const VMLINUZ: &str = "vmlinuz";
const INITRD: &str = "initrd";
const SCRATCH: &str = ".tmp-";
const DOOMED: &str = ".del-";
/// The largest cluster of FAT: every file and directory takes a multiple of it at worst.
const CLUSTER_BYTES: u64 = 64 << 10;
const BUFFER_BYTES: usize = 256 << 10;

/// The identity of a pair: the first 128 bits of blake3 over (length of the kernel as u64 LE, the kernel, length of
/// the initramfs as u64 LE, the initramfs). 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootDigest([u8; 16]);

impl fmt::Display for BootDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for BootDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BootDigest {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let error = || NameError {
            kind: "digest of a kernel",
            name: printable(text.chars().take(80).collect::<String>().as_bytes()),
            reason: "it is not 32 lower-case hexadecimal digits",
        };
        let mut bytes = [0; 16];
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(error());
        }
        hex::decode_to_slice(text, &mut bytes).map_err(|_| error())?;
        Ok(Self(bytes))
    }
}

impl BootDigest {
    /// The kernel's path from the root of the partition, or from the directory that is `$BOOT`.
    pub fn linux_path(self) -> String {
        format!("/{PAIRS}/{self}/{VMLINUZ}")
    }

    /// The same for the initramfs.
    pub fn initrd_path(self) -> String {
        format!("/{PAIRS}/{self}/{INITRD}")
    }

    /// The pair that an entry's path leads into; `None` for other paths.
    pub fn of_path(path: &str) -> Option<Self> {
        let mut components = path.trim_start_matches('/').split('/');
        (components.next() == Some(PAIRS)).then_some(())?;
        let digest = components.next()?.parse().ok()?;
        matches!(components.next(), Some(VMLINUZ | INITRD))
            .then_some(digest)
            .filter(|_| components.next().is_none())
    }
}

/// A pair by its identity and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    pub digest: BootDigest,
    pub vmlinuz_bytes: u64,
    pub initrd_bytes: u64,
}

impl Pair {
    /// What it takes on `$BOOT` at most, with what FAT rounds up.
    pub fn needed_bytes(&self) -> u64 {
        let rounded = |bytes: u64| bytes.div_ceil(CLUSTER_BYTES).saturating_mul(CLUSTER_BYTES);
        rounded(self.vmlinuz_bytes).saturating_add(rounded(self.initrd_bytes)).saturating_add(CLUSTER_BYTES)
    }
}

/// The two files of a pair where they come from, open for reading.
#[derive(Debug)]
pub struct PairSource {
    pub vmlinuz: File,
    pub initrd: File,
}

impl PairSource {
    /// Reads both files from the start and says what they are. Both must be regular files that are not empty.
    pub fn identify(&self) -> io::Result<Pair> {
        self.copy_to(&mut io::sink(), &mut io::sink())
    }

    fn copy_to(&self, vmlinuz: &mut dyn Write, initrd: &mut dyn Write) -> io::Result<Pair> {
        let mut hasher = blake3::Hasher::new();
        let vmlinuz_bytes = copy_hashed(&self.vmlinuz, vmlinuz, &mut hasher)?;
        let initrd_bytes = copy_hashed(&self.initrd, initrd, &mut hasher)?;
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Ok(Pair { digest: BootDigest(digest), vmlinuz_bytes, initrd_bytes })
    }
}

fn copy_hashed(mut from: &File, to: &mut dyn Write, hasher: &mut blake3::Hasher) -> io::Result<u64> {
    let length = regular_size(from)?;
    hasher.update(&length.to_le_bytes());
    from.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = length;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        let read = from.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        left -= read as u64;
    }
    Ok(length)
}

fn regular_size(file: &File) -> io::Result<u64> {
    let stat = rustix::fs::fstat(file)?;
    let invalid = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    match (FileType::from_raw_mode(stat.st_mode), stat.st_size) {
        (FileType::RegularFile, 0) => invalid("the file is empty"),
        (FileType::RegularFile, size) => Ok(size as u64),
        _ => invalid("not a regular file"),
    }
}

/// What was done for a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    Written,
    WasThere,
}

/// Makes sure that a pair is on `$BOOT`: durable when it returns, and under its name only when it is whole. One that
/// is there is taken by its sizes; one of other sizes is replaced. The source must be the pair.
pub fn ensure_pair(boot: &Dir, pair: &Pair, source: &PairSource) -> Result<Ensured> {
    let shown = shown(pair.digest);
    let context = || Error::io(format!("writing {shown}"));
    let pairs = fsx::ensure_dir(boot, PAIRS, 0o700).map_err(context())?;
    fsx::sync_dir(boot).map_err(context())?;
    let name = pair.digest.to_string();
    if read_pair(&pairs, pair.digest).map_err(Error::io(format!("reading {shown}")))?.as_ref() == Some(pair) {
        return Ok(Ensured::WasThere);
    }
    let scratch = format!("{SCRATCH}{name}");
    let write = || {
        fsx::remove_tree(&pairs, &scratch)?;
        let dir = fsx::ensure_dir(&pairs, &scratch, 0o700)?;
        let (mut vmlinuz, mut initrd) = (create(&dir, VMLINUZ)?, create(&dir, INITRD)?);
        let copied = source.copy_to(&mut vmlinuz, &mut initrd)?;
        for file in [&vmlinuz, &initrd] {
            file.sync_all()?;
            // What is read below then comes from the disk. A hint only: the comparison holds without it.
            let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
        }
        fsx::sync_dir(&dir)?;
        Ok((copied, PairSource { vmlinuz, initrd }.identify()?))
    };
    let (copied, written) = write().map_err(|error| {
        // The disk may be full of it. What cannot be removed now is swept by the next command.
        let _ = fsx::remove_tree(&pairs, &scratch);
        context()(error)
    })?;
    if copied != *pair {
        return Err(Error::Corrupt {
            object: format!("the source of {shown}"),
            reason: format!("it is {}", copied.digest),
        });
    }
    if written != *pair {
        return Err(Error::Corrupt {
            object: shown,
            reason: "it does not read back as it was written".into(),
        });
    }
    let publish = || {
        doom(&pairs, &name)?;
        fsx::rename(&pairs, &scratch, &pairs, &name)?;
        fsx::sync_dir(&pairs)
    };
    publish().map_err(context())?;
    Ok(Ensured::Written)
}

/// Reads a whole pair and compares it with its digest. `false` when it is not there.
pub fn verify_pair(boot: &Dir, digest: BootDigest) -> Result<bool> {
    let shown = shown(digest);
    let context = || Error::io(format!("reading {shown}"));
    let Some(pairs) = fsx::subdir_optional(boot, PAIRS).map_err(context())? else { return Ok(false) };
    let Some(dir) = fsx::subdir_optional(&pairs, &digest.to_string()).map_err(context())? else {
        return Ok(false);
    };
    let identify = || PairSource { vmlinuz: open(&dir, VMLINUZ)?, initrd: open(&dir, INITRD)? }.identify();
    match identify() {
        Ok(found) if found.digest == digest => Ok(true),
        Ok(found) => Err(Error::Corrupt {
            object: shown,
            reason: format!("its content has the digest {}", found.digest),
        }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Err(Error::Corrupt { object: shown, reason: error.to_string() })
        }
        Err(error) => Err(context()(error)),
    }
}

/// The pairs on `$BOOT` that have both files, by their names; contents are not read.
pub fn pairs(boot: &Dir) -> Result<Vec<Pair>> {
    let mut found = Vec::new();
    for_each_name(boot, |pairs, name| {
        if let Ok(digest) = name.parse::<BootDigest>() {
            found.extend(read_pair(pairs, digest)?);
        }
        Ok(())
    })
    .map_err(Error::io(format!("listing {PAIRS}")))?;
    Ok(found)
}

/// Removes the pairs that are not in `keep`, whole or not, and what interrupted commands left. Names that are not
/// ours stay. Returns what was removed; what a power cut brings back, the next sweep removes.
pub fn sweep(boot: &Dir, keep: &BTreeSet<BootDigest>) -> Result<Vec<BootDigest>> {
    let mut removed = Vec::new();
    for_each_name(boot, |pairs, name| {
        match name.parse() {
            Ok(digest) if keep.contains(&digest) => {}
            Ok(digest) => {
                doom(pairs, name)?;
                removed.push(digest);
            }
            Err(_) if name.starts_with(SCRATCH) || name.starts_with(DOOMED) => fsx::remove_tree(pairs, name)?,
            Err(_) => {}
        }
        Ok(())
    })
    .map_err(Error::io(format!("sweeping {PAIRS}")))?;
    Ok(removed)
}

/// Removes what interrupted commands left, and nothing else.
pub fn sweep_scratch(boot: &Dir) -> Result<()> {
    for_each_name(boot, |pairs, name| match name.starts_with(SCRATCH) || name.starts_with(DOOMED) {
        true => fsx::remove_tree(pairs, name),
        false => Ok(()),
    })
    .map_err(Error::io(format!("sweeping {PAIRS}")))
}

/// Calls `act` for every name in the directory of pairs.
fn for_each_name(boot: &Dir, mut act: impl FnMut(&Dir, &str) -> io::Result<()>) -> io::Result<()> {
    let Some(pairs) = fsx::subdir_optional(boot, PAIRS)? else { return Ok(()) };
    for fsx::Listed { name, .. } in fsx::list_dir(&pairs)? {
        if let Ok(name) = str::from_utf8(&name) {
            act(&pairs, name)?;
        }
    }
    Ok(())
}

/// Removes a pair, under another name first: a directory with the name of a digest is never half a pair.
fn doom(pairs: &Dir, name: &str) -> io::Result<()> {
    let doomed = format!("{DOOMED}{name}");
    fsx::remove_tree(pairs, &doomed)?;
    match fsx::rename(pairs, name, pairs, &doomed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    fsx::sync_dir(pairs)?;
    fsx::remove_tree(pairs, &doomed)
}

/// The pair in a directory when both files are there; links and empty files are no files of a pair.
fn read_pair(pairs: &Dir, digest: BootDigest) -> io::Result<Option<Pair>> {
    let dir = match fsx::subdir_optional(pairs, &digest.to_string()) {
        Ok(Some(dir)) => dir,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = |name| match open(&dir, name).and_then(|file| regular_size(&file)) {
        Ok(size) => Ok(Some(size)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(None)
        }
        Err(error) => Err(error),
    };
    Ok(match (size(VMLINUZ)?, size(INITRD)?) {
        (Some(vmlinuz_bytes), Some(initrd_bytes)) => Some(Pair { digest, vmlinuz_bytes, initrd_bytes }),
        _ => None,
    })
}

fn open(dir: &Dir, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?.into())
}

/// Only root may read: an initramfs can hold keys.
fn create(dir: &Dir, name: &str) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn shown(digest: BootDigest) -> String {
    format!("kernel {PAIRS}/{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_tells_the_two_files_apart() {
        let source = |vmlinuz: &[u8], initrd: &[u8]| {
            let file = |bytes: &[u8]| {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(bytes).unwrap();
                file
            };
            PairSource { vmlinuz: file(vmlinuz), initrd: file(initrd) }.identify().unwrap()
        };
        let pair = source(b"kernel", b"initramfs");
        let mut hasher = blake3::Hasher::new();
        for part in [&6_u64.to_le_bytes()[..], b"kernel", &9_u64.to_le_bytes(), b"initramfs"] {
            hasher.update(part);
        }
        assert_eq!(pair.digest.to_string(), hasher.finalize().to_hex()[..32]);
        assert_eq!((pair.vmlinuz_bytes, pair.initrd_bytes), (6, 9));
        assert_ne!(source(b"kernelinit", b"ramfs").digest, pair.digest);
        assert_ne!(source(b"initramfs", b"kernel").digest, pair.digest);
    }

    #[test]
    fn paths_lead_to_their_pair_and_back() {
        let digest: BootDigest = "3f9c2a7d15b04e68a1c7d90e5b8f4a62".parse().unwrap();
        assert_eq!(BootDigest::of_path(&digest.linux_path()), Some(digest));
        assert_eq!(BootDigest::of_path(&digest.initrd_path()[1..]), Some(digest));
        for other in [
            "/reroot/x/vmlinuz",
            "/vmlinuz",
            "/reroot",
            "/a/3f9c2a7d15b04e68a1c7d90e5b8f4a62/initrd",
            "/reroot/3f9c2a7d15b04e68a1c7d90e5b8f4a62",
            "/reroot/3f9c2a7d15b04e68a1c7d90e5b8f4a62/initrd/x",
        ] {
            assert_eq!(BootDigest::of_path(other), None, "{other}");
        }
        for bad in ["", "3f", "3F9C2A7D15B04E68A1C7D90E5B8F4A62", "../2a7d15b04e68a1c7d90e5b8f4a62"] {
            assert!(bad.parse::<BootDigest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_file_is_rounded_up() {
        let digest = BootDigest([0; 16]);
        let needed =
            |vmlinuz_bytes, initrd_bytes| Pair { digest, vmlinuz_bytes, initrd_bytes }.needed_bytes();
        assert_eq!(needed(1, 1), 3 * CLUSTER_BYTES);
        assert_eq!(needed(CLUSTER_BYTES, CLUSTER_BYTES + 1), 4 * CLUSTER_BYTES);
        assert_eq!(needed(u64::MAX, 1), u64::MAX);
    }
}
