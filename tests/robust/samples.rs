//! The images that are deployed here, made once for all tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::support::image::{Entry, Image, Layer, Layout, bootable_layer};

/// A layout with images of two sizes in several versions.
pub struct Samples {
    layout: Layout,
}

pub static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let mut layout = Layout::new(directory());
    for version in 1..=4 {
        layout.tag(&format!("small-{version}"), &image(version, 3, 6));
        layout.tag(&format!("medium-{version}"), &image(version, 5, 70));
    }
    Samples { layout }
});

/// A directory for this process. What is static is never dropped, so those of processes that have ended are
/// removed here.
fn directory() -> PathBuf {
    const PREFIX: &str = "system-samples-";
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in fs::read_dir(place).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(pid) = name.strip_prefix(PREFIX) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            // Another process may be removing it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    place.join(format!("{PREFIX}{}", std::process::id()))
}

impl Samples {
    /// An image of about 30 files.
    pub fn small(&self, version: u32) -> String {
        self.layout.reference(&format!("small-{version}"))
    }

    /// An image of about 400 files in six layers.
    pub fn medium(&self, version: u32) -> String {
        self.layout.reference(&format!("medium-{version}"))
    }
}

/// Layers with files of several sizes, owners and modes; half of them are the same in every version.
fn image(version: u32, layers: u32, files: u32) -> Image {
    let mut image = Image::new()
        .layer(
            bootable_layer().file("usr/lib/version", format!("{version}\n")).file("var/lib/seed", "seed\n"),
        )
        .version(&version.to_string());
    for layer in 0..layers {
        let top = format!("usr/share/part-{layer}");
        let mut tar = Layer::new().dir("usr").dir("usr/share").dir(&top);
        for n in 0..files {
            let version = if n % 2 == 0 { version } else { 0 };
            let line = format!("file {n} of layer {layer} in version {version}\n");
            let content = line.repeat(1 + (n as usize * 37) % 300);
            let entry = Entry::file(format!("{top}/{n}"), content).owner(u64::from(n % 3), 0);
            tar = tar.add(entry.mode(if n % 5 == 0 { 0o4755 } else { 0o644 }));
        }
        tar = tar.symlink(format!("{top}/link"), "0").hardlink(format!("{top}/hard"), format!("{top}/0"));
        tar = tar.file(format!("etc/part-{layer}.conf"), format!("version {version}\n"));
        image = image.layer(tar);
    }
    image
}
