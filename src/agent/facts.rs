//! What is told of the machine, beside what decisions need.

use std::collections::BTreeSet;

use crate::digest::Sha256;
use crate::ops::Result;
use crate::sysroot::{Observed, Sysroot};

/// What runs, and what failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub version: Option<String>,
    pub digest: Sha256,
    pub reference: String,
    /// Images that failed in this stateroot: not to come back by themselves.
    pub failed: BTreeSet<Sha256>,
}

impl Facts {
    pub fn of(sysroot: &Sysroot, observed: &Observed) -> Result<Self> {
        let record = &super::look::booted(observed)?.record;
        let failed = sysroot.failed_images()?.into_iter().filter(|image| image.stateroot == record.stateroot);
        Ok(Self {
            version: record.image.version.clone(),
            digest: record.image.digest,
            reference: record.image.reference.clone(),
            failed: failed.map(|image| image.digest).collect(),
        })
    }
}
