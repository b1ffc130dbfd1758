//! Layers over a line that breaks.

use std::io::Read;
use std::time::{Duration, Instant};

use crate::support::faulty_registry::{Access, Fault, FaultyRegistry, Tokens};
use crate::support::image::{Built, Image};
use crate::support::puller::{Puller, noise, plain, read_blob};
use reroot::digest::Sha256;
use reroot::oci::Error;
use reroot::oci::source::ImageSource;

const SIZE: usize = 1_000_000;

/// A registry with an image whose one layer has [`SIZE`] bytes that are no tar.
struct Scene {
    registry: FaultyRegistry,
    puller: Puller,
    built: Built,
}

impl Scene {
    fn new() -> Self {
        let registry = FaultyRegistry::start();
        let built = registry.push("v1", &Image::new().blob(plain(noise(1, SIZE))));
        Self { registry, puller: Puller::new(), built }
    }

    fn digest(&self) -> Sha256 {
        Sha256::of(&self.built.layers[0].bytes)
    }

    fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.registry.fail(self.digest(), faults);
    }

    fn pull(&self) -> Result<(), Error> {
        let layers = self.puller.pull(&self.registry.reference("v1"))?;
        assert!(layers == [self.built.layers[0].bytes.clone()]);
        Ok(())
    }

    /// The `Range` of each request for the layer.
    fn ranges(&self) -> Vec<Option<String>> {
        self.registry.seen(self.digest()).iter().map(|s| s.header("range").map(Into::into)).collect()
    }
}

fn from(byte: usize) -> Option<String> {
    Some(format!("bytes={byte}-"))
}

#[test]
fn a_cut_blob_continues_at_the_byte_where_it_stopped() {
    let scene = Scene::new();
    scene.fail([Fault::CutAfter(400_000), Fault::CutAfter(1), Fault::CutAfter(0), Fault::Reset]);
    scene.pull().unwrap();
    assert_eq!(scene.ranges(), [None, from(400_000), from(400_001), from(400_001), from(400_001)]);
}

#[test]
fn a_server_that_ignores_ranges_is_read_past_what_was_delivered() {
    let scene = Scene::new();
    scene.fail([Fault::CutAfter(400_000), Fault::IgnoreRange]);
    scene.pull().unwrap();
    assert_eq!(scene.ranges(), [None, from(400_000)]);
}

#[test]
fn a_server_that_ignores_ranges_and_breaks_off_sooner_still_gets_there() {
    let scene = Scene::new();
    scene.fail([
        Fault::CutAfter(400_000),
        Fault::IgnoreRangeAndCutAfter(300_000),
        Fault::IgnoreRangeAndCutAfter(600_000),
        Fault::IgnoreRange,
    ]);
    scene.pull().unwrap();
    assert_eq!(scene.ranges(), [None, from(400_000), from(400_000), from(600_000)]);
}

#[test]
fn a_wrong_range_is_not_used_and_ranges_are_not_asked_for_again() {
    for range in
        ["bytes 0-999999/1000000", "bytes 400000-999998/1000000", "bytes 400000-999999/7", "nonsense"]
    {
        let scene = Scene::new();
        scene.fail([Fault::CutAfter(400_000), Fault::ContentRange(range.into())]);
        scene.pull().unwrap();
        assert_eq!(scene.ranges(), [None, from(400_000), None], "{range}");
    }
}

