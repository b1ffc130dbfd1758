//! A deployment and the number people call it by.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DeploymentRecord, Origin, layout};
use crate::names::{StaterootName, printable};

/// The number of a deployment: 1 and up, growing, never used twice in a stateroot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId(u64);

/// Why a text is not a deployment number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a deployment number")]
pub struct ParseDeploymentIdError(String);

impl DeploymentId {
    /// The first number a stateroot gives out.
    pub const FIRST: Self = Self(1);

    /// `None` for 0 and for numbers that JSON readers with doubles would round.
    pub fn new(number: u64) -> Option<Self> {
        (1..=1 << 53).contains(&number).then_some(Self(number))
    }

    pub fn get(self) -> u64 {
        self.0
    }

    /// The number after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeploymentId {
    type Err = ParseDeploymentIdError;
    /// Accepts only what [`Display`](fmt::Display) writes: no sign, no leading zero.
    fn from_str(text: &str) -> Result<Self, ParseDeploymentIdError> {
        let error = || ParseDeploymentIdError(printable(text.as_bytes()).chars().take(80).collect());
        if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error());
        }
        text.parse().ok().and_then(Self::new).ok_or_else(error)
    }
}

impl Serialize for DeploymentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for DeploymentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| serde::de::Error::custom(ParseDeploymentIdError(number.to_string())))
    }
}

/// Which deployment: a number means something only inside its stateroot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeploymentKey {
    pub stateroot: StaterootName,
    pub id: DeploymentId,
}

impl fmt::Display for DeploymentKey {
    /// `deployment 7`, with the stateroot when that is not the default one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deployment {}", self.id)?;
        if self.stateroot != StaterootName::default() {
            write!(f, " of stateroot {}", self.stateroot)?;
        }
        Ok(())
    }
}

/// A complete deployment: its directory and its record are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    pub record: DeploymentRecord,
    /// `None` when the file is missing or has a mistake in it; that is among the observed problems.
    pub origin: Option<Origin>,
}

impl Deployment {
    pub fn key(&self) -> DeploymentKey {
        DeploymentKey { stateroot: self.record.stateroot.clone(), id: self.record.id }
    }

    pub fn is(&self, key: &DeploymentKey) -> bool {
        self.record.id == key.id && self.record.stateroot == key.stateroot
    }

    /// From the physical root, with a leading slash.
    pub fn path(&self) -> String {
        layout::deployment_path(&self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!("7".parse::<DeploymentId>().unwrap().to_string(), "7");
        for bad in ["", "0", "07", "+7", "-7", " 7", "7 ", "seven", "18446744073709551616"] {
            assert!(bad.parse::<DeploymentId>().is_err(), "{bad:?}");
        }
    }
}
