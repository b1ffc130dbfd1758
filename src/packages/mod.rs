//! Package databases as they lie in an image: from bytes to names and versions.
//!
//! Only reading: names, versions, and which files belong to a package. dpkg's and apk's databases are text. rpm's are
//! binary: its own container (SUSE), or one table of a SQLite file. Libraries for SQLite bring a C library or an SQL engine
//! along; to read one table of the file format is a few hundred lines (docs/development/dependencies.md). Berkeley DB,
//! which rpm had before, is not read.

mod apk;
mod dpkg;
mod rpm;
mod version;

use std::{fmt, io};

pub use apk::{parse as parse_apk, parse_files as parse_apk_files};
pub use dpkg::{parse as parse_dpkg, parse_list as parse_dpkg_list};
pub use rpm::{RpmDatabase, parse as parse_rpm, parse_files as parse_rpm_files};
pub use version::compare as compare_versions;

#[cfg(test)]
pub(crate) use rpm::testing as rpm_testing;

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
    #[error("{place}: {reason}")]
    Malformed { place: Place, reason: &'static str },
}

/// Where a database is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Line(usize),
    /// The beginning of a binary file, which says how to read the rest.
    Header,
    /// A page of SQLite; the first is 1.
    Page(u32),
    /// A package by its number.
    Package(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Header => f.write_str("the header"),
            Self::Page(page) => write!(f, "page {page}"),
            Self::Package(number) => write!(f, "package {number}"),
        }
    }
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
        Error::Malformed { place: Place::Line(self.number), reason }
    }
}

/// A value as it can be shown.
fn text(bytes: &[u8]) -> String {
    crate::names::printable(bytes.trim_ascii())
}
