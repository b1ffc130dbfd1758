//! Quadlets: units of containers that podman's generator makes at boot (podman-systemd.unit(5)).

mod keys;

use std::collections::BTreeSet;

use crate::container::lint::{Findings, Level, Lint, Needs, Subject};
use crate::ops::Result;
use crate::repo::TreeEntry;

pub const QUADLET: Lint = Lint {
    id: "quadlet",
    level: Level::Error,
    needs: Needs::Root,
    about: "quadlets are unit files, have what they cannot do without, and name images, volumes, networks and pods that are there",
    why: "podman's generator passes over a file that it does not understand: the service is not there, and nothing says so but \
          the journal.",
    fix: "Mend the file, or add the one that it names; `/usr/lib/systemd/system-generators/podman-system-generator --dryrun` \
          shows what becomes of it",
    check,
};

pub const QUADLET_KEYS: Lint = Lint {
    id: "quadlet-keys",
    level: Level::Warning,
    needs: Needs::Root,
    about: "quadlets have the keys that podman knows",
    why: "podman's generator passes over a file with a key that it does not know: the service is not there. Which keys it knows is \
          a matter of its version; these are those of podman 6.0, and an older one knows fewer.",
    fix: "Write the key as podman-systemd.unit(5) has it, or allow it in lint.toml when your podman knows it",
    check: check_keys,
};

const VENDOR: &str = "usr/share/containers/systemd";
const LARGEST: u64 = 1 << 20;

/// A kind of file: its suffix, its section, and the keys of which one must be there.
const KINDS: [(&str, &str, &[&str]); 8] = [
    (".container", "Container", &["Image", "Rootfs"]),
    (".volume", "Volume", &[]),
    (".network", "Network", &[]),
    (".pod", "Pod", &[]),
    (".kube", "Kube", &["Yaml"]),
    (".image", "Image", &["Image"]),
    (".build", "Build", &["ImageTag"]),
    (".artifact", "Artifact", &["Artifact"]),
];
/// Keys whose value may be the name of another file, up to a colon; and the suffixes that those have.
const REFERENCES: [(&str, &[&str]); 5] = [
    ("Image", &[".image", ".build"]),
    ("Volume", &[".volume"]),
    ("Network", &[".network"]),
    ("Pod", &[".pod"]),
    ("Mount", &[".volume", ".image", ".build"]),
];

/// All that is in podman's directories.
fn files<'r>(subject: &'r Subject<'_>) -> Vec<&'r TreeEntry> {
    let of_machine = subject.root.etc("containers/systemd");
    subject.root.below(VENDOR).iter().chain(subject.root.below(&of_machine)).collect()
}

fn check_keys(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    for entry in files(subject) {
        let name = String::from_utf8_lossy(entry.path.file_name()).into_owned();
        // A drop-in is in a directory with the name of what it belongs to.
        let parent = entry.path.parent().unwrap_or_default();
        let directory = String::from_utf8_lossy(parent.file_name()).into_owned();
        let of =
            if name.ends_with(".conf") { directory.strip_suffix(".d").unwrap_or_default() } else { &name };
        if !KINDS.iter().any(|(suffix, ..)| of.ends_with(suffix)) {
            continue;
        }
        let Some(file) = subject.root.follow(&String::from_utf8_lossy(entry.path.as_bytes())) else {
            continue;
        };
        let Some(bytes) = subject.root.read(file, LARGEST)? else { continue };
        // What cannot be read is told by the other lint.
        let Ok(unit) = parse(&String::from_utf8_lossy(&bytes)) else { continue };
        for Setting { section, key, line, .. } in unit.iter().filter(|s| !keys::is_known(&s.section, &s.key))
        {
            let meant =
                keys::meant(section, key).map(|known| format!("; there is {known}=")).unwrap_or_default();
            findings.at(&entry.path, format!("line {line}: podman knows no {key}= in [{section}]{meant}"));
        }
    }
    Ok(())
}

fn check(subject: &Subject<'_>, findings: &mut Findings) -> Result<()> {
    let files = files(subject);
    let names: BTreeSet<&[u8]> = files.iter().map(|entry| entry.path.file_name()).collect();
    for entry in &files {
        let name = String::from_utf8_lossy(entry.path.file_name()).into_owned();
        let Some((_, section, needed)) = KINDS.iter().find(|(suffix, ..)| name.ends_with(suffix)) else {
            continue;
        };
        let Some(file) = subject.root.follow(&String::from_utf8_lossy(entry.path.as_bytes())) else {
            findings.at(&entry.path, "it leads nowhere");
            continue;
        };
        let Some(bytes) = subject.root.read(file, LARGEST)? else { continue };
        let unit = match parse(&String::from_utf8_lossy(&bytes)) {
            Ok(unit) => unit,
            Err((line, reason)) => {
                findings.at(&entry.path, format!("line {line}: {reason}"));
                continue;
            }
        };
        let own: Vec<_> = unit.iter().filter(|setting| setting.section == *section).collect();
        // A template has it in a drop-in of an instance.
        let has_drop_ins = names.contains(format!("{name}.d").as_bytes());
        if !needed.is_empty() && !own.iter().any(|s| needed.contains(&s.key.as_str())) && !has_drop_ins {
            findings.at(&entry.path, format!("[{section}] has no {}=", needed.join("= and no ")));
        }
        for setting in own {
            if let Some(missing) = missing(setting, &names) {
                findings.at(
                    &entry.path,
                    format!("line {}: {}={missing}: there is no such file", setting.line, setting.key),
                );
            }
        }
    }
    Ok(())
}

