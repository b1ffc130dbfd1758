//! An entry that names a deployment which is not there: nothing is booted, and the console says what to do.

use crate::harness::image::Variant;
use crate::harness::machine::Boot;
use crate::harness::{Image, Vm};
use crate::support::skip::{scratch, skip};

/// What the console says, line by line.
const SAID: [&str; 6] = [
    "cannot boot deployment 7 of stateroot os: /reroot/deploy/os/deploy/7 does not exist",
    "it was removed, or never finished; the entry in the boot menu is older than that",
    "other deployments on this disk, for which the boot menu may have entries:",
    "reroot=/reroot/deploy/os/deploy/1",
    "nothing else is booted in its place: restart and choose another entry in the boot menu",
    // Each initramfs restarts then, as the kernel arguments say.
    "cannot boot deployment 7 of stateroot os",
];

#[test]
#[ignore = "make test-vm"]
fn missing_deployment_dracut() {
    missing("missing_deployment_dracut", Variant::Dracut, "rd.shell=0 rd.emergency=reboot");
}

#[test]
#[ignore = "make test-vm"]
fn missing_deployment_initramfs_tools() {
    // panic=1 is among the arguments of every direct boot.
    missing("missing_deployment_initramfs_tools", Variant::InitramfsTools, "");
}

fn missing(name: &str, variant: Variant, more: &str) {
    let image = match Image::build(variant) {
        Ok(image) => image,
        Err(reason) => return skip(name, reason),
    };
    let directory = scratch();
    let mut spec = image.direct_disk(name, directory.path());
    let Boot::Direct { arguments, .. } = &mut spec.boot else { unreachable!("it is a direct disk") };
    *arguments = format!("{} {more}", arguments.replace("/deploy/os/deploy/1", "/deploy/os/deploy/7"));

    let mut vm = Vm::start(&spec);
    vm.wait_for_console_times(SAID[0], 2);
    let console = vm.console();
    let first = &console[..console.match_indices(SAID[0]).nth(1).expect("it was waited for").0];
    let mut rest = first;
    for line in &SAID[..5] {
        let at = rest.find(line).unwrap_or_else(|| panic!("{name}: no {line:?} in:\n{console}"));
        rest = &rest[at + line.len()..];
    }
    assert_eq!(first.matches(SAID[5]).count(), 1, "{name}: said twice:\n{console}");
    for booted in ["login: ", "reroot-prepare-root: mounted"] {
        assert!(!console.contains(booted), "{name}: {booted:?} in:\n{console}");
    }
    vm.cut_power();
}