#[test]
fn a_stalled_blob_is_taken_up_again() {
    let scene = Scene::new();
    scene.fail([Fault::StallAfter(400_000)]);
    let started = Instant::now();
    scene.pull().unwrap();
    assert_eq!(scene.ranges(), [None, from(400_000)]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_reader_that_takes_its_time_is_not_a_stall() {
    let scene = Scene::new();
    let big = scene.registry.push("big", &Image::new().blob(plain(noise(2, 12 << 20))));
    let (source, image) = scene.puller.resolve(&scene.registry.reference("big")).unwrap();
    let mut blob = source.open_blob(&image.layers[0]).unwrap();
    let mut bytes = vec![0; 1];
    blob.read_exact(&mut bytes).unwrap();
    std::thread::sleep(scene.puller.options.timeouts.stall_window * 2);
    blob.read_to_end(&mut bytes).unwrap();
    assert!(bytes == big.layers[0].bytes);
    assert_eq!(scene.registry.seen(Sha256::of(&bytes)).len(), 1);
}

#[test]
fn attempts_are_counted_anew_after_progress_and_end_without_it() {
    let scene = Scene::new();
    scene.fail(std::iter::repeat_n(Fault::CutAfter(70_000), 12));
    scene.pull().unwrap();
    assert_eq!(scene.ranges().len(), 13);

    let scene = Scene::new();
    scene.fail(std::iter::repeat_n(Fault::CutAfter(100), 50));
    let error = scene.pull().unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert!(error.to_string().ends_with("(tried 8 times)"), "{error}");
    assert_eq!(scene.ranges().len(), 8);
}

#[test]
fn waits_are_the_servers_for_blobs_too() {
    let scene = Scene::new();
    scene.fail([Fault::retry_after(503, "11"), Fault::CutAfter(100_000), Fault::retry_after(429, "13")]);
    scene.pull().unwrap();
    let waits = scene.puller.waits();
    assert_eq!((waits[0], waits[2]), (11, 13));
}

#[test]
fn a_token_that_expires_in_the_middle_is_renewed() {
    let scene = Scene::new();
    // Each is good for two requests: manifest, config | layer, its rest | the rest of that.
    scene.registry.access(Access::Token(Tokens { uses: Some(2), ..Tokens::default() }));
    scene.fail([Fault::CutAfter(200_000), Fault::CutAfter(200_000), Fault::CutAfter(200_000)]);
    scene.pull().unwrap();
    assert!(scene.registry.seen("/token").len() >= 3);
    assert_eq!(scene.puller.waits().len(), 3);
}

#[test]
fn wrong_bytes_are_found_out() {
    let scene = Scene::new();
    scene.fail([Fault::Body(noise(7, SIZE))]);
    let error = scene.pull().unwrap_err();
    assert!(matches!(error, Error::Verification { .. }), "{error:?}");
    // After an interruption as well.
    let scene = Scene::new();
    scene.fail([Fault::CutAfter(400_000), Fault::Body(noise(7, SIZE))]);
    assert!(matches!(scene.pull(), Err(Error::Verification { .. })));
}

#[test]
fn blobs_that_are_too_short_or_too_long_are_refused() {
    let bytes = noise(1, SIZE);
    let longer = [&bytes[..], b"!"].concat();
    for (fault, found) in [
        (Fault::Body(bytes[..SIZE - 1].to_vec()), "999999"),
        (Fault::Body(longer.clone()), "1000001"),
        (Fault::Body(Vec::new()), "0"),
        (Fault::Chunked(longer), "1000001"),
        (Fault::Endless, ""),
    ] {
        let scene = Scene::new();
        scene.fail([fault.clone()]);
        let error = scene.pull().unwrap_err();
        assert!(
            matches!(&error, Error::Verification { expected, found: f, .. } if expected == "1000000 bytes" && f.starts_with(found)),
            "{error}"
        );
        assert_eq!(scene.ranges().len(), 1);
    }
}

#[test]
fn a_blob_that_ends_early_without_a_length_gets_a_second_look() {
    let bytes = noise(1, SIZE);
    let half = Fault::Chunked(bytes[..SIZE / 2].to_vec());
    // A proxy's fault: the rest is there.
    let scene = Scene::new();
    scene.fail([half.clone()]);
    scene.pull().unwrap();
    assert_eq!(scene.ranges(), [None, from(SIZE / 2)]);
    // The server's: it ends there every time.
    let scene = Scene::new();
    scene.fail([half.clone(), half.clone(), half]);
    let error = scene.pull().unwrap_err();
    assert!(matches!(&error, Error::Verification { found, .. } if found == "500000 bytes"), "{error}");
    // The server says so itself.
    let scene = Scene::new();
    scene.fail([Fault::Chunked(bytes[..SIZE / 2].to_vec()), Fault::status(416)]);
    assert!(matches!(scene.pull(), Err(Error::Verification { .. })));
}

#[test]
fn a_blob_that_is_missing_is_not_found_at_once() {
    let scene = Scene::new();
    scene.fail([Fault::status(404)]);
    assert!(matches!(scene.pull(), Err(Error::NotFound { .. })));
    assert_eq!(scene.ranges().len(), 1);
}

#[test]
fn several_blobs_at_once_do_not_wait_for_each_other() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    let blobs: Vec<_> = (0..6).map(|n| noise(n, 6 << 20)).collect();
    registry.push("v1", &blobs.iter().fold(Image::new(), |image, blob| image.blob(plain(blob.clone()))));
    let (source, image) = puller.resolve(&registry.reference("v1")).unwrap();
    // The first is open and not read while the others are read one after the other.
    let mut first = source.open_blob(&image.layers[0]).unwrap();
    for (layer, blob) in image.layers.iter().zip(&blobs).skip(1) {
        assert!(read_blob(&source, layer).unwrap() == *blob);
    }
    let mut bytes = Vec::new();
    first.read_to_end(&mut bytes).unwrap();
    assert!(bytes == blobs[0]);
}

#[test]
fn a_reader_or_a_source_that_goes_away_ends_the_transfer() {
    let scene = Scene::new();
    scene.registry.push("big", &Image::new().blob(plain(noise(2, 12 << 20))));
    let (source, image) = scene.puller.resolve(&scene.registry.reference("big")).unwrap();
    let mut byte = [0];
    source.open_blob(&image.layers[0]).unwrap().read_exact(&mut byte).unwrap();
    let mut blob = source.open_blob(&image.layers[0]).unwrap();
    blob.read_exact(&mut byte).unwrap();
    drop(source);
    let error = blob.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("given up"), "{error}");
}

#[test]
fn layers_come_no_faster_than_the_rate() {
    let mut scene = Scene::new();
    scene.puller.options.rate = Some("2M".parse().unwrap());
    let started = Instant::now();
    scene.pull().unwrap();
    let took = started.elapsed().as_secs_f64();
    let at_least = SIZE as f64 / f64::from(2 << 20);
    assert!(took >= at_least * 0.9, "{took} s, at least {at_least}");
}
