//! Asking logind, and telling those who are there.

use std::process::Command;
use std::time::Duration;

use super::{Inhibitor, People, Session, read};
use crate::env::Env;
use crate::ops::program::limited;

/// Somebody waits at the other end; a D-Bus call gives up after 25 seconds by itself.
const LIMIT: Duration = Duration::from_secs(10);
/// Of an answer; thousands of sessions fit.
const ANSWER_LIMIT: usize = 1 << 20;
const LOGIND: [&str; 3] =
    ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];

/// Finds out who would be disturbed now. Takes as long as a few programs run.
pub fn find(env: &Env) -> People {
    let mut people = People::default();
    let mut warn = |what: &str, error| {
        people.warnings.push(format!("it is not known {what}: {error}"));
    };
    let sessions = sessions(env).unwrap_or_else(|error| {
        warn("who is logged in", error);
        Vec::new()
    });
    let inhibitors = inhibitors(env).unwrap_or_else(|error| {
        warn("what wants no shutdown", error);
        Vec::new()
    });
    People { sessions, inhibitors, ..people }
}

/// Tells everybody who has a terminal; `text` is sent as it is.
pub fn tell(text: &str, env: &Env) -> Result<(), String> {
    let (said, ended) = ask("wall", &["--", text], env);
    ended.map_err(|how| format!("telling those who are logged in: wall: {}", reason(how, &said)))
}

fn sessions(env: &Env) -> Result<Vec<Session>, String> {
    let ids = call("ListSessions", env).and_then(|reply| read::session_ids(&reply))?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let properties = ["Id", "Name", "TTY", "Type", "Class", "State"].map(|key| format!("--property={key}"));
    let mut arguments = vec!["show-session"];
    arguments.extend(properties.iter().map(String::as_str));
    arguments.push("--");
    arguments.extend(ids.iter().map(String::as_str));
    let (shown, ended) = ask("loginctl", &arguments, env);
    match ended {
        // A session that has ended since is an error, and the others are shown.
        Err(how) if !shown.contains("Id=") => Err(format!("loginctl: {}", reason(how, &shown))),
        _ => Ok(read::sessions(&shown)),
    }
}

fn inhibitors(env: &Env) -> Result<Vec<Inhibitor>, String> {
    call("ListInhibitors", env).and_then(|reply| read::inhibitors(&reply))
}

fn call(method: &str, env: &Env) -> Result<String, String> {
    let arguments = [&["--system", "--json=short", "call"][..], &LOGIND, &[method]].concat();
    let (said, ended) = ask("busctl", &arguments, env);
    match ended {
        Ok(()) => Ok(said),
        Err(how) => Err(format!("busctl: {}", reason(how, &said))),
    }
}

/// What a program prints, and how it ends.
fn ask(program: &str, arguments: &[&str], env: &Env) -> (String, Result<(), String>) {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&env.vars).env("LC_ALL", "C.UTF-8");
    let mut said = Vec::new();
    let ended = limited::run(command, LIMIT, |chunk| {
        let room = ANSWER_LIMIT - said.len();
        said.extend_from_slice(&chunk[..chunk.len().min(room)]);
    });
    (String::from_utf8_lossy(&said).into_owned(), ended)
}

/// The last line that a program printed, which says more than how it ended.
fn reason(how: String, said: &str) -> String {
    let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.map_or(how, |line| crate::names::printable(line.as_bytes()))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own programs")]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use super::*;

    /// Surroundings with these programs in place of the machine's.
    fn with_programs<T>(programs: &[(&str, &str)], test: impl FnOnce(&Env) -> T) -> T {
        let root = tempfile::tempdir().unwrap();
        for (name, script) in programs {
            let file = root.path().join(name);
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
        env.vars.insert("PATH".into(), root.path().display().to_string());
        test(&env)
    }

    const BUSCTL: &str = r#"case "$*" in
        *ListSessions) echo '{"type":"a(susso)","data":[[["2",1000,"bob","","/x"],["9",0,"root","","/y"]]]}';;
        *ListInhibitors) echo '{"type":"a(ssssuu)","data":[[["shutdown","dpkg","upgrading","block",0,1]]]}';;
        esac"#;
    const LOGINCTL: &str = r#"[ "$8 $9" = "-- 2" ] || exit 5
        printf 'Id=2\nName=bob\nTTY=pts/0\nType=tty\nClass=user\nState=active\n'
        echo 'Failed to get path for session 9: no such session' >&2
        exit 1"#;

    #[test]
    fn people_and_programs_are_found() {
        let people = with_programs(&[("busctl", BUSCTL), ("loginctl", LOGINCTL)], find);
        assert_eq!(people.warnings, [""; 0]);
        assert_eq!(people.to_string(), "bob is logged in (pts/0), dpkg does not want a shutdown (upgrading)");
        assert!(!people.is_nobody() && People::default().is_nobody());
    }

    #[test]
    fn who_cannot_be_found_out_is_nobody_with_a_warning() {
        let missing = with_programs(&[], find);
        assert!(missing.is_nobody());
        assert_eq!(missing.warnings.len(), 2);
        assert!(
            missing.warnings[0]
                .starts_with("it is not known who is logged in: busctl: it cannot be started: ")
        );
        let failing = "echo 'Failed to connect to bus: Host is down'; exit 1";
        for (busctl, expected) in [
            (failing, "busctl: Failed to connect to bus: Host is down"),
            ("exit 4", "busctl: exit status 4"),
            ("echo nonsense", "its answer is no JSON"),
            ("head -c 3000000 /dev/zero | tr '\\0' x", "its answer is no JSON"),
        ] {
            let busctl = format!("PATH=/usr/bin:/bin\n{busctl}");
            let people = with_programs(&[("busctl", &busctl)], find);
            assert!(people.is_nobody());
            assert_eq!(people.warnings[1], format!("it is not known what wants no shutdown: {expected}"));
        }
        let no_loginctl = with_programs(&[("busctl", BUSCTL), ("loginctl", "exit 2")], find);
        assert_eq!(no_loginctl.warnings, ["it is not known who is logged in: loginctl: exit status 2"]);
        assert_eq!(no_loginctl.inhibitors.len(), 1);
    }

    #[test]
    fn everybody_is_told() {
        let wall = r#"[ "$1" = -- ] && printf %s "$2" > "${0%/*}/told""#;
        let told = with_programs(&[("wall", wall)], |env| {
            tell("-n: restart in 60 seconds", env).unwrap();
            std::fs::read_to_string(env.config_root.join("told")).unwrap()
        });
        assert_eq!(told, "-n: restart in 60 seconds");
        let error = with_programs(&[("wall", "echo 'wall: no' >&2; exit 1")], |env| tell("x", env));
        assert_eq!(error.unwrap_err(), "telling those who are logged in: wall: wall: no");
    }
}
