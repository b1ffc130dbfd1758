//! One host.

use rustix::process::Signal;
use serde_json::Value;

use super::host::Host;
use crate::day_two::machine::os;
use crate::support::image::Layer;

/// A window that is never open while the test runs: it opens when this week was a month ago.
const CLOSED: &str =
    "[agent]\njitter = \"0\"\n[reboot]\nstrategy = \"periodic\"\n[reboot.periodic]\ntime-zone = \"UTC\"\n";

/// In the middle of a week that is not this one: a minute, three days from now.
fn closed() -> String {
    let day = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .checked_add(jiff::Span::new().days(3))
        .unwrap();
    let day = &day.strftime("%a").to_string();
    format!(
        "{CLOSED}[[reboot.periodic.window]]\ndays = [\"{day}\"]\nstart-time = \"12:00\"\nlength = \"1m\"\n"
    )
}

#[test]
fn a_host_goes_to_the_next_version_by_itself_and_stays() {
    let mut host = Host::outdated();
    host.start();
    let status = host.wait_for("rebooting");
    assert_eq!(status["agent"]["target"]["version"], "2", "{status:#}");
    assert_eq!(host.called(), "reboot\n");
    assert_eq!(host.machine.order(), "2:staged 1:booted+default");

    assert_eq!(host.reboot(), 2);
    host.start();
    let status = host.wait("checked", |status| status["agent"]["lastCheck"].is_object());
    assert_eq!(status["agent"]["lastCheck"]["result"], "nothing new");
    host.wait_for("idle");
    assert!(host.log().contains("version 2 (sha256:"), "{}", host.log());
    assert!(host.log().contains("is installed and runs"), "{}", host.log());
    assert_eq!(host.called(), "");
    host.stop();
    assert_eq!(host.status()["running"], false);
    host.machine.assert_sound("after an update");
}

#[test]
fn once_does_what_may_be_done_and_ends() {
    let host = Host::outdated();
    host.configure("[agent]\njitter = \"0\"\npolicy = \"stage\"\n");
    assert_eq!(host.machine.run(&["agent", "run", "--once"]).code, Some(0));
    assert_eq!(host.machine.order(), "2:staged 1:booted+default");
    // Nobody who restarts the machine is kept from it.
    assert_eq!(host.machine.reboot(), 2);
    assert_eq!(host.called(), "");
    assert_eq!(host.machine.run(&["agent", "run", "--once"]).code, Some(0));
}

#[test]
fn it_waits_for_its_window_and_what_it_staged_is_locked_until_then() {
    let mut host = Host::outdated();
    host.configure(&closed());
    host.start();
    let status = host.wait_blocked("window");
    assert_eq!(status["agent"]["state"], "staged");
    let staged = &host.machine.status()["staged"];
    assert_eq!(staged["locked"], true, "{staged:#}");
    // Somebody restarts the machine: nothing changes.
    assert_eq!(host.reboot(), 1);

    // What the power or somebody took away is found again.
    host.start();
    host.wait_blocked("window");
    assert!(host.log().contains("is neither staged nor running"), "{}", host.log());
    host.machine.ok(&["agent", "update-now"]);
    host.wait_for("rebooting");
    // Numbers are not given out again.
    assert_eq!(host.reboot(), 3);
}

#[test]
fn a_newer_version_takes_the_place_of_one_that_waits_and_one_that_is_withdrawn_goes() {
    let mut host = Host::outdated();
    host.configure(&closed());
    host.start();
    host.wait_blocked("window");
    host.machine.release(3);
    // Whoever starts it again makes it look.
    host.stop();
    host.start();
    host.machine.ok(&["agent", "update-now"]);
    let status = host.wait_for("rebooting");
    assert_eq!(status["agent"]["target"]["version"], "3");

    let mut host = Host::outdated();
    host.configure(&closed());
    host.start();
    host.wait_blocked("window");
    host.machine.release(1);
    host.machine.ok(&["agent", "update-now"]);
    host.wait("dropped", |status| status["agent"]["state"] == "idle");
    assert_eq!(host.machine.status()["staged"], Value::Null);
}

#[test]
fn a_hold_is_kept_over_restarts_and_ends() {
    let mut host = Host::outdated();
    host.machine.ok(&["agent", "hold", "--for", "2d", "--reason", "release week"]);
    host.start();
    let status = host.wait("found", |status| status["agent"]["lastCheck"].is_object());
    assert_eq!(
        (&status["agent"]["target"]["version"], &status["hold"]["reason"]),
        (&"2".into(), &"release week".into())
    );
    host.wait_for("idle");
    assert_eq!(host.machine.status()["staged"], Value::Null);
    host.stop();
    host.machine.ok(&["agent", "release"]);
    host.start();
    host.wait_for("rebooting");
    host.stop();
    host.machine.refused(&["agent", "hold", "--until", "2020-01-01T00:00Z"], 2, &["over already"]);
}

