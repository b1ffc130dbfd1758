//! rpm's databases: a blob for each package, in one of the containers that rpm has had.
//!
//! ```text
//! rpmdb.sqlite   Fedora, RHEL 9 and later     a table of a SQLite file      sqlite
//! Packages.db    SUSE                         slots that lead to blobs      ndb
//! Packages       RHEL 8 and before            Berkeley DB                   not read
//! ```
//!
//! The other files beside them are indexes, which rpm makes anew from these. A blob is a header, the same in all of them.

mod header;
mod ndb;
mod sqlite;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use super::{Error, Files, MOST_PACKAGES, Package, Place};
use header::Header;

/// A database in memory.
#[derive(Debug, Clone, Copy)]
pub enum RpmDatabase<'f> {
    /// The file, and the changes beside it in its write-ahead log (`-wal`).
    Sqlite {
        file: &'f [u8],
        log: &'f [u8],
    },
    Ndb(&'f [u8]),
}

/// Is called with the number of a package and its blob, or of a row and its record.
type Visit<'v> = dyn FnMut(u64, &[u8]) -> Result<(), Error> + 'v;

/// All paths of all packages together; those of a large workstation stay below a tenth.
const MOST_PATHS: usize = 512 << 20;

/// Reads the installed packages.
pub fn parse(database: RpmDatabase<'_>) -> Result<Vec<Package>, Error> {
    let mut packages = Vec::new();
    each(database, |_, package| {
        packages.push(package);
        Ok(())
    })?;
    packages.sort();
    Ok(packages)
}

/// Reads the installed packages and what belongs to them.
pub fn parse_files(database: RpmDatabase<'_>) -> Result<Vec<(Package, Files)>, Error> {
    let (mut packages, mut budget) = (Vec::new(), MOST_PATHS);
    each(database, |header, package| {
        packages.push((package, header.files(&mut budget)?));
        Ok(())
    })?;
    packages.sort();
    Ok(packages)
}

fn each(
    database: RpmDatabase<'_>,
    mut visit: impl FnMut(&Header<'_>, Package) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut count = 0;
    let mut one = |number: u64, blob: &[u8]| {
        let header = Header::parse(blob, number)?;
        let Some(package) = header.package()? else { return Ok(()) };
        count += 1;
        if count > MOST_PACKAGES {
            return Err(Error::Malformed { place: Place::Package(number), reason: "too many packages" });
        }
        visit(&header, package)
    };
    match database {
        RpmDatabase::Sqlite { file, log } => sqlite::each_blob(file, log, &mut one),
        RpmDatabase::Ndb(file) => ndb::each_blob(file, &mut one),
    }
}
