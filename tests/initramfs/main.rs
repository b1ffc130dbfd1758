//! `reroot-prepare-root` in an initramfs of the tests' own: a mount namespace in which the program and its libraries are
//! all there is, with a command line and a physical root as each test wants them ([`machine`]). Needs root.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests prepare their own files")]

mod failures;
mod machine;
mod mounts;
#[path = "../it/support/skip.rs"]
#[allow(dead_code)]
mod skip;
mod transient;

use reroot::initramfs::choose::Target;
use reroot::sysroot::{DeploymentKey, layout};

#[test]
fn the_argument_is_what_the_sysroot_calls_a_deployment() {
    for (stateroot, id) in [("default", 1), ("os-13.x_y", 1 << 53)] {
        let key = DeploymentKey {
            stateroot: stateroot.parse().unwrap(),
            id: reroot::sysroot::DeploymentId::new(id).unwrap(),
        };
        let target: Target = layout::deployment_path(&key).parse().unwrap();
        assert_eq!((target.stateroot, target.id), (key.stateroot, key.id.get()));
    }
}
