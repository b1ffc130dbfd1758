//! Finding the checks of a machine.
//!
//! ```text
//! /usr/lib/reroot/health.d/required/   of the image; all must pass
//! /etc/reroot/health.d/required/       of the machine; it replaces and masks the image's ([`program::overridden`])
//! …/health.d/wanted/                   the same, and a failure is only said
//! /{usr/lib,etc}/greenboot/check/      see [`super::greenboot`]
//! ```
//!
//! All together run in the order of their names.

use serde::{Deserialize, Serialize};

use super::greenboot;
use crate::env::Env;
use crate::ops::Result;
use crate::ops::program::{self, Found};

/// From the weakest to the strongest.
const DIRECTORIES: [&str; 2] = ["usr/lib/reroot/health.d", "etc/reroot/health.d"];

/// What a failure of a check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// The boot has failed.
    Required,
    /// A warning.
    Wanted,
}

impl CheckKind {
    fn directory(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Wanted => "wanted",
        }
    }
}

/// Looks for the checks of one kind below [`Env::config_root`].
pub fn find(kind: CheckKind, env: &Env) -> Result<Found> {
    let mut found = ours(kind, env)?;
    let theirs = greenboot::checks(kind, env)?;
    found.programs.extend(theirs.programs);
    found.warnings.extend(theirs.warnings);
    found.programs.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
    Ok(found)
}

fn ours(kind: CheckKind, env: &Env) -> Result<Found> {
    let directories = DIRECTORIES.map(|directory| format!("{directory}/{}", kind.directory()));
    program::overridden(directories, env)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write what people write")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::SystemTime;

    use super::*;
    use crate::ops::program::Program;

    /// Files as `path` (executable), `path-` (not), `path=` (empty and not), `path -> target`.
    fn found(kind: CheckKind, files: &[&str]) -> (Vec<String>, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        for text in files {
            let (path, target) = text.split_once(" -> ").map_or((*text, None), |(p, t)| (p, Some(t)));
            let file = root.path().join(path.trim_end_matches(['-', '=']));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            if let Some(target) = target {
                symlink(target, file).unwrap();
                continue;
            }
            std::fs::write(&file, if path.ends_with('=') { "" } else { "x" }).unwrap();
            let mode = if path.ends_with(['-', '=']) { 0o644 } else { 0o755 };
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        }
        let found = find(kind, &Env::fixed(root.path(), SystemTime::UNIX_EPOCH)).unwrap();
        let shell = |p: Program| format!("{}{}", if p.by_shell { "bash " } else { "" }, p.file);
        (found.programs.into_iter().map(shell).collect(), found.warnings)
    }

    #[test]
    fn checks_of_all_directories_run_in_the_order_of_their_names() {
        let files = [
            "usr/lib/reroot/health.d/required/50-web",
            "etc/reroot/health.d/required/10-disk",
            "etc/greenboot/check/required.d/30-dns.sh-",
            "usr/lib/greenboot/check/required.d/20-clock",
            "usr/lib/reroot/health.d/wanted/60-mail",
            "etc/greenboot/check/wanted.d/05-x",
            "etc/reroot/health.d/required/.hidden",
            "etc/reroot/health.d/required/10-disk~",
        ];
        let (required, warnings) = found(CheckKind::Required, &files);
        assert_eq!(
            required,
            [
                "/etc/reroot/health.d/required/10-disk",
                "/usr/lib/greenboot/check/required.d/20-clock",
                "bash /etc/greenboot/check/required.d/30-dns.sh",
                "/usr/lib/reroot/health.d/required/50-web",
            ]
        );
        assert_eq!(warnings, [""; 0]);
        let (wanted, _) = found(CheckKind::Wanted, &files);
        assert_eq!(wanted, ["/etc/greenboot/check/wanted.d/05-x", "/usr/lib/reroot/health.d/wanted/60-mail"]);
        assert_eq!(found(CheckKind::Required, &[]), (vec![], vec![]));
    }

    #[test]
    fn what_is_not_run_is_said() {
        let (programs, warnings) = found(
            CheckKind::Wanted,
            &[
                "etc/reroot/health.d/wanted/README-",
                "etc/reroot/health.d/wanted/d/x",
                "etc/reroot/health.d/wanted/l -> nowhere",
                "etc/greenboot/check/wanted.d/README-",
            ],
        );
        assert_eq!(programs, [""; 0]);
        assert_eq!(
            warnings,
            [
                "/etc/reroot/health.d/wanted/README is not executable",
                "/etc/reroot/health.d/wanted/d is a directory",
                "/etc/reroot/health.d/wanted/l is a link that leads nowhere",
                "/etc/greenboot/check/wanted.d/README is not executable",
            ]
        );
    }
}
