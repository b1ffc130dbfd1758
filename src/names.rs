//! Names that come from outside, parsed once into types that cannot be wrong.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest path inside an image, in bytes (`PATH_MAX` without the terminating NUL).
pub const MAX_PATH_LEN: usize = 4095;
/// Longest name of one path component, in bytes (`NAME_MAX` of every Linux file system in use).
pub const MAX_NAME_LEN: usize = 255;

/// Why a text or byte string is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid {kind}: {reason}")]
pub struct NameError {
    pub kind: &'static str,
    pub name: String,
    pub reason: &'static str,
}

/// Prints bytes from outside so that a terminal cannot be driven by them: printable text as it is,
/// everything else as `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' { out.extend(c.escape_default()) } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Text as it stands in XML and HTML, between tags and between double quotes (XML 1.0, section 2.4).
pub fn escape_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to say them.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A path inside an image, relative to its root: components joined by `/`; none of them empty, `.`, `..`,
/// longer than [`MAX_NAME_LEN`] or with a NUL. Any other byte is allowed (OS images hold names that are not
/// UTF-8). The root itself is the empty path.
///
/// Paths sort by component, so that a directory stands directly before what is below it.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct ImagePath(Box<[u8]>);

impl ImagePath {
    /// The root directory of the image.
    pub fn root() -> Self {
        Self::default()
    }

    /// Parses a path that is already in canonical form.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        let error = |reason| NameError { kind: "path in an image", name: printable(bytes), reason };
        if bytes.is_empty() {
            return Ok(Self::root());
        }
        if bytes.len() > MAX_PATH_LEN {
            return Err(error("longer than 4095 bytes"));
        }
        for component in bytes.split(|b| *b == b'/') {
            check_component(component).map_err(error)?;
        }
        Ok(Self(bytes.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == b'/').filter(|c| !c.is_empty())
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(slash) => &self.0[slash + 1..],
            None => &self.0,
        }
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|b| *b == b'/') {
            Some(slash) => Self(self.0[..slash].into()),
            None => Self::root(),
        })
    }

    /// This path with one more component.
    pub fn join(&self, component: &[u8]) -> Result<Self, NameError> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + component.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(component);
        let error = |reason| NameError { kind: "path in an image", name: printable(&bytes), reason };
        check_component(component).map_err(error)?;
        if bytes.len() > MAX_PATH_LEN {
            return Err(error("longer than 4095 bytes"));
        }
        Ok(Self(bytes.into()))
    }

    /// True for everything below `ancestor`, false for `ancestor` itself.
    pub fn is_below(&self, ancestor: &ImagePath) -> bool {
        if ancestor.is_root() {
            return !self.is_root();
        }
        self.0.len() > ancestor.0.len() && self.0.starts_with(&ancestor.0) && self.0[ancestor.0.len()] == b'/'
    }
}

impl ImagePath {
    /// What is left of `path` when this directory is taken off its front; empty for the directory itself.
    /// `path` must be this directory or below it.
    pub fn strip_from<'p>(&self, path: &'p ImagePath) -> &'p [u8] {
        let rest = &path.0[self.0.len()..];
        rest.strip_prefix(b"/").unwrap_or(rest)
    }
}

fn check_component(component: &[u8]) -> Result<(), &'static str> {
    match component {
        b"" => Err("empty component"),
        b"." | b".." => Err("`.` or `..` component"),
        _ if component.len() > MAX_NAME_LEN => Err("component longer than 255 bytes"),
        _ if component.contains(&0) => Err("NUL byte"),
        _ if component.contains(&b'/') => Err("slash inside a component"),
        _ => Ok(()),
    }
}

impl Ord for ImagePath {
    fn cmp(&self, other: &Self) -> Ordering {
        const STEP: usize = 16;
        // Paths of one directory share a long front: it is compared in steps, and only then byte by byte.
        let (mut a, mut b) = (&*self.0, &*other.0);
        while let (Some((x, rest_a)), Some((y, rest_b))) =
            (a.split_first_chunk::<STEP>(), b.split_first_chunk::<STEP>())
            && x == y
        {
            (a, b) = (rest_a, rest_b);
        }
        // `/` sorts before every other byte: children follow their directory at once.
        let key = |b: &u8| if *b == b'/' { 0 } else { *b };
        match a.iter().zip(b).find(|(x, y)| x != y) {
            Some((x, y)) => key(x).cmp(&key(y)),
            None => a.len().cmp(&b.len()),
        }
    }
}

impl PartialOrd for ImagePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str("/") } else { f.write_str(&printable(&self.0)) }
    }
}

impl fmt::Debug for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a stateroot: one OS line with one shared `/var`. `[A-Za-z0-9._-]`, at most 64 bytes, the first
/// a letter or digit, because the name becomes a directory and part of a kernel argument.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaterootName(String);

impl StaterootName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for StaterootName {
    fn default() -> Self {
        Self("default".into())
    }
}

impl FromStr for StaterootName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let error =
            |reason| Err(NameError { kind: "stateroot name", name: printable(text.as_bytes()), reason });
        if text.is_empty() || text.len() > 64 {
            return error("must have 1 to 64 characters");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return error("must start with a letter or digit");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            return error("only letters, digits, `.`, `_` and `-` are allowed");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for StaterootName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StaterootName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for StaterootName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StaterootName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn the_order_is_that_of_the_components(a in "[a/.-]{0,40}", b in "[a/.-]{0,40}", front in "[ab/]{0,40}") {
            let path = |text: &str| {
                let components: Vec<_> = text.split('/').filter(|c| !matches!(*c, "" | "." | "..")).collect();
                ImagePath::new(components.join("/").as_bytes()).unwrap()
            };
            let (a, b) = (path(&format!("{front}{a}")), path(&format!("{front}{b}")));
            proptest::prop_assert_eq!(a.cmp(&b), a.components().cmp(b.components()));
        }
    }

    #[test]
    fn paths_sort_by_component() {
        let mut paths =
            ["a-b", "a/c", "a", "", "a/b/c", "a/b"].map(|p| ImagePath::new(p.as_bytes()).unwrap());
        paths.sort();
        assert_eq!(paths.map(|p| p.to_string()), ["/", "a", "a/b", "a/b/c", "a/c", "a-b"]);
    }

    #[test]
    fn paths_that_could_leave_the_root_are_refused() {
        for path in ["/a", "a//b", "a/", "./a", "a/..", "..", "a\0b"] {
            assert!(ImagePath::new(path.as_bytes()).is_err(), "{path:?}");
        }
        assert!(ImagePath::new(&[b'a'; 256]).is_err());
        assert!(ImagePath::new("a/".repeat(2048).as_bytes()).is_err());
    }

    #[test]
    fn control_bytes_never_reach_the_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb\xff\n"), "a\\u{1b}[2Jb\\xff\\n");
    }

    #[test]
    fn stateroot_names_are_safe_as_directories() {
        for bad in ["", ".", "..", "a/b", "-x", "a b", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<StaterootName>().is_err(), "{bad:?}");
        }
        assert!("debian-13.x_y".parse::<StaterootName>().is_ok());
    }
}
