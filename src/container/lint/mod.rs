//! What is wrong with an image for the machines that will run it, said when it is built.
//!
//! ```text
//! catalog   every lint that there is, in the order in which it is reported
//! rules/    the lints, one file for each part of a system
//! settings  which of them count, and what they are not to complain about
//! run       a subject + settings -> report
//! sarif, github, markdown   reports and the catalog for other programs
//! ```
//!
//! A lint is data with one function ([`Lint`]): what it needs, what it says, why, and how to mend it. The function sees a
//! [`Subject`] and never the machine on which it runs.

mod catalog;
mod github;
mod markdown;
mod report;
mod rules;
mod run;
mod sarif;
mod settings;
#[cfg(test)]
mod tests;

use super::{Image, Root};
use crate::names::ImagePath;
use crate::ops::Result;

pub use catalog::LINTS;
pub use github::github;
pub use markdown::markdown;
pub use report::{FindingReport, LintReport, Outcome, Report};
pub use run::run;
pub use sarif::sarif;
pub use settings::{Allowed, OF_IMAGE, Settings};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Warning,
    /// Machines would not boot it, could not upgrade from it, or share a secret.
    Error,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a lint cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Root,
    /// Layers.
    Image,
    /// Something to compare with.
    Base,
    /// A time that nothing is to be newer than.
    Epoch,
}

/// One thing that is looked for.
#[derive(Debug)]
pub struct Lint {
    /// Lower-case letters, digits and `-`; never changed and never used again for something else.
    pub id: &'static str,
    pub level: Level,
    pub needs: Needs,
    /// What is wanted, in a line.
    pub about: &'static str,
    /// What happens to machines otherwise.
    pub why: &'static str,
    /// What to write into the Containerfile.
    pub fix: &'static str,
    check: fn(&Subject<'_>, &mut Findings) -> Result<()>,
}

/// What is looked at.
pub struct Subject<'s> {
    pub root: &'s Root<'s>,
    pub image: Option<&'s Image<'s>>,
    /// What it was built on.
    pub base: Option<&'s Root<'s>>,
    /// Seconds since the epoch; nothing in the image is to be newer.
    pub epoch: Option<i64>,
    /// As OCI names it.
    pub architecture: String,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Without one it is about the whole.
    pub path: Option<ImagePath>,
    pub message: String,
}

/// What a lint finds.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    fn at(&mut self, path: &ImagePath, message: impl Into<String>) {
        self.0.push(Finding { path: Some(path.clone()), message: message.into() });
    }

    fn whole(&mut self, message: impl Into<String>) {
        self.0.push(Finding { path: None, message: message.into() });
    }
}
