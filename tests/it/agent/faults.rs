//! Servers, people and power that are not as they should be: none of it ends the agent, and all of it is seen.

use rustix::process::Signal;

use super::host::Host;
use crate::support::graph_server::{GraphServer, Releases};
use crate::support::http_server::{HttpServer, Reply};

const NODE: &str = "[identity]\nnode-id = \"00000000000000000000000000000001\"\n";

#[test]
fn a_configuration_with_a_mistake_leaves_that_of_before_and_is_said() {
    let mut host = Host::outdated();
    host.configure("[agent]\njitter = \"0\"\npolicy = \"check\"\n");
    host.start();
    host.wait("found", |status| status["agent"]["target"]["version"] == "2");
    host.configure("[agent]\npolcy = \"none\"\n");
    host.signal(Signal::HUP);
    let status = host.wait("said", |status| status["agent"]["configurationProblem"].is_string());
    let problem = status["agent"]["configurationProblem"].as_str().unwrap();
    assert!(problem.contains("50-test.toml:2") && problem.contains("polcy"), "{problem}");
    assert_eq!(status["agent"]["policy"], "check");
    let ran = host.machine.run(&["agent", "check-config"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("50-test.toml:2"), "{ran:?}");

    // An agent that starts with it waits for a better one.
    host.stop();
    host.start();
    host.wait("said", |status| status["agent"]["configurationProblem"].is_string());
    host.configure("[agent]\njitter = \"0\"\n");
    host.signal(Signal::HUP);
    host.wait_for("rebooting");
}

#[test]
fn a_graph_server_that_is_down_or_lies_is_asked_again() {
    let mut host = Host::outdated();
    let digest = |n: u32| {
        host.machine.status()["deployments"][0]["image"]["digest"]
            .as_str()
            .filter(|_| n == 1)
            .unwrap()
            .parse()
            .unwrap()
    };
    let graph = GraphServer::start(&Releases::new().release("1", &digest(1), &[]).edge(0, 0).edge(0, 7));
    graph.fail([
        Reply::new(500, "<html>down</html>"),
        Reply::new(200, "<html>log in first</html>"),
        Reply::new(200, "{\"nodes\": 3}"),
    ]);
    host.configure(&format!(
        "[agent]\njitter = \"0\"\n[update]\nfollow = \"graph\"\n[graph]\nbase-url = \"{}\"\n{NODE}",
        graph.base_url()
    ));
    host.start();
    for n in 1..=3 {
        let status = host.wait("failed", |status| {
            status["agent"]["lastCheck"]["result"].as_str().is_some_and(|result| result.starts_with("failed"))
                && graph.asked().len() == n
                && status["agent"]["state"] == "idle"
        });
        assert!(status["agent"]["problem"].is_string(), "{status:#}");
        host.machine.ok(&["agent", "update-now"]);
    }
    let status = host.wait("checked", |status| status["agent"]["lastCheck"]["result"] == "nothing new");
    assert!(status["agent"]["problem"].is_null(), "{status:#}");
}

#[test]
fn a_lock_server_that_says_nonsense_keeps_the_host_from_nothing_but_restarts() {
    let mut host = Host::outdated();
    let server = HttpServer::start(|asked| match asked.path.as_str() {
        "/v1/steady-state" => Reply::new(200, ""),
        _ => Reply::new(200, "<html>log in first</html>").header("content-type", "text/html"),
    });
    host.configure(&format!(
        "[agent]\njitter = \"0\"\n[reboot]\nstrategy = \"fleet-lock\"\n[reboot.fleet-lock]\nbase-url = \"{}\"\n{NODE}",
        server.url("")
    ));
    host.start();
    // It may have been granted: it is given back.
    host.wait("given back", |status| {
        status["agent"]["blocker"]["by"] == "lock" && status["agent"]["lockHeld"] == false
    });
    let asked: Vec<_> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked, ["/v1/steady-state", "/v1/pre-reboot", "/v1/steady-state"]);
    assert_eq!(host.called(), "");
}

#[test]
fn an_agent_that_is_killed_goes_on_where_it_was() {
    let mut host = Host::outdated();
    host.program("systemctl", "#!/bin/sh\necho no >&2\nexit 1\n");
    host.start();
    let status = host.wait_blocked("reboot");
    assert!(status["agent"]["blocker"]["reason"].as_str().unwrap().contains("systemctl"), "{status:#}");
    // A restart that failed leaves it locked.
    assert_eq!(host.machine.status()["staged"]["locked"], true);
    host.kill();
    assert_eq!(host.status()["running"], false);
    host.program("systemctl", "#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/called\"\n");
    host.start();
    host.wait_for("rebooting");
    assert_eq!(host.reboot(), 2);
}

#[test]
fn a_deployment_that_is_changed_by_hand_is_seen() {
    let mut host = Host::outdated();
    host.program("systemctl", "#!/bin/sh\nexit 1\n");
    host.start();
    host.wait_blocked("reboot");
    host.machine.ok(&["unstage"]);
    host.signal(Signal::HUP);
    host.wait("lost", |status| status["agent"]["state"] == "idle");
    assert!(host.log().contains("is neither staged nor running"), "{}", host.log());
}

#[test]
fn there_is_one_agent() {
    let mut host = Host::outdated();
    host.configure("[agent]\npolicy = \"none\"\n");
    host.start();
    let ran = host.machine.run(&["agent", "run", "--once"]);
    assert!(ran.code == Some(4) && ran.stderr.contains("an agent runs already as pid"), "{ran:?}");
    host.stop();
    let ran = host.machine.run(&["agent", "update-now"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("no agent runs"), "{ran:?}");
}
