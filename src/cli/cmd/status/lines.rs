//! Lines that fit a terminal of 80 columns. Colours are taken out again where nobody sees them.

use anstyle::{AnsiColor, Style};

const WIDTH: usize = 80;
/// Of the labels, which end where the values begin but for `: `.
const LABEL: usize = 11;
/// Where a value begins that is too long to stand behind its label.
const OWN_LINE: usize = 8;
/// Below a line that begins with a word of its own.
const HANGING: usize = 4;

pub const PLAIN: Style = Style::new();
pub const BOLD: Style = Style::new().bold();
pub const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
pub const WATCH: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
pub const BAD: Style = Style::new().bold().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// Text that grows by lines.
#[derive(Debug, Default)]
pub struct Lines {
    text: String,
    gap: bool,
}

impl Lines {
    pub fn text(self) -> String {
        self.text
    }

    /// An empty line, if anything follows.
    pub fn gap(&mut self) {
        self.gap = !self.text.is_empty();
    }

    /// A line as it is.
    pub fn plain(&mut self, line: &str) {
        self.begin();
        self.text += line;
        self.text.push('\n');
    }

    /// A value behind its label, wrapped below itself.
    pub fn field(&mut self, label: &str, style: Style, value: &str) {
        let first = value.split(' ').next().unwrap_or_default().chars().count();
        let indent = if LABEL + 2 + first > WIDTH { OWN_LINE } else { LABEL + 2 };
        let wrapped = wrap(value, WIDTH - indent);
        self.begin();
        self.text += &format!("{label:>LABEL$}:");
        for (index, line) in wrapped.iter().enumerate() {
            match index == 0 && indent != OWN_LINE {
                true => self.text.push(' '),
                false => self.text += &format!("\n{:indent$}", ""),
            }
            self.text += &styled(style, line);
        }
        self.text.push('\n');
    }

    /// More of the value before, on lines of its own.
    pub fn more(&mut self, style: Style, value: &str) {
        let indent = LABEL + 2;
        for line in wrap(value, WIDTH - indent) {
            self.text += &format!("{:indent$}{}\n", "", styled(style, &line));
        }
    }

    /// A sentence with a word in front that says how bad it is.
    pub fn alarm(&mut self, style: Style, word: &str, sentence: &str) {
        let whole = format!("{word}: {sentence}");
        self.begin();
        for (index, line) in wrap_hanging(&whole, WIDTH, HANGING).iter().enumerate() {
            match line.strip_prefix(&format!("{word}:")).filter(|_| index == 0) {
                Some(rest) => self.text += &format!("{}{rest}\n", styled(style, &format!("{word}:"))),
                None => self.text += &format!("{line}\n"),
            }
        }
    }

    fn begin(&mut self) {
        if std::mem::take(&mut self.gap) {
            self.text.push('\n');
        }
    }
}

pub fn styled(style: Style, text: &str) -> String {
    if style == PLAIN { text.into() } else { format!("{style}{text}{style:#}") }
}

/// True when a line of so many characters fits.
pub fn fits(line: &str) -> bool {
    line.chars().count() <= WIDTH
}

/// Lines of at most `width` characters; a longer word has a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("one was made");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.into());
        }
    }
    lines
}

fn wrap_hanging(text: &str, width: usize, indent: usize) -> Vec<String> {
    let first = wrap(text, width).swap_remove(0);
    let rest = text[first.len()..].trim_start();
    let mut lines = vec![first];
    if !rest.is_empty() {
        lines.extend(wrap(rest, width - indent).iter().map(|line| format!("{:indent$}{line}", "")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_stand_below_themselves() {
        let mut lines = Lines::default();
        lines.gap();
        lines.field("Version", PLAIN, "13");
        lines.field("Arguments", PLAIN, "word ".repeat(20).trim_end());
        lines.more(PLAIN, "and so on");
        lines.field("Digest", PLAIN, &"f".repeat(71));
        lines.gap();
        lines.alarm(BAD, "problem", "something ".repeat(10).trim_end());
        lines.gap();
        let plain = anstream::adapter::strip_str(&lines.text()).to_string();
        insta::assert_snapshot!(plain, @"
            Version: 13
          Arguments: word word word word word word word word word word word word word
                     word word word word word word word
                     and so on
             Digest:
                fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff

        problem: something something something something something something something
            something something something
        ");
        assert!(plain.lines().all(fits));
    }
}
