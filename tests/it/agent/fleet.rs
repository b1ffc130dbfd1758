//! Several hosts: a graph, and a lock on a real etcd.

use super::host::Host;
use crate::support::fleet_lock::etcd::{Etcd, obstacle};
use crate::support::fleet_lock::{FleetLockServer, holders};
use crate::support::graph_server::{GraphServer, Releases};
use crate::support::image::Layer;
use crate::support::skip::skip;

/// A graph, a window that is always open, and a lock.
fn in_a_fleet(graph: &str, lock: &str, node: u32) -> String {
    format!(
        "[agent]\njitter = \"0\"\n[update]\nfollow = \"graph\"\n[graph]\nbase-url = \"{graph}\"\n\
         [identity]\ngroup = \"web\"\nnode-id = \"0000000000000000000000000000000{node}\"\n\
         [reboot]\nstrategy = [\"periodic\", \"fleet-lock\"]\n[reboot.periodic]\ntime-zone = \"UTC\"\n\
         [[reboot.periodic.window]]\ndays = [\"Mon\", \"Tue\", \"Wed\", \"Thu\", \"Fri\", \"Sat\", \"Sun\"]\n\
         start-time = \"00:00\"\nlength = \"24h\"\n[reboot.fleet-lock]\nbase-url = \"{lock}\"\n"
    )
}

#[test]
fn two_hosts_restart_one_after_the_other() {
    if let Some(reason) = obstacle() {
        return skip("agent::fleet::two_hosts_restart_one_after_the_other", reason);
    }
    let etcd = Etcd::start();
    let lock = FleetLockServer::start(&etcd.address, 1);
    let [mut first, mut second] = [Host::outdated(), Host::outdated()];
    // The same images on both.
    let digests: Vec<_> = [1u32, 2].map(|n| first.machine.publish(&format!("v{n}"), n, Layer::new())).into();
    let same = [1u32, 2].map(|n| second.machine.publish(&format!("v{n}"), n, Layer::new()));
    assert_eq!(digests, same);
    let [one, two] = [0, 1].map(|n: usize| digests[n].parse().unwrap());
    let graph =
        GraphServer::start(&Releases::new().release("1", &one, &[]).release("2", &two, &[]).edge(0, 1));
    first.configure(&in_a_fleet(&graph.base_url(), &lock.base_url(), 1));
    second.configure(&in_a_fleet(&graph.base_url(), &lock.base_url(), 2));
    first.start();
    first.wait_for("rebooting");
    assert_eq!(holders(&etcd.address, "web"), ["00000000000000000000000000000001"]);
    second.start();
    let status = second.wait_blocked("lock");
    assert!(
        status["agent"]["blocker"]["reason"].as_str().unwrap().contains("all slots are locked"),
        "{status:#}"
    );
    assert_eq!((status["agent"]["lockHeld"].as_bool(), second.called().as_str()), (Some(false), ""));

    // The first is up again, and gives the lock back before anything else.
    assert_eq!(first.reboot(), 2);
    assert_eq!(holders(&etcd.address, "web"), ["00000000000000000000000000000001"]);
    first.start();
    first.wait_for("idle");
    assert_eq!(holders(&etcd.address, "web"), [""; 0]);
    second.machine.ok(&["agent", "release"]);
    second.wait_for("rebooting");
    assert_eq!(holders(&etcd.address, "web"), ["00000000000000000000000000000002"]);
    assert_eq!(second.reboot(), 2);
    second.start();
    second.wait_for("idle");
    assert_eq!(holders(&etcd.address, "web"), [""; 0]);
}

#[test]
fn a_graph_leads_over_a_barrier_and_past_what_failed() {
    let mut host = Host::outdated();
    let digests: Vec<_> = [1u32, 2, 3, 4]
        .map(|n| host.machine.publish(&format!("v{n}"), n, Layer::new()).parse().unwrap())
        .into();
    // The tag is somewhere else.
    host.machine.release(1);
    let releases = |rollout: &[(&str, &str)]| {
        Releases::new()
            .release("1", &digests[0], &[])
            .release("2", &digests[1], &[("barrier", "true")])
            .release("3", &digests[2], &[])
            .release("4", &digests[3], rollout)
            .edge(0, 1)
            .edge(1, 2)
            .edge(1, 3)
    };
    let later = [
        ("rollout", "true"),
        ("start_epoch", "99999999999"),
        ("start_value", "0"),
        ("duration_minutes", "60"),
    ];
    let graph = GraphServer::start(&releases(&later));
    host.configure(&format!(
        "[agent]\njitter = \"0\"\n[update]\nfollow = \"graph\"\n[graph]\nbase-url = \"{}\"\n",
        graph.base_url()
    ));
    host.start();
    let status = host.wait_for("rebooting");
    assert_eq!(status["agent"]["target"]["version"], "2", "{status:#}");
    assert_eq!(host.reboot(), 2);
    host.start();
    let status = host.wait_for("rebooting");
    assert_eq!(status["agent"]["target"]["version"], "3", "{status:#}");
    assert_eq!(host.reboot(), 3);
    // What is followed is still the tag that somebody chose.
    let origin = host.machine.read(3, "../3.origin").unwrap();
    assert!(origin.contains(":stable\""), "{origin}");

    // Nothing leads on from there, and that is said to those who log in.
    let dead = Releases::new().release(
        "3",
        &digests[2],
        &[("deadend", "true"), ("deadend_reason", "see https://example.com")],
    );
    graph.publish(&dead);
    host.start();
    let status = host.wait("checked", |status| status["agent"]["deadEnd"].is_string());
    assert_eq!(status["agent"]["deadEnd"], "see https://example.com");
    let motd = host.machine.reroot.config.join("run/motd.d/85-reroot-agent.motd");
    assert!(std::fs::read_to_string(motd).unwrap().contains("see https://example.com"));
}

#[test]
fn a_graph_may_name_indexes() {
    let mut host = Host::outdated();
    let digests: Vec<_> = [1u32, 2, 3].map(|n| host.machine.publish_index(&format!("v{n}"), n)).into();
    // Version 1 runs under the digest of its manifest.
    let first = host.machine.publish("v1", 1, Layer::new()).parse().unwrap();
    let releases = Releases::new().release("1", &first, &[]).release("2", &digests[1], &[]).release(
        "3",
        &digests[2],
        &[],
    );
    let graph = GraphServer::start(&releases.edge(0, 1).edge(1, 2));
    host.configure(&format!(
        "[agent]\njitter = \"0\"\n[update]\nfollow = \"graph\"\n[graph]\nbase-url = \"{}\"\n",
        graph.base_url()
    ));
    for expected in [2, 3] {
        host.start();
        let status = host.wait_for("rebooting");
        assert_eq!(status["agent"]["target"]["version"], expected.to_string(), "{status:#}");
        assert_eq!(host.reboot(), expected);
    }
}
