//! The table of contents: JSON, `{"version": 1, "entries": […], "tarSplitDigest": …}`.

use std::io;

use super::entry::Entry;
use super::packed::{Packed, Packing};
use crate::digest::Sha256;

pub(super) struct Toc {
    packing: Packing,
    line: Vec<u8>,
}

impl Toc {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { packing: Packing::new()?, line: br#"{"version":1,"entries":["#.into() })
    }

    /// Adds an entry; readers want each name once.
    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        serde_json::to_writer(&mut self.line, entry)?;
        self.packing.write(&self.line)?;
        self.line.clear();
        self.line.push(b',');
        Ok(())
    }

    /// `tar_split` is the digest of the other table as it is stored.
    pub(super) fn finish(mut self, tar_split: Sha256) -> io::Result<Packed> {
        // What waits is the beginning, or a comma for an entry that does not come.
        if self.line != b"," {
            self.packing.write(&self.line)?;
        }
        self.packing.write(format!(r#"],"tarSplitDigest":"{tar_split}"}}"#).as_bytes())?;
        self.packing.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_json_with_any_number_of_entries() {
        let entry = Entry { kind: "reg", name: "a\"b".into(), ..Entry::default() };
        for count in 0..3 {
            let mut toc = Toc::new().unwrap();
            (0..count).for_each(|_| toc.add(&entry).unwrap());
            let packed = toc.finish(Sha256::of(b"")).unwrap();
            let plain = zstd::stream::decode_all(&*packed.bytes).unwrap();
            assert_eq!(plain.len() as u64, packed.plain_bytes);
            let read: serde_json::Value = serde_json::from_slice(&plain).unwrap();
            assert_eq!(read["entries"].as_array().unwrap().len(), count);
            assert_eq!(read["tarSplitDigest"], Sha256::of(b"").to_string());
        }
    }
}
