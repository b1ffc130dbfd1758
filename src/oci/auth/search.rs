//! Where credentials are looked for, and in which order.
//!
//! 1. `$REGISTRY_AUTH_FILE`; where that is not set, `$XDG_RUNTIME_DIR/containers/auth.json`, for root without
//!    that variable `/run/containers/0/auth.json`
//! 2. `auth.json` of `/etc/reroot`, `/run/reroot`, `/usr/lib/reroot`: the machine's own
//! 3. `auth.json` of `/etc/ostree`, `/run/ostree`, `/usr/lib/ostree`: what bootc and rpm-ostree use
//! 4. `$XDG_CONFIG_HOME/containers/auth.json` (`~/.config`)
//! 5. `$DOCKER_CONFIG/config.json` (`~/.docker`), then `~/.dockercfg`
//!
//! The first file with credentials for the repository wins. A file that says nothing about it is passed over,
//! as is one that the user may not read; one that is malformed is an error, because silence would look like a
//! wrong password.

use std::path::PathBuf;

use super::file::{Answer, AuthFile, Format, Need};
use super::helper::{self, HelperError};
use super::{Credentials, Scope};
use crate::env::Env;
use crate::oci::host_files::HostPath;
use crate::oci::{Error, Result};

/// The word for the files above in `credential-helpers` of registries.conf.
const FILES: &str = "containers-auth.json";

