//! The format zstd:chunked, as a reader who fetches single files sees it.

use reroot::digest::Sha256;
use reroot::oci::compress::decompressor;
use reroot::oci::manifest::Compression;
use reroot::oci::write::{LayerCompression, LayoutWriter, WrittenLayer};
use reroot::oci::{Error, Result};
use serde_json::json;

use crate::support::chunked;
use crate::support::image::{Entry, Layer};
use crate::support::puller::noise;

/// Everything that a layer has.
fn everything() -> Layer {
    let long = format!("usr/share/{}/{}", "long".repeat(30), "name".repeat(30));
    Layer::new()
        .dir("./")
        .dir("usr")
        .add(Entry::file("usr/one", "1").mode(0o4755).owner(1000, 3_000_000))
        .add(Entry::file("usr/xattr", "x").xattr("user.test", b"a\nb\xff").xattr("user.empty", ""))
        .add(Entry::file("usr/fine", "fine").pax("mtime", "1600000000.123456789"))
        .add(Entry::file("usr/old", "old").pax("mtime", "-1.5"))
        .file("usr/block", [7; 512])
        .file("usr/large", noise(1, 3 << 20))
        .file("usr/zeros", vec![0; 1 << 20])
        .file("usr/empty", "")
        .file("usr/\u{201e}name\u{201c} \\ \n", "name")
        .file(&long, "long")
        .hardlink("usr/same", &long)
        .symlink("usr/link", "x".repeat(150))
        .add(Entry::char_device("usr/null", 1, 3))
        .add(Entry::block_device("usr/disk", 259, 300))
        .add(Entry::fifo("usr/fifo"))
        .whiteout("usr/gone")
}

fn write(tar: &[u8], compression: LayerCompression, piece: usize) -> Result<(WrittenLayer, chunked::Layer)> {
    let directory = tempfile::tempdir().unwrap();
    let layout = LayoutWriter::open(directory.path())?;
    let written = layout.layer(compression, |out| {
        let mut pieces = tar.chunks(piece);
        pieces.try_for_each(|piece| out.write_all(piece)).map_err(Error::io("writing"))
    })?;
    let blob = std::fs::read(directory.path().join("blobs/sha256").join(written.digest.hex())).unwrap();
    let (annotations, diff_id) = (written.annotations.clone(), written.diff_id.to_string());
    Ok((written, chunked::Layer { blob, annotations, diff_id }))
}

#[test]
fn every_file_can_be_read_alone_and_all_together_are_the_tar() {
    let tar = everything().tar();
    let (plain, _) = write(&tar, LayerCompression::Zstd, 4096).unwrap();
    let (written, layer) = write(&tar, LayerCompression::ZstdChunked, 4096).unwrap();
    assert!(plain.annotations.is_empty());
    assert_eq!((written.diff_id, written.diff_id), (plain.diff_id, Sha256::of(&tar)));
    assert_eq!((written.digest, written.size), (Sha256::of(&layer.blob), layer.blob.len() as u64));
    let mut inflated = Vec::new();
    let mut reader = decompressor(Compression::Zstd, &*layer.blob).unwrap();
    reader.read_to_end(&mut inflated).unwrap();
    assert!(inflated == tar);
    assert!(layer.assembled() == tar);
    layer.check_footer();
    let contents = layer.contents();
    assert_eq!(contents.len(), 9);
    assert_eq!(contents["usr/large"], noise(1, 3 << 20));
}

