//! Two machines that update themselves with a graph, a window and a lock: one after the other.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::checks::off;
use crate::day_two::{Host, events, settled};
use crate::harness::Vm;
use crate::harness::image::Variant;
use crate::installed::booted;
use crate::support::fleet_lock::etcd::{Etcd, obstacle};
use crate::support::fleet_lock::{FleetLockServer, holders};
use crate::support::graph_server::{GraphServer, Releases};
use crate::support::image::Layer;
use crate::support::skip::{say, skip};

const GROUP: &str = "web";
const NODES: [&str; 2] = ["00000000000000000000000000000001", "00000000000000000000000000000002"];
const DIRECTORY: &str = "/etc/reroot/agent.d";

/// The server's address as the machines have it.
fn there(url: &str) -> String {
    url.replace("127.0.0.1", "10.0.2.2")
}

/// Lets the agent follow a graph, with a window that is always open and a lock. It does not restart the machine yet.
fn follow(vm: &mut Vm, node: &str, graph: &str, lock: &str) {
    let config = format!(
        "[agent]\njitter = \"0\"\n[update]\nfollow = \"graph\"\n[graph]\nbase-url = \"{}\"\n\
         [identity]\ngroup = \"{GROUP}\"\nnode-id = \"{node}\"\n\
         [reboot]\nstrategy = [\"periodic\", \"fleet-lock\"]\n[reboot.periodic]\ntime-zone = \"Europe/Berlin\"\n\
         [[reboot.periodic.window]]\ndays = [\"Mon\", \"Tue\", \"Wed\", \"Thu\", \"Fri\", \"Sat\", \"Sun\"]\n\
         start-time = \"00:00\"\nlength = \"24h\"\n[reboot.fleet-lock]\nbase-url = \"{}\"\n",
        there(graph),
        there(lock)
    );
    vm.ok(&format!(
        "mkdir -p {DIRECTORY} && cat > {DIRECTORY}/50-fleet.toml <<'END'\n{config}END\n\
         echo 'agent.policy = \"stage\"' > {DIRECTORY}/60-not-yet.toml"
    ));
    vm.ok("systemctl enable --now reroot-agent.service");
}

/// Waits until the agent says so about itself.
fn wait_until(vm: &mut Vm, what: &str, is_so: impl Fn(&Value) -> bool) {
    let end = Instant::now() + Duration::from_secs(600);
    loop {
        let ran = vm.run("reroot agent status --json");
        if let Ok(status) = serde_json::from_str::<Value>(&ran.output) {
            assert_eq!(status["agent"]["configurationProblem"], Value::Null);
            if is_so(&status["agent"]) {
                return;
            }
        }
        assert!(Instant::now() < end, "{}: not {what}: {}", vm.spec.name, ran.output);
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// From the last that a machine wrote into its journal before it went down to the first that it did when it was up again,
/// in microseconds of a clock that both machines have from this one.
fn down(vm: &mut Vm) -> (u64, u64) {
    let boots: Value = serde_json::from_str(&vm.ok("journalctl --list-boots -o json")).unwrap();
    let of = |index: i64, what: &str| {
        let boot = boots.as_array().unwrap().iter().find(|boot| boot["index"] == index);
        boot.expect("it was started again")[what].as_u64().unwrap()
    };
    (of(-1, "last_entry"), of(0, "first_entry"))
}

#[test]
#[ignore = "make test-vm"]
fn two_machines_restart_one_after_the_other() {
    let name = "two_machines_restart_one_after_the_other";
    if let Some(reason) = obstacle() {
        return skip(&format!("vm::{name}"), reason);
    }
    let layer = |version: &str| Layer::new().file("usr/lib/version", version);
    let Some(mut host) = Host::start(&format!("{name}_1"), Variant::Dracut, layer("1")) else { return };
    host.configure();
    let mut second = host.another(&format!("{name}_2"), Variant::Dracut);
    let next = host.publish("2", layer("2"));
    // The registry is there as long as they are.
    let Host { checks: mut first, image, registry: _registry, directory: _directory } = host;
    let etcd = Etcd::start();
    let lock = FleetLockServer::start(&etcd.address, 1);
    let releases = Releases::new().release("1", &image.digest(), &[]).release("2", &next.digest(), &[]);
    let graph = GraphServer::start(&releases.edge(0, 1));

    // Both are ready for it, and may begin at the same time.
    for (checks, node) in [(&mut first, NODES[0]), (&mut second, NODES[1])] {
        follow(&mut checks.vm, node, &graph.base_url(), &lock.base_url());
    }
    for checks in [&mut first, &mut second] {
        wait_until(&mut checks.vm, "staged", |agent| agent["blocker"]["by"] == "policy");
    }
    assert_eq!(holders(&etcd.address, GROUP), [""; 0]);
    let begin = format!("rm {DIRECTORY}/60-not-yet.toml && systemctl reload reroot-agent.service");
    for checks in [&mut first, &mut second] {
        checks.vm.ok(&begin);
    }
    for checks in [&mut first, &mut second] {
        checks.reboot_by(|vm| vm.wait_for_boot("findmnt -no FSROOT / | grep -q '/deploy/2$'"));
    }
    for checks in [&mut first, &mut second] {
        checks.check("the next version came by itself, and is good", |vm| {
            assert_eq!((booted(vm), vm.ok("cat /usr/lib/version").as_str()), (2, "2"));
            settled(vm);
            wait_until(vm, "idle", |agent| agent["state"] == "idle" && agent["lockHeld"] == false);
            assert_eq!(events(vm, 2), ["staged", "finalized", "booted", "marked-good"]);
        });
    }
    assert_eq!(holders(&etcd.address, GROUP), [""; 0]);
    let (one, two) = (down(&mut first.vm), down(&mut second.vm));
    say(&format!("{name}: down from {one:?} and from {two:?}"));
    assert!(one.1 < two.0 || two.1 < one.0, "both are down at the same time: {one:?}, {two:?}");
    off(first);
    off(second);
}
