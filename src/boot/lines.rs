//! Texts of `key value` lines, as systemd-boot reads its entries and its configuration: UTF-8, one pair a line, the
//! key ends at the first space or tab, `#` begins a comment at the start of a line only (UAPI.1, "Type #1").
//!
//! Lines keep their order, known or not, comments and blank ones too, so that what people wrote stays.

use super::{Error, Result};

/// One line of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Pair {
        key: String,
        /// Without space around it; never empty.
        value: String,
    },
    /// A comment, a blank line, or a key without a value, which every loader passes over.
    Other(String),
}

/// The lines of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines(Vec<Line>);

const SPACE: [char; 2] = [' ', '\t'];

impl Lines {
    /// Parses a text of at most `limit` bytes; `file` names it in errors, which give the line.
    ///
    /// Control characters other than tabs are errors: systemd-boot stops at a NUL and takes a carriage return for
    /// the end of a line, GRUB does neither. A carriage return at the end of a line is taken off.
    pub fn parse(bytes: &[u8], limit: u64, file: &str) -> Result<Self> {
        let invalid =
            |line: usize, reason: &str| Error::Invalid { file: file.into(), line, reason: reason.into() };
        if bytes.len() as u64 > limit {
            return Err(invalid(1, &format!("the file is longer than {limit} bytes")));
        }
        let text = str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            invalid(before.iter().filter(|b| **b == b'\n').count() + 1, "not UTF-8")
        })?;
        // A byte order mark would become part of the first key.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.chars().any(|c| c.is_control() && c != '\t') {
                return Err(invalid(index + 1, "a control character"));
            }
            lines.push(parse_line(line.trim_matches(SPACE)));
        }
        Ok(Self(lines))
    }

    /// The text: a newline after each line, one space between key and value.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for line in &self.0 {
            match line {
                Line::Pair { key, value } => text.extend([key, " ", value]),
                Line::Other(line) => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }

    pub fn pairs(&self) -> impl DoubleEndedIterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|line| match line {
            Line::Pair { key, value } => Some((&**key, &**value)),
            Line::Other(_) => None,
        })
    }

    /// The values of a key in their order.
    pub fn all<'a>(&'a self, wanted: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.pairs().filter(move |(key, _)| *key == wanted).map(|(_, value)| value)
    }

    /// The value of a key that has one: the last, as systemd-boot takes it.
    pub fn last(&self, wanted: &str) -> Option<&str> {
        self.pairs().rev().find(|(key, _)| *key == wanted).map(|(_, value)| value)
    }

    /// Adds a pair at the end. The value is one that [`Self::parse`] gives back.
    pub fn push(&mut self, key: &str, value: &str) {
        self.0.push(Line::Pair { key: key.into(), value: value.into() });
    }

    /// Replaces the value of a key, where it stands first, and takes its other lines away; adds it at the end when
    /// it was not there.
    pub fn set(&mut self, key: &str, value: &str) {
        let is_key = |line: &Line| matches!(line, Line::Pair { key: found, .. } if found == key);
        let Some(first) = self.0.iter().position(is_key) else { return self.push(key, value) };
        let mut index = 0;
        self.0.retain(|line| {
            index += 1;
            index - 1 == first || !is_key(line)
        });
        self.0[first] = Line::Pair { key: key.into(), value: value.into() };
    }
}

fn parse_line(line: &str) -> Line {
    match line.split_once(SPACE) {
        Some((key, value)) if !line.starts_with('#') => {
            Line::Pair { key: key.into(), value: value.trim_start_matches(SPACE).into() }
        }
        _ => Line::Other(line.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Lines {
        Lines::parse(text.as_bytes(), 1000, "f").unwrap()
    }

    #[test]
    fn lines_keep_their_order_and_their_comments() {
        let text = "# mine\n\ntitle \t A  b \n\toptions\tx\r\nalone\n  # more\n";
        let lines = parse(text);
        assert_eq!(lines.print(), "# mine\n\ntitle A  b\noptions x\nalone\n# more\n");
        assert_eq!(lines.pairs().collect::<Vec<_>>(), [("title", "A  b"), ("options", "x")]);
    }

    #[test]
    fn setting_a_key_leaves_the_rest_alone() {
        let mut lines = parse("# c\na 1\nb 2\na 3\n");
        assert_eq!(lines.last("a"), Some("3"));
        lines.set("a", "4");
        lines.set("d", "5");
        assert_eq!(lines.print(), "# c\na 4\nb 2\nd 5\n");
    }

    #[test]
    fn what_loaders_read_differently_is_refused_by_line() {
        for (text, expected) in [
            (&b"a b\nc \0d\n"[..], "f:2: a control character"),
            (b"a b\rc d\n", "f:1: a control character"),
            (b"a b\n\nc \xff\n", "f:3: not UTF-8"),
            (&[b'a'; 1001], "f:1: the file is longer than 1000 bytes"),
        ] {
            assert_eq!(Lines::parse(text, 1000, "f").unwrap_err().to_string(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(lines) = Lines::parse(&bytes, 1000, "f") {
                proptest::prop_assert_eq!(Lines::parse(lines.print().as_bytes(), 1000, "f").unwrap(), lines);
            }
        }

        #[test]
        fn what_is_printed_parses_to_the_same(text in "([a-z#]{0,3}[ \t]{0,2}[a-z\"' \tä]{0,6}\n){0,6}") {
            let lines = parse(&text);
            proptest::prop_assert_eq!(parse(&lines.print()), lines);
        }
    }
}
