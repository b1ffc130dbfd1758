//! Which files are read, and how they are joined.

use std::path::PathBuf;

use super::parse::{Fragment, parse};
use super::{RegistriesConf, Registry};
use crate::env::Env;
use crate::oci::host_files::HostPath;
use crate::oci::{Error, Result};

/// Reads `$CONTAINERS_REGISTRIES_CONF` alone where it is set; else the user's `registries.conf` or, without
/// one, `/etc/containers/registries.conf`, then the `registries.conf.d/*.conf` of `/etc/containers` and of the
/// user (`$XDG_CONFIG_HOME/containers`, `~/.config/containers`) by name. A later file replaces a registry of
/// the same prefix, an alias of the same name, and the list of credential helpers.
pub fn load(env: &Env) -> Result<RegistriesConf> {
    let mut conf = RegistriesConf::default();
    for path in files(env)? {
        let Some(file) = path.read(env)? else { continue };
        let error = |reason| Error::Configuration { what: path.shown(env), reason };
        let text = std::str::from_utf8(&file.bytes).map_err(|_| error("it is not UTF-8".into()))?;
        conf.join(parse(text).map_err(error)?);
    }
    Ok(conf)
}

fn files(env: &Env) -> Result<Vec<HostPath>> {
    if let Some(file) = env.var("CONTAINERS_REGISTRIES_CONF") {
        return Ok(vec![HostPath::User(file.into())]);
    }
    let system = HostPath::System("etc/containers".into());
    let config_home =
        env.var("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(env.home()?.join(".config")));
    let user = config_home.map(|dir| HostPath::User(dir.join("containers")));
    let mut files = Vec::new();
    let user_file = user.as_ref().map(|dir| dir.join("registries.conf"));
    match user_file {
        Some(file) if file.read_if_permitted(env)?.is_some() => files.push(file),
        _ => files.push(system.join("registries.conf")),
    }
    for dir in [Some(system), user].into_iter().flatten() {
        let dir = dir.join("registries.conf.d");
        let names = dir.list(env, &[".conf"])?.unwrap_or_default();
        files.extend(names.iter().map(|name| dir.join(name)));
    }
    Ok(files)
}

impl RegistriesConf {
    fn join(&mut self, fragment: Fragment) {
        for registry in fragment.registries {
            let same = |known: &&mut Registry| known.prefix == registry.prefix;
            match self.registries.iter_mut().find(same) {
                Some(known) => *known = registry,
                None => self.registries.push(registry),
            }
        }
        self.aliases.extend(fragment.aliases);
        if let Some(helpers) = fragment.credential_helpers {
            self.credential_helpers = helpers;
        }
    }

    /// One file's worth, for tests.
    #[cfg(test)]
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        let mut conf = Self::default();
        conf.join(parse(text)?);
        Ok(conf)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own files")]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn rule(prefix: &str, location: &str) -> String {
        format!("[[registry]]\nprefix='{prefix}'\nlocation='{location}'\n")
    }

    struct Machine {
        dir: tempfile::TempDir,
        env: Env,
    }

    impl Machine {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut env = Env::fixed(&dir.path().join("root"), SystemTime::UNIX_EPOCH);
            env.vars.insert("HOME".into(), dir.path().join("home").display().to_string());
            Self { dir, env }
        }

        fn write(&self, path: &str, text: &str) -> PathBuf {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        }

        /// `prefix=location` of every rule.
        fn rules(&self) -> Vec<String> {
            let conf = load(&self.env).unwrap();
            conf.registries
                .iter()
                .map(|r| format!("{}={}", r.prefix, r.location.as_deref().unwrap_or("")))
                .collect()
        }
    }

    #[test]
    fn drop_ins_come_after_the_main_file_and_replace_by_prefix() {
        let mut machine = Machine::new();
        assert_eq!(load(&machine.env).unwrap(), RegistriesConf::default());
        machine
            .write("root/etc/containers/registries.conf", &[rule("a", "main"), rule("b", "main")].concat());
        machine.write("root/etc/containers/registries.conf.d/20.conf", &rule("a", "20"));
        machine.write(
            "root/etc/containers/registries.conf.d/10.conf",
            &[rule("a", "10"), rule("c", "10")].concat(),
        );
        machine.write("root/etc/containers/registries.conf.d/30.conf.off", &rule("a", "off"));
        assert_eq!(machine.rules(), ["a=20", "b=main", "c=10"]);
        machine.write("home/.config/containers/registries.conf", &rule("d", "user"));
        machine.write("home/.config/containers/registries.conf.d/00.conf", &rule("a", "user"));
        assert_eq!(machine.rules(), ["d=user", "a=user", "c=10"]);
        let named = machine.write("named.conf", &rule("z", "named"));
        machine.env.vars.insert("CONTAINERS_REGISTRIES_CONF".into(), named.display().to_string());
        assert_eq!(machine.rules(), ["z=named"]);
    }

    #[test]
    fn a_mistake_names_its_file() {
        let machine = Machine::new();
        machine.write("root/etc/containers/registries.conf.d/10.conf", "[[registry]]");
        let error = load(&machine.env).unwrap_err().to_string();
        assert!(error.contains("registries.conf.d/10.conf: a `[[registry]]` has neither"), "{error}");
    }
}
