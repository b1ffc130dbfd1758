//! One boot entry: a type 1 entry of the Boot Loader Specification (UAPI.1, "Type #1 Boot Loader Entry Keys").
//!
//! ```text
//! title Debian GNU/Linux 13 (trixie) (reroot:7)
//! version 12
//! sort-key reroot
//! options root=UUID=… ro reroot=/reroot/deploy/default/deploy/7
//! linux /reroot/3f9c…/vmlinuz
//! initrd /reroot/3f9c…/initrd
//! ```
//!
//! What is read may come from anybody: keys that are not known here, their order, comments and blank lines are
//! kept. What is written by us is narrower than the specification, because its readers differ:
//!
//! - systemd-boot takes quotes away that surround a value;
//! - GRUB's `blscfg` ends at the first blank line or key without a value, and takes the first `options` only;
//! - of two lines with one key systemd-boot takes the last, GRUB the first.

use super::Result;
use super::lines::Lines;
use crate::names::printable;

/// No entry is larger.
pub const ENTRY_LIMIT: u64 = 64 << 10;
/// `sort-key` of every entry of ours.
pub const SORT_KEY: &str = "reroot";
/// No command line is longer, in bytes: kernels for x86 and arm64 read 2047 (`COMMAND_LINE_SIZE`) and drop the rest
/// without a word, and loaders put `initrd=…` or `BOOT_IMAGE=…` in front.
pub const OPTIONS_LIMIT: usize = 1900;
/// What a trial may add to that ([`super::trial`]), still far from 2047.
const TRIAL_ROOM: usize = 50;

const KNOWN: [&str; 9] = [
    "title",
    "version",
    "machine-id",
    "sort-key",
    "options",
    "linux",
    "initrd",
    "devicetree",
    "architecture",
];

/// Why a value may not go into an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` cannot be the `{key}` of a boot entry: {reason}")]
pub struct ValueError {
    pub key: String,
    pub value: String,
    pub reason: &'static str,
}

/// A boot entry as it was read, or as it will be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlsEntry(Lines);

/// What a new entry says. Texts are checked by [`BlsEntry::new`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a> {
    pub title: &'a str,
    /// Higher versions come first within one sort key (UAPI.1, "Sorting").
    pub version: &'a str,
    pub machine_id: Option<&'a str>,
    pub sort_key: &'a str,
    /// The kernel's command line; may be empty.
    pub options: &'a str,
    /// From the root of the partition, with a leading slash; so are the other paths.
    pub linux: &'a str,
    pub initrds: &'a [&'a str],
    pub devicetree: Option<&'a str>,
    pub architecture: Option<&'a str>,
    /// Keys that are not known here, with their values.
    pub extra: &'a [(String, String)],
}

