//! A root file system that a person mounted, and what is mounted below it.
//!
//! ```text
//! ROOT            mounted; nothing in it but lost+found, and directories for
//! ROOT/boot       a boot partition, or none
//! ROOT/boot/efi, ROOT/efi
//! ```

use std::path::{Path, PathBuf};

use crate::fsx::{self, Dir, FileType};
use crate::names::printable;
use crate::ops::{Error, Result};

/// Where boot partitions may be mounted. An EFI system partition is rather at the later ones, when there are two.
const BOOT_POINTS: [&str; 3] = ["boot", "boot/efi", "efi"];
/// More mounts than any machine has.
const MOUNTINFO_BYTES: u64 = 16 << 20;

/// A line of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The directory in its file system that is the root of the mount.
    pub root: String,
    pub point: PathBuf,
    /// The name of the file system.
    pub kind: String,
    /// The device, for those that have one.
    pub source: String,
    pub read_only: bool,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let (root, point, options) = (front.next()?, front.next()?, front.next()?);
        let mut back = back.split(' ');
        let (kind, source, super_options) = (back.next()?, back.next()?, back.next().unwrap_or(""));
        let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
        Some(Self {
            root: unescape(root),
            point: unescape(point).into(),
            kind: kind.into(),
            source: unescape(source),
            read_only: is_read_only(options) || is_read_only(super_options),
        })
    }
}

/// The file systems that the running system lives on may be mounted a second time, and would be emptied there.
fn refuse_running_system(dir: &Dir, path: &Path) -> Result<()> {
    let shown = path.display();
    let device =
        rustix::fs::fstat(dir).map_err(|e| Error::io(format!("looking at {shown}"))(e.into()))?.st_dev;
    match ["/", "/sysroot", "/var"]
        .iter()
        .find(|own| rustix::fs::stat(**own).is_ok_and(|s| s.st_dev == device))
    {
        None => Ok(()),
        Some(own) => Err(Error::invalid(format!(
            "the file system at {shown} is the one at {own}, which the running system lives on; mount another one there"
        ))),
    }
}

