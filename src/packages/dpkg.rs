//! `var/lib/dpkg/status`, and the files of `status.d`, which distroless images have (deb822(5), dpkg-query(1)).

use std::io::BufRead;

use super::{Error, Files, Lines, MOST_PACKAGES, Manager, Package, text};

/// Reads the installed packages. A package that was removed but left its configuration is not installed. A
/// stanza of `status.d` has no `Status` field: it is there because the package is installed.
pub fn parse(input: impl BufRead) -> Result<Vec<Package>, Error> {
    let mut lines = Lines::new(input);
    let mut packages = Vec::new();
    let mut stanza = Stanza::default();
    loop {
        let (field, value) = match lines.next()? {
            None => break,
            Some(line) if line.trim_ascii().is_empty() => {
                finish(&mut stanza, &mut packages, &lines)?;
                continue;
            }
            // A continuation of a field; none of those that matter has one.
            Some([b' ' | b'\t', ..]) => continue,
            Some(line) => match line.iter().position(|b| *b == b':') {
                Some(colon) => (line[..colon].to_ascii_lowercase(), text(&line[colon + 1..])),
                None => return Err(lines.malformed("not a field")),
            },
        };
        let known = match field.as_slice() {
            b"package" => &mut stanza.name,
            b"version" => &mut stanza.version,
            b"architecture" => &mut stanza.architecture,
            b"status" => &mut stanza.status,
            _ => continue,
        };
        *known = Some(value);
    }
    finish(&mut stanza, &mut packages, &lines)?;
    packages.sort();
    Ok(packages)
}

#[derive(Default)]
struct Stanza {
    name: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    status: Option<String>,
}

fn finish<R: BufRead>(
    stanza: &mut Stanza,
    packages: &mut Vec<Package>,
    lines: &Lines<R>,
) -> Result<(), Error> {
    let Stanza { name, version, architecture, status } = std::mem::take(stanza);
    // The third word is the state: `install ok installed`, `deinstall ok config-files`.
    let here = status.is_none_or(|s| !matches!(s.split(' ').nth(2), Some("config-files" | "not-installed")));
    if let (Some(name), Some(version), true) = (name, version, here) {
        if packages.len() == MOST_PACKAGES {
            return Err(lines.malformed("too many packages"));
        }
        packages.push(Package { name, architecture, version, manager: Manager::Dpkg });
    }
    Ok(())
}

/// Reads `info/NAME.list`: a path a line, directories as well.
pub fn parse_list(input: impl BufRead) -> Result<Files, Error> {
    let mut lines = Lines::new(input);
    let mut files = Files::new();
    while let Some(line) = lines.next()? {
        if !line.is_empty() && line != b"/." {
            files.push(line.to_vec());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(text: &str) -> Vec<String> {
        let packages = parse(text.as_bytes()).unwrap();
        packages
            .iter()
            .map(|p| format!("{} {} {}", p.name, p.architecture.as_deref().unwrap_or("-"), p.version))
            .collect()
    }

    #[test]
    fn installed_packages_are_listed() {
        let status = "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\n\
                      Description: compression\n Package: not this\n .\n more\nVersion: 1:1.3\n\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                      Package: never\nStatus: unknown ok not-installed\n\n\
                      package: bash\nversion: 5.2\nStatus: install ok triggers-pending";
        assert_eq!(parsed(status), ["bash - 5.2", "zlib1g amd64 1:1.3"]);
    }

    #[test]
    fn a_distroless_stanza_needs_no_status() {
        assert_eq!(parsed("Package: base-files\nVersion: 12\nArchitecture: all\n"), ["base-files all 12"]);
    }

    #[test]
    fn what_is_not_a_database_is_refused_by_line() {
        let error = parse(&b"Package: a\nVersion: 1\nwhat\n"[..]).unwrap_err();
        assert_eq!(error.to_string(), "line 3: not a field");
        let long = vec![b'x'; (1 << 20) + 10];
        assert_eq!(parse(&long[..]).unwrap_err().to_string(), "line 1: longer than 1 MiB");
    }

    #[test]
    fn control_characters_do_not_get_through() {
        assert_eq!(parsed("Package: a\x1b[2J\nVersion: 1\n"), ["a\\u{1b}[2J - 1"]);
    }
}