impl BlsEntry {
    /// An entry that every loader reads as it is meant. The error names the key.
    pub fn new(fields: &Fields<'_>) -> Result<Self, ValueError> {
        let mut lines = Lines::default();
        let mut add = |key: &str, value: &str, check: fn(&str) -> Result<(), &'static str>| {
            let error = |reason| ValueError { key: shown(key), value: shown(value), reason };
            check_value(value).and_then(|()| check(value)).map_err(error)?;
            lines.push(key, value);
            Ok(())
        };
        add("title", fields.title, any)?;
        add("version", fields.version, word)?;
        if let Some(machine_id) = fields.machine_id {
            add("machine-id", machine_id, machine_id_digits)?;
        }
        add("sort-key", fields.sort_key, word)?;
        if !fields.options.is_empty() {
            add("options", fields.options, options)?;
        }
        add("linux", fields.linux, path)?;
        for initrd in fields.initrds {
            add("initrd", initrd, path)?;
        }
        if let Some(devicetree) = fields.devicetree {
            add("devicetree", devicetree, path)?;
        }
        if let Some(architecture) = fields.architecture {
            add("architecture", architecture, word)?;
        }
        for (key, value) in fields.extra {
            let error = |reason| ValueError { key: shown(key), value: shown(value), reason };
            word(key).map_err(error)?;
            if KNOWN.contains(&&**key) {
                return Err(error("a key that reroot itself sets"));
            }
            add(key, value, any)?;
        }
        Ok(Self(lines))
    }

    /// Parses an entry; `file` names it in errors, which give the line.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self> {
        Lines::parse(bytes, ENTRY_LIMIT, file).map(Self)
    }

    /// The text of the file. Parsing it gives the same entry.
    pub fn print(&self) -> String {
        self.0.print()
    }

    pub fn title(&self) -> Option<&str> {
        self.0.last("title")
    }

    pub fn version(&self) -> Option<&str> {
        self.0.last("version")
    }

    pub fn machine_id(&self) -> Option<&str> {
        self.0.last("machine-id")
    }

    pub fn sort_key(&self) -> Option<&str> {
        self.0.last("sort-key")
    }

    /// The kernel, from the root of the partition.
    pub fn linux(&self) -> Option<&str> {
        self.0.last("linux")
    }

    /// The initramfs archives in the order in which they are loaded.
    pub fn initrds(&self) -> impl Iterator<Item = &str> {
        self.0.all("initrd")
    }

    /// The kernel's command line: all `options` lines in their order.
    pub fn options(&self) -> String {
        self.0.all("options").collect::<Vec<_>>().join(" ")
    }

    pub fn devicetree(&self) -> Option<&str> {
        self.0.last("devicetree")
    }

    pub fn architecture(&self) -> Option<&str> {
        self.0.last("architecture")
    }

    /// The same entry with another command line.
    pub fn with_options(&self, options: &str) -> Result<Self, ValueError> {
        check_value(options).and_then(|()| self::options(options)).map_err(|reason| ValueError {
            key: "options".into(),
            value: shown(options),
            reason,
        })?;
        let mut lines = self.0.clone();
        lines.set("options", options);
        Ok(Self(lines))
    }

    /// The keys that are not known here, in their order: what a new entry for the same system takes over.
    pub fn extra(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.pairs().filter(|(key, _)| !KNOWN.contains(key))
    }
}

/// The title of a deployment's entry: the name that the image gives itself, made fit for one line, and which
/// deployment it is. `label` is the deployment's number, with the stateroot in front when there are several.
pub fn title(pretty_name: &str, label: &str) -> String {
    let words = pretty_name.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    let name = words.collect::<Vec<_>>().join(" ");
    let name: String = if name.is_empty() { "Linux".into() } else { name.chars().take(100).collect() };
    format!("{} (reroot:{label})", name.trim_end())
}

fn shown(text: &str) -> String {
    printable(text.chars().take(80).collect::<String>().as_bytes())
}

fn check_value(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        Err("it is empty")
    } else if value.chars().any(char::is_control) {
        Err("it has control characters")
    } else if value.trim() != value {
        Err("it begins or ends with space")
    } else if value.starts_with('"') && value.ends_with('"') {
        Err("it begins and ends with a quote, which systemd-boot takes away")
    } else if value.len() as u64 > ENTRY_LIMIT / 4 {
        Err("it is too long")
    } else {
        Ok(())
    }
}

fn any(_: &str) -> Result<(), &'static str> {
    Ok(())
}

fn options(value: &str) -> Result<(), &'static str> {
    if value.len() > OPTIONS_LIMIT + TRIAL_ROOM {
        return Err("it is longer than 1950 bytes, and kernels drop the end of a command line of 2048");
    }
    // Byte 0xa0 is a space for the kernel, and part of `à` in UTF-8 (`_ctype` in lib/ctype.c).
    match value.is_ascii() {
        true => Ok(()),
        false => Err("it is not ASCII, and the kernel takes some bytes of other letters for spaces"),
    }
}

fn word(value: &str) -> Result<(), &'static str> {
    match value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) && !value.is_empty() {
        true => Ok(()),
        false => Err("only letters, digits, `.`, `_` and `-` are allowed"),
    }
}