/// `\040` is a space: such characters are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[3..]);
            }
            None => bytes.extend_from_slice(part.as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a person prepared.
#[derive(Debug)]
pub struct Prepared {
    pub path: PathBuf,
    pub dir: Dir,
    pub mount: Mount,
    /// Boot partitions by their place below the root, in the order of [`BOOT_POINTS`].
    pub boot: Vec<(&'static str, Mount)>,
}

impl Prepared {
    /// Looks at the directory. Refuses what is no root file system that can be installed to; whether it is empty is
    /// for [`Self::strangers`] to say.
    pub fn look(path: &Path) -> Result<Self> {
        let shown = path.display();
        let dir = fsx::open_dir(path).map_err(Error::io(format!("opening {shown}")))?;
        // The name without links, as the kernel's list has it.
        let real = rustix::fs::readlink(super::fill::path_of(&dir), Vec::new())
            .map_err(|e| Error::io(format!("looking at {shown}"))(e.into()))?;
        let real = PathBuf::from(real.to_string_lossy().into_owned());
        let text = fsx::open_dir(Path::new("/proc/self"))
            .and_then(|proc| fsx::read_limited(&proc, "mountinfo", MOUNTINFO_BYTES))
            .map_err(Error::io("reading /proc/self/mountinfo"))?
            .unwrap_or_default();
        let prepared = Self::of_mounts(real, dir, &String::from_utf8_lossy(&text))?;
        refuse_running_system(&prepared.dir, path)?;
        Ok(prepared)
    }

    fn of_mounts(path: PathBuf, dir: Dir, mountinfo: &str) -> Result<Self> {
        let shown = path.display();
        // The last line of a place is what is seen there.
        let mut mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
        mounts.reverse();
        let Some(mount) = mounts.iter().find(|m| m.point == path).cloned() else {
            return Err(Error::invalid(format!(
                "{shown} is not a mount point: mount the file system there that becomes the root"
            )));
        };
        if path == Path::new("/") {
            return Err(Error::invalid("/ is the running system; mount another file system somewhere else"));
        }
        if mount.read_only {
            return Err(Error::invalid(format!("{shown} is mounted read-only")));
        }
        if mount.root != "/" && mount.kind != "btrfs" {
            return Err(Error::invalid(format!(
                "{shown} is the directory {} of its file system, mounted a second time: mount the file system itself",
                printable(mount.root.as_bytes())
            )));
        }
        let mut boot = Vec::new();
        for below in &mounts {
            let Ok(inside) = below.point.strip_prefix(&path) else { continue };
            match BOOT_POINTS.into_iter().find(|point| Path::new(point) == inside) {
                Some(point) if boot.iter().all(|(seen, _)| *seen != point) => {
                    boot.push((point, below.clone()))
                }
                Some(_) => {}
                None if inside.as_os_str().is_empty() => {}
                None => {
                    return Err(Error::invalid(format!(
                        "{} is mounted: below {shown} only boot partitions may be, at {}",
                        below.point.display(),
                        BOOT_POINTS.join(", ")
                    )));
                }
            }
        }
        boot.sort_by_key(|(point, _)| BOOT_POINTS.iter().position(|p| p == point));
        Ok(Self { path, dir, mount, boot })
    }

    fn is_mount_point(&self, inside: &str) -> bool {
        self.boot.iter().any(|(point, _)| *point == inside)
    }

    /// What is in the root file system and was not there when it was made, as paths below it.
    pub fn strangers(&self) -> Result<Vec<String>> {
        let mut strangers = Vec::new();
        self.look_below(&self.dir, "", &mut |_, _, path| {
            strangers.push(path.to_owned());
            Ok(())
        })?;
        Ok(strangers)
    }

    /// Removes all of that. Boot partitions stay as they are.
    pub fn wipe(&self) -> Result<()> {
        self.look_below(&self.dir, "", &mut |dir, name, path| {
            fsx::remove_tree(dir, name).map_err(Error::io(format!("removing {}/{path}", self.path.display())))
        })
    }

    fn look_below(
        &self,
        dir: &Dir,
        above: &str,
        found: &mut dyn FnMut(&Dir, &str, &str) -> Result<()>,
    ) -> Result<()> {
        let shown = format!("{}/{above}", self.path.display());
        for listed in fsx::list_dir(dir).map_err(Error::io(format!("listing {shown}")))? {
            let Ok(name) = String::from_utf8(listed.name) else {
                return Err(Error::invalid(format!("{shown} has a file whose name is not UTF-8; remove it")));
            };
            let path = format!("{above}{name}");
            if path == "lost+found" || self.is_mount_point(&path) {
                continue;
            }
            // `boot` of `boot/efi`: the directory itself is needed.
            let leads_to_boot = BOOT_POINTS.iter().any(|p| *p == path || p.starts_with(&format!("{path}/")));
            if leads_to_boot && listed.kind == FileType::Directory {
                let inside =
                    fsx::open_subdir(dir, &name).map_err(Error::io(format!("opening {shown}{name}")))?;
                self.look_below(&inside, &format!("{path}/"), found)?;
            } else {
                found(dir, &name, &path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(path: &Path, lines: &[String]) -> Result<Prepared, String> {
        let dir = fsx::open_dir(path).unwrap();
        Prepared::of_mounts(path.into(), dir, &lines.join("\n")).map_err(|e| e.to_string())
    }

    fn line(root: &str, point: &str, options: &str, kind: &str) -> String {
        format!("36 35 98:0 {root} {point} {options} master:1 shared:2 - {kind} /dev/x rw,errors=continue")
    }

    #[test]
    fn a_line_is_read_as_the_kernel_writes_it() {
        let mount =
            Mount::parse(r"36 35 98:0 /mnt\0401 /a\134b ro,noatime master:1 - ext3 /dev/x\040y rw").unwrap();
        assert_eq!((mount.root.as_str(), mount.point.to_str().unwrap()), ("/mnt 1", r"/a\b"));
        assert_eq!((mount.kind.as_str(), mount.source.as_str(), mount.read_only), ("ext3", "/dev/x y", true));
        assert!(Mount::parse(&line("/", "/a", "rw", "ext4")).is_some_and(|m| !m.read_only));
        assert_eq!(Mount::parse("36 35 98:0 / /a"), None);
    }

    #[test]
    fn what_is_no_root_file_system_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path().to_str().unwrap();
        for (lines, expected) in [
            (vec![], "is not a mount point"),
            (vec![line("/", at, "ro", "ext4")], "is mounted read-only"),
            (vec![line("/home", at, "rw", "ext4")], "is the directory /home of its file system"),
            (
                vec![line("/", at, "rw", "ext4"), line("/", &format!("{at}/var"), "rw", "ext4")],
                "/var is mounted: below",
            ),
        ] {
            let error = look(temp.path(), &lines).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(look(temp.path(), &[line("/@", at, "rw", "btrfs")]).is_ok());
        assert!(
            look(Path::new("/"), &[line("/", "/", "rw", "ext4")]).unwrap_err().contains("running system")
        );
    }

    #[test]
    fn only_what_a_new_file_system_has_and_boot_partitions_may_be_there() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path().to_str().unwrap();
        let dir = fsx::open_dir(temp.path()).unwrap();
        let make = |path: &str| {
            let mut at = dir.try_clone().unwrap();
            for part in path.split('/') {
                at = fsx::ensure_dir(&at, part, 0o755).unwrap();
            }
        };
        ["lost+found/x", "boot/efi/EFI", "efi"].iter().copied().for_each(make);
        let lines = [line("/", at, "rw", "ext4"), line("/", &format!("{at}/boot/efi"), "rw", "vfat")];
        let prepared = look(temp.path(), &lines).unwrap();
        assert_eq!(prepared.boot.iter().map(|(point, _)| *point).collect::<Vec<_>>(), ["boot/efi"]);
        assert_eq!(prepared.strangers().unwrap(), [""; 0]);
        ["boot/grub/x", "etc", "efi/EFI"].iter().copied().for_each(make);
        fsx::write_atomic(&dir, "file", b"", 0o644).unwrap();
        assert_eq!(prepared.strangers().unwrap(), ["boot/grub", "efi/EFI", "etc", "file"]);
        prepared.wipe().unwrap();
        assert_eq!(prepared.strangers().unwrap(), [""; 0]);
        assert!(temp.path().join("boot/efi/EFI").exists() && temp.path().join("lost+found/x").exists());
    }
}
