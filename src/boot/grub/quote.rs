//! Quoting for GRUB's language, and the way of a kernel argument through it.
//!
//! Between single quotes GRUB takes everything as it is, and a single quote is written `'\''` (the GRUB manual,
//! "Quoting"). That settles what reaches the `linux` command, not what reaches the kernel: the command joins its
//! arguments again, puts double quotes around one that has spaces, and up to GRUB 2.12 a backslash before every quote
//! and backslash in it (`grub_create_loader_cmdline`). The kernel takes quotes off that surround an argument or its
//! value and knows no backslash (`next_arg` in lib/cmdline.c).
//!
//! So `dyndbg="file a.c +p"` becomes the one argument `dyndbg=file a.c +p`, which GRUB passes on as
//! `"dyndbg=file a.c +p"` and the kernel reads as what it was. An argument that keeps a quote or a backslash after
//! that cannot be passed by GRUB, and is refused here, before anything is written.

/// Why a command line cannot be passed to the kernel by GRUB.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("GRUB cannot pass the kernel argument `{argument}`: {reason}")]
pub struct ArgumentError {
    pub argument: String,
    pub reason: &'static str,
}

/// A word of GRUB's language that stands for `text`.
pub fn quote(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:,@%+=".contains(&b);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Cuts a command line as the kernel does, at spaces outside double quotes, and takes off the quotes that it takes
/// off: what the `linux` command has to be given, each as one word.
pub fn kernel_arguments(options: &str) -> Result<Vec<String>, ArgumentError> {
    let mut quoted = false;
    let at_space = |c: char| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    };
    let words: Vec<&str> = options.split(at_space).filter(|word| !word.is_empty()).collect();
    words.into_iter().map(kernel_argument).collect()
}

fn kernel_argument(word: &str) -> Result<String, ArgumentError> {
    let error = |reason| ArgumentError { argument: word.into(), reason };
    if word.matches('"').count() % 2 == 1 {
        return Err(error("it has a quote that is not closed"));
    }
    let bare = |text: &str| text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(String::from);
    let argument = match (bare(word), word.split_once('=')) {
        (Some(argument), _) => argument,
        (None, Some((key, value))) => match bare(value) {
            Some(value) => format!("{key}={value}"),
            None => word.into(),
        },
        (None, None) => word.into(),
    };
    if argument.contains('"') {
        return Err(error("it writes a backslash before a quote inside an argument"));
    }
    if argument.contains(['\'', '\\']) {
        return Err(error("it writes a backslash before `'` and `\\`"));
    }
    Ok(argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stay_readable() {
        for plain in ["root=UUID=1-2", "console=ttyS0,115200n8", "/boot/reroot/3f9c/vmlinuz", "a.b_c+d@e%f:g"]
        {
            assert_eq!(quote(plain), plain);
        }
        for (text, quoted) in [
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", "'it'\\''s'"),
            ("$root", "'$root'"),
            ("a;b&c|d{e}f<g>", "'a;b&c|d{e}f<g>'"),
            ("*", "'*'"),
            ("#a", "'#a'"),
            ("\\", "'\\'"),
            ("Debian \"x\" ä", "'Debian \"x\" ä'"),
        ] {
            assert_eq!(quote(text), quoted);
        }
    }

    #[test]
    fn arguments_are_cut_as_the_kernel_cuts_them() {
        for (options, expected) in [
            ("", &[][..]),
            ("  a  b=c ", &["a", "b=c"]),
            ("dyndbg=\"file a.c +p\" quiet", &["dyndbg=file a.c +p", "quiet"]),
            ("\"dyndbg=file a.c +p\" quiet", &["dyndbg=file a.c +p", "quiet"]),
            ("a=\"\" b", &["a=", "b"]),
            ("a=\"b\"", &["a=b"]),
            ("x=$y;z", &["x=$y;z"]),
            ("init=/bin/sh -- a=b", &["init=/bin/sh", "--", "a=b"]),
        ] {
            assert_eq!(kernel_arguments(options).unwrap(), expected, "{options}");
        }
    }

    #[test]
    fn what_grub_would_change_is_refused() {
        for (options, expected) in [
            (
                "a=b\"c d\"e",
                "GRUB cannot pass the kernel argument `a=b\"c d\"e`: it writes a backslash before a quote inside an argument",
            ),
            (
                "a quiet=\"x",
                "GRUB cannot pass the kernel argument `quiet=\"x`: it has a quote that is not closed",
            ),
            (
                "a=it's",
                "GRUB cannot pass the kernel argument `a=it's`: it writes a backslash before `'` and `\\`",
            ),
            (
                "a=\\x41",
                "GRUB cannot pass the kernel argument `a=\\x41`: it writes a backslash before `'` and `\\`",
            ),
        ] {
            assert_eq!(kernel_arguments(options).unwrap_err().to_string(), expected);
        }
    }

    /// GRUB's reader of words without variables and comments: what is between single quotes, and single characters
    /// after a backslash.
    fn read_words(text: &str) -> Vec<String> {
        let (mut words, mut word, mut in_word, mut chars) = (Vec::new(), String::new(), false, text.chars());
        while let Some(c) = chars.next() {
            match c {
                '\'' => {
                    in_word = true;
                    word.extend(chars.by_ref().take_while(|c| *c != '\''));
                }
                '\\' => word.extend(chars.next()),
                ' ' if in_word => {
                    words.push(std::mem::take(&mut word));
                    in_word = false;
                }
                ' ' => {}
                c => {
                    in_word = true;
                    word.push(c);
                }
            }
        }
        if in_word {
            words.push(word);
        }
        words
    }

    proptest::proptest! {
        #[test]
        fn any_words_survive_grubs_reader(words in proptest::collection::vec("\\PC{0,12}", 0..6)) {
            let line: Vec<_> = words.iter().map(|word| quote(word)).collect();
            proptest::prop_assert_eq!(read_words(&line.join(" ")), words);
        }
    }
}
