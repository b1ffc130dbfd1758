//! Which of two versions is the newer one: each package manager has rules of its own.

mod dpkg;
mod rpm;

use std::cmp::Ordering;

use super::Manager;

/// Compares two versions of a package as its manager does.
pub fn compare(manager: Manager, a: &str, b: &str) -> Ordering {
    let part = match manager {
        // apk's rules differ in suffixes (`_rc1`) alone.
        Manager::Dpkg | Manager::Apk => dpkg::compare_part,
        Manager::Rpm => rpm::compare_part,
    };
    let ((epoch_a, version_a, release_a), (epoch_b, version_b, release_b)) = (split(a), split(b));
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| part(version_a.as_bytes(), version_b.as_bytes()))
        .then_with(|| part(release_a.as_bytes(), release_b.as_bytes()))
}

/// `[epoch:]version[-release]`; a release has no hyphen, and none is none.
fn split(text: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match text.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, text),
    };
    let (version, release) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, version, release)
}

/// Takes the numbers off that both begin with, nothing being zero, and compares them; they may have any length.
fn take_numbers(a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    let (a, b) = (take(a, u8::is_ascii_digit), take(b, u8::is_ascii_digit));
    let (a, b) = (strip_zeros(a), strip_zeros(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn take<'a>(rest: &mut &'a [u8], wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
    let length = rest.iter().take_while(|c| wanted(c)).count();
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken
}

fn strip_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|d| **d == b'0').count()..]
}
