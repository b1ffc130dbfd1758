//! Checks that were written for greenboot (<https://github.com/fedora-iot/greenboot-rs>), so that images which bring some need
//! nothing else.
//!
//! ```text
//! /{usr/lib,etc}/greenboot/check/{required,wanted}.d/   checks
//! /{usr/lib,etc}/greenboot/{green,red}.d/               what is run when all is well, or when a required check failed
//! /etc/greenboot/greenboot.conf                         DISABLED_HEALTHCHECKS=("name" …)
//! ```
//!
//! As there, the files of both directories run, `*.sh` by bash(1) whether executable or not, and others when they are executable.

use super::checks::CheckKind;
use crate::env::Env;
use crate::fsx;
use crate::ops::program::{Found, Nature, Program, list};
use crate::ops::{Error, Result};

const DIRECTORIES: [&str; 2] = ["usr/lib/greenboot", "etc/greenboot"];
const CONFIGURATION: &str = "etc/greenboot/greenboot.conf";
const DISABLED: &str = "DISABLED_HEALTHCHECKS";
/// Written by hand.
const CONFIGURATION_LIMIT: u64 = 1 << 20;

/// What to run when it is known how the boot turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    Green,
    Red,
}

/// The checks of one kind that are not disabled.
pub fn checks(kind: CheckKind, env: &Env) -> Result<Found> {
    let mut found =
        programs(env, if kind == CheckKind::Required { "check/required.d" } else { "check/wanted.d" })?;
    if !found.programs.is_empty() {
        let disabled = disabled(env)?;
        found.programs.retain(|program| !disabled.contains(&program.name));
    }
    Ok(found)
}

/// What runs after the checks.
pub fn aftermath(which: Aftermath, env: &Env) -> Result<Vec<Program>> {
    let directory = if which == Aftermath::Green { "green.d" } else { "red.d" };
    Ok(programs(env, directory)?.programs)
}

fn programs(env: &Env, below: &str) -> Result<Found> {
    let mut found = Found::default();
    for directory in DIRECTORIES {
        for mut file in list(env, &format!("{directory}/{below}"))? {
            let is_script = file.name.ends_with(b".sh");
            match file.nature {
                Nature::Executable | Nature::Plain | Nature::Empty if is_script => {
                    file.program.by_shell = true;
                    found.programs.push(file.program);
                }
                Nature::Executable => found.programs.push(file.program),
                Nature::Mask | Nature::Empty => {}
                Nature::Plain => found.warnings.push(format!("{} is not executable", file.program.file)),
                Nature::Other(what) => found.warnings.push(format!("{} is {what}", file.program.file)),
            }
        }
    }
    Ok(found)
}

fn disabled(env: &Env) -> Result<Vec<String>> {
    let root = fsx::open_dir(&env.config_root).map_err(Error::io("opening the root directory"))?;
    let bytes = fsx::read_in_root(&root, CONFIGURATION.as_bytes(), CONFIGURATION_LIMIT)
        .map_err(Error::io(format!("reading /{CONFIGURATION}")))?;
    Ok(parse_disabled(&String::from_utf8_lossy(&bytes.unwrap_or_default())))
}

/// The names in an array of the shell, or of TOML: quoted or not, in one line or several.
fn parse_disabled(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split('#').next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let assigned = code.split(DISABLED).skip(1).map(|rest| rest.trim_start());
    let Some(value) = assigned.filter_map(|rest| rest.strip_prefix('=')).last() else { return Vec::new() };
    let value = value.trim_start();
    let end = match value.chars().next() {
        Some('(' | '[') => value.find([')', ']']),
        _ => value.find('\n'),
    };
    let words =
        value[..end.unwrap_or(value.len())].split(|c: char| c.is_whitespace() || "()[],\"'".contains(c));
    words.filter(|word| !word.is_empty()).map(String::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disabled_checks_are_read_as_greenboot_writes_them() {
        for (text, expected) in [
            ("", &[][..]),
            ("GREENBOOT_MAX_BOOT_ATTEMPTS=3\n# DISABLED_HEALTHCHECKS=(a)\n", &[]),
            ("DISABLED_HEALTHCHECKS=(\"01_dns.sh\" '02 x')\nOTHER=(\"y\")", &["01_dns.sh", "02", "x"]),
            ("DISABLED_HEALTHCHECKS = [\n  \"a\", # why\n  \"b\",\n]\n", &["a", "b"]),
            ("DISABLED_HEALTHCHECKS=a\nb", &["a"]),
            ("DISABLED_HEALTHCHECKS=()", &[]),
            ("DISABLED_HEALTHCHECKS=(a", &["a"]),
        ] {
            assert_eq!(parse_disabled(text), expected, "{text}");
        }
    }
}
