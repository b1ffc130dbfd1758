//! What stands behind the tar: the two tables, and where they are (`WriteZstdChunkedManifest` in `minimal/compression.go`).

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::frames::Frames;
use super::packed::Packed;

const TOC_CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
/// `OFFSET:LENGTH:UNCOMPRESSED:TYPE`
const TOC_POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
/// `OFFSET:LENGTH:UNCOMPRESSED`; its digest is in the table of contents.
const TAR_SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";
/// A table of contents like that of CRFS; there is no other.
const TYPE: u64 = 1;
/// "GNUlInUx"
const MAGIC: [u8; 8] = *b"GNUlInUx";

/// Writes the tables. Gives the annotations that a layer's descriptor has for them.
pub(super) fn write<W: Write>(
    frames: &mut Frames<W>,
    toc: &Packed,
    tar_split: &Packed,
) -> io::Result<BTreeMap<String, String>> {
    let place = |at: u64, table: &Packed| [at, table.bytes.len() as u64, table.plain_bytes];
    let toc_place = place(frames.skippable(&toc.bytes)?, toc);
    let split_place = place(frames.skippable(&tar_split.bytes)?, tar_split);
    // For those who have the blob without its annotations: eight numbers, the last one a name.
    let mut footer: Vec<u8> = [&toc_place[..], &[TYPE], &split_place[..]]
        .concat()
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    footer.extend(MAGIC);
    frames.skippable(&footer)?;
    let [at, length, plain] = toc_place;
    let [split_at, split_length, split_plain] = split_place;
    Ok(BTreeMap::from([
        (TOC_CHECKSUM.into(), toc.digest.to_string()),
        (TOC_POSITION.into(), format!("{at}:{length}:{plain}:{TYPE}")),
        (TAR_SPLIT_POSITION.into(), format!("{split_at}:{split_length}:{split_plain}")),
    ]))
}