/// The file that a setting names and that is not there.
fn missing(setting: &Setting, names: &BTreeSet<&[u8]>) -> Option<String> {
    let (_, suffixes) = REFERENCES.iter().find(|(key, _)| *key == setting.key)?;
    let candidates: Vec<&str> = match setting.key.as_str() {
        // type=volume,source=NAME,destination=…
        "Mount" => {
            let options = setting.value.split(',').filter_map(|option| option.split_once('='));
            options
                .filter(|(key, _)| ["source", "src"].contains(&key.trim()))
                .map(|(_, value)| value)
                .collect()
        }
        _ => vec![setting.value.split(':').next().unwrap_or_default()],
    };
    let name = candidates.into_iter().find(|name| suffixes.iter().any(|suffix| name.ends_with(suffix)))?;
    (!name.contains('/') && !names.contains(name.as_bytes())).then(|| name.to_owned())
}

#[derive(Debug, PartialEq, Eq)]
struct Setting {
    section: String,
    key: String,
    value: String,
    /// From 1.
    line: usize,
}

/// The settings of a unit file (systemd.syntax(7)), or the line that is none.
fn parse(text: &str) -> Result<Vec<Setting>, (usize, &'static str)> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut section: Option<String> = None;
    let mut continued = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let trimmed = line.trim();
        if trimmed.starts_with(['#', ';']) || (trimmed.is_empty() && !continued) {
            continue;
        }
        let (part, goes_on) = match trimmed.strip_suffix('\\') {
            Some(part) => (part.trim_end(), true),
            None => (trimmed, false),
        };
        if continued && let Some(last) = settings.last_mut() {
            last.value.push(' ');
            last.value.push_str(part);
        } else if let Some(rest) = part.strip_prefix('[') {
            section = Some(rest.strip_suffix(']').ok_or((number, "a section has no end"))?.to_owned());
        } else {
            let (key, value) =
                part.split_once('=').ok_or((number, "it is neither a section nor a setting"))?;
            let section = section.clone().ok_or((number, "a setting is in no section"))?;
            settings.push(Setting {
                section,
                key: key.trim().into(),
                value: value.trim().into(),
                line: number,
            });
        }
        continued = goes_on;
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_files_are_read_as_systemd_reads_them() {
        let text =
            "# about\n[Container]\nImage = a.image\nExec=a \\\n# between\n  b\n\n[Install]\nWantedBy=x\n";
        let shown: Vec<_> = parse(text)
            .unwrap()
            .into_iter()
            .map(|s| format!("{}.{}={} {}", s.section, s.key, s.value, s.line))
            .collect();
        assert_eq!(shown, ["Container.Image=a.image 3", "Container.Exec=a b 4", "Install.WantedBy=x 9"]);
        for (text, error) in [
            ("[Container\n", (1, "a section has no end")),
            ("Image=a\n", (1, "a setting is in no section")),
            ("[Container]\n\nwhat\n", (3, "it is neither a section nor a setting")),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
    }

    #[test]
    fn names_of_other_files_are_looked_up() {
        let names = BTreeSet::from([&b"data.volume"[..], b"a.image"]);
        let missing = |key: &str, value: &str| {
            missing(
                &Setting { section: String::new(), key: key.into(), value: value.into(), line: 1 },
                &names,
            )
        };
        for (key, value) in [
            ("Image", "quay.io/a/b:1"),
            ("Image", "a.image"),
            ("Volume", "data.volume:/data:Z"),
            ("Volume", "/srv:/srv"),
            ("Mount", "type=volume,source=data.volume,destination=/data"),
            ("Network", "host"),
            ("Exec", "b.image"),
        ] {
            assert_eq!(missing(key, value), None, "{key}={value}");
        }
        for (key, value, name) in [
            ("Image", "b.image", "b.image"),
            ("Volume", "b.volume:/data", "b.volume"),
            ("Mount", "type=volume,source=b.volume,destination=/data", "b.volume"),
            ("Network", "b.network:ip=10.0.0.1", "b.network"),
            ("Pod", "b.pod", "b.pod"),
        ] {
            assert_eq!(missing(key, value).as_deref(), Some(name), "{key}={value}");
        }
    }
}
