//! The images that the Containerfile makes, and disks made of them without the installer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use super::machine::{Boot, Spec};
use crate::support::reroot::PROGRAM;
use crate::support::skip::{say, target};
use crate::support::tools::{command, missing_for_root, run};

/// The initramfs program is built beside `reroot`, where the scripts look for it.
const _: &str = env!("CARGO_BIN_EXE_reroot-prepare-root");

/// An image of the Containerfile, in one of the two ways through it.
#[derive(Debug, Clone)]
pub struct Image {
    /// The OCI layout.
    layout: PathBuf,
}

/// Which image: named by its initramfs, see `tests/image/build.sh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// dracut and systemd-boot.
    Dracut,
    /// initramfs-tools and GRUB.
    InitramfsTools,
}

impl Variant {
    pub fn name(self) -> &'static str {
        match self {
            Self::Dracut => "dracut",
            Self::InitramfsTools => "initramfs-tools",
        }
    }
}

/// Why no machine can run here, if none can.
pub fn obstacle() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the images and firmware of these tests are those of x86-64".into());
    }
    if !Path::new("/usr/share/OVMF/OVMF_CODE_4M.fd").exists() {
        return Some("not installed: ovmf".into());
    }
    missing_for_root(&[
        "qemu-system-x86_64",
        "mmdebstrap",
        "buildah",
        "strip",
        "setpriv",
        "mke2fs",
        "sfdisk",
        "mcopy",
    ])
}

impl Image {
    /// The image, building it when its inputs have changed; or why that cannot be done here.
    pub fn build(variant: Variant) -> Result<Self, String> {
        if let Some(obstacle) = obstacle() {
            return Err(obstacle);
        }
        let started = Instant::now();
        let programs = Path::new(PROGRAM).parent().expect("it is in a directory");
        let output = script("tests/image/build.sh")
            .arg(variant.name())
            .arg(programs)
            .arg(target().join("test-images"))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // 75: no base image, for want of Debian's archive. Everything else is the Containerfile's fault, or ours.
        if output.status.code() == Some(75) {
            return Err(said.trim().replace('\n', " | "));
        }
        assert!(output.status.success(), "building the image {}: {said}", variant.name());
        let layout = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        say(&format!(
            "image {}: {} after {} s",
            variant.name(),
            layout.display(),
            started.elapsed().as_secs()
        ));
        Ok(Self { layout })
    }

    /// An image whose layout is made already.
    pub(super) fn at(layout: PathBuf) -> Self {
        Self { layout }
    }

    /// The same in layers by package, below `directory`.
    pub fn rechunked(&self, directory: &Path) -> Self {
        let layout = directory.join("rechunked");
        let mut rechunk = command(PROGRAM);
        rechunk.args(["--quiet", "container", "rechunk", &self.reference(), "-o"]);
        rechunk.arg(format!("oci:{}:os", layout.display()));
        run(rechunk.env("REROOT_STORE", directory.join("store")).env("REROOT_CONFIG_ROOT", directory));
        Self::at(layout)
    }

    /// The OCI layout.
    pub fn layout(&self) -> &Path {
        &self.layout
    }

    /// As `reroot deploy` takes it.
    pub fn reference(&self) -> String {
        format!("oci:{}:os", self.layout.display())
    }

    /// Makes a disk below `directory` that QEMU boots without a boot loader, with this image deployed.
    pub fn direct_disk(&self, name: &str, directory: &Path) -> Spec {
        let made = directory.join("direct");
        run(script("tests/image/direct-disk.sh").args([PROGRAM, &self.reference()]).arg(&made));
        let arguments = fs::read_to_string(made.join("cmdline")).unwrap().trim().to_owned();
        Spec {
            name: name.to_owned(),
            boot: Boot::Direct { kernel: made.join("vmlinuz"), initrd: made.join("initrd"), arguments },
            disks: vec![made.join("disk.raw")],
            network: false,
        }
    }
}

fn script(path: &str) -> std::process::Command {
    command(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}
