//! `rpmdb.sqlite`: the blobs of the table `Packages (hnum INTEGER PRIMARY KEY, blob BLOB)`, without SQL.
//!
//! ```text
//! file     the header, pages by their numbers
//! log      pages that are newer in the write-ahead log
//! table    a b-tree of rows, and what runs over from a page
//! record   the columns of a row
//! ```
//!
//! The format is <https://www.sqlite.org/fileformat2.html>; the numbers of sections in these files are its. Whatever stands in a
//! file, each of its pages is read once at most: neither a loop nor a number makes this endless or large.

mod file;
mod log;
mod record;
mod table;

use super::super::{Error, Place};
use super::Visit;
use file::File;
use record::Value;
use table::Walk;

/// The root of the table of tables (2.6).
const SCHEMA: u32 = 1;

/// Calls back for each package with its number.
pub(super) fn each_blob(file: &[u8], log: &[u8], visit: &mut Visit<'_>) -> Result<(), Error> {
    let file = File::open(file, log)?;
    let mut walk = Walk::new(&file);
    let mut root = None;
    walk.rows(SCHEMA, &mut |_, record| {
        let column = |index| record::column(record, index);
        if (column(0), column(1)) == (Some(Value::Text(b"table")), Some(Value::Text(b"Packages"))) {
            root = match column(3) {
                Some(Value::Integer(root)) => u32::try_from(root).ok(),
                _ => None,
            };
        }
        Ok(())
    })?;
    let root = root.ok_or(Error::Malformed { place: Place::Page(SCHEMA), reason: "no table of packages" })?;
    walk.rows(root, &mut |number, record| match record::column(record, 1) {
        Some(Value::Blob(blob)) => visit(number, blob),
        _ => Err(Error::Malformed { place: Place::Package(number), reason: "a row without a header" }),
    })
}
