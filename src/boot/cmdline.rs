//! Kernel arguments as the kernel reads them.
//!
//! The rules are those of `next_arg` and `parse_args` in the kernel's lib/cmdline.c and kernel/params.c:
//!
//! ```text
//! root=UUID=1234 quiet dyndbg="file a.c +p" "key=a b"
//! ```
//!
//! White space separates arguments, except between double quotes; there is no escape for a quote. Quotes around the
//! whole argument or around its value do not belong to it, others do. The value begins after the first `=` that is
//! not the first character. In keys `-` and `_` are the same character. What follows a lone `--` goes to init.

use std::fmt;
use std::str::FromStr;

use crate::names::printable;

/// Why a text is not what a kernel should be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kernel argument `{text}`: {reason}")]
pub struct ParseError {
    text: String,
    reason: &'static str,
}

impl ParseError {
    fn new(text: &str, reason: &'static str) -> Self {
        Self { text: printable(text.chars().take(200).collect::<String>().as_bytes()), reason }
    }
}

/// One argument as it is written, quotes included: printable ASCII (firmware, loaders and kernel disagree about
/// anything else), with a key, every quote closed, no space outside quotes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelArg(String);

impl KernelArg {
    /// `KEY=VALUE`, with the value in quotes when it needs them.
    pub fn with_value(key: &str, value: &str) -> Result<Self, ParseError> {
        let text = format!("{key}={value}");
        if key.contains(['=', '"']) {
            return Err(ParseError::new(&text, "a key cannot hold `=` or a quote"));
        }
        if value.contains('"') {
            return Err(ParseError::new(
                &text,
                "a value cannot hold a double quote: the kernel has no escape for it",
            ));
        }
        if value.contains(is_space) { format!("{key}=\"{value}\"").parse() } else { text.parse() }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `=`, or all of a switch.
    pub fn key(&self) -> &str {
        split_argument(&self.0).0
    }

    /// What stands behind the `=`, without quotes around it; `None` for a switch.
    pub fn value(&self) -> Option<&str> {
        split_argument(&self.0).1
    }

    /// True when the key is `key`, with `-` and `_` taken for the same.
    pub fn has_key(&self, key: &str) -> bool {
        same_key(self.key(), key)
    }

    /// True when the kernel sees the same in both, however they are quoted.
    pub fn means(&self, other: &Self) -> bool {
        self.has_key(other.key()) && self.value() == other.value()
    }

    /// The lone `--`, after which everything is init's.
    fn ends_the_kernels(&self) -> bool {
        self.0 == "--"
    }
}

impl FromStr for KernelArg {
    type Err = ParseError;

    /// Parses exactly one argument.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |reason| Err(ParseError::new(text, reason));
        if let Some(c) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return error(match c.is_control() {
                true => "a control character",
                false => "a character that is not ASCII; loaders and the kernel disagree about them",
            });
        }
        if !text.matches('"').count().is_multiple_of(2) {
            return error("a double quote that is not closed");
        }
        let mut arguments = split(text);
        let Some(first) = arguments.next() else { return error("it is empty") };
        if first.len() != text.len() {
            return error("a space outside double quotes; write KEY=\"A B\", or give one argument at a time");
        }
        let key = split_argument(text).0;
        if key.is_empty() || key.starts_with('=') { error("it has no name") } else { Ok(Self(text.into())) }
    }
}

impl fmt::Display for KernelArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Arguments in order. A key may stand several times (`console=`); which of them counts is the reader's rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KernelArgs(Vec<KernelArg>);

