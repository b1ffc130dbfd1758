//! Damaged images never panic, never hang, and never become another image: whatever bytes an archive has, a
//! reference with a digest gives the image of that digest or an error.

use std::fs;
use std::io::{BufReader, Read};

use proptest::prelude::*;
use reroot::digest::Sha256;
use reroot::env::Env;
use reroot::oci::compress::decompressor;
use reroot::oci::manifest::{Compression, Document, parse_config, parse_document};
use reroot::oci::platform::Platform;
use reroot::oci::verify::VerifyingReader;
use reroot::oci::{self, Error};

use crate::support::image::*;

/// One piece of damage, at places given as fractions so that they fit bytes of any length.
#[derive(Debug, Clone)]
enum Damage {
    Flip(f64, u8),
    Cut(f64),
    Remove(f64, usize),
    Repeat(f64, usize),
    Insert(f64, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0.0..1.0;
    let tokens: [&[u8]; 10] = [
        b"\"layers\":[],",
        b"\"Size\":1,",
        b"{",
        b"]",
        b"-1",
        b"99999999999999999999",
        b"\"\\u0000\"",
        b"null",
        &[0; 512],
        &[0xff; 12],
    ];
    let token = prop::sample::select(tokens.map(<[u8]>::to_vec).to_vec());
    prop_oneof![
        (at.clone(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        at.clone().prop_map(Damage::Cut),
        (at.clone(), 1..1024usize).prop_map(|(at, n)| Damage::Remove(at, n)),
        (at.clone(), 1..1024usize).prop_map(|(at, n)| Damage::Repeat(at, n)),
        (at, token).prop_map(|(at, token)| Damage::Insert(at, token)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let place = |at: &f64| ((*at * bytes.len() as f64) as usize).min(bytes.len() - 1);
    match damage {
        Damage::Flip(at, bit) => {
            let at = place(at);
            bytes[at] ^= bit;
        }
        Damage::Cut(at) => bytes.truncate(place(at)),
        Damage::Remove(at, n) => drop(bytes.drain(place(at)..(place(at) + n).min(bytes.len()))),
        Damage::Repeat(at, n) => {
            let at = place(at);
            let part = bytes[at..(at + n).min(bytes.len())].to_vec();
            bytes.splice(at..at, part);
        }
        Damage::Insert(at, token) => {
            let at = place(at);
            bytes.splice(at..at, token.iter().copied());
        }
    }
}

/// The manifest's digest and the digests of the tars.
fn read_all(reference: &str) -> Result<(Sha256, Vec<Sha256>), Error> {
    let env = Env::fixed("/nonexistent".as_ref(), std::time::SystemTime::UNIX_EPOCH);
    let source = oci::open(&reference.parse()?, &env)?;
    let resolved = source.resolve(&Platform::host())?;
    let mut tars = Vec::new();
    for layer in &resolved.layers {
        let blob = VerifyingReader::new(source.open_blob(layer)?, layer.digest, layer.size);
        let mut tar = Vec::new();
        decompressor(layer.compression, BufReader::new(blob))
            .and_then(|mut inflated| inflated.read_to_end(&mut tar))
            .map_err(|error| Error::from_io(error, || "layer".into()))?;
        tars.push(Sha256::of(&tar));
    }
    Ok((resolved.manifest_digest, tars))
}

fn image() -> Image {
    bootable()
        .layer_as(Layer::new().file("usr/bin/two", "2"), Compress::Zstd)
        .layer_as(Layer::new().file("usr/bin/three", "3"), Compress::None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_archive_is_the_same_image_or_an_error(
        damages in prop::collection::vec(damage(), 1..4),
        docker in any::<bool>(),
    ) {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("a.tar");
        let transport = if docker {
            write_docker_archive(&file, &[(&image(), &["demo:v1"])]);
            "docker-archive"
        } else {
            let mut layout = Layout::new(temp.path().join("layout"));
            layout.tag("v1", &image());
            layout.write_archive(&file);
            "oci-archive"
        };
        let reference = format!("{transport}:{}", file.display());
        let sound = read_all(&reference).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        fs::write(&file, &bytes).unwrap();
        if let Ok(found) = read_all(&format!("{reference}@{}", sound.0)) {
            prop_assert_eq!(found, sound);
        }
    }

    #[test]
    fn damaged_documents_do_not_panic(damages in prop::collection::vec(damage(), 1..4)) {
        let built = image().build();
        let Document::Manifest(sound) = parse_document(&built.manifest, None, "x").unwrap() else {
            panic!("a manifest")
        };
        let index = index(&[built.descriptor(), built.descriptor()]);
        for document in [&built.manifest, &index, &built.config] {
            let mut bytes = document.clone();
            damages.iter().for_each(|damage| apply(&mut bytes, damage));
            let _ = parse_document(&bytes, Some(MANIFEST), "x");
            let _ = parse_document(&bytes, None, "x");
            if let Ok((_, layers)) = parse_config(&bytes, &sound, "x") {
                prop_assert_eq!(layers.len(), sound.layers.len());
            }
        }
    }

    #[test]
    fn any_json_like_text_is_a_document_or_an_error(
        text in "(\\{|\\}|\\[|\\]|,|:|\"(schemaVersion|layers|config|manifests|digest|size|Labels)\"|2|-1|1e9|null|true| ){0,60}",
    ) {
        let _ = parse_document(text.as_bytes(), None, "x");
    }

    #[test]
    fn members_and_frames_add_up(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..5),
        skip in prop::collection::vec(any::<u8>(), 0..50),
        piece in 1..300usize,
    ) {
        let expected = parts.concat();
        let skippable = [&[0x5e, 0x2a, 0x4d, 0x18], &(skip.len() as u32).to_le_bytes()[..], &skip].concat();
        let gzipped: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
        let frames: Vec<u8> = parts.iter().flat_map(|part| [zstd(part), skippable.clone()].concat()).collect();
        for (compression, blob) in [
            (Compression::Gzip, gzipped),
            (Compression::Zstd, [skippable.clone(), frames].concat()),
            (Compression::None, expected.clone()),
        ] {
            // Blobs come from the network in pieces of any size.
            let reader = BufReader::with_capacity(piece, &*blob);
            let mut out = Vec::new();
            decompressor(compression, reader).unwrap().read_to_end(&mut out).unwrap();
            prop_assert_eq!(&out, &expected);
        }
    }

    #[test]
    fn damaged_blobs_do_not_panic(
        content in prop::collection::vec(any::<u8>(), 0..3000),
        damages in prop::collection::vec(damage(), 1..4),
        use_zstd in any::<bool>(),
    ) {
        let (compression, mut blob) =
            if use_zstd { (Compression::Zstd, zstd(&content)) } else { (Compression::Gzip, gzip(&content)) };
        damages.iter().for_each(|damage| apply(&mut blob, damage));
        let mut out = Vec::new();
        let _ = decompressor(compression, &*blob).and_then(|reader| reader.take(1 << 20).read_to_end(&mut out));
    }
}
