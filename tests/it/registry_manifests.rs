//! Finding an image in a registry that does not cooperate.

use crate::support::faulty_registry::{Fault, FaultyRegistry};
use crate::support::image::{Image, Layer, MANIFEST, bootable};
use crate::support::puller::Puller;
use reroot::oci::Error;
use reroot::oci::source::ImageSource;

#[test]
fn an_image_is_resolved_by_tag_and_by_digest() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    let built = registry.push("v1", &bootable());
    for reference in [registry.reference("v1"), registry.by_digest(built.digest())] {
        let (_, image) = puller.resolve(&reference).unwrap();
        assert_eq!((image.manifest_digest, image.index_digest), (built.digest(), None));
        assert_eq!((&image.manifest, &image.config_bytes), (&built.manifest, &built.config));
    }
    assert_eq!(puller.pull(&registry.reference("v1")).unwrap(), [built.layers[0].bytes.clone()]);
    assert_eq!(puller.waits(), [0_u64; 0]);
}

#[test]
fn an_index_is_walked_to_this_machines_image() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    let (other, ours) = (bootable().platform("mips", None).build(), bootable().build());
    registry.store(&ours);
    let inner = registry.push_index("inner", &[other.descriptor(), ours.descriptor()]);
    let (_, image) = puller.resolve(&registry.reference("inner")).unwrap();
    assert_eq!((image.manifest_digest, image.index_digest), (ours.digest(), Some(inner)));
    registry.push_index("foreign", &[other.descriptor()]);
    let error = puller.pull_error(&registry.reference("foreign"));
    assert!(error.contains("linux/mips"), "{error}");
}

#[test]
fn what_does_not_exist_is_not_found_at_once() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    let error = puller.pull(&registry.reference("none")).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("{}/team/os:none does not exist", registry.address));
    assert_eq!(registry.seen("manifests/none").len(), 1);
}

#[test]
fn a_tag_that_moves_is_looked_up_once() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    let new = bootable().version("2").build();
    let new = registry.store(&new);
    let old = bootable().build();
    registry.store(&old);
    let index = registry.push_index("v1", &[old.descriptor()]);
    // As soon as the index was fetched by its tag, the tag is another image's.
    registry.fail(format!("manifests/{}", old.digest()), [Fault::MoveTag("v1", new)]);
    let (source, image) = puller.resolve(&registry.reference("v1")).unwrap();
    assert_eq!((image.manifest_digest, image.index_digest), (old.digest(), Some(index)));
    let layer = crate::support::puller::read_blob(&source, &image.layers[0]).unwrap();
    assert_eq!(layer, old.layers[0].bytes);
    assert_eq!(registry.seen("manifests/v1").len(), 1);
}

#[test]
fn a_manifest_that_is_not_what_its_digest_says_is_refused() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    let (built, other) = (registry.push("v1", &bootable()), bootable().version("2").build());
    registry.fail("manifests/", [Fault::Body(other.manifest.clone())]);
    let error = puller.pull(&registry.by_digest(built.digest())).unwrap_err();
    assert!(matches!(&error, Error::Verification { .. }), "{error:?}");
    assert!(error.to_string().contains(&other.digest().to_string()), "{error}");
    // The config as well.
    registry.fail(reroot::digest::Sha256::of(&built.config), [Fault::Body(other.config)]);
    assert!(matches!(puller.pull(&registry.reference("v1")), Err(Error::Verification { .. })));
}

#[test]
fn documents_without_an_end_are_cut_off_at_four_mebibytes() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    let huge = vec![b' '; (4 << 20) + 1];
    registry.push_manifest(Some("huge"), MANIFEST, huge);
    registry.push_manifest(Some("endless"), MANIFEST, Vec::new());
    registry.fail("manifests/endless", [Fault::Endless]);
    for tag in ["huge", "endless"] {
        let error = puller.pull(&registry.reference(tag)).unwrap_err();
        assert!(matches!(&error, Error::TooLarge { limit, .. } if *limit == 4 << 20), "{error:?}");
    }
}

#[test]
fn a_registry_in_trouble_is_asked_again_when_it_says() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    registry.push("v1", &bootable());
    registry.fail(
        "manifests/v1",
        [
            Fault::retry_after(429, "7"),
            Fault::retry_after(503, "Sun, 06 Nov 1994 08:49:39 GMT"),
            Fault::retry_after(429, "100000"),
            Fault::status(500),
            Fault::Reset,
            Fault::CutAfter(10),
        ],
    );
    puller.pull(&registry.reference("v1")).unwrap();
    let waits = puller.waits();
    // The clock of the test stands at 08:49:30.
    assert_eq!(waits[..3], [7, 9, 600]);
    assert_eq!(waits.len(), 6);
}

#[test]
fn patience_ends() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    registry.push("v1", &bootable());
    let message = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull \u001b[31mrate limit"}]}"#;
    let limited = Fault::Status(429, Vec::new(), message.into());
    registry.fail("manifests/v1", std::iter::repeat_n(limited, 20));
    let error = puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("429") && text.contains("rate limit") && text.ends_with("(tried 8 times)"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "terminals are not driven by registries");
    assert_eq!(puller.waits().len(), 7);
}

#[test]
fn a_server_that_is_not_there_is_given_up_soon() {
    let puller = Puller::new();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = puller.pull(&format!("{address}/team/os:v1")).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(puller.waits().len(), 2);
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_given_up() {
    let mut puller = Puller::new();
    puller.options.timeouts.response = std::time::Duration::from_millis(50);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = puller.pull_error(&format!("{}/team/os:v1", listener.local_addr().unwrap()));
    assert!(error.contains("no answer") && error.ends_with("(tried 8 times)"), "{error}");
}

#[test]
fn addresses_in_a_manifest_are_never_fetched() {
    let (registry, elsewhere, puller) = (FaultyRegistry::start(), FaultyRegistry::start(), Puller::new());
    let url = format!("http://{}/foreign", elsewhere.address);
    let image = Image::new().layer(Layer::new().file("a", "a")).edit_manifest(move |manifest| {
        manifest["layers"][0]["urls"] = serde_json::json!([url]);
        manifest["layers"][0]["mediaType"] =
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip".into();
    });
    let built = registry.push("v1", &image);
    assert_eq!(puller.pull(&registry.reference("v1")).unwrap(), [built.layers[0].bytes.clone()]);
    let digest = reroot::digest::Sha256::of(&built.layers[0].bytes);
    registry.fail(digest, [Fault::status(404)]);
    assert!(matches!(puller.pull(&registry.reference("v1")), Err(Error::NotFound { .. })));
    assert!(elsewhere.seen("").is_empty());
}

#[test]
fn a_short_name_needs_an_alias() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    registry.push("v1", &bootable());
    let error = puller.source("os:v1").unwrap_err().to_string();
    assert!(error.contains("names no registry"), "{error}");
    puller.registries_conf(&format!("[aliases]\nos = '{}/team/os'", registry.address));
    let source = puller.source("os:v1").unwrap();
    source.resolve(&reroot::oci::platform::Platform::host()).unwrap();
}