impl KernelArgs {
    /// Reads `/proc/cmdline`, where anything may stand: what no [`KernelArg`] would be parsed from is read as the
    /// kernel did. For looking things up, not for writing them anywhere.
    pub fn of_running_kernel(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        Self(split(&text).map(|argument| KernelArg(argument.into())).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, KernelArg> {
        self.0.iter()
    }

    /// Every argument with this key, in order.
    pub fn with_key<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a KernelArg> {
        self.iter().filter(move |argument| argument.has_key(key))
    }

    /// Every value of this key, in order; a switch without `=` has none.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.with_key(key).filter_map(KernelArg::value)
    }

    /// True when there is an argument that means the same.
    pub fn contains(&self, argument: &KernelArg) -> bool {
        self.iter().any(|a| a.means(argument))
    }

    /// Adds an argument for the kernel: at the end, but before `--` and what is init's.
    pub fn append(&mut self, argument: KernelArg) {
        let end = self.iter().position(KernelArg::ends_the_kernels).unwrap_or(self.0.len());
        self.0.insert(end, argument);
    }

    /// Adds an argument unless one that means the same is there; true when it was added.
    pub fn append_if_missing(&mut self, argument: KernelArg) -> bool {
        let missing = !self.contains(&argument);
        if missing {
            self.append(argument);
        }
        missing
    }

    /// Removes every argument that means the same, and says how many there were: `quiet` removes `quiet` and not
    /// `quiet=1`.
    pub fn delete(&mut self, argument: &KernelArg) -> usize {
        self.remove(|a| a.means(argument))
    }

    /// Removes every argument with this key, whatever its value, and says how many there were.
    pub fn delete_key(&mut self, key: &str) -> usize {
        self.remove(|a| a.has_key(key))
    }

    /// Puts `new` in the place of the first argument that means what `old` does; false when there is none.
    pub fn replace(&mut self, old: &KernelArg, new: KernelArg) -> bool {
        match self.0.iter_mut().find(|a| a.means(old)) {
            Some(place) => *place = new,
            None => return false,
        }
        true
    }

    /// Makes `new` the only argument with its key, in the place of the first one, else at the end.
    pub fn set(&mut self, new: KernelArg) {
        match self.iter().position(|a| a.has_key(new.key())) {
            Some(place) => {
                let rest = self.0.split_off(place + 1);
                self.0[place] = new;
                let new = &self.0[place];
                let rest: Vec<_> = rest.into_iter().filter(|a| !a.has_key(new.key())).collect();
                self.0.extend(rest);
            }
            None => self.append(new),
        }
    }

    fn remove(&mut self, which: impl Fn(&KernelArg) -> bool) -> usize {
        let before = self.0.len();
        self.0.retain(|a| !which(a));
        before - self.0.len()
    }
}

impl FromStr for KernelArgs {
    type Err = ParseError;

    /// Parses a line of arguments, each as [`KernelArg`] wants it.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        split(text).map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromIterator<KernelArg> for KernelArgs {
    fn from_iter<I: IntoIterator<Item = KernelArg>>(arguments: I) -> Self {
        Self(arguments.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a KernelArgs {
    type Item = &'a KernelArg;
    type IntoIter = std::slice::Iter<'a, KernelArg>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for KernelArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, argument) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{argument}")?;
        }
        Ok(())
    }
}

/// The ASCII part of the kernel's `isspace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// The arguments of a line. A quote that is not closed reaches to the end.
fn split(line: &str) -> impl Iterator<Item = &str> {
    let mut in_quotes = false;
    line.split(move |c| {
        in_quotes ^= c == '"';
        is_space(c) && !in_quotes
    })
    .filter(|argument| !argument.is_empty())
}

/// Key and value of one argument, without the quotes that do not belong to them.
fn split_argument(text: &str) -> (&str, Option<&str>) {
    let (text, quoted) = text.strip_prefix('"').map_or((text, false), |rest| (rest, true));
    let unquoted = |part: &'_ str| -> usize { part.len() - usize::from(quoted && part.ends_with('"')) };
    // A `=` in the first place belongs to the key.
    let equals = text.char_indices().skip(1).find(|(_, c)| *c == '=').map(|(index, _)| index);
    let Some(equals) = equals else { return (&text[..unquoted(text)], None) };
    let (key, value) = (&text[..equals], &text[equals + 1..]);
    let value = match value.strip_prefix('"') {
        Some(value) => value.strip_suffix('"').unwrap_or(value),
        None => &value[..unquoted(value)],
    };
    (key, Some(value))
}

fn same_key(a: &str, b: &str) -> bool {
    let fold = |b: u8| if b == b'-' { b'_' } else { b };
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| fold(a) == fold(b))
}

#[cfg(test)]
mod tests;
