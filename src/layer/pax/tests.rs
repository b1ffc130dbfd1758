use proptest::prelude::*;

use super::*;

/// Records with right lengths.
fn encode(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        out.extend(format!("{length} {key}=").bytes());
        out.extend(*value);
        out.push(b'\n');
    }
    out
}

fn parse(pairs: &[(&str, &[u8])]) -> Result<Extensions, Refusal> {
    Extensions::parse(&encode(pairs))
}

#[test]
fn times_keep_their_sign_and_fraction() {
    let time = |text: &str| time(text.as_bytes()).map(|t| (t.seconds, t.nanoseconds));
    assert_eq!(time("12"), Some((12, 0)));
    assert_eq!(time("12."), Some((12, 0)));
    assert_eq!(time("12.5"), Some((12, 500_000_000)));
    assert_eq!(time("12.0000000019"), Some((12, 1)));
    assert_eq!(time("-1"), Some((-1, 0)));
    assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
    assert_eq!(time("-0.000000001"), Some((-1, 999_999_999)));
    for bad in ["", ".5", "--1", "+1", "1e3", "12.x", "12.5.5", "9223372036854775808", " 1", "1 "] {
        assert_eq!(time(bad), None, "{bad:?}");
    }
}

#[test]
fn a_newline_in_a_value_is_only_a_byte() {
    let forged = b"1\n18 path=etc/evil\n";
    let parsed = parse(&[("SCHILY.xattr.user.a", forged)]).unwrap();
    assert_eq!(parsed.xattrs, [(b"user.a".to_vec(), forged.to_vec())]);
    assert!(!parsed.has_path);
}

#[test]
fn malformed_records_are_refused_and_never_skipped() {
    let cases: &[&[u8]] = &[
        b"x",
        b"4 a=\n",
        b"6 a=\n",
        b"5 a=\n5 a=\n",
        b"+5 a=\n",
        b" 5 a=\n",
        b"05 a=b",
        b"4 =\n",
        b"5 ab\n",
        b"10 a=b\n\0\0\0",
        b"6 a=b\n\0\0",
        b"6 a=b\ngarbage",
        b"0 \n",
        b"99999999999999999999 a=b\n",
        b"12 mtime=1e3\n",
        b"11 size=+5\n",
        b"10 uid=-1\n",
        b"8 size=\n",
    ];
    for case in cases {
        assert!(Extensions::parse(case).is_err(), "{}", printable(case));
    }
    assert!(Extensions::parse(b"6 a=b\n").is_ok());
    assert!(Extensions::parse(b"").is_ok());
}

#[test]
fn what_is_said_twice_is_refused() {
    assert!(parse(&[("path", b"a"), ("path", b"a")]).unwrap_err().contains("two extension records `path`"));
    let both = |a: &[u8], b: &[u8]| parse(&[("SCHILY.xattr.user.a", a), ("LIBARCHIVE.xattr.user.%61", b)]);
    assert_eq!(both(b"v", b"dg").unwrap().xattrs, [(b"user.a".to_vec(), b"v".to_vec())]);
    assert!(both(b"w", b"dg").unwrap_err().contains("two values of the xattr `user.a`"));
}

#[test]
fn libarchive_records_are_decoded() {
    assert_eq!(percent_decode(b"user.a%3Db").as_deref(), Some(&b"user.a=b"[..]));
    assert_eq!(percent_decode(b"%4"), None);
    assert_eq!(percent_decode(b"%+4"), None);
    assert_eq!(base64_decode(b"AAEC").as_deref(), Some(&[0, 1, 2][..]));
    assert_eq!(base64_decode(b"AA==").as_deref(), Some(&[0][..]));
    assert_eq!(base64_decode(b"AA").as_deref(), Some(&[0][..]));
    assert_eq!(base64_decode(b"A*"), None);
}

#[test]
fn sparse_records_make_one_format_or_none() {
    let key = |name: &str| format!("GNU.sparse.{name}");
    let format = |records: &[(&str, &str)]| {
        let records: Vec<_> = records.iter().map(|(k, v)| (key(k), v.as_bytes())).collect();
        let records: Vec<_> = records.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        parse(&records).map(|e| e.sparse)
    };
    let records = |regions| Ok(Some(SparseFormat::Records { regions }));
    assert_eq!(format(&[]), Ok(None));
    assert_eq!(
        format(&[("size", "9"), ("numblocks", "1"), ("offset", "0"), ("numbytes", "9")]),
        records(Some(1))
    );
    assert_eq!(format(&[("size", "9"), ("name", "x"), ("map", "0,9")]), records(None));
    assert_eq!(format(&[("size", "9"), ("map", "")]), records(None));
    let one = [("major", "1"), ("minor", "0"), ("name", "x"), ("realsize", "9")];
    assert_eq!(format(&one), Ok(Some(SparseFormat::InContent)));
    let bad: &[&[(&str, &str)]] = &[
        &[("size", "9")],
        &[("name", "x")],
        &[("map", "0,9")],
        &[("size", "9"), ("realsize", "9"), ("map", "0,9")],
        &[("size", "9"), ("map", "0,x")],
        &[("size", "9"), ("map", "0,9"), ("offset", "0"), ("numbytes", "9")],
        &[("size", "9"), ("offset", "0")],
        &[("size", "9"), ("offset", "0"), ("offset", "0"), ("numbytes", "9")],
        &[("size", "9"), ("numbytes", "9"), ("offset", "0")],
        &[("major", "1"), ("minor", "1"), ("realsize", "9")],
        &[("major", "1"), ("realsize", "9")],
        &[("major", "1"), ("minor", "0"), ("realsize", "9"), ("map", "0,9")],
        &[("size", "9"), ("map", "0,9"), ("new", "1")],
    ];
    for records in bad {
        assert!(format(records).is_err(), "{records:?}");
    }
}

#[test]
fn global_records_may_comment_but_not_name() {
    assert_eq!(check_global(&encode(&[("comment", b"0123"), ("hdrcharset", b"BINARY")])), Ok(()));
    for key in ["path", "linkpath", "size", "mtime", "SCHILY.xattr.user.a", "GNU.sparse.size"] {
        assert!(check_global(&encode(&[(key, b"1")])).unwrap_err().contains(key));
    }
    assert!(check_global(b"garbage").is_err());
}

proptest! {
    #[test]
    fn no_records_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let _ = Extensions::parse(&bytes);
        let _ = check_global(&bytes);
    }

    #[test]
    fn any_xattr_value_comes_back(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        let parsed = parse(&[("comment", b"c"), ("SCHILY.xattr.user.x", &value), ("path", b"p")]).unwrap();
        prop_assert_eq!(parsed.xattrs, [(b"user.x".to_vec(), value)]);
        prop_assert!(parsed.has_path);
    }
}
