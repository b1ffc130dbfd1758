//! Walking down a tree by sorted paths, one directory below the other.

use std::ffi::CString;
use std::io;

use crate::fsx::{self, Dir};
use crate::names::ImagePath;

/// The open directories from the top of a tree to where the last path was. Paths come sorted, so the next one is
/// near it. No link is followed.
pub(super) struct Descent<'a> {
    top: &'a Dir,
    open: Vec<(ImagePath, Dir)>,
}

impl<'a> Descent<'a> {
    pub(super) fn new(top: &'a Dir) -> Self {
        Self { top, open: Vec::new() }
    }

    /// The directory that holds a path, and the path's name in it; for the root the top and `.`.
    pub(super) fn at(&mut self, path: &ImagePath) -> io::Result<(&Dir, CString)> {
        let Some(parent) = path.parent() else {
            return Ok((self.top, CString::new(".").expect("a constant without NUL")));
        };
        while self.open.last().is_some_and(|(open, _)| *open != parent && !parent.is_below(open)) {
            self.open.pop();
        }
        let opened = self.open.last().map_or(0, |(open, _)| open.components().count());
        for component in parent.components().skip(opened) {
            let (above, dir) = match self.open.last() {
                Some((above, dir)) => (above.clone(), dir),
                None => (ImagePath::root(), self.top),
            };
            let child = fsx::open_subdir_raw(dir, &CString::new(component)?)?;
            self.open.push((above.join(component).expect("a part of a path is a path"), child));
        }
        let dir = self.open.last().map_or(self.top, |(_, dir)| dir);
        Ok((dir, CString::new(path.file_name())?))
    }
}
