//! The tar-split: what a tar has beside contents, a line of JSON for each piece (vbatts/tar-split, `tar/storage/entry.go`).
//!
//! ```text
//! {"type":2,"payload":BASE64,"position":0}                            bytes: headers, padding, the end
//! {"type":1,"name":"a","size":5,"payload":CRC64,"position":1}         a content; without one the payload is null
//! ```
//!
//! Readers rely on one piece of bytes for the headers of one entry, with the padding of the content before it in front
//! (`IterateHeaders` in `tar/asm/iterate.go`).

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc::{CRC_64_GO_ISO, Crc, Table};
use serde::Serialize;

use super::packed::{Packed, Packing};

/// Against a file that was mistaken for another, as they say; not against anybody.
static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_GO_ISO);

pub(super) type Checksum = crc::Digest<'static, u64, Table<16>>;

pub(super) fn checksum() -> Checksum {
    CHECKSUM.digest()
}

pub(super) struct TarSplit {
    packing: Packing,
    pieces: u64,
    line: Vec<u8>,
}

const CONTENT: u8 = 1;
const BYTES: u8 = 2;

#[derive(Serialize)]
struct Piece<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    payload: Option<String>,
    position: u64,
}

impl TarSplit {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { packing: Packing::new()?, pieces: 0, line: Vec::new() })
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.add(BYTES, None, None, Some(STANDARD.encode(bytes)))
    }

    /// Every entry has a line, whether it has a content or not.
    pub(super) fn content(&mut self, name: &str, content: Option<(u64, Checksum)>) -> io::Result<()> {
        let (size, checksum) = content.unzip();
        let checksum = checksum.map(|checksum| STANDARD.encode(checksum.finalize().to_be_bytes()));
        self.add(CONTENT, Some(name), size, checksum)
    }

    fn add(
        &mut self,
        kind: u8,
        name: Option<&str>,
        size: Option<u64>,
        payload: Option<String>,
    ) -> io::Result<()> {
        self.line.clear();
        let piece = Piece { kind, name, size, payload, position: self.pieces };
        serde_json::to_writer(&mut self.line, &piece)?;
        self.line.push(b'\n');
        self.pieces += 1;
        self.packing.write(&self.line)
    }

    pub(super) fn finish(self) -> io::Result<Packed> {
        self.packing.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_lines_as_the_other_implementation_has_them() {
        let mut split = TarSplit::new().unwrap();
        split.bytes(b"header").unwrap();
        let mut sum = checksum();
        sum.update(b"123456789");
        split.content("a", Some((9, sum))).unwrap();
        split.content("d/", None).unwrap();
        let packed = split.finish().unwrap();
        let lines = String::from_utf8(zstd::stream::decode_all(&*packed.bytes).unwrap()).unwrap();
        // The checksum is the check value of CRC-64/GO-ISO in the catalogue of CRCs, b90956c775a41001.
        let expected = r#"{"type":2,"payload":"aGVhZGVy","position":0}
{"type":1,"name":"a","size":9,"payload":"uQlWx3WkEAE=","position":1}
{"type":1,"name":"d/","payload":null,"position":2}
"#;
        assert_eq!(lines, expected);
    }
}
