//! Which of two versions is the newer one: each package manager has rules of its own.

mod dpkg;
mod rpm;

use std::cmp::Ordering;

use super::Manager;

/// Compares two versions of a package as its manager does.
pub fn compare(manager: Manager, a: &str, b: &str) -> Ordering {
    match manager {
        // apk's rules differ in suffixes (`_rc1`) alone.
        Manager::Dpkg | Manager::Apk => dpkg::compare(a, b),
        Manager::Rpm => rpm::compare(a, b),
    }
}
