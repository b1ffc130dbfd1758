//! The registry that Debian ships.

use std::path::Path;

use crate::support::image::{Compress, Image, Layer, Layout, bootable, bootable_layer};
use crate::support::puller::{Puller, noise};
use crate::support::registry::{Access, PASSWORD, Registry, USER, obstacle};
use crate::support::skip::skip;
use reroot::oci::Error;

fn start(test: &str, storage: &Path, access: Access) -> Option<Registry> {
    if let Some(reason) = obstacle() {
        skip(test, reason);
        return None;
    }
    Some(Registry::start(storage, access))
}

/// An image with a layer of each compression, one of them of several megabytes.
fn image() -> Image {
    Image::new()
        .layer(bootable_layer())
        .layer_as(Layer::new().file("usr/big", noise(3, 5 << 20)), Compress::Zstd)
        .layer_as(Layer::new().file("usr/small", "small\n"), Compress::None)
}

#[test]
fn images_come_from_a_real_registry_in_plain_http() {
    let (dir, puller) = (tempfile::tempdir().unwrap(), Puller::new());
    let test = "registry_real::images_come_from_a_real_registry_in_plain_http";
    let Some(registry) = start(test, &dir.path().join("storage"), Access::Plain) else { return };
    let mut layout = Layout::new(dir.path().join("layout"));
    let built = layout.tag("v1", &image());
    let index = layout.tag_index("multi", &[bootable().platform("mips", None), image()]);
    registry.push(&layout.reference("v1"), "team/os:v1");
    registry.push(&layout.reference("multi"), "team/os:multi");
    let layers: Vec<_> = built.layers.iter().map(|l| l.bytes.clone()).collect();
    assert!(puller.pull(&format!("{}/team/os:v1", registry.host)).unwrap() == layers);
    let (_, resolved) = puller.resolve(&format!("{}/team/os:multi", registry.host)).unwrap();
    assert_eq!((resolved.manifest_digest, resolved.index_digest), (built.digest(), Some(index)));
    for name in ["team/os:none", "team/none:v1"] {
        let error = puller.pull(&format!("{}/{name}", registry.host)).unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
}

#[test]
fn images_come_from_a_real_registry_with_tls_and_a_password() {
    let test = "registry_real::images_come_from_a_real_registry_with_tls_and_a_password";
    let (dir, puller) = (tempfile::tempdir().unwrap(), Puller::new());
    let Some(registry) = start(test, &dir.path().join("storage"), Access::Protected) else { return };
    let mut layout = Layout::new(dir.path().join("layout"));
    let built = layout.tag("v1", &image());
    registry.push(&layout.reference("v1"), "team/os:v1");
    let reference = format!("{}/team/os:v1", registry.host);
    let error = puller.pull(&reference).unwrap_err();
    assert!(error.to_string().contains("certificate is not trusted"), "{error}");
    let authority = std::fs::read(registry.certificates().join("ca.crt")).unwrap();
    puller.write(&format!("etc/containers/certs.d/{}/ca.crt", registry.host), authority);
    assert!(matches!(puller.pull(&reference), Err(Error::Unauthorized { .. })));
    puller.password(&registry.host, USER, "wrong");
    assert!(matches!(puller.pull(&reference), Err(Error::Unauthorized { .. })));
    puller.password(&registry.host, USER, PASSWORD);
    let layers: Vec<_> = built.layers.iter().map(|l| l.bytes.clone()).collect();
    assert!(puller.pull(&reference).unwrap() == layers);
}
