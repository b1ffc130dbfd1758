//! Reads zstd:chunked as containers/storage does: from a layer's annotations and pieces of its blob. Knows nothing of what writes it.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reroot::digest::Sha256;
use serde_json::Value;
use zstd::zstd_safe::find_frame_compressed_size;

/// A layer of an image.
pub struct Layer {
    pub blob: Vec<u8>,
    pub annotations: BTreeMap<String, String>,
    pub diff_id: String,
}

/// The layers of an image in a layout.
pub fn layers(layout: &Path, tag: &str) -> Vec<Layer> {
    let blob = |digest: &Value| {
        let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
        std::fs::read(layout.join("blobs/sha256").join(digest)).unwrap()
    };
    let json = |bytes: &[u8]| -> Value { serde_json::from_slice(bytes).unwrap() };
    let index = json(&std::fs::read(layout.join("index.json")).unwrap());
    let has_tag = |m: &&Value| m["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let manifest = index["manifests"].as_array().unwrap().iter().find(has_tag).unwrap();
    let manifest = json(&blob(&manifest["digest"]));
    let config = json(&blob(&manifest["config"]["digest"]));
    let layers = manifest["layers"].as_array().unwrap().iter().enumerate().map(|(n, layer)| Layer {
        blob: blob(&layer["digest"]),
        annotations: serde_json::from_value(layer["annotations"].clone()).unwrap_or_default(),
        diff_id: config["rootfs"]["diff_ids"][n].as_str().unwrap().into(),
    });
    layers.collect()
}

impl Layer {
    /// The annotation, also by the name that it had before containers/storage 1.44.
    fn annotation(&self, name: &str) -> Option<&str> {
        ["io.github.containers.zstd-chunked", "io.containers.zstd-chunked"]
            .iter()
            .find_map(|prefix| self.annotations.get(&format!("{prefix}.{name}")))
            .map(String::as_str)
    }

    /// Numbers of an annotation, and the table that they tell the place of, as it is stored and plain.
    fn table(&self, name: &str) -> Option<(Vec<usize>, &[u8], Vec<u8>)> {
        let numbers: Vec<usize> = self.annotation(name)?.split(':').map(|n| n.parse().unwrap()).collect();
        let stored = &self.blob[numbers[0]..][..numbers[1]];
        let header = [&[0x50, 0x2a, 0x4d, 0x18], &(numbers[1] as u32).to_le_bytes()[..]].concat();
        assert_eq!(&self.blob[numbers[0] - 8..numbers[0]], header, "it is no frame to pass over");
        let plain = zstd::stream::decode_all(stored).unwrap();
        assert_eq!(plain.len(), numbers[2]);
        Some((numbers, stored, plain))
    }

    /// The table of contents, which is what the annotation says.
    pub fn toc(&self) -> Value {
        let (numbers, stored, plain) = self.table("manifest-position").expect("a position of the table");
        assert_eq!(numbers[3], 1, "the type");
        assert_eq!(self.annotation("manifest-checksum"), Some(&*Sha256::of(stored).to_string()));
        let toc: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(toc["version"], 1);
        toc
    }

    /// The files by name with their contents, each read from the place that the table names. Its parts are single frames, and the
    /// whole has the digest.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let toc = self.toc();
        let entries = toc["entries"].as_array().unwrap();
        let mut contents = BTreeMap::new();
        for (n, entry) in entries.iter().enumerate().filter(|(_, entry)| entry["size"].is_u64()) {
            let parts = entries[n + 1..].iter().take_while(|other| other["type"] == "chunk");
            let mut places: Vec<usize> =
                std::iter::once(entry).chain(parts).map(|e| number(e, "offset")).collect();
            places.push(number(entry, "endOffset"));
            let mut content = Vec::new();
            for range in places.windows(2) {
                let frame = &self.blob[range[0]..range[1]];
                assert_eq!(find_frame_compressed_size(frame), Ok(frame.len()), "{entry}");
                content.extend(zstd::stream::decode_all(frame).unwrap());
            }
            assert_eq!(entry["digest"], Sha256::of(&content).to_string(), "{entry}");
            assert_eq!(number(entry, "size"), content.len(), "{entry}");
            contents.insert(entry["name"].as_str().unwrap().into(), content);
        }
        contents
    }

    /// The tar, made from the tar-split and the contents.
    pub fn assembled(&self) -> Vec<u8> {
        let (_, stored, plain) = self.table("tarsplit-position").expect("a position of the tar-split");
        assert_eq!(self.toc()["tarSplitDigest"], Sha256::of(stored).to_string());
        let contents = self.contents();
        let mut tar = Vec::new();
        for (n, line) in plain.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let piece: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(piece["position"], n);
            let payload = piece["payload"].as_str().map(|payload| STANDARD.decode(payload).unwrap());
            match piece["type"].as_u64() {
                Some(2) => tar.extend(payload.unwrap()),
                Some(1) if piece["size"].is_null() => assert_eq!(payload, None),
                Some(1) => {
                    let content = &contents[piece["name"].as_str().unwrap()];
                    assert_eq!((number(&piece, "size"), payload.unwrap()), (content.len(), crc64(content)));
                    tar.extend(content);
                }
                other => panic!("a piece of the type {other:?}"),
            }
        }
        tar
    }

    /// What the blob says of itself at its end: the same places.
    pub fn check_footer(&self) {
        let (toc, ..) = self.table("manifest-position").unwrap();
        let (split, ..) = self.table("tarsplit-position").unwrap();
        let numbers = [toc[0], toc[1], toc[2], toc[3], split[0], split[1], split[2]];
        let numbers = numbers.iter().flat_map(|number| (*number as u64).to_le_bytes());
        let footer: Vec<u8> =
            [0x50, 0x2a, 0x4d, 0x18, 64, 0, 0, 0].into_iter().chain(numbers).chain(*b"GNUlInUx").collect();
        assert!(self.blob.ends_with(&footer));
    }
}

/// Entries without what may differ between two that write the same tar: places, and how files are cut.
pub fn comparable(toc: &Value) -> Vec<Value> {
    let mut entries = toc["entries"].as_array().unwrap().clone();
    entries.retain(|entry| entry["type"] != "chunk");
    for entry in &mut entries {
        let entry = entry.as_object_mut().unwrap();
        entry.retain(|key, value| {
            let place =
                ["offset", "endOffset", "chunkSize", "chunkOffset", "chunkDigest"].contains(&key.as_str());
            // Older ones write the times that they do not have.
            !place && *value != "0001-01-01T00:00:00Z"
        });
    }
    entries
}

fn number(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} of {value}")) as usize
}

/// CRC-64 of ISO 3309, bit by bit, as Go's `hash/crc64` has it.
fn crc64(bytes: &[u8]) -> Vec<u8> {
    let mut sum = u64::MAX;
    for byte in bytes {
        sum ^= u64::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0xd800_0000_0000_0000 } else { 0 };
        }
    }
    (!sum).to_be_bytes().into()
}