#[test]
fn the_table_says_what_the_tar_says() {
    let (_, layer) = write(&everything().tar(), LayerCompression::ZstdChunked, 1 << 20).unwrap();
    let toc = layer.toc();
    let entries = chunked::comparable(&toc);
    let usual = "2023-11-14T22:13:20Z";
    let long = format!("usr/share/{}/{}", "long".repeat(30), "name".repeat(30));
    let digest = |content: &[u8]| Sha256::of(content).to_string();
    let expected = json!([
        {"type": "dir", "name": "./", "mode": 0o755, "modtime": usual},
        {"type": "dir", "name": "usr/", "mode": 0o755, "modtime": usual},
        {"type": "reg", "name": "usr/one", "mode": 0o4755, "size": 1, "uid": 1000, "gid": 3_000_000, "modtime": usual, "digest": digest(b"1")},
        {"type": "reg", "name": "usr/xattr", "mode": 0o644, "size": 1, "modtime": usual, "xattrs": {"user.empty": "", "user.test": "YQpi/w=="}, "digest": digest(b"x")},
        {"type": "reg", "name": "usr/fine", "mode": 0o644, "size": 4, "modtime": "2020-09-13T12:26:40.123456789Z", "digest": digest(b"fine")},
        {"type": "reg", "name": "usr/old", "mode": 0o644, "size": 3, "modtime": "1969-12-31T23:59:58.5Z", "digest": digest(b"old")},
        {"type": "reg", "name": "usr/block", "mode": 0o644, "size": 512, "modtime": usual, "digest": digest(&[7; 512])},
        {"type": "reg", "name": "usr/large", "mode": 0o644, "size": 3 << 20, "modtime": usual, "digest": digest(&noise(1, 3 << 20))},
        {"type": "reg", "name": "usr/zeros", "mode": 0o644, "size": 1 << 20, "modtime": usual, "digest": digest(&vec![0; 1 << 20])},
        {"type": "reg", "name": "usr/empty", "mode": 0o644, "modtime": usual},
        {"type": "reg", "name": "usr/\u{201e}name\u{201c} \\ \n", "mode": 0o644, "size": 4, "modtime": usual, "digest": digest(b"name")},
        {"type": "reg", "name": long, "mode": 0o644, "size": 4, "modtime": usual, "digest": digest(b"long")},
        {"type": "hardlink", "name": "usr/same", "linkName": long, "mode": 0o644, "modtime": usual},
        {"type": "symlink", "name": "usr/link", "linkName": "x".repeat(150), "mode": 0o777, "modtime": usual},
        {"type": "char", "name": "usr/null", "mode": 0o644, "modtime": usual, "devMajor": 1, "devMinor": 3},
        {"type": "block", "name": "usr/disk", "mode": 0o644, "modtime": usual, "devMajor": 259, "devMinor": 300},
        {"type": "fifo", "name": "usr/fifo", "mode": 0o644, "modtime": usual},
        {"type": "reg", "name": "usr/.wh.gone", "mode": 0o644, "modtime": usual},
    ]);
    for (entry, expected) in entries.iter().zip(expected.as_array().unwrap()) {
        assert_eq!(entry, expected);
    }
    assert_eq!(entries.len(), expected.as_array().unwrap().len());
}

#[test]
fn the_bytes_do_not_depend_on_how_they_come() {
    let tar = everything().tar();
    let (first, _) = write(&tar, LayerCompression::ZstdChunked, usize::MAX).unwrap();
    for piece in [1, 511, 512, 100_000] {
        assert_eq!(write(&tar, LayerCompression::ZstdChunked, piece).unwrap().0, first, "{piece}");
    }
}

#[test]
fn a_layer_may_be_empty_and_have_more_zeros_or_fewer_at_its_end() {
    let some = || Layer::new().file("a", "a");
    let zeros = [some().tar(), vec![0; 9000]].concat();
    for tar in [Vec::new(), Layer::new().tar(), some().without_end().tar(), zeros] {
        let (written, layer) = write(&tar, LayerCompression::ZstdChunked, 1000).unwrap();
        assert_eq!(written.diff_id, Sha256::of(&tar));
        assert!(layer.assembled() == tar);
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let cut = |tar: Vec<u8>, at: usize| tar[..at].to_vec();
    for (tar, reason) in [
        (Layer::new().file(b"\xff", "x").tar(), "zstd:chunked wants UTF-8, which its name is not"),
        (Layer::new().symlink("a", b"\xff").tar(), "zstd:chunked wants UTF-8, which its target is not"),
        (cut(Layer::new().file("a", "content").tar(), 515), "the tar ends in the middle of a"),
        (cut(Layer::new().dir("a").tar(), 100), "the tar ends in the middle of a block"),
        (cut(Layer::new().file("a", "content").tar(), 520), "the tar ends in the middle of a block"),
        (noise(1, 600), "header error"),
    ] {
        let error = write(&tar, LayerCompression::ZstdChunked, 4096).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains(reason)), "{reason}: {error:?}");
    }
}
