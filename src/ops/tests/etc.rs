//! What was changed in the `/etc` of a deployment.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::*;
use super::support::*;
use crate::sysroot::Sysroot;

fn lines(drift: &EtcDrift) -> Vec<String> {
    drift.changes.iter().map(|c| format!("{} {}", c.kind.letter(), c.path)).collect()
}

fn count(sysroot: &Sysroot) -> u64 {
    etc_drift_count(sysroot, &sysroot.observe().unwrap().deployments[0]).unwrap()
}

#[test]
fn a_new_deployment_has_its_defaults_and_then_what_people_do() {
    let mut world = World::new();
    world.os("stable", 1);
    world.deploy("stable");
    let sysroot = world.sysroot();
    assert_eq!(etc_drift(&sysroot, None, None).unwrap().changes, []);
    assert_eq!(count(&sysroot), 0);

    let etc = world.deployments().join("1/etc");
    // As long as before, and written later.
    fs::write(etc.join("release"), "release X\n").unwrap();
    fs::set_permissions(etc.join("shadow"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(etc.join("ssl/cert")).unwrap();
    fs::create_dir(etc.join("mine")).unwrap();
    fs::write(etc.join("mine/conf"), "").unwrap();
    fs::write(etc.join(".updated"), "").unwrap();
    let drift = etc_drift(&sysroot, Some(id(1)), None).unwrap();
    let expected = ["A /etc/mine", "A /etc/mine/conf", "M /etc/release", "M /etc/shadow", "D /etc/ssl/cert"];
    assert_eq!(lines(&drift), expected);
    assert_eq!(count(&sysroot), 5);
    let json = serde_json::to_value(&drift).unwrap();
    assert_eq!(
        json["changes"][3],
        serde_json::json!({"path": "/etc/shadow", "kind": "modified", "what": ["mode"]})
    );
}

#[test]
fn without_a_number_the_first_in_boot_order_is_meant() {
    let mut world = World::new();
    let error = etc_drift(&world.sysroot(), None, None).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::NotFound, "there is no deployment".into()));
    world.os("stable", 1);
    world.deploy("stable");
    world.deploy("stable");
    assert_eq!(etc_drift(&world.sysroot(), None, None).unwrap().id, id(2));
    let error = etc_drift(&world.sysroot(), Some(id(9)), None).unwrap_err();
    assert_eq!(error.to_string(), "deployment 9 does not exist");
}
