//! The `/etc` of a new deployment.

use super::Result;
use crate::fsx::Dir;
use crate::names::StaterootName;
use crate::sysroot::{Observed, Sysroot};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EtcStrategy {
    #[default]
    Fail,
}

pub struct EtcSource;
pub struct M;
impl EtcSource {
    pub fn of(_: &Sysroot, _: &Observed, _: &StaterootName) -> Result<Option<Self>> {
        Ok(None)
    }
    pub fn merge_into(&self, _: &Dir, _: EtcStrategy) -> Result<M> {
        Ok(M)
    }
}
impl M {
    pub fn replace_etc(&self, _: &Dir) -> Result<()> {
        Ok(())
    }
}
impl std::str::FromStr for EtcStrategy {
    type Err = String;
    fn from_str(_: &str) -> Result<Self, String> {
        Ok(Self::Fail)
    }
}
impl std::fmt::Display for EtcStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fail")
    }
}
