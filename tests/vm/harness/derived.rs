//! An image on top of another one: a layer more, made in a moment.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use reroot::digest::Sha256;
use serde_json::{Value, json};

use super::Image;
use crate::support::image::{Blob, Compress, Layer};

/// What the blobs are called below the layout.
const BLOBS: &str = "blobs/sha256";

impl Image {
    /// This image with `layer` on top, below `directory`. What both share is linked, or left out: then the layout is a
    /// few kilobytes, enough for a machine that has this image.
    pub fn with_layer(&self, layer: Layer, directory: &Path, shared: Shared) -> Self {
        self.version("derived", layer, directory, shared)
    }

    /// As [`Image::with_layer`], with a version that is the name of the directory as well.
    pub fn version(&self, version: &str, layer: Layer, directory: &Path, shared: Shared) -> Self {
        let here = |digest: &Value| self.layout().join(BLOBS).join(hex_of(digest));
        let there = Self::at(directory.join(version));
        fs::create_dir_all(there.layout().join(BLOBS)).unwrap();
        fs::copy(self.layout().join("oci-layout"), there.layout().join("oci-layout")).unwrap();

        let mut index = json_of(&self.layout().join("index.json"));
        let mut manifest = json_of(&here(&index["manifests"][0]["digest"]));
        let mut config = json_of(&here(&manifest["config"]["digest"]));
        if shared == Shared::Linked {
            for layer in manifest["layers"].as_array().unwrap() {
                let name = hex_of(&layer["digest"]);
                fs::hard_link(here(&layer["digest"]), there.layout().join(BLOBS).join(name)).unwrap();
            }
        }
        let blob = Blob::of_tar(&layer.tar(), Compress::None);
        let descriptor =
            json!({"mediaType": blob.media_type, "digest": blob.digest(), "size": blob.bytes.len()});
        there.write(&blob.bytes);
        push(&mut manifest["layers"], descriptor);
        push(&mut config["rootfs"]["diff_ids"], json!(blob.diff_id));
        config["config"]["Labels"]["org.opencontainers.image.version"] = json!(version);
        push(&mut config["history"], json!({"created_by": "a layer more"}));
        manifest["config"] =
            with_content(&manifest["config"], &there.write(&config.to_string().into_bytes()));
        let content = there.write(&manifest.to_string().into_bytes());
        index["manifests"][0] = with_content(&index["manifests"][0], &content);
        fs::write(there.layout().join("index.json"), index.to_string()).unwrap();
        there
    }

    /// Of its manifest.
    pub fn digest(&self) -> Sha256 {
        json_of(&self.layout().join("index.json"))["manifests"][0]["digest"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// A file of the image by the end of its path: the path, and what is in it.
    pub fn file(&self, end: &str) -> (String, Vec<u8>) {
        let index = json_of(&self.layout().join("index.json"));
        let blob = |digest: &Value| self.layout().join(BLOBS).join(hex_of(digest));
        let manifest = json_of(&blob(&index["manifests"][0]["digest"]));
        for layer in manifest["layers"].as_array().unwrap().iter().rev() {
            let file = File::open(blob(&layer["digest"])).unwrap();
            let tar: Box<dyn Read> = match layer["mediaType"].as_str().unwrap().ends_with("gzip") {
                true => Box::new(flate2::read::GzDecoder::new(file)),
                false => Box::new(file),
            };
            for entry in tar::Archive::new(tar).entries().unwrap() {
                let mut entry = entry.unwrap();
                let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                if path.ends_with(end) && entry.header().entry_type().is_file() {
                    let mut content = Vec::new();
                    entry.read_to_end(&mut content).unwrap();
                    return (path, content);
                }
            }
        }
        panic!("the image has no …{end}");
    }

    /// Writes a blob and gives its digest and size as a descriptor has them.
    fn write(&self, bytes: &[u8]) -> Value {
        let digest = Sha256::of(bytes).to_string();
        let path = self.layout().join(BLOBS).join(hex_of(&json!(digest)));
        File::create(path).unwrap().write_all(bytes).unwrap();
        json!({"digest": digest, "size": bytes.len()})
    }
}

/// What becomes of the layers that an image shares with the one that it is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shared {
    Linked,
    LeftOut,
}

fn with_content(descriptor: &Value, content: &Value) -> Value {
    let mut descriptor = descriptor.clone();
    descriptor["digest"] = content["digest"].clone();
    descriptor["size"] = content["size"].clone();
    descriptor
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().unwrap().push(item);
}

fn hex_of(digest: &Value) -> String {
    digest.as_str().unwrap().strip_prefix("sha256:").unwrap_or(digest.as_str().unwrap()).to_owned()
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// An archive for the front of an initramfs, uncompressed as the kernel wants those there: one file with the
/// directories above it.
pub fn early_archive(path: &str, content: &str) -> Vec<u8> {
    archive_of(path, 0o644, content)
}

/// An archive of one file with the directories above it (cpio(5), "newc"). Behind an initramfs it replaces what is there.
pub fn archive_of(path: &str, mode: u32, content: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut add = |name: &str, mode: u32, content: &str| {
        let header = [
            1 + archive.len() as u32, // a number of its own for each inode
            mode,
            0,
            0,
            1,
            0,
            content.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32 + 1,
            0,
        ];
        archive.extend_from_slice(b"070701");
        header.iter().for_each(|field| write!(archive, "{field:08X}").unwrap());
        for part in [&[name, "\0"].concat(), content] {
            archive.extend_from_slice(part.as_bytes());
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    };
    for (end, _) in path.match_indices('/') {
        add(&path[..end], 0o040_755, "");
    }
    add(path, 0o100_000 | mode, content);
    add("TRAILER!!!", 0, "");
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}
