//! Programs of the machine that the agent asks before it acts, or tells afterwards.
//!
//! ```text
//! /usr/lib/reroot/agent-hooks.d/<kind>/   of the image
//! /etc/reroot/agent-hooks.d/<kind>/       of the machine; it replaces and masks the image's ([`program::overridden`])
//! ```
//!
//! They run one after another in the order of their names, without input, in `/`. What they are about is in their environment:
//! `REROOT_AGENT_HOOK` (the kind), `REROOT_AGENT_IMAGE`, and where they are known `REROOT_AGENT_DIGEST` and
//! `REROOT_AGENT_VERSION`.

use std::time::Duration;

use crate::env::Env;
use crate::ops::program::{self, Found, Program};
use crate::progress::{Event, Reporter};

const DIRECTORIES: [&str; 2] = ["usr/lib/reroot/agent-hooks.d", "etc/reroot/agent-hooks.d"];

/// When hooks run, and what it means when one does not end with 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Before the agent looks for an update or downloads one: not now, as on a metered connection. The rest is not asked.
    MayUpdate,
    /// Before the machine restarts into an update: not now. The rest is not asked.
    PreReboot,
    /// After a good boot of a new deployment: it is said. All of them run.
    PostUpdate,
}

/// What hooks are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About<'a> {
    /// The image that is followed, or that was installed.
    pub image: &'a str,
    /// Of the manifest; `None` before it is known.
    pub digest: Option<&'a str>,
    pub version: Option<&'a str>,
}

/// A hook that did not end with 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{hook}: {reason}")]
pub struct Refusal {
    /// Its file.
    pub hook: String,
    /// The first line that it printed; when it printed none, how it ended.
    pub reason: String,
}

impl Kind {
    /// The directory below `agent-hooks.d`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MayUpdate => "may-update",
            Self::PreReboot => "pre-reboot",
            Self::PostUpdate => "post-update",
        }
    }
}

/// Runs the hooks of a kind, each for at most `limit`; what they print is told line by line. An error is the first one that did
/// not end with 0, or the directories could not be read: who cannot be asked has not agreed. Blocks for as long as they run.
pub fn run(
    kind: Kind,
    about: &About<'_>,
    limit: Duration,
    env: &Env,
    reporter: &dyn Reporter,
) -> Result<(), Refusal> {
    let found = find(kind, env)?;
    for warning in found.warnings {
        reporter.report(Event::Warning(&format!("{warning}, and is not run as a hook")));
    }
    let mut first = Ok(());
    for hook in &found.programs {
        let ended = run_one(hook, kind, about, limit, env, reporter);
        if let (Err(refusal), Kind::PostUpdate) = (&ended, kind) {
            reporter.report(Event::Warning(&format!("the hook {refusal}")));
        }
        first = first.and(ended);
        if first.is_err() && kind != Kind::PostUpdate {
            break;
        }
    }
    first
}

fn find(kind: Kind, env: &Env) -> Result<Found, Refusal> {
    let directories = DIRECTORIES.map(|directory| format!("{directory}/{}", kind.name()));
    program::overridden(directories, env)
        .map_err(|error| Refusal { hook: format!("the {} hooks", kind.name()), reason: error.to_string() })
}