#[test]
fn what_failed_here_is_not_installed_again() {
    let mut host = Host::outdated();
    host.start();
    host.wait_for("rebooting");
    host.reboot();
    host.machine.ok(&["mark-bad", "2"]);
    host.machine.ok(&["rollback", "1"]);
    host.machine.cut_power();
    host.machine.ok(&["boot-complete"]);
    host.start();
    let status = host.wait("checked", |status| status["agent"]["lastCheck"].is_object());
    let result = status["agent"]["lastCheck"]["result"].as_str().unwrap();
    assert!(result.starts_with("refused: it failed on this machine"), "{result}");
    // Also not when somebody is in a hurry; but a newer one is.
    host.machine.ok(&["agent", "update-now"]);
    host.wait_for("idle");
    host.machine.release(3);
    host.machine.ok(&["agent", "update-now"]);
    let status = host.wait_for("rebooting");
    assert_eq!(status["agent"]["target"]["version"], "3");
}

#[test]
fn what_others_stage_is_left_alone() {
    let mut host = Host::outdated();
    host.machine.publish("beta", 9, Layer::new());
    let beta = host.machine.layout.reference("beta");
    host.machine.ok(&["switch", "--download-only", &beta]);
    host.start();
    let status = host.wait("checked", |status| status["agent"]["lastCheck"].is_object());
    assert_eq!(status["agent"]["lastCheck"]["result"], "somebody else has staged a deployment");
    host.stop();
    assert_eq!(host.machine.order(), "2:staged 1:booted+default");
    assert_eq!(host.machine.status()["staged"]["locked"], true);
}

#[test]
fn the_highest_version_among_the_tags_is_followed() {
    let mut host = Host::outdated();
    for (tag, n) in [("1.9.0", 3), ("1.10.0", 4), ("2.0.0-rc.1", 5), ("latest", 6)] {
        host.machine.publish(tag, n, Layer::new());
    }
    host.configure(
        "[agent]\njitter = \"0\"\n[update]\nfollow = \"version\"\n[update.version]\npattern = \"*\"\n",
    );
    host.start();
    let status = host.wait_for("rebooting");
    assert_eq!(status["agent"]["target"]["version"], "4", "{status:#}");
    host.reboot();
    let origin = host.machine.read(2, "../2.origin").unwrap();
    assert!(origin.contains(":1.10.0\""), "{origin}");
}

#[test]
fn an_image_is_left_to_others_until_it_is_old_enough() {
    let mut host = Host::outdated();
    let unborn = os(2, Layer::new()).created("2999-01-01T00:00:00Z");
    host.machine.layout.tag("stable", &unborn);
    host.configure("[agent]\njitter = \"0\"\n[update]\nmin-age = \"2d\"\n");
    host.start();
    let status = host.wait("checked", |status| status["agent"]["lastCheck"].is_object());
    assert_eq!(status["agent"]["lastCheck"]["result"], "too young, waits until 2999-01-03T00:00:00Z");
    assert_eq!(host.machine.status()["staged"], Value::Null);
    host.machine.ok(&["agent", "update-now"]);
    host.wait_for("rebooting");
}

#[test]
fn its_metrics_are_on_a_socket() {
    use std::io::Read;
    let mut host = Host::outdated();
    host.configure("[agent]\njitter = \"0\"\npolicy = \"check\"\n");
    host.start();
    host.wait("checked", |status| {
        status["agent"]["lastCheck"].is_object() && status["agent"]["state"] == "idle"
    });
    let socket = host.machine.run_dir().join("agent/metrics.sock");
    let mut text = String::new();
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.read_to_string(&mut text).unwrap();
    for line in [
        "reroot_agent_state{state=\"idle\"} 1",
        "reroot_agent_checks_total 1",
        "reroot_agent_updates_enabled 0",
        "reroot_agent_config_valid 1",
        "reroot_agent_window_seconds_per_week 604800",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
    assert!(text.contains("reroot_agent_booted_info{version=\"1\",digest=\"sha256:"), "{text}");
}

#[test]
fn hooks_and_people_are_asked() {
    let mut host = Host::outdated();
    host.program("busctl", include_str!("busctl.sh"));
    host.program(
        "loginctl",
        "#!/bin/sh\nprintf 'Id=7\\nName=ada\\nType=tty\\nClass=user\\nTTY=pts/0\\nState=active\\n'\n",
    );
    host.configure("[agent]\njitter = \"0\"\n[reboot]\npostpone = \"1h\"\npostpone-times = 1\n");
    let hook = "etc/reroot/agent-hooks.d/may-update/10-metered";
    host.machine.reroot.configure(hook, "#!/bin/sh\necho the line is metered\nexit 1\n");
    let hook = host.machine.reroot.config.join(hook);
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    host.start();
    host.wait("asked", |status| status["agent"]["state"] == "idle" && status["agent"]["until"].is_string());
    assert_eq!(host.machine.status()["staged"], Value::Null);
    std::fs::remove_file(&hook).unwrap();
    host.stop();
    host.start();
    let status = host.wait_blocked("users");
    assert!(status["agent"]["blocker"]["reason"].as_str().unwrap().contains("ada"), "{status:#}");
    let said = std::fs::read_to_string(host.machine.path().join("bin/wall")).unwrap();
    assert!(said.contains("version 2"), "{said}");
    // A second time nobody is asked.
    host.signal(Signal::HUP);
    host.machine.ok(&["agent", "update-now"]);
    host.wait_for("rebooting");
}
