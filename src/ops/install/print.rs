//! `install print-configuration`: what the files of an image say, for people and for installers that prepare disks.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Filesystem;
use super::choices::DIRECT;
use super::configuration::{Configuration, Sourced};
use super::preview::Preview;
use crate::names::StaterootName;
use crate::oci::ImageReference;
use crate::ops::fetch::resolve;
use crate::ops::{Bootloader, Context, Result};

/// Where a value is from when no file says it.
const DEFAULT: &str = "default";

/// Whose files to print.
#[derive(Debug, Clone)]
pub enum ConfigurationSource {
    /// An image, which is read and not stored.
    Image(ImageReference),
    /// A directory with a root file system: `/` is the running system.
    Directory(PathBuf),
}

/// What the files of settings of an image say, merged.
pub fn print_configuration(
    source: &ConfigurationSource,
    context: &Context<'_>,
) -> Result<PrintedConfiguration> {
    let files = match source {
        ConfigurationSource::Image(reference) => {
            let resolved = resolve(reference, None, context)?;
            Preview::of(&resolved, context)?.configuration(&resolved)?
        }
        ConfigurationSource::Directory(path) => Configuration::of_directory(path)?,
    };
    Ok(PrintedConfiguration::new(&files))
}

/// What `install print-configuration` prints: the files of an image, merged, with defaults.
#[derive(Debug, Clone, Serialize)]
pub struct PrintedConfiguration {
    pub version: u32,
    /// As in the files.
    pub install: Value,
    /// The file that each value is from, or `default`, at the same places.
    pub from: Value,
    pub warnings: Vec<String>,
    #[serde(skip)]
    lines: Vec<(&'static str, Vec<String>)>,
}

impl PrintedConfiguration {
    pub fn new(files: &Configuration) -> Self {
        let mut printed = Self {
            version: 1,
            install: json!({}),
            from: json!({}),
            warnings: files.warnings.clone(),
            lines: vec![("install", Vec::new()), ("install.filesystem.root", Vec::new())],
        };
        printed.add("kargs", &files.kernel_arguments);
        let block = vec![Sourced { value: DIRECT.to_string(), file: DEFAULT.into() }];
        let given = |b: &Sourced<Vec<String>>| -> Vec<Sourced<String>> {
            b.value.iter().map(|value| Sourced { value: value.clone(), file: b.file.clone() }).collect()
        };
        printed.add("block", &files.block.as_ref().map_or(block, given));
        for (key, value, default) in [
            ("stateroot", &files.stateroot, Some(StaterootName::default().to_string())),
            ("bootloader", &files.bootloader, Some(Bootloader::SystemdBoot.to_string())),
            ("root-mount-spec", &files.root_mount_spec, None),
            ("boot-mount-spec", &files.boot_mount_spec, None),
        ] {
            let default = default.map(|value| Sourced { value, file: DEFAULT.into() });
            if let Some(Sourced { value, file }) = value.clone().or(default) {
                printed.lines[0].1.push(format!("{key} = {} # {file}", quoted(&value)));
                put(&mut printed.install, key, value.into());
                put(&mut printed.from, key, file.into());
            }
        }
        let default = || Sourced { value: Filesystem::default().to_string(), file: DEFAULT.into() };
        let Sourced { value, file } = files.root_filesystem.clone().unwrap_or_else(default);
        printed.lines[1].1.push(format!("type = {} # {file}", quoted(&value)));
        put(&mut printed.install, "filesystem", json!({ "root": { "type": value } }));
        put(&mut printed.from, "filesystem", json!({ "root": { "type": file } }));
        printed
    }

    fn add(&mut self, key: &str, values: &[Sourced<String>]) {
        let texts: Vec<_> = values.iter().map(|v| Value::from(v.value.clone())).collect();
        let files: Vec<_> = values.iter().map(|v| Value::from(v.file.clone())).collect();
        put(&mut self.install, key, texts.into());
        put(&mut self.from, key, files.into());
        let lines = &mut self.lines[0].1;
        match values {
            [] => lines.push(format!("{key} = []")),
            values => {
                lines.push(format!("{key} = ["));
                lines.extend(values.iter().map(|v| format!("    {}, # {}", quoted(&v.value), v.file)));
                lines.push("]".into());
            }
        }
    }

    /// As TOML, with where each value is from in a comment.
    pub fn text(&self) -> String {
        let tables = self.lines.iter().map(|(name, lines)| format!("[{name}]\n{}\n", lines.join("\n")));
        tables.collect::<Vec<_>>().join("\n")
    }
}

fn put(object: &mut Value, key: &str, value: Value) {
    let map: &mut Map<String, Value> = object.as_object_mut().expect("made as an object");
    map.insert(key.into(), value);
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        let files = |text: &str| {
            let files = [("/usr/lib/reroot/install/1.toml".to_string(), text.as_bytes().to_vec())];
            Configuration::merge(&files, "amd64").unwrap()
        };
        let first =
            files("[install]\nkargs = ['a=\"b c\"', 'd']\nroot-fs-type = 'xfs'\nboot-mount-spec = ''");
        let printed = PrintedConfiguration::new(&first);
        assert_eq!(
            printed.text(),
            "[install]\nkargs = [\n    'a=\"b c\"', # /usr/lib/reroot/install/1.toml\n    \
             \"d\", # /usr/lib/reroot/install/1.toml\n]\nblock = [\n    \"direct\", # default\n]\n\
             stateroot = \"default\" # default\nbootloader = \"systemd-boot\" # default\n\
             boot-mount-spec = \"\" # /usr/lib/reroot/install/1.toml\n\n\
             [install.filesystem.root]\ntype = \"xfs\" # /usr/lib/reroot/install/1.toml\n"
        );
        let again = files(&printed.text());
        assert_eq!(again.kernel_arguments, first.kernel_arguments);
        assert_eq!(again.root_filesystem, first.root_filesystem);
        assert_eq!(printed.install["kargs"], json!(["a=\"b c\"", "d"]));
        assert_eq!(printed.from["filesystem"]["root"]["type"], "/usr/lib/reroot/install/1.toml");
    }
}
