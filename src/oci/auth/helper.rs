//! Asking a credential helper: `docker-credential-NAME get`, the server on its standard input, JSON on its
//! output (docker's "credential helper protocol").

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cap_std_ext::cmdext::CapStdExtCommandExt;
use serde::Deserialize;

use super::Credentials;
use crate::env::Env;
use crate::names::printable;

/// Helpers may unlock a key ring or ask a cloud's metadata service.
const TIMEOUT: Duration = Duration::from_secs(30);
/// More than any token.
const OUTPUT_LIMIT: u64 = 1 << 20;
/// How often a running helper is looked at.
const POLL: Duration = Duration::from_millis(5);
/// The user name that says that the secret is an identity token.
const TOKEN_USER: &str = "<token>";
/// What helpers print when they have nothing; part of the protocol.
const NOT_FOUND: &str = "credentials not found";

/// Why a helper gave no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum HelperError {
    /// There is no such program.
    Missing,
    Failed(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Runs a helper without a shell and waits for it, at most half a minute. `None` when it has no credentials for
/// the server.
pub fn ask(name: &str, server: &str, env: &Env) -> Result<Option<Credentials>, HelperError> {
    ask_within(name, server, env, TIMEOUT)
}

fn ask_within(
    name: &str,
    server: &str,
    env: &Env,
    timeout: Duration,
) -> Result<Option<Credentials>, HelperError> {
    let failed = |reason: String| HelperError::Failed(reason);
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(failed("its name has characters that helpers cannot have".into()));
    }
    let program = find_program(&format!("docker-credential-{name}"), env).ok_or(HelperError::Missing)?;
    let mut child = Command::new(program)
        .arg("get")
        .env_clear()
        .envs(&env.vars)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A program that is killed leaves no helper with a question behind. This thread waits for it below.
        .lifecycle_bind_to_parent_thread()
        .spawn()
        .map_err(|e| failed(format!("it cannot be started: {e}")))?;
    let output = talk(&mut child, server, timeout);
    if output.is_err() {
        // It may be gone already; either way it is not left behind.
        let _ = child.kill();
        let _ = child.wait();
    }
    let (success, output) = output.map_err(failed)?;
    if !success {
        let text = String::from_utf8_lossy(&output);
        return match text.trim() {
            text if text.starts_with(NOT_FOUND) => Ok(None),
            text => Err(failed(printable(text.chars().take(200).collect::<String>().as_bytes()))),
        };
    }
    let output: Output =
        serde_json::from_slice(&output).map_err(|_| failed("its answer is not JSON".into()))?;
    Ok(match (output.username, output.secret) {
        (username, secret) if username.is_empty() && secret.is_empty() => None,
        (username, secret) if username == TOKEN_USER => Some(Credentials::IdentityToken(secret)),
        (username, password) => Some(Credentials::Basic { username, password }),
    })
}

/// Writes the question and reads the answer. The helper's output is read by a thread of its own, so that
/// neither a full pipe nor a silent helper can hold us longer than `timeout`.
fn talk(child: &mut Child, server: &str, timeout: Duration) -> Result<(bool, Vec<u8>), String> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("it has no pipes".into());
    };
    let (sender, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut output = Vec::new();
        let read = stdout.take(OUTPUT_LIMIT).read_to_end(&mut output).map(|_| output);
        // Nobody listens any more when the time is over.
        let _ = sender.send(read);
    });
    match stdin.write_all(format!("{server}\n").as_bytes()) {
        // A helper that knows its answer may not read the question.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(format!("asking it: {error}")),
        _ => drop(stdin),
    }
    let deadline = Instant::now() + timeout;
    let late = || format!("it gave no answer in {} seconds", timeout.as_secs());
    let output =
        answer.recv_timeout(timeout).map_err(|_| late())?.map_err(|e| format!("reading its answer: {e}"))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok((status.success(), output)),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
            Ok(None) => return Err(late()),
            Err(error) => return Err(format!("waiting for it: {error}")),
        }
    }
}

/// Looks along the `PATH` of our surroundings; relative parts of it are not used.
fn find_program(name: &str, env: &Env) -> Option<PathBuf> {
    use rustix::fs::{Access, access};
    std::env::split_paths(env.var("PATH")?)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|path: &PathBuf| access::<&Path>(path, Access::EXEC_OK).is_ok())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own helpers")]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::SystemTime;

    use super::*;

    fn run(script: &str, timeout: Duration) -> Result<Option<Credentials>, HelperError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker-credential-test");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let mut env = Env::fixed(dir.path(), SystemTime::UNIX_EPOCH);
        env.vars.insert("PATH".into(), format!("relative:{}:/usr/bin:/bin", dir.path().display()));
        ask_within("test", "reg.example", &env, timeout)
    }

    #[test]
    fn a_helper_is_asked_as_docker_asks_it() {
        let minute = Duration::from_secs(60);
        let basic = |username: &str, password: &str| {
            Ok(Some(Credentials::Basic { username: username.into(), password: password.into() }))
        };
        let failed = |reason: &str| Err(HelperError::Failed(reason.into()));
        for (script, expected) in [
            (
                r#"[ "$1" = get ] && read server && echo "{\"ServerURL\":\"$server\",\"Username\":\"u\",\"Secret\":\"$server\"}""#,
                basic("u", "reg.example"),
            ),
            (r#"echo '{"Username":"u","Secret":"p"}'"#, basic("u", "p")),
            (
                r#"echo '{"Username":"<token>","Secret":"t"}'"#,
                Ok(Some(Credentials::IdentityToken("t".into()))),
            ),
            ("echo credentials not found in native keychain; exit 1", Ok(None)),
            ("echo '{}'", Ok(None)),
            ("echo it is locked; exit 3", failed("it is locked")),
            ("echo nonsense", failed("its answer is not JSON")),
        ] {
            assert_eq!(run(script, minute), expected, "{script}");
        }
    }

    #[test]
    fn a_helper_that_hangs_is_ended() {
        let late = Err(HelperError::Failed("it gave no answer in 0 seconds".into()));
        assert_eq!(run("exec sleep 100", Duration::from_millis(200)), late);
        assert_eq!(run("exec >&-; exec sleep 100", Duration::from_millis(200)), late);
    }

    #[test]
    fn helpers_that_do_not_exist_and_names_that_cannot() {
        let env = Env::fixed(Path::new("/nonexistent"), SystemTime::UNIX_EPOCH);
        assert_eq!(ask("none", "x", &env), Err(HelperError::Missing));
        for name in ["", "../evil", "a b", "a;b"] {
            assert!(matches!(ask(name, "x", &env), Err(HelperError::Failed(_))), "{name}");
        }
    }
}
