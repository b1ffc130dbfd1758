//! What was tried out in the running system becomes a layer.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::machine::{Loader, Machine};
use crate::support::tools::{command, run};

#[test]
fn the_running_system_brings_etc_and_a_writable_usr() {
    let machine = Machine::running(Loader::SystemdBoot);
    let live = |path: &str| machine.reroot.config.join(path);
    for directory in ["etc", "usr"] {
        run(command("cp").arg("-a").arg(machine.file(1, directory)).arg(&machine.reroot.config));
    }
    fs::write(live("etc/tried"), "out").unwrap();
    fs::write(live("usr/lib/tried"), "out").unwrap();
    let commit = || {
        let to = format!("oci:{}:tried", machine.path().join("out").display());
        let store = machine.path().join("store").display().to_string();
        machine.json(&["container", "commit", "1", "-o", &to, "--store", &store])
    };
    let written = |report: &serde_json::Value| -> Vec<String> {
        let paths =
            report["written"].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned());
        // What configures the program that is tested.
        paths.filter(|path| !path.starts_with("/etc/reroot")).collect()
    };
    // /usr is that of the deployment unless an overlay is on it.
    assert_eq!(written(&commit()), ["/etc/tried"]);
    let device = fs::metadata(live("usr")).unwrap().dev();
    let overlay = serde_json::json!({"version": 1, "time": 1, "directory": "/var/tmp/x", "device": device});
    fs::write(machine.run_dir().join("usr-overlay.json"), overlay.to_string()).unwrap();
    let report = commit();
    assert_eq!(written(&report), ["/etc/tried", "/usr/lib/tried"]);
    assert_eq!(report["deleted"], serde_json::json!([]));
    // The layer is on top of the image, and the image with it can be deployed.
    let tried = format!("oci:{}:tried", machine.path().join("out").display());
    machine.ok(&["switch", &tried]);
    assert_eq!(machine.read(2, "usr/lib/tried").as_deref(), Some("out"));
    machine.assert_sound("after switching to what was committed");
}
