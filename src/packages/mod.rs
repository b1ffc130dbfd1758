//! Package databases as they lie in an image: from bytes to names and versions.
//!
//! Only reading: names, versions, and which files belong to a package. dpkg's and apk's databases are text. rpm's is
//! SQLite, whose readers all bring a C library or an SQL engine along; it is recognised and named, not read.

mod apk;
mod dpkg;
mod version;

use std::io;

pub use apk::{parse as parse_apk, parse_files as parse_apk_files};
pub use dpkg::{parse as parse_dpkg, parse_list as parse_dpkg_list};
pub use version::compare as compare_versions;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub name: String,
    /// Two architectures of one package are two packages.
    pub architecture: Option<String>,
    pub version: String,
    pub manager: Manager,
}

/// Whose database a package is in; versions are ordered by its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    Dpkg,
    Apk,
    Rpm,
}

/// Paths as a database has them: with or without a slash in front, through links or not.
pub type Files = Vec<Vec<u8>>;

/// Why a database was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line}: {reason}")]
    Malformed { line: usize, reason: &'static str },
}

/// No line that matters is longer; without a bound one line could fill the memory.
const LINE_LIMIT: usize = 1 << 20;
/// More packages than any distribution has.
const MOST_PACKAGES: usize = 1 << 20;

/// Lines of a database, counted, bounded, without control characters in what is shown later.
struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: usize,
}

impl<R: io::BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// The next line without its end; `None` at the end of the input.
    fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        self.buffer.clear();
        self.number += 1;
        let mut limited = io::Read::take(&mut self.input, LINE_LIMIT as u64 + 1);
        if io::BufRead::read_until(&mut limited, b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if self.buffer.len() > LINE_LIMIT {
            return Err(self.malformed("longer than 1 MiB"));
        }
        Ok(Some(&self.buffer))
    }

    fn malformed(&self, reason: &'static str) -> Error {
        Error::Malformed { line: self.number, reason }
    }
}

/// A value as it can be shown.
fn text(bytes: &[u8]) -> String {
    crate::names::printable(bytes.trim_ascii())
}
