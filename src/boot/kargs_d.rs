//! Kernel arguments that an image or a machine brings: files in `/usr/lib/bootc/kargs.d`, `/usr/lib/reroot/kargs.d` and
//! `/etc/reroot/kargs.d`, in the format of bootc.
//!
//! ```toml
//! kargs = ["console=ttyS0,115200", "quiet"]
//! match-architectures = ["x86_64"]              # without it: all
//! ```
//!
//! An upgrade applies the difference between what the old and the new image ask for, and so keeps what was changed
//! on the machine.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{Error, Result};
use crate::names::printable;

/// Names of architectures: Rust's, which bootc uses, and Go's, which OCI uses.
const ARCHITECTURES: [(&str, &str); 8] = [
    ("x86_64", "amd64"),
    ("x86", "386"),
    ("aarch64", "arm64"),
    ("arm", "arm"),
    ("powerpc64", "ppc64le"),
    ("s390x", "s390x"),
    ("riscv64", "riscv64"),
    ("loongarch64", "loong64"),
];

/// One argument and the file that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageArgument {
    pub value: String,
    pub file: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    kargs: Vec<Spanned<String>>,
    match_architectures: Option<Vec<String>>,
}

/// The arguments of all files for one architecture, in the order of the files' names.
///
/// Files are given by path and content, the weaker directory first: of two with the same last component the later
/// one counts. Names that do not end in `.toml` are not read. A mistake is an error with file and line.
pub fn collect<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    architecture: &str,
) -> Result<Vec<ImageArgument>> {
    let mut by_name = BTreeMap::new();
    for (path, bytes) in files {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.ends_with(".toml") && !name.starts_with('.') {
            by_name.insert(name, (path, bytes));
        }
    }
    let mut arguments = Vec::new();
    for (path, bytes) in by_name.into_values() {
        let values = parse(bytes, path, architecture)?;
        arguments.extend(values.into_iter().map(|value| ImageArgument { value, file: path.into() }));
    }
    Ok(arguments)
}

/// The arguments of one file for one architecture; `path` names it in errors.
pub fn parse(bytes: &[u8], path: &str, architecture: &str) -> Result<Vec<String>> {
    let file = || printable(path.as_bytes());
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = line_of(bytes, Some(error.valid_up_to()..bytes.len()));
        Error::Invalid { file: file(), line, reason: "not UTF-8".into() }
    })?;
    let invalid = |span: Option<Range<usize>>, reason: String| Error::Invalid {
        file: file(),
        line: line_of(bytes, span),
        reason,
    };
    let parsed: File = toml::from_str(text).map_err(|error| invalid(error.span(), error.message().into()))?;
    let mut values = Vec::new();
    for text in &parsed.kargs {
        let error = |reason| {
            invalid(Some(text.span()), format!("`{}`: {reason}", printable(text.get_ref().as_bytes())))
        };
        values.extend(split(text.get_ref()).map_err(error)?);
    }
    let Some(matches) = parsed.match_architectures else { return Ok(values) };
    let is_meant = matches.iter().any(|name| same_architecture(name, architecture));
    Ok(if is_meant { values } else { Vec::new() })
}

/// True when both name one architecture, as Rust does or as OCI does.
pub fn same_architecture(a: &str, b: &str) -> bool {
    rust_name(a) == rust_name(b)
}

/// Rust's name of an architecture; one that is not known here is its own.
fn rust_name(architecture: &str) -> &str {
    let is_name = |(rust, go): &&(&str, &str)| *rust == architecture || *go == architecture;
    ARCHITECTURES.iter().find(is_name).map_or(architecture, |(rust, _)| rust)
}

/// Cuts a text at spaces outside double quotes, as the kernel does, and checks each argument.
fn split(text: &str) -> Result<Vec<String>, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("it has control characters");
    }
    if text.matches('"').count() % 2 == 1 {
        return Err("it has a quote that is not closed");
    }
    let mut quoted = false;
    let at_space = |c: char| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    };
    let arguments: Vec<String> =
        text.split(at_space).filter(|word| !word.is_empty()).map(String::from).collect();
    if arguments.is_empty() {
        return Err("it is empty");
    }
    if arguments.iter().any(|argument| argument.trim_start_matches('"').split('=').next() == Some("reroot")) {
        return Err("`reroot` is set by reroot itself");
    }
    Ok(arguments)
}

/// The line, counted from 1, on which a span starts.
fn line_of(bytes: &[u8], span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |s| s.start).min(bytes.len());
    bytes[..start].iter().filter(|b| **b == b'\n').count() + 1
}

/// What one image asks for and the other does not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArgumentDiff {
    pub removed: Vec<String>,
    pub added: Vec<String>,
}

impl ArgumentDiff {
    /// Compares argument by argument, by their exact text and by how often they are there.
    pub fn between(old: &[String], new: &[String]) -> Self {
        Self { removed: without(old, new), added: without(new, old) }
    }

    /// Applies the difference to a machine's arguments: each removed one goes once where it is there, counted from
    /// the end; each added one comes to the end unless it is there already. All others stay as they are.
    pub fn apply(&self, local: &[String]) -> Vec<String> {
        let mut arguments = local.to_vec();
        for removed in &self.removed {
            if let Some(index) = arguments.iter().rposition(|argument| argument == removed) {
                arguments.remove(index);
            }
        }
        for added in &self.added {
            let wanted = self.added.iter().filter(|other| *other == added).count();
            if arguments.iter().filter(|argument| *argument == added).count() < wanted {
                arguments.push(added.clone());
            }
        }
        arguments
    }
}

