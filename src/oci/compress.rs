//! Inflating a layer's blob.

use std::io::{self, BufRead, Read};

use super::manifest::Compression;

/// Memory that a zstd frame may ask for, as a power of two: 128 MiB is what `zstd -d` accepts unasked, but it
/// would break the bound on our memory; 32 MiB covers every level that image builders use without `--long`.
const ZSTD_WINDOW_LOG: u32 = 25;

/// The tar inside a blob. gzip may have several members (pigz, eStargz), zstd several frames, skippable ones
/// among them (zstd:chunked keeps its table of contents there). What follows the last one is an error.
pub fn decompressor<'a>(
    compression: Compression,
    blob: impl BufRead + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(blob),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(blob)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    })
}

/// The compression that the first bytes of a file show, for formats that do not say.
pub fn sniff(magic: &[u8]) -> Compression {
    match magic {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // A skippable frame may come first.
        [b, 0x2a, 0x4d, 0x18, ..] if b & 0xf0 == 0x50 => Compression::Zstd,
        _ => Compression::None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(bytes, 1).unwrap()
    }

    fn skippable(bytes: &[u8]) -> Vec<u8> {
        [&[0x50, 0x2a, 0x4d, 0x18], &(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
    }

    fn inflate(compression: Compression, blob: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompressor(compression, blob)?.read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn all_members_and_frames_are_read() {
        let two = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(inflate(Compression::Gzip, &two).unwrap(), b"onetwo");
        let frames = [zstd(b"one"), skippable(b"toc"), zstd(b"two"), skippable(b"footer")].concat();
        assert_eq!(inflate(Compression::Zstd, &frames).unwrap(), b"onetwo");
        assert_eq!(inflate(Compression::None, b"plain").unwrap(), b"plain");
    }

    #[test]
    fn truncated_streams_and_trailing_bytes_are_errors() {
        for (compression, blob) in
            [(Compression::Gzip, gzip(&[7; 5000])), (Compression::Zstd, zstd(&[7; 5000]))]
        {
            for end in 1..blob.len() {
                assert!(inflate(compression, &blob[..end]).is_err(), "{compression:?} {end}");
            }
            let trailing = [&blob[..], b"trailing"].concat();
            assert!(inflate(compression, &trailing).is_err(), "{compression:?}");
        }
    }

    #[test]
    fn a_frame_that_wants_much_memory_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        assert!(inflate(Compression::Zstd, &encoder.finish().unwrap()).is_err());
    }

    #[test]
    fn compression_is_seen_in_the_first_bytes() {
        assert_eq!(sniff(&gzip(b"x")), Compression::Gzip);
        assert_eq!(sniff(&zstd(b"x")), Compression::Zstd);
        assert_eq!(sniff(&skippable(b"x")), Compression::Zstd);
        assert_eq!(sniff(b"usr/bin"), Compression::None);
        assert_eq!(sniff(b""), Compression::None);
    }
}
