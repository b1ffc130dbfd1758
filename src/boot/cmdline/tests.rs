use proptest::prelude::*;

use super::*;

#[track_caller]
fn arg(text: &str) -> KernelArg {
    text.parse().unwrap()
}

#[track_caller]
fn args(text: &str) -> KernelArgs {
    text.parse().unwrap()
}

#[test]
fn arguments_are_split_where_the_kernel_splits_them() {
    for (text, expected) in [
        ("", &[][..]),
        (" \t\n", &[]),
        ("quiet", &[("quiet", None)]),
        ("root=UUID=1-2", &[("root", Some("UUID=1-2"))]),
        ("a=1\tb=2  c", &[("a", Some("1")), ("b", Some("2")), ("c", None)]),
        ("a= b", &[("a", Some("")), ("b", None)]),
        ("dyndbg=\"file a.c +p\" x", &[("dyndbg", Some("file a.c +p")), ("x", None)]),
        ("\"key=a b\" x", &[("key", Some("a b")), ("x", None)]),
        ("\"a switch\"", &[("a switch", None)]),
        // Quotes elsewhere belong to the value, and still hold it together.
        ("a=x\"y z\"", &[("a", Some("x\"y z\""))]),
        ("a=\"x\"y", &[("a", Some("x\"y"))]),
        ("a=\"\"", &[("a", Some(""))]),
        ("\"a=\"\"b\"", &[("a", Some("\"b"))]),
        // The first character is never the sign.
        ("=a", &[("=a", None)]),
        ("=a=b", &[("=a", Some("b"))]),
        ("-- init", &[("--", None), ("init", None)]),
    ] {
        let read = KernelArgs::of_running_kernel(text.as_bytes());
        assert_eq!(read.iter().map(|a| (a.key(), a.value())).collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn what_a_running_kernel_was_given_is_read_whatever_it_is() {
    let read = KernelArgs::of_running_kernel(b"a=\xff\x01 reroot=/x b=\"not closed c=1\n");
    assert_eq!(read.values("reroot").collect::<Vec<_>>(), ["/x"]);
    assert_eq!(read.values("b").collect::<Vec<_>>(), ["not closed c=1\n"]);
    assert_eq!(read.with_key("c").count(), 0);
}

#[test]
fn what_is_to_be_written_must_be_one_sound_argument() {
    for (text, message) in [
        ("", "kernel argument ``: it is empty"),
        (
            "a b",
            "kernel argument `a b`: a space outside double quotes; write KEY=\"A B\", or give one argument at a time",
        ),
        (
            " a",
            "kernel argument ` a`: a space outside double quotes; write KEY=\"A B\", or give one argument at a time",
        ),
        ("a=\"b", "kernel argument `a=\"b`: a double quote that is not closed"),
        ("a=\"b\nc\"", "kernel argument `a=\"b\\nc\"`: a control character"),
        (
            "a=ü",
            "kernel argument `a=ü`: a character that is not ASCII; loaders and the kernel disagree about them",
        ),
        ("\"\"", "kernel argument `\"\"`: it has no name"),
        ("=a", "kernel argument `=a`: it has no name"),
    ] {
        assert_eq!(text.parse::<KernelArg>().unwrap_err().to_string(), message);
    }
    assert!("quiet a=\"b".parse::<KernelArgs>().is_err());
    assert!("quiet \"a=b\nc\"".parse::<KernelArgs>().is_err());
}

#[test]
fn values_get_quotes_when_they_need_them() {
    let written = |key, value| KernelArg::with_value(key, value).map(|a| a.to_string());
    assert_eq!(written("root", "LABEL=x").unwrap(), "root=LABEL=x");
    assert_eq!(written("a", "b c").unwrap(), "a=\"b c\"");
    assert_eq!(written("a", "").unwrap(), "a=");
    for (key, value) in [("a", "b\"c"), ("a=b", "c"), ("", "x"), ("a b", "c"), ("a", "b\nc"), ("\"a", "b\"")]
    {
        assert!(written(key, value).is_err(), "{key:?} {value:?}");
    }
}

#[test]
fn a_dash_is_an_underscore_in_keys_and_not_in_values() {
    let line = args("rd.auto-lvm=1 rd.auto_lvm=2 x=a-b");
    assert_eq!(line.values("rd.auto_lvm").collect::<Vec<_>>(), ["1", "2"]);
    assert!(line.contains(&arg("\"x=a-b\"")) && !line.contains(&arg("x=a_b")));
}

#[test]
fn lists_are_edited_in_place() {
    let edit = |line: &str, edit: fn(&mut KernelArgs)| {
        let mut line = args(line);
        edit(&mut line);
        line.to_string()
    };
    for (before, change, after) in [
        ("a", (|l| l.append(arg("a"))) as fn(&mut KernelArgs), "a a"),
        ("a -- single", |l| l.append(arg("b")), "a b -- single"),
        ("a=1", |l| assert!(l.append_if_missing(arg("a=2"))), "a=1 a=2"),
        ("a=1 b", |l| assert!(!l.append_if_missing(arg("a=\"1\""))), "a=1 b"),
        ("a a=1 a=2 a", |l| assert_eq!(l.delete(&arg("a")), 2), "a=1 a=2"),
        ("a a=1 a=2", |l| assert_eq!(l.delete(&arg("a=\"1\"")), 1), "a a=2"),
        ("a", |l| assert_eq!(l.delete(&arg("b")), 0), "a"),
        ("a-b x a_b=2", |l| assert_eq!(l.delete_key("a-b"), 2), "x"),
        ("x=1 y x=1", |l| assert!(l.replace(&arg("x=1"), arg("z"))), "z y x=1"),
        ("x=1", |l| assert!(!l.replace(&arg("x"), arg("z"))), "x=1"),
        ("a x=1 b x=2 c", |l| l.set(arg("x=3")), "a x=3 b c"),
        ("a -- x=1", |l| l.set(arg("y=3")), "a y=3 -- x=1"),
    ] {
        assert_eq!(edit(before, change), after, "{before}");
    }
}

/// The name, the value if there is one, and what is left.
type NextArgument<'a> = (Vec<u8>, Option<Vec<u8>>, &'a [u8]);

/// The kernel's `next_arg`, written as it is there: over an array, byte by byte.
fn next_arg(mut args: &[u8]) -> Option<NextArgument<'_>> {
    let space = |b: u8| matches!(b, b' ' | 9..=13);
    while args.first().is_some_and(|b| space(*b)) {
        args = &args[1..];
    }
    args.first()?;
    let (mut in_quote, mut quoted, mut equals, mut i) = (false, false, 0, 0);
    if args[0] == b'"' {
        args = &args[1..];
        in_quote = true;
        quoted = true;
    }
    while i < args.len() {
        if space(args[i]) && !in_quote {
            break;
        }
        if equals == 0 && args[i] == b'=' {
            equals = i;
        }
        in_quote ^= args[i] == b'"';
        i += 1;
    }
    let mut end = i;
    let (key, value);
    if equals == 0 {
        if quoted && i > 0 && args[i - 1] == b'"' {
            end -= 1;
        }
        (key, value) = (args[..end].to_vec(), None);
    } else {
        let mut start = equals + 1;
        if args.get(start).is_some_and(|b| *b == b'"') && start < end {
            start += 1;
            if args[i - 1] == b'"' {
                end -= 1;
            }
        } else if quoted && args[i - 1] == b'"' {
            end -= 1;
        }
        (key, value) =
            (args[..equals].to_vec(), Some(args[start.min(end.max(start))..end.max(start)].to_vec()));
    }
    Some((key, value, &args[i..]))
}

proptest! {
    #[test]
    fn keys_and_values_are_those_of_the_kernel(line in "[ab=\" ]{0,24}") {
        let mut expected = Vec::new();
        let mut rest = line.as_bytes();
        while let Some((key, value, after)) = next_arg(rest) {
            expected.push((String::from_utf8(key).unwrap(), value.map(|v| String::from_utf8(v).unwrap())));
            rest = after;
        }
        let read = KernelArgs::of_running_kernel(line.as_bytes());
        let read: Vec<_> = read.iter().map(|a| (a.key().to_owned(), a.value().map(str::to_owned))).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn printing_and_parsing_are_inverse(line in "[ab=\" \n-]{0,40}") {
        if let Ok(parsed) = line.parse::<KernelArgs>() {
            let printed = parsed.to_string();
            prop_assert_eq!(printed.parse::<KernelArgs>().unwrap(), parsed.clone());
            let as_kernel = KernelArgs::of_running_kernel(line.as_bytes());
            prop_assert_eq!(as_kernel, parsed);
        }
    }

    #[test]
    fn a_value_survives_its_quotes(value in "[ -~&&[^\"]]{0,20}") {
        let written = KernelArg::with_value("key", &value).unwrap();
        prop_assert_eq!(written.value(), Some(&*value));
        prop_assert_eq!(written.to_string().parse::<KernelArgs>().unwrap().to_string(), written.to_string());
    }

    #[test]
    fn deleting_undoes_appending(line in "[ab= ]{0,20}", new in "[ab]{1,3}(=[ab]{0,3})?") {
        if let Ok(before) = line.parse::<KernelArgs>() {
            let mut line = before.clone();
            if line.append_if_missing(arg(&new)) {
                prop_assert_eq!(line.delete(&arg(&new)), 1);
            }
            prop_assert_eq!(line, before);
        }
    }
}