/// The elements of `list` in their order, without those of `other`, one for one.
fn without(list: &[String], other: &[String]) -> Vec<String> {
    let mut other: Vec<&String> = other.iter().collect();
    let is_left = |text: &&String| match other.iter().position(|o| o == text) {
        Some(index) => {
            other.remove(index);
            false
        }
        None => true,
    };
    list.iter().filter(is_left).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn files_are_read_in_the_order_of_their_names() {
        let files: [(&str, &[u8]); 6] = [
            ("usr/lib/bootc/kargs.d/20-b.toml", b"kargs = ['b=1 c', 'd=\"x y\"']"),
            ("usr/lib/bootc/kargs.d/30-x.toml", b"kargs = ['x']\nmatch-architectures = ['aarch64', 'amd64']"),
            ("usr/lib/bootc/kargs.d/40-y.toml", b"kargs = ['y']\nmatch-architectures = ['s390x']"),
            ("usr/lib/bootc/kargs.d/README", b"not read"),
            ("usr/lib/reroot/kargs.d/10-a.toml", b"kargs = ['a']"),
            ("usr/lib/reroot/kargs.d/20-b.toml", b"kargs = ['b=2']"),
        ];
        let found = collect(files, "x86_64").unwrap();
        let shown: Vec<_> = found.iter().map(|a| format!("{} {}", a.file, a.value)).collect();
        assert_eq!(
            shown,
            [
                "usr/lib/reroot/kargs.d/10-a.toml a",
                "usr/lib/reroot/kargs.d/20-b.toml b=2",
                "usr/lib/bootc/kargs.d/30-x.toml x"
            ]
        );
        assert_eq!(collect([files[0]], "arm64").unwrap().len(), 3);
        assert_eq!(parse(files[0].1, "f", "arm64").unwrap(), ["b=1", "c", "d=\"x y\""]);
        assert_eq!(parse(b"kargs = []", "f", "x86_64").unwrap(), [""; 0]);
    }

    #[test]
    fn mistakes_are_named_by_file_and_line() {
        for (text, expected) in [
            (&b"\nkarg = []\n"[..], "f:2: unknown field `karg`, expected `kargs` or `match-architectures`"),
            (b"match-architectures = []", "f:1: missing field `kargs`"),
            (b"kargs = 'quiet'", "f:1: invalid type: string \"quiet\", expected a sequence"),
            (b"kargs = [\n'ok',\n'']", "f:3: ``: it is empty"),
            (b"kargs = [\n'a=\"b'\n]", "f:2: `a=\"b`: it has a quote that is not closed"),
            (b"kargs = [\"a\\nb\"]", "f:1: `a\\nb`: it has control characters"),
            (b"kargs = ['quiet reroot=/x']", "f:1: `quiet reroot=/x`: `reroot` is set by reroot itself"),
            (b"kargs = []\nmatch-architectures = [64]", "f:2: invalid type: integer `64`, expected a string"),
            (b"kargs = []\n# \xff", "f:2: not UTF-8"),
            (b"kargs", "f:1: key with no value, expected `=`"),
        ] {
            assert_eq!(parse(text, "f", "x86_64").unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn an_upgrade_changes_what_the_images_changed_and_nothing_else() {
        for (old, new, local, expected) in [
            ("quiet", "quiet", "quiet mine=1", "quiet mine=1"),
            ("quiet a=1", "quiet a=2", "quiet a=1 mine", "quiet mine a=2"),
            ("quiet", "", "mine quiet other", "mine other"),
            // The machine took the image's argument away, or has it already: nothing to do twice.
            ("quiet", "", "mine", "mine"),
            ("", "quiet", "quiet mine", "quiet mine"),
            (
                "console=tty0 console=ttyS0",
                "console=ttyS0 console=tty0",
                "console=tty0 console=ttyS0",
                "console=tty0 console=ttyS0",
            ),
            ("a a", "a", "a x a", "a x"),
            ("a", "a a", "a x", "a x"),
            ("", "b b", "x", "x b b"),
        ] {
            let diff = ArgumentDiff::between(&words(old), &words(new));
            assert_eq!(diff.apply(&words(local)).join(" "), expected, "{old} -> {new} on {local}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(kargs = )?\\[?(['\"][a= \"']{0,9}['\"],?\n?){0,4}\\]?\\PC{0,9}") {
            if let Ok(arguments) = parse(text.as_bytes(), "f", "x86_64") {
                proptest::prop_assert!(arguments.iter().all(|a| a.trim() == a && !a.is_empty()));
            }
        }

        #[test]
        fn local_arguments_survive_every_upgrade(old in "([ab] ){0,5}", new in "([ab] ){0,5}", local in "([xy] ){0,4}") {
            let (old, new, local) = (words(&old), words(&new), words(&local));
            let before = [local.clone(), old.clone()].concat();
            let after = ArgumentDiff::between(&old, &new).apply(&before);
            let mut of_image: Vec<_> = after.iter().filter(|a| !local.contains(a)).cloned().collect();
            proptest::prop_assert_eq!(after.iter().filter(|a| local.contains(a)).cloned().collect::<Vec<_>>(), local);
            let mut wanted = new;
            of_image.sort();
            wanted.sort();
            of_image.dedup();
            wanted.dedup();
            proptest::prop_assert_eq!(of_image, wanted);
        }
    }
}
