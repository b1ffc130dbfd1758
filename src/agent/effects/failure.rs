//! Errors in the words of the state machine.

use std::time::Duration;

use super::kind;
use crate::agent::http;
use crate::agent::machine::Failure;
use crate::ops::Error;

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { kind: kind(error).into(), reason: error.to_string() }
    }
}

impl From<&http::Error> for Failure {
    fn from(error: &http::Error) -> Self {
        Self { kind: error.label().into_owned().into(), reason: error.to_string() }
    }
}

/// Why nothing was found: the machine, or a server.
#[derive(Debug)]
pub enum Trouble {
    Machine(Error),
    Server(http::Error),
}

impl Trouble {
    /// When a server wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Machine(_) => None,
            Self::Server(error) => error.refusal()?.retry_after,
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Machine(error)
    }
}

impl From<http::Error> for Trouble {
    fn from(error: http::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Machine(error) => Self::from(&error),
            Trouble::Server(error) => Self::from(&error),
        }
    }
}
