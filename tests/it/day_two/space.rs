//! bootc's scenario 35: an image that cannot fit is refused with figures before anything is written.

use serde_json::json;

use super::machine::{Loader, Machine, os};
use crate::support::faulty_registry::FaultyRegistry;
use crate::support::image::Layer;

/// Version 2 with a layer more that claims 999 TiB, and that nobody has.
fn endless() -> crate::support::image::Image {
    os(2, Layer::new())
        .edit_config(|config| {
            let diff_ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
            diff_ids.push(json!(format!("sha256:{}", "1".repeat(64))));
        })
        .edit_manifest(|manifest| {
            manifest["layers"].as_array_mut().unwrap().push(json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": format!("sha256:{}", "0".repeat(64)),
                "size": 999u64 << 40,
            }));
        })
}

/// Everything in the store by name.
fn stored(machine: &Machine) -> usize {
    let mut open = vec![machine.reroot.sysroot.join("reroot/repo")];
    let mut count = 0;
    while let Some(path) = open.pop() {
        count += 1;
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    count
}

#[test]
fn a_layer_of_999_tib_is_refused_with_figures_before_anything_is_written() {
    for from_registry in [false, true] {
        let mut machine = Machine::running(Loader::Grub);
        let registry = FaultyRegistry::start();
        let reference = match from_registry {
            true => {
                registry.push("stable", &endless());
                registry.reference("stable")
            }
            false => {
                machine.layout.tag("stable", &endless());
                machine.stable()
            }
        };
        let before = stored(&machine);
        for verb in ["switch", "deploy"] {
            machine.refused(&[verb, &reference], 1, &["not enough space: this image", "available"]);
        }
        if !from_registry {
            machine.refused(&["upgrade"], 1, &["not enough space: this image", "available"]);
        }
        assert_eq!(stored(&machine), before);
        assert!(registry.seen("/blobs/sha256:000").is_empty(), "the layer was asked for");
        machine.assert_sound("refused");
    }
}