/// 32 lower-case hexadecimal digits (machine-id(5)).
fn machine_id_digits(value: &str) -> Result<(), &'static str> {
    match value.len() == 32 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        true => Ok(()),
        false => Err("it is not 32 lower-case hexadecimal digits"),
    }
}

/// Absolute and normalised, with letters that FAT, UEFI and GRUB's shell all take as they are.
fn path(value: &str) -> Result<(), &'static str> {
    let Some(relative) = value.strip_prefix('/') else { return Err("it does not begin with `/`") };
    for component in relative.split('/') {
        if matches!(component, "" | "." | "..") {
            return Err("it has an empty, `.` or `..` component");
        }
        if !component.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b)) {
            return Err("only letters, digits, `.`, `_`, `+`, `-` and `/` are allowed");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEDORA: &str = include_str!("../../fixtures/bls/fedora.conf");
    const OURS: &str = include_str!("../../fixtures/bls/reroot-0000000012.conf");

    fn fields<'a>() -> Fields<'a> {
        Fields {
            title: "Debian GNU/Linux 13 (trixie) (reroot:7)",
            version: "12",
            sort_key: SORT_KEY,
            options: "root=UUID=8d4d9b0e-0a51-4a3c-9d5e-5d0b0f1f6d10 ro console=ttyS0,115200 \
                      reroot=/reroot/deploy/default/deploy/7",
            linux: "/reroot/3f9c2a7d15b04e68a1c7d90e5b8f4a62/vmlinuz",
            initrds: &["/reroot/3f9c2a7d15b04e68a1c7d90e5b8f4a62/initrd"],
            ..Fields::default()
        }
    }

    #[test]
    fn our_entry_prints_as_it_always_did() {
        let entry = BlsEntry::new(&fields()).unwrap();
        assert_eq!(entry.print(), OURS);
        assert_eq!(BlsEntry::parse(OURS.as_bytes(), "f").unwrap(), entry);
    }

    #[test]
    fn an_entry_of_another_system_is_read_and_kept() {
        let entry = BlsEntry::parse(FEDORA.as_bytes(), "f").unwrap();
        assert_eq!(entry.title(), Some("Fedora 19 (Rawhide)"));
        assert_eq!(entry.sort_key(), Some("fedora"));
        assert_eq!(entry.machine_id(), Some("6a9857a393724b7a981ebb5b8495b9ea"));
        assert_eq!(entry.version(), Some("3.8.0-2.fc19.x86_64"));
        assert_eq!(entry.architecture(), Some("x64"));
        assert_eq!(entry.options(), "root=UUID=6d3376e4-fc93-4509-95ec-a21d68011da2 quiet $tuned_params");
        assert_eq!(entry.initrds().collect::<Vec<_>>(), ["/6a98/microcode.img", "/6a98/initrd"]);
        assert_eq!(entry.devicetree(), None);
        assert_eq!(
            entry.extra().collect::<Vec<_>>(),
            [("grub_users", "$grub_users"), ("grub_class", "fedora"), ("x-note", "kept")]
        );
        assert_eq!(BlsEntry::parse(entry.print().as_bytes(), "f").unwrap(), entry);
    }

    #[test]
    fn every_key_has_its_place() {
        let extra = [("x-note".into(), "a b".into())];
        let entry = BlsEntry::new(&Fields {
            machine_id: Some("6a9857a393724b7a981ebb5b8495b9ea"),
            initrds: &["/a/ucode.img", "/a/initrd"],
            devicetree: Some("/a/board.dtb"),
            architecture: Some("aa64"),
            options: "",
            extra: &extra,
            ..fields()
        });
        let keys: Vec<_> = entry.as_ref().unwrap().0.pairs().map(|(key, _)| key).collect();
        assert_eq!(
            keys.join(" "),
            "title version machine-id sort-key linux initrd initrd devicetree architecture x-note"
        );
    }

    #[test]
    fn what_would_be_read_differently_is_not_written() {
        for (fields, expected) in [
            (
                Fields { title: "a\nlinux /evil", ..fields() },
                "`a\\nlinux /evil` cannot be the `title` of a boot entry: it has control characters",
            ),
            (
                Fields { title: "\"Debian\"", ..fields() },
                "it begins and ends with a quote, which systemd-boot takes away",
            ),
            (Fields { title: " Debian", ..fields() }, "it begins or ends with space"),
            (Fields { title: "", ..fields() }, "it is empty"),
            (Fields { version: "1 2", ..fields() }, "only letters, digits, `.`, `_` and `-` are allowed"),
            (Fields { options: "a\u{1b}[2J", ..fields() }, "it has control characters"),
            (Fields { options: "a\tb", ..fields() }, "it has control characters"),
            (
                Fields { options: "a=voilà", ..fields() },
                "it is not ASCII, and the kernel takes some bytes of other letters for spaces",
            ),
            (Fields { linux: "vmlinuz", ..fields() }, "it does not begin with `/`"),
            (Fields { linux: "/a/../vmlinuz", ..fields() }, "it has an empty, `.` or `..` component"),
            (
                Fields { initrds: &["/a b"], ..fields() },
                "only letters, digits, `.`, `_`, `+`, `-` and `/` are allowed",
            ),
            (Fields { machine_id: Some("6A98"), ..fields() }, "it is not 32 lower-case hexadecimal digits"),
            (Fields { extra: &[("linux".into(), "/x".into())], ..fields() }, "a key that reroot itself sets"),
            (
                Fields { extra: &[("a b".into(), "x".into())], ..fields() },
                "only letters, digits, `.`, `_` and `-` are allowed",
            ),
        ] {
            let error = BlsEntry::new(&fields).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
        let long = "x".repeat(OPTIONS_LIMIT + TRIAL_ROOM + 1);
        assert!(BlsEntry::new(&Fields { options: &long, ..fields() }).is_err());
        assert!(BlsEntry::new(&Fields { options: &long[1..], ..fields() }).is_ok());
        let longest = "x".repeat(OPTIONS_LIMIT);
        let on_trial = crate::boot::trial::with_arguments(&longest);
        assert!(on_trial != longest && BlsEntry::new(&Fields { options: &on_trial, ..fields() }).is_ok());
        let long = "x".repeat(20_000);
        assert!(BlsEntry::new(&Fields { title: &long, ..fields() }).is_err());
    }

    #[test]
    fn a_title_is_made_of_any_name() {
        assert_eq!(title("Debian GNU/Linux 13", "7"), "Debian GNU/Linux 13 (reroot:7)");
        assert_eq!(title("  a\n\u{1b}b\t ", "os:7"), "a b (reroot:os:7)");
        assert_eq!(title("", "1"), "Linux (reroot:1)");
        assert!(title(&"ä ".repeat(500), "1").chars().count() < 120);
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(title in "\\PC{1,20}", options in "[ -~ä]{0,40}", extra in "\\PC{1,9}") {
            let extra = [("x-a".to_string(), extra)];
            let fields = Fields { title: &title, options: &options, extra: &extra, ..fields() };
            if let Ok(entry) = BlsEntry::new(&fields) {
                let read = BlsEntry::parse(entry.print().as_bytes(), "f").unwrap();
                proptest::prop_assert_eq!(read.title(), Some(&*title));
                proptest::prop_assert_eq!(read.options(), options);
                proptest::prop_assert_eq!(read.extra().map(|(_, v)| v).collect::<Vec<_>>(), [&*extra[0].1]);
                proptest::prop_assert_eq!(read, entry);
            }
        }

        #[test]
        fn any_text_is_read_or_refused_and_then_stays_the_same(text in "([a-z-]{1,8}[ \t]+\\PC{0,12}\n|#\\PC{0,9}\n|\n){0,9}") {
            if let Ok(entry) = BlsEntry::parse(text.as_bytes(), "f") {
                proptest::prop_assert_eq!(BlsEntry::parse(entry.print().as_bytes(), "f").unwrap(), entry);
            }
        }
    }
}
