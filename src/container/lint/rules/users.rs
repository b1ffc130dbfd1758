//! Users and groups.

use std::collections::BTreeSet;

use crate::container::Root;
use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;

pub const SYSUSERS: Lint = Lint {
    id: "sysusers",
    level: Level::Warning,
    needs: Needs::Root,
    about: "users and groups are made by sysusers.d",
    why: "A machine that has changed its /etc/passwd or /etc/group keeps its own: a user who is new in the image is missing \
          there, and the service that runs as this user fails.",
    fix: "Write it into /usr/lib/sysusers.d (`u NAME ID`, sysusers.d(5)): systemd makes it at boot",
    check: sysusers,
};

const VENDOR: &str = "usr/lib/sysusers.d";
const LARGEST: u64 = 1 << 20;
/// systemd makes these by itself.
const ALWAYS: [&str; 3] = ["root", "nobody", "nogroup"];

fn sysusers(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let root = subject.root;
    let mut made = Made::default();
    for (_, text) in root.drop_ins(&[VENDOR, &root.etc("sysusers.d")], ".conf", LARGEST)? {
        made.add(&text);
    }
    // Debian's static ones, which every system of it has with the same number; and those that nss-altfiles reads in /usr.
    made.users.extend(names(root, "usr/share/base-passwd/passwd.master")?);
    made.groups.extend(names(root, "usr/share/base-passwd/group.master")?);
    made.users.extend(names(root, "usr/lib/passwd")?);
    made.groups.extend(names(root, "usr/lib/group")?);
    for (path, what, known) in
        [(root.etc("passwd"), "user", &made.users), (root.etc("group"), "group", &made.groups)]
    {
        let Some(entry) = root.follow(&path) else { continue };
        for name in names(root, &path)? {
            if !known.contains(&name) && !ALWAYS.contains(&name.as_str()) {
                let name = crate::names::printable(name.as_bytes());
                findings.at(&entry.path, format!("the {what} {name} is in no file of sysusers.d"));
            }
        }
    }
    Ok(())
}

/// The first fields of a file like passwd(5).
fn names(root: &Root<'_>, path: &str) -> Result<Vec<String>> {
    let text = root.text(path, LARGEST)?.unwrap_or_default();
    let name = |line: &str| Some(line.split_once(':')?.0.to_owned()).filter(|name| !name.is_empty());
    // Lines with `+` or `-` are those of NIS.
    Ok(text.lines().filter_map(name).filter(|name| !name.starts_with(['#', '+', '-'])).collect())
}

#[derive(Debug, Default)]
struct Made {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Made {
    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace().map(|field| field.trim_matches('"').to_owned());
            let (Some(kind), Some(name)) = (fields.next(), fields.next()) else { continue };
            match kind.trim_end_matches(['!', '-']) {
                "u" => {
                    self.groups.insert(name.clone());
                    self.users.insert(name);
                }
                "g" => drop(self.groups.insert(name)),
                "m" => {
                    self.users.insert(name);
                    self.groups.extend(fields.next());
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_make_users_are_known() {
        let mut made = Made::default();
        made.add("# u no\nu! a 5 \"A user\"\ng b -\nm c d\nr - 500-900\nu \"e\"\n");
        assert_eq!(made.users.into_iter().collect::<Vec<_>>(), ["a", "c", "e"]);
        assert_eq!(made.groups.into_iter().collect::<Vec<_>>(), ["a", "b", "d", "e"]);
    }
}
