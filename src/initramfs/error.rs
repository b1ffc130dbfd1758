//! What stops a boot, and what people on the console are told to do about it.

use std::fmt;
use std::io;

use super::choose::Target;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the deployment is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel argument is there but names nothing.
    #[error("the kernel argument `reroot={value}` {problem}")]
    Argument { value: String, problem: &'static str },
    /// Something is not as a deployment needs it.
    #[error("{path} {problem}")]
    Unfit { path: String, problem: &'static str, advice: &'static str },
    /// The configuration has a mistake in it.
    #[error("{file}:{line}: {reason}")]
    Settings { file: String, line: usize, reason: String },
    /// The operating system refused.
    #[error("{context}: {source}")]
    Io { context: String, source: io::Error },
}

impl Error {
    /// Wraps an operating system error; `context` is what was being done, in the gerund.
    pub fn io<E: Into<io::Error>>(context: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { context: context.into(), source: source.into() }
    }

    fn advice(&self) -> &'static str {
        match self {
            Error::Argument { .. } => {
                "it must be reroot=/reroot/deploy/STATEROOT/deploy/NUMBER; edit it in the boot menu"
            }
            Error::Unfit { advice, .. } => advice,
            Error::Settings { .. } => {
                "the file is part of the initramfs: correct it in the image and build that again"
            }
            Error::Io { .. } => "the kernel's messages (dmesg) may say more",
        }
    }
}

/// An error with what is known around it.
#[derive(Debug)]
pub struct Failure {
    pub error: Error,
    /// What the kernel argument names.
    pub target: Option<Target>,
    /// The deployments that are on the disk, sorted.
    pub deployments: Vec<Target>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, target: None, deployments: Vec::new() }
    }
}

/// How many deployments are listed: a console has 25 lines.
const LISTED: usize = 12;

impl fmt::Display for Failure {
    /// Several lines, without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "cannot boot {}: {}", target.name(), self.error)?,
            None => write!(f, "cannot boot: {}", self.error)?,
        }
        write!(f, "\n  {}", self.error.advice())?;
        let others = self.deployments.iter().filter(|d| Some(*d) != self.target.as_ref());
        let others: Vec<&Target> = others.collect();
        if !others.is_empty() {
            f.write_str("\n  other deployments on this disk, for which the boot menu may have entries:")?;
            for target in others.iter().rev().take(LISTED) {
                write!(f, "\n    reroot={target}")?;
            }
            if others.len() > LISTED {
                write!(f, "\n    and {} more", others.len() - LISTED)?;
            }
        }
        f.write_str(
            "\n  nothing else is booted in its place: restart and choose another entry in the boot menu",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(id: u64) -> Target {
        format!("/reroot/deploy/os/deploy/{id}").parse().unwrap()
    }

    #[test]
    fn the_console_says_what_is_missing_and_what_is_there() {
        let failure = Failure {
            error: Error::Unfit {
                path: "/reroot/deploy/os/deploy/3".into(),
                problem: "does not exist",
                advice: "it was removed",
            },
            target: Some(target(3)),
            deployments: vec![target(1), target(2), target(3)],
        };
        assert_eq!(
            failure.to_string(),
            "cannot boot deployment 3 of stateroot os: /reroot/deploy/os/deploy/3 does not exist\n  \
             it was removed\n  \
             other deployments on this disk, for which the boot menu may have entries:\n    \
             reroot=/reroot/deploy/os/deploy/2\n    \
             reroot=/reroot/deploy/os/deploy/1\n  \
             nothing else is booted in its place: restart and choose another entry in the boot menu"
        );
    }

    #[test]
    fn a_long_list_leaves_room_for_the_rest() {
        let error = Error::Argument { value: "x".into(), problem: "is wrong" };
        let deployments = (1..=20).map(target).collect();
        let text = Failure { error, target: None, deployments }.to_string();
        assert!(text.starts_with("cannot boot: the kernel argument `reroot=x` is wrong\n"), "{text}");
        assert!(
            text.contains("deploy/20\n") && text.contains("and 8 more") && !text.contains("deploy/8\n"),
            "{text}"
        );
        assert!(text.lines().count() < 20);
    }
}
