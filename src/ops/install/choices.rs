//! What the command line and the image's files together ask for: the command line wins.

use super::configuration::{Configuration, Sourced};
use super::{Filesystem, InstallOptions};
use crate::boot::cmdline::{KernelArg, KernelArgs};
use crate::names::StaterootName;
use crate::ops::{Bootloader, Error, Result};
use crate::sysroot::KernelArgument;

/// The one way to lay out a disk that there is.
pub const DIRECT: &str = "direct";

/// Checked, with defaults.
#[derive(Debug, Clone)]
pub struct Choices {
    /// `None`: what the file system is that a person made.
    pub filesystem: Filesystem,
    pub bootloader: Bootloader,
    pub stateroot: Option<StaterootName>,
    /// Of the files, then of the command line. `root=` and what belongs to it stands before them.
    pub kernel_arguments: Vec<KernelArgument>,
    pub root_mount_spec: Option<String>,
    pub boot_mount_spec: Option<String>,
}

impl Choices {
    pub fn new(options: &InstallOptions, files: &Configuration) -> Result<Self> {
        let mut kernel_arguments = Vec::new();
        for Sourced { value, file } in &files.kernel_arguments {
            let arguments: KernelArgs = value.parse().map_err(|e| wrong(file, "kargs", e))?;
            for argument in arguments.iter() {
                kernel_arguments.push(argument.as_str().parse().map_err(|e| wrong(file, "kargs", e))?);
            }
        }
        for argument in &options.kernel_arguments {
            // What no boot entry can hold is found out before anything is written.
            argument.as_str().parse::<KernelArg>().map_err(|e| Error::invalid(e.to_string()))?;
            kernel_arguments.push(argument.clone());
        }
        let text = |sourced: &Option<Sourced<String>>| sourced.as_ref().map(|s| s.value.clone());
        Ok(Self {
            filesystem: pick(options.filesystem, &files.root_filesystem, "the type", str::parse)?
                .unwrap_or_default(),
            bootloader: pick(options.bootloader, &files.bootloader, "bootloader", bootloader)?
                .unwrap_or(Bootloader::SystemdBoot),
            stateroot: pick(options.stateroot.clone(), &files.stateroot, "stateroot", |text| {
                text.parse::<StaterootName>().map_err(|e| e.to_string())
            })?,
            kernel_arguments,
            root_mount_spec: options.root_mount_spec.clone().or(text(&files.root_mount_spec)),
            boot_mount_spec: options.boot_mount_spec.clone().or(text(&files.boot_mount_spec)),
        })
    }
}

/// Refuses an image that wants its disk laid out in a way that reroot does not know.
pub fn check_block(files: &Configuration) -> Result<()> {
    match &files.block {
        Some(block) if !block.value.iter().any(|way| way == DIRECT) => Err(Error::incompatible(format!(
            "{}: block: the image wants {} and not `{DIRECT}`, the one that reroot has; partition the disk yourself and use \
             `reroot install to-filesystem`",
            block.file,
            block.value.iter().map(|way| format!("`{way}`")).collect::<Vec<_>>().join(", "),
        ))),
        _ => Ok(()),
    }
}

fn pick<T>(
    given: Option<T>,
    file: &Option<Sourced<String>>,
    key: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>> {
    match (given, file) {
        (Some(given), _) => Ok(Some(given)),
        (None, Some(Sourced { value, file })) => parse(value).map(Some).map_err(|e| wrong(file, key, e)),
        (None, None) => Ok(None),
    }
}

/// bootc has a name of its own for systemd-boot.
fn bootloader(text: &str) -> Result<Bootloader, String> {
    if text == "systemd" { "systemd-boot" } else { text }.parse()
}

fn wrong(file: &str, key: &str, reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{file}: {key}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Configuration {
        let files = [("/usr/lib/reroot/install/1.toml".to_string(), text.as_bytes().to_vec())];
        Configuration::merge(&files, "amd64").unwrap()
    }

    fn options() -> InstallOptions {
        InstallOptions::of("quay.io/acme/os:1".parse().unwrap())
    }

    #[test]
    fn the_command_line_wins_over_the_files_and_those_over_the_defaults() {
        let files = files(
            "[install]\nkargs = ['a b=\"c d\"']\nstateroot = 'os'\nbootloader = 'none'\nroot-fs-type = 'xfs'",
        );
        let choices = Choices::new(&options(), &files).unwrap();
        let arguments: Vec<_> = choices.kernel_arguments.iter().map(|a| a.as_str()).collect();
        assert_eq!(arguments, ["a", "b=\"c d\""]);
        assert_eq!((choices.filesystem, choices.bootloader), (Filesystem::Xfs, Bootloader::None));
        assert_eq!(choices.stateroot.unwrap().as_str(), "os");
        let options = InstallOptions {
            filesystem: Some(Filesystem::Btrfs),
            bootloader: Some(Bootloader::SystemdBoot),
            stateroot: Some("mine".parse().unwrap()),
            kernel_arguments: vec!["z".parse().unwrap()],
            ..options()
        };
        let choices = Choices::new(&options, &files).unwrap();
        assert_eq!((choices.filesystem, choices.bootloader), (Filesystem::Btrfs, Bootloader::SystemdBoot));
        assert_eq!(choices.stateroot.unwrap().as_str(), "mine");
        assert_eq!(choices.kernel_arguments.last().unwrap().as_str(), "z");
    }

    #[test]
    fn what_makes_no_sense_is_refused_when_it_is_used() {
        for (text, expected) in [
            ("bootloader = 'lilo'", "1.toml: bootloader: `lilo` is none of "),
            ("root-fs-type = 'ext2'", "1.toml: the type: `ext2` is none of ext4, xfs and btrfs"),
            ("stateroot = 'a/b'", "1.toml: stateroot: "),
            ("kargs = ['a=\"b']", "1.toml: kargs: kernel argument"),
            ("kargs = ['reroot=/x']", "1.toml: kargs: `reroot=/x` is not a valid kernel argument"),
        ] {
            let error =
                Choices::new(&options(), &files(&format!("[install]\n{text}"))).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let given = InstallOptions { bootloader: Some(Bootloader::None), ..options() };
        Choices::new(&given, &files("[install]\nbootloader = 'lilo'")).unwrap();
        for bad in ["a b", "a=\"b", "a=ü"] {
            let given = InstallOptions { kernel_arguments: vec![bad.parse().unwrap()], ..options() };
            assert!(Choices::new(&given, &Configuration::default()).is_err(), "{bad}");
        }
        assert!(check_block(&files("[install]\nblock = ['tpm2-luks']")).is_err());
        check_block(&files("[install]\nblock = ['tpm2-luks', 'direct']")).unwrap();
    }
}
