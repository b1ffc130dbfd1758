//! `lib/apk/db/installed` of Alpine and its kin: one letter, a colon and a value a line; a blank line ends a
//! package (apk-package(5), "INSTALLED").

use std::io::BufRead;

use super::{Error, Files, Lines, MOST_PACKAGES, Manager, Package, text};

/// Reads the installed packages. The lines about files (`F`, `R`, `a`, `Z`, `M`) are passed over.
pub fn parse(input: impl BufRead) -> Result<Vec<Package>, Error> {
    let mut lines = Lines::new(input);
    let mut packages = Vec::new();
    let (mut name, mut version, mut architecture) = (None, None, None);
    loop {
        let line = lines.next()?;
        let end = line.is_none();
        match line {
            None | Some([]) => {
                if let (Some(name), Some(version)) = (name.take(), version.take()) {
                    if packages.len() == MOST_PACKAGES {
                        return Err(lines.malformed("too many packages"));
                    }
                    packages.push(Package {
                        name,
                        architecture: architecture.take(),
                        version,
                        manager: Manager::Apk,
                    });
                }
                if end {
                    break;
                }
            }
            Some([b'P', b':', value @ ..]) => name = Some(text(value)),
            Some([b'V', b':', value @ ..]) => version = Some(text(value)),
            Some([b'A', b':', value @ ..]) => architecture = Some(text(value)),
            Some([_, b':', ..]) => {}
            Some(_) => return Err(lines.malformed("not a letter and a colon")),
        }
    }
    packages.sort();
    Ok(packages)
}

/// Reads which files belong to which package (`F` a directory, `R` a file in it).
pub fn parse_files(input: impl BufRead) -> Result<Vec<(String, Files)>, Error> {
    let mut lines = Lines::new(input);
    let mut packages: Vec<(String, Files)> = Vec::new();
    let mut directory = Vec::new();
    while let Some(line) = lines.next()? {
        match line {
            [b'P', b':', name @ ..] => {
                packages.push((text(name), Files::new()));
                directory.clear();
            }
            [b'F', b':', path @ ..] => directory = path.to_vec(),
            [b'R', b':', name @ ..] => {
                let name = name.to_vec();
                let (_, files) =
                    packages.last_mut().ok_or_else(|| lines.malformed("a file of no package"))?;
                let slash: &[u8] = if directory.is_empty() { b"" } else { b"/" };
                files.push([&directory, slash, &name].concat());
            }
            _ => {}
        }
    }
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages_are_listed() {
        let database = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:ld-musl.so\na:0:0:755\n\n\
                        P:busybox\nV:1.36-r1\nA:x86_64\n\n";
        let packages = parse(database.as_bytes()).unwrap();
        let shown: Vec<_> = packages.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
        assert_eq!(shown, ["busybox 1.36-r1", "musl 1.2.5-r0"]);
        assert_eq!(packages[0].architecture.as_deref(), Some("x86_64"));
    }

    #[test]
    fn what_is_not_a_database_is_refused_by_line() {
        assert_eq!(parse(&b"P:a\nwhat\n"[..]).unwrap_err().to_string(), "line 2: not a letter and a colon");
    }
}
