//! Three versions of a tiny bootable image under one name.

use std::path::Path;
use std::sync::Mutex;

use crate::image::{Compress, Entry, Image, Layer, Layout, bootable};

pub const VERSIONS: usize = 3;
const TAG: &str = "latest";

/// An OCI layout whose one tag can stand for any of the versions, as a tag of a registry does in the course of time.
pub struct Images {
    layout: Mutex<Layout>,
    versions: [Image; VERSIONS],
}

impl Images {
    pub fn new(directory: &Path) -> Self {
        let images = Self {
            layout: Mutex::new(Layout::new(directory)),
            versions: std::array::from_fn(|version| {
                bootable()
                    .layer_as(common_layer(), Compress::Zstd)
                    .layer(version_layer(version))
                    .version(&version.to_string())
                    .created(&format!("2026-01-0{}T00:00:00Z", version + 1))
            }),
        };
        images.publish(0);
        images
    }

    pub fn reference(&self) -> String {
        self.layout.lock().unwrap().reference(TAG)
    }

    /// Lets the name stand for `version`.
    pub fn publish(&self, version: usize) {
        self.layout.lock().unwrap().tag(TAG, &self.versions[version]);
    }
}

/// What all versions share.
fn common_layer() -> Layer {
    let mut layer = Layer::new().dir("usr/share").file("var/lib/seed", "seed\n").file("usr/share/empty", "");
    for file in 0..16 {
        layer = layer.file(format!("usr/share/common-{file}"), text("common", file, 300 + 900 * file));
    }
    layer
        .add(Entry::file("usr/bin/tool", text("tool", 0, 9000)).mode(0o4755))
        .hardlink("usr/bin/same-tool", "usr/bin/tool")
        .add(Entry::file("usr/bin/ping", "ping\n").mode(0o755).xattr("user.comment", "with an attribute"))
        .symlink("usr/lib/link", "../share/common-0")
}

/// What is different in each version: new, changed and removed files, a kernel among them.
fn version_layer(version: usize) -> Layer {
    let release = format!("ID=tiny\nVERSION_ID={version}\nPRETTY_NAME=\"Tiny {version}\"\n");
    let mut layer = Layer::new()
        .file("usr/lib/os-release", release)
        // New deployments are on trial: something says when a boot is good.
        .file("usr/lib/systemd/system/reroot-boot-complete.service", "[Unit]\n")
        .file("usr/lib/modules/6.1.0-test/vmlinuz", text("kernel", version, 40_000))
        .whiteout(&format!("usr/share/common-{version}"));
    for file in 0..12 {
        layer = layer
            .add(Entry::file(format!("usr/lib/changed-{file}"), text("changed", version, 700 * file + 1)))
            .add(Entry::file(format!("usr/share/v{version}-{file}"), text("new", version, 400 * file + 1)));
    }
    for file in 0..4 {
        layer = layer.file(format!("etc/config-{file}"), text("config", version, 50 + file));
    }
    layer
}

fn text(name: &str, number: usize, len: usize) -> Vec<u8> {
    format!("{name} {number}; ").into_bytes().into_iter().cycle().take(len).collect()
}
