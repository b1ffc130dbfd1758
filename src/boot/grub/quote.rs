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
    let arguments: Result<Vec<_>, _> = words.into_iter().map(kernel_argument).collect();
    // `""` is nothing for the kernel and nothing for GRUB.
    Ok(arguments?.into_iter().filter(|argument| !argument.is_empty()).collect())
}

fn kernel_argument(word: &str) -> Result<String, ArgumentError> {
    let error = |reason| ArgumentError { argument: word.into(), reason };
    if word.matches('"').count() % 2 == 1 {
        return Err(error("it has a quote that is not closed"));
    }
    let bare = |text: &str| text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(String::from);
    let argument = match (bare(word), word.split_once('=').filter(|(key, _)| !key.is_empty())) {
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

    /// How GRUB up to 2.12 joins the arguments of `linux` (`grub_create_loader_cmdline`).
    fn join_as_grub(arguments: &[String]) -> String {
        let escaped = |text: &str| -> String {
            text.chars().flat_map(|c| "\\'\"".contains(c).then_some('\\').into_iter().chain([c])).collect()
        };
        let one = |text: &String| match text.contains(' ') {
            true => format!("\"{}\"", escaped(text)),
            false => escaped(text),
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// How the kernel takes parameters and values out of a command line (`next_arg` in lib/cmdline.c).
    fn read_as_kernel(line: &str) -> Vec<(String, Option<String>)> {
        let mut found = Vec::new();
        let mut rest = line.trim_start_matches(' ');
        while !rest.is_empty() {
            let quoted = rest.starts_with('"');
            let text = rest.strip_prefix('"').unwrap_or(rest);
            let mut in_quote = quoted;
            let end = text.find(|c: char| {
                let ends = c == ' ' && !in_quote;
                in_quote ^= c == '"';
                ends
            });
            let (argument, after) = text.split_at(end.unwrap_or(text.len()));
            rest = after.trim_start_matches(' ');
            let cut = |text: &str, cuts: bool| match text.strip_suffix('"') {
                Some(shorter) if cuts => shorter.to_string(),
                _ => text.to_string(),
            };
            found.push(match argument.char_indices().find(|(at, c)| *at > 0 && *c == '=') {
                None => (cut(argument, quoted), None),
                Some((equals, _)) => {
                    let (name, value) = (&argument[..equals], &argument[equals + 1..]);
                    let bare = value.strip_prefix('"');
                    (name.into(), Some(cut(bare.unwrap_or(value), quoted || bare.is_some())))
                }
            });
        }
        found.retain(|(name, value)| !name.is_empty() || value.is_some());
        found
    }

    #[test]
    fn the_models_do_what_the_originals_do() {
        assert_eq!(join_as_grub(&["a=it's".into(), "b=c d".into()]), "a=it\\'s \"b=c d\"");
        let text = |s: &str| Some(s.to_string());
        assert_eq!(
            read_as_kernel(" a  b=c \"d=e f\" g=\"h i\" j=\"\" k=l\"m n\"o"),
            [
                ("a".into(), None),
                ("b".into(), text("c")),
                ("d".into(), text("e f")),
                ("g".into(), text("h i")),
                ("j".into(), text("")),
                ("k".into(), text("l\"m n\"o")),
            ]
        );
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
        fn the_kernel_gets_what_was_meant(options in "([ab]{1,2}=?\"?[ab =]{0,4}\"? ?){0,5}") {
            if let Ok(arguments) = kernel_arguments(&options) {
                proptest::prop_assert_eq!(read_as_kernel(&join_as_grub(&arguments)), read_as_kernel(&options));
            }
        }

        #[test]
        fn any_words_survive_grubs_reader(words in proptest::collection::vec("\\PC{0,12}", 0..6)) {
            let line: Vec<_> = words.iter().map(|word| quote(word)).collect();
            proptest::prop_assert_eq!(read_words(&line.join(" ")), words);
        }
    }
}
