//! Images in a registry, as a machine sees it: over plain HTTP at the address that QEMU's network gives this one.

use std::path::Path;

use super::{Image, Vm};
use crate::support::registry::{Access, Registry, obstacle};
use crate::support::tools::missing;

/// The name of the image, and the tag that machines follow.
const NAME: &str = "team/os:stable";

pub struct Published {
    registry: Registry,
}

impl Published {
    /// Starts a registry that keeps its blobs below `directory`; or why there can be none.
    pub fn start(directory: &Path) -> Result<Self, String> {
        if let Some(reason) = obstacle().or_else(|| missing(&["skopeo"])) {
            return Err(reason);
        }
        Ok(Self { registry: Registry::start(&directory.join("registry"), Access::Plain) })
    }

    /// Makes an image the one that machines find.
    pub fn push(&self, image: &Image) {
        self.registry.push(&image.reference(), NAME);
    }

    /// What a machine follows.
    pub fn reference(&self) -> String {
        format!("docker://{}/{NAME}", self.host())
    }

    /// Tells a machine that HTTP will do.
    pub fn configure(&self, vm: &mut Vm) {
        let file = "/etc/containers/registries.conf.d/50-published.conf";
        vm.ok(&format!(
            "mkdir -p $(dirname {file}) && printf '[[registry]]\\nlocation = \"{}\"\\ninsecure = true\\n' > {file}",
            self.host()
        ));
    }

    fn host(&self) -> String {
        self.registry.host.replace("127.0.0.1", "10.0.2.2")
    }
}
