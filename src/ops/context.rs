//! What every operation gets beside its own options.

use crate::env::Env;
use crate::fsx::lock::Wait;
use crate::oci::{self, ImageReference, ImageSource, Rate};
use crate::ops::Config;
use crate::progress::Reporter;

/// The surroundings of an operation.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub env: &'a Env,
    pub config: &'a Config,
    pub reporter: &'a dyn Reporter,
    /// How long to wait for somebody else's lock.
    pub wait: Wait,
    /// How fast layers may be fetched; `None`: as fast as they come.
    pub limit_rate: Option<Rate>,
}

impl Context<'_> {
    /// Opens the place an image is at.
    pub(super) fn open(&self, reference: &ImageReference) -> oci::Result<Box<dyn ImageSource>> {
        oci::open_at(reference, self.limit_rate, self.env)
    }
}

/// Whether an operation acts or only says what it would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Run {
    #[default]
    Real,
    Dry,
}

impl Run {
    pub fn is_dry(self) -> bool {
        self == Run::Dry
    }
}
