//! Patterns for paths.

use crate::names::ImagePath;

/// `*` is any text within a component, a component `**` any number of components, none as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Component {
    /// The texts between the stars.
    Name(Vec<Vec<u8>>),
    Any,
}

impl Pattern {
    /// Parses a pattern. What other programs understand and this one does not is refused, not taken for a name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.starts_with('/') {
            return Err("the path starts without a slash");
        }
        let component = |part: &str| match part {
            "" => Err("the path has an empty component"),
            "." | ".." => Err("the path has a `.` or `..` component"),
            "**" => Ok(Component::Any),
            _ if part.contains("**") => Err("`**` is a whole component"),
            _ if part.contains(['?', '[', ']', '{', '}', '\\']) => {
                Err("only `*` and `**` are patterns, and `?[]{}\\` cannot be in a path; write `*`")
            }
            _ => Ok(Component::Name(part.split('*').map(|t| t.as_bytes().to_vec()).collect())),
        };
        Ok(Self { text: text.into(), components: text.split('/').map(component).collect::<Result<_, _>>()? })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, path: &ImagePath) -> bool {
        let path: Vec<&[u8]> = path.components().collect();
        // For each number of components of the pattern: does it match the first ones of the path?
        let mut matched = vec![false; self.components.len() + 1];
        matched[0] = true;
        self.skip_any(&mut matched);
        for name in path {
            let mut next = vec![false; matched.len()];
            for (index, component) in self.components.iter().enumerate() {
                match component {
                    Component::Any => next[index + 1] |= matched[index + 1] || matched[index],
                    Component::Name(texts) => next[index + 1] |= matched[index] && name_matches(texts, name),
                }
            }
            self.skip_any(&mut next);
            matched = next;
        }
        matched.last().copied().unwrap_or(false)
    }

    /// `**` matches no component as well.
    fn skip_any(&self, matched: &mut [bool]) {
        for (index, component) in self.components.iter().enumerate() {
            if *component == Component::Any && matched[index] {
                matched[index + 1] = true;
            }
        }
    }
}

/// True when `name` is the texts with anything between them.
fn name_matches(texts: &[Vec<u8>], name: &[u8]) -> bool {
    let (Some((first, rest)), Some(mut left)) = (texts.split_first(), name.strip_prefix(&*texts[0])) else {
        return false;
    };
    let Some((last, middle)) = rest.split_last() else { return name == first.as_slice() };
    for text in middle {
        // The first place leaves the most for the others.
        let Some(at) = find(left, text) else { return false };
        left = &left[at + text.len()..];
    }
    left.ends_with(last)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    (0..=text.len().checked_sub(wanted.len())?).find(|at| text[*at..].starts_with(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_within_a_component_and_double_stars_over_them() {
        let cases: [(&str, &[&str], &[&str]); 9] = [
            ("a/b", &["a/b"], &["a", "a/b/c", "b", "A/b", ""]),
            ("ssh/*.conf", &["ssh/.conf", "ssh/a.conf", "ssh/.a.conf"], &["ssh/a.conf.d", "ssh/d/a.conf"]),
            ("a*b*c", &["abc", "axbxc", "abbbcc"], &["ab", "acb", "abcx", "a/b/c"]),
            ("a*a", &["aa", "aaa", "aba"], &["a"]),
            ("*", &["a", "abc"], &["", "a/b"]),
            ("a/**", &["a", "a/b", "a/b/c"], &["", "ab", "b/a"]),
            ("**/c", &["c", "a/c", "a/b/c"], &["c/a", "ac"]),
            ("a/**/c", &["a/c", "a/b/c", "a/b/b/c", "a/c/c"], &["a", "c", "a/cd"]),
            ("**", &["", "a", "a/b"], &[]),
        ];
        for (pattern, yes, no) in cases {
            let parsed = Pattern::parse(pattern).unwrap();
            let path = |text: &&str| ImagePath::new(text.as_bytes()).unwrap();
            for text in yes {
                assert!(parsed.matches(&path(text)), "{pattern} {text}");
            }
            for text in no {
                assert!(!parsed.matches(&path(text)), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn names_that_are_not_utf8_are_matched_by_stars() {
        let path = ImagePath::new(b"a/\xff\xfe.conf").unwrap();
        assert!(Pattern::parse("a/*.conf").unwrap().matches(&path));
    }

    #[test]
    fn a_pattern_of_many_stars_is_no_trap() {
        let path = ImagePath::new(&[b'a'; 250]).unwrap();
        assert!(!Pattern::parse(&format!("{}b", "*a".repeat(100))).unwrap().matches(&path));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "/a", "a//b", "a/", "./a", "a/../b", "a**", "a?", "[a]", "{a,b}", "a\\*"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