/// Finds the credentials for a repository. `helpers` is `credential-helpers` of containers-registries.conf(5):
/// programs to ask about every registry, the word `containers-auth.json` standing for the files.
pub fn find(scope: Scope<'_>, helpers: &[String], env: &Env) -> Result<Option<Credentials>> {
    if helpers.is_empty() {
        return in_files(scope, env);
    }
    for helper in helpers {
        let found = match helper.as_str() {
            FILES => in_files(scope, env)?,
            helper => ask(helper, &super::file::server_url(scope.host), Need::Required, env)?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn in_files(scope: Scope<'_>, env: &Env) -> Result<Option<Credentials>> {
    for (path, format, named) in candidates(env) {
        let file = if named { path.read(env)? } else { path.read_if_permitted(env)? };
        let Some(file) = file else { continue };
        let shown = path.shown(env);
        let malformed = |reason| Error::Configuration { what: shown.clone(), reason };
        let answer = AuthFile::parse(&file.bytes, format)
            .and_then(|parsed| parsed.look_up(scope))
            .map_err(|reason| malformed(format!("the file of credentials is malformed: {reason}")))?;
        let found = match answer {
            Answer::Found(credentials) => Some(credentials),
            Answer::Ask { helper, server, need } => ask(&helper, &server, need, env)?,
            Answer::Nothing => None,
        };
        if found.is_some() {
            if file.readable_by_others {
                tracing::warn!("{shown} holds credentials and can be read by others than its owner");
            }
            tracing::debug!("credentials for {} are from {shown}", scope.host);
            return Ok(found);
        }
    }
    Ok(None)
}

fn ask(helper: &str, server: &str, need: Need, env: &Env) -> Result<Option<Credentials>> {
    let what = || format!("docker-credential-{}", crate::names::printable(helper.as_bytes()));
    match (helper::ask(helper, server, env), need) {
        (Ok(found), _) => Ok(found),
        (Err(HelperError::Missing), Need::Optional) => {
            tracing::warn!("{} is not installed: going on without it", what());
            Ok(None)
        }
        (Err(HelperError::Missing), Need::Required) => {
            let reason = "the credential helper is not installed".into();
            Err(Error::Configuration { what: what(), reason })
        }
        (Err(HelperError::Failed(reason)), _) => Err(Error::Configuration {
            what: what(),
            reason: format!("the credential helper failed: {reason}"),
        }),
    }
}

/// The files in order; the last value says that the file was asked for by name.
fn candidates(env: &Env) -> Vec<(HostPath, Format, bool)> {
    let user = |path: PathBuf| HostPath::User(path);
    let system = |path: &str| HostPath::System(path.into());
    let mut paths = Vec::new();
    match (env.var("REGISTRY_AUTH_FILE"), env.var("XDG_RUNTIME_DIR")) {
        (Some(file), _) => paths.push((user(file.into()), Format::Containers, true)),
        (None, Some(dir)) => {
            paths.push((user(PathBuf::from(dir).join("containers/auth.json")), Format::Containers, false));
        }
        (None, None) if env.privileged => {
            paths.push((system("run/containers/0/auth.json"), Format::Containers, false));
        }
        (None, None) => {}
    }
    for owner in ["reroot", "ostree"] {
        for dir in ["etc", "run", "usr/lib"] {
            paths.push((system(&format!("{dir}/{owner}/auth.json")), Format::Containers, false));
        }
    }
    let config_home =
        env.var("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(env.home()?.join(".config")));
    if let Some(dir) = config_home {
        paths.push((user(dir.join("containers/auth.json")), Format::Containers, false));
    }
    let docker = env.var("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(env.home()?.join(".docker")));
    if let Some(dir) = docker {
        paths.push((user(dir.join("config.json")), Format::Docker, false));
    }
    if let Some(home) = env.home() {
        paths.push((user(home.join(".dockercfg")), Format::DockerLegacy, false));
    }
    paths
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own files")]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::SystemTime;

    use base64::Engine;

    use super::*;

    struct Machine {
        dir: tempfile::TempDir,
        env: Env,
    }

    impl Machine {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut env = Env::fixed(&dir.path().join("root"), SystemTime::UNIX_EPOCH);
            env.vars.insert("HOME".into(), dir.path().join("home").display().to_string());
            env.privileged = true;
            Self { dir, env }
        }

        fn write(&self, path: &str, text: &str) -> PathBuf {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        }

        fn with(&self, path: &str, user: &str) -> PathBuf {
            let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:p"));
            let entry = format!(r#""reg.example":{{"auth":"{auth}"}}"#);
            let legacy = path.ends_with(".dockercfg");
            self.write(
                path,
                &if legacy { format!("{{{entry}}}") } else { format!(r#"{{"auths":{{{entry}}}}}"#) },
            )
        }

        fn find(&self) -> Result<Option<String>, String> {
            self.find_with(&[])
        }

        fn find_with(&self, helpers: &[&str]) -> Result<Option<String>, String> {
            let helpers: Vec<_> = helpers.iter().map(|h| h.to_string()).collect();
            let scope = Scope { host: "reg.example", repository: "os" };
            let user = |credentials| match credentials {
                Credentials::Basic { username, .. } => username,
                Credentials::IdentityToken(token) => token,
            };
            super::find(scope, &helpers, &self.env).map(|c| c.map(user)).map_err(|e| e.to_string())
        }
    }

    #[test]
    fn files_are_searched_in_order_and_the_first_with_credentials_wins() {
        let mut machine = Machine::new();
        assert_eq!(machine.find(), Ok(None));
        // From the last place to the first: each new file takes over.
        for path in [
            "home/.dockercfg",
            "home/.docker/config.json",
            "home/.config/containers/auth.json",
            "root/usr/lib/ostree/auth.json",
            "root/run/ostree/auth.json",
            "root/etc/ostree/auth.json",
            "root/usr/lib/reroot/auth.json",
            "root/run/reroot/auth.json",
            "root/etc/reroot/auth.json",
            "root/run/containers/0/auth.json",
        ] {
            machine.with(path, path);
            assert_eq!(machine.find(), Ok(Some(path.into())));
        }
        let named = machine.with("named.json", "named");
        let runtime = machine.with("runtime/containers/auth.json", "runtime");
        let runtime = runtime.parent().unwrap().parent().unwrap();
        machine.env.vars.insert("XDG_RUNTIME_DIR".into(), runtime.display().to_string());
        assert_eq!(machine.find(), Ok(Some("runtime".into())));
        machine.env.vars.insert("REGISTRY_AUTH_FILE".into(), named.display().to_string());
        assert_eq!(machine.find(), Ok(Some("named".into())));
        // A named file stands instead of the first place only.
        machine.write("named.json", r#"{"auths":{"reg.example":{}}}"#);
        assert_eq!(machine.find(), Ok(Some("root/etc/reroot/auth.json".into())));
        // One that is not there is as good as empty.
        std::fs::remove_file(machine.dir.path().join("named.json")).unwrap();
        assert_eq!(machine.find(), Ok(Some("root/etc/reroot/auth.json".into())));
    }

    #[test]
    fn the_runtime_file_of_root_is_not_for_others() {
        let mut machine = Machine::new();
        machine.with("root/run/containers/0/auth.json", "root");
        machine.env.privileged = false;
        assert_eq!(machine.find(), Ok(None));
    }

    #[test]
    fn a_malformed_file_is_named() {
        let machine = Machine::new();
        machine.write("root/etc/reroot/auth.json", "{\n  x");
        let error = machine.find().unwrap_err();
        assert!(error.contains("root/etc/reroot/auth.json") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_path_that_is_no_file_is_named() {
        let machine = Machine::new();
        std::fs::create_dir_all(machine.dir.path().join("root/etc/reroot/auth.json")).unwrap();
        let error = machine.find().unwrap_err();
        assert!(error.contains("etc/reroot/auth.json: not a regular file"), "{error}");
    }

    #[test]
    fn helpers_of_registries_conf_are_asked_in_order() {
        let mut machine = Machine::new();
        let helper = machine.write(
            "bin/docker-credential-vault",
            "#!/bin/sh\necho '{\"Username\":\"v\",\"Secret\":\"s\"}'\n",
        );
        std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
        let bin: &Path = helper.parent().unwrap();
        machine.env.vars.insert("PATH".into(), format!("{}:/usr/bin:/bin", bin.display()));
        machine.with("root/etc/reroot/auth.json", "file");
        assert_eq!(machine.find_with(&["containers-auth.json", "vault"]), Ok(Some("file".into())));
        assert_eq!(machine.find_with(&["vault", "containers-auth.json"]), Ok(Some("v".into())));
        let error = machine.find_with(&["absent"]).unwrap_err();
        assert_eq!(error, "docker-credential-absent: the credential helper is not installed");
    }

    #[test]
    fn a_default_store_that_is_not_installed_is_passed_over() {
        let machine = Machine::new();
        machine.write("home/.docker/config.json", r#"{"credsStore":"desktop"}"#);
        assert_eq!(machine.find(), Ok(None));
        machine.write("home/.docker/config.json", r#"{"credHelpers":{"reg.example":"desktop"}}"#);
        assert!(machine.find().unwrap_err().contains("not installed"));
    }
}
