//! The Debian images in layers by package: what an update fetches then, by the registry's own log.

use std::path::Path;

use serde_json::Value;

use crate::debian::images;
use crate::support::registry::{Access, Registry};
use crate::support::reroot::{PROGRAM, Ran};
use crate::support::skip::{say, scratch, skip};
use crate::support::tools::{command, run};

/// More than the packages of an ordinary update: the release may be about to get a point release.
const LARGE_UPDATE: u64 = 40 << 20;
/// Bytes of memory that rechunk may ask for, its threads' stacks included.
const MEMORY: u64 = 256 << 20;

struct Builder<'d> {
    directory: &'d Path,
}

impl Builder<'_> {
    /// `reroot container`, with a store of this name.
    fn container(&self, store: &str, arguments: &[&str]) -> Value {
        let mut command = command("prlimit");
        command
            .arg(format!("--data={MEMORY}"))
            .args([PROGRAM, "--quiet", "container"])
            .args(arguments)
            .arg("--json");
        command.env("REROOT_STORE", self.directory.join(store)).env("REROOT_CONFIG_ROOT", self.directory);
        command.env("TMPDIR", self.directory);
        Ran::of(&command.output().unwrap()).ok().json()
    }

    /// Bytes of blobs that come for `new` to somebody who has `old`.
    fn fetched(&self, registry: &Registry, store: &str, old: &str, new: &str) -> u64 {
        self.container(store, &["inspect", &registry.reference(old)]);
        registry.clear_log();
        self.container(store, &["inspect", &registry.reference(new)]);
        registry
            .fetched()
            .iter()
            .filter(|fetched| fetched.path.contains("/blobs/"))
            .map(|fetched| fetched.bytes)
            .sum()
    }
}

#[test]
fn an_update_fetches_a_third_of_what_it_did() {
    let name = "rechunked::an_update_fetches_a_third_of_what_it_did";
    let images = match images("small") {
        Ok(images) => images,
        Err(reason) => return skip(name, reason),
    };
    let directory = scratch();
    let builder = Builder { directory: directory.path() };
    let plain = images.registry(Access::Plain);
    let before = builder.fetched(&plain, "plain", "debian:v1-gzip", "debian:v2-gzip");

    let registry = Registry::start(&directory.path().join("storage"), Access::Plain);
    let (old, new) = (registry.reference("os:v1"), registry.reference("os:v2"));
    builder.container("plain", &["rechunk", &images.layout("v1-gzip"), "-o", &old]);
    let arguments = ["rechunk", &images.layout("v2-gzip"), "-o", &new, "--previous", &old, "--keep-times"];
    let report = builder.container("plain", &arguments);
    let after = builder.fetched(&registry, "rechunked", "os:v1", "os:v2");
    // The config is a blob as well, of a few kilobytes.
    let said = report["fetchBytes"].as_u64().unwrap();
    assert!(after >= said && after - said < 64 << 10, "{after} {said}");
    say(&format!(
        "v1 to v2: {before} bytes as built, {after} rechunked: {:.2} times less",
        before as f64 / after as f64
    ));

    // What an update cannot do without: the packages that are new in it.
    let difference =
        builder.container("plain", &["diff", &images.layout("v1-gzip"), &images.layout("v2-gzip")]);
    let inspected = builder.container("plain", &["inspect", &images.layout("v2-gzip")]);
    let is_new = |package: &Value| {
        ["added", "upgraded"].iter().any(|how| {
            difference["packages"][how]
                .as_array()
                .unwrap()
                .iter()
                .any(|change| change["name"] == package["name"])
        })
    };
    let packages = inspected["packages"].as_array().unwrap().iter().filter(|package| is_new(package));
    let needed: u64 = packages.map(|package| package["bytes"].as_u64().unwrap()).sum();
    match needed < LARGE_UPDATE {
        true => assert!(after * 3 <= before, "{after} of {before}, {needed} bytes in new packages"),
        false => assert!(after < before, "{after} of {before}, {needed} bytes in new packages"),
    }

    let layers = |reference: &str| -> Vec<String> {
        let seen = run(command("skopeo").args(["inspect", "--tls-verify=false", reference]));
        let seen: Value = serde_json::from_str(&seen).unwrap();
        seen["Layers"].as_array().unwrap().iter().map(|layer| layer.as_str().unwrap().to_owned()).collect()
    };
    let (old, new) = (layers(&old), layers(&new));
    let shared = new.iter().filter(|layer| old.contains(layer)).count();
    say(&format!("{shared} of {} layers are shared", new.len()));
    assert!(shared * 2 > new.len(), "{shared} of {}", new.len());
    assert_eq!(new.len() - shared, report["fetchLayers"].as_u64().unwrap() as usize);
}