fn run_one(
    hook: &Program,
    kind: Kind,
    about: &About<'_>,
    limit: Duration,
    env: &Env,
    reporter: &dyn Reporter,
) -> Result<(), Refusal> {
    reporter.report(Event::Phase(&format!("running {}", hook.file)));
    let mut variables = vec![("REROOT_AGENT_HOOK", kind.name()), ("REROOT_AGENT_IMAGE", about.image)];
    variables.extend(about.digest.map(|digest| ("REROOT_AGENT_DIGEST", digest)));
    variables.extend(about.version.map(|version| ("REROOT_AGENT_VERSION", version)));
    let mut said = None;
    let tell = |line: &str| {
        reporter.report(Event::Output { of: &hook.name, line });
        if said.is_none() && !line.trim().is_empty() {
            said = Some(line.trim().to_owned());
        }
    };
    let ended = hook.run(env, &variables, limit, tell);
    ended.map_err(|how| Refusal { hook: hook.file.clone(), reason: said.unwrap_or(how) })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own hooks")]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Mutex;
    use std::time::SystemTime;

    use super::*;

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Reporter for Told {
        fn report(&self, event: Event<'_>) {
            let text = match event {
                Event::Output { of, line } => format!("{of}: {line}"),
                Event::Warning(text) => format!("warning: {text}"),
                _ => return,
            };
            self.0.lock().unwrap().push(text);
        }
    }

    const ABOUT: About<'static> =
        About { image: "quay.io/acme/os:stable", digest: Some("sha256:0a"), version: None };

    /// Runs hooks that are given as path and script; a script `-` is a file that is not executable.
    fn ran(kind: Kind, limit: Duration, hooks: &[(&str, &str)]) -> (Result<(), String>, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        for (path, script) in hooks {
            let file = root.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = if *script == "-" { 0o644 } else { 0o755 };
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        }
        let mut env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
        env.vars.insert("PATH".into(), "/usr/bin:/bin".into());
        let told = Told::default();
        let result = run(kind, &ABOUT, limit, &env, &told).map_err(|refusal| refusal.to_string());
        (result, told.0.into_inner().unwrap())
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn hooks_know_what_they_are_about() {
        let script =
            "echo $REROOT_AGENT_HOOK $REROOT_AGENT_IMAGE $REROOT_AGENT_DIGEST ${REROOT_AGENT_VERSION-none}";
        let (result, told) = ran(Kind::PreReboot, LONG, &[("etc/reroot/agent-hooks.d/pre-reboot/a", script)]);
        assert_eq!(result, Ok(()));
        assert_eq!(told, ["a: pre-reboot quay.io/acme/os:stable sha256:0a none"]);
        assert_eq!(ran(Kind::MayUpdate, LONG, &[]), (Ok(()), Vec::new()));
    }

    #[test]
    fn the_first_that_refuses_says_why_and_ends_it() {
        let (image, machine) =
            ("usr/lib/reroot/agent-hooks.d/may-update", "etc/reroot/agent-hooks.d/may-update");
        let hooks: [(&str, &str); 4] = [
            (&format!("{image}/10-ok"), "echo fine"),
            (&format!("{machine}/20-metered"), "echo; echo ' the connection is metered'; echo more; exit 1"),
            (&format!("{image}/30-late"), "echo not run"),
            (&format!("{machine}/README"), "-"),
        ];
        let (result, told) = ran(Kind::MayUpdate, LONG, &hooks);
        let refusal = format!("/{machine}/20-metered: the connection is metered");
        assert_eq!(result, Err(refusal));
        let warning = format!("warning: /{machine}/README is not executable, and is not run as a hook");
        assert_eq!(
            told,
            [
                &warning,
                "10-ok: fine",
                "20-metered: ",
                "20-metered:  the connection is metered",
                "20-metered: more"
            ]
        );
    }

    #[test]
    fn a_hook_that_says_nothing_is_told_of_by_how_it_ended() {
        let hook = "etc/reroot/agent-hooks.d/pre-reboot/a";
        let reason = |script, limit| ran(Kind::PreReboot, limit, &[(hook, script)]).0.unwrap_err();
        assert_eq!(reason("exit 3", LONG), format!("/{hook}: exit status 3"));
        let late = reason("sleep 1000", Duration::from_millis(300));
        assert_eq!(late, format!("/{hook}: it had not ended after 0 seconds"));
    }

    #[test]
    fn after_an_update_all_of_them_run() {
        let directory = "etc/reroot/agent-hooks.d/post-update";
        let (result, told) = ran(
            Kind::PostUpdate,
            LONG,
            &[(&format!("{directory}/a"), "exit 1"), (&format!("{directory}/b"), "echo b runs")],
        );
        assert_eq!(result, Err(format!("/{directory}/a: exit status 1")));
        assert_eq!(told, [format!("warning: the hook /{directory}/a: exit status 1"), "b: b runs".into()]);
    }

    #[test]
    fn hooks_that_cannot_be_looked_for_have_not_agreed() {
        let (result, _) = ran(Kind::MayUpdate, LONG, &[("etc/reroot/agent-hooks.d/may-update", "exit 0")]);
        assert!(result.unwrap_err().starts_with("the may-update hooks: opening "));
    }
}
