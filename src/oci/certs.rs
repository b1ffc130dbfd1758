//! Certificates for one registry, from `certs.d` directories (containers-certs.d(5)).
//!
//! ```text
//! certs.d/HOST[:PORT]/*.crt          certificate authorities, beside those of the system
//! certs.d/HOST[:PORT]/NAME.cert      a client certificate ...
//! certs.d/HOST[:PORT]/NAME.key       ... and its key
//! ```
//! The first directory of a host is used alone: the user's, then `/etc/containers`, then `/etc/docker`.

use std::path::PathBuf;

use super::host_files::HostPath;
use super::{Error, Result};
use crate::env::Env;

/// What `certs.d` has for a registry, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Certificates {
    /// Each with its path for messages.
    pub authorities: Vec<(String, Vec<u8>)>,
    pub client: Option<ClientCertificate>,
}

/// A certificate chain and its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The path of the certificate for messages.
    pub path: String,
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientCertificate({})", self.path)
    }
}

/// Reads the certificates for a host with an optional port, as people write it.
pub fn load(host: &str, env: &Env) -> Result<Certificates> {
    for dir in directories(env) {
        let dir = dir.join(host);
        if let Some(names) = dir.list(env, &[".crt", ".cert", ".key"])? {
            return read(&dir, &names, env);
        }
    }
    Ok(Certificates::default())
}

fn directories(env: &Env) -> Vec<HostPath> {
    let home = env.home().map(|home| HostPath::User(home.join(".config/containers/certs.d")));
    let system = ["etc/containers/certs.d", "etc/docker/certs.d"];
    home.into_iter().chain(system.map(|path| HostPath::System(PathBuf::from(path)))).collect()
}

fn read(dir: &HostPath, names: &[String], env: &Env) -> Result<Certificates> {
    let mut found = Certificates::default();
    for name in names {
        let path = dir.join(name);
        let error = |reason: String| Error::Configuration { what: path.shown(env), reason };
        let missing =
            |half: &str| error(format!("`{half}` is missing; a client certificate is a .cert and a .key"));
        if let Some(stem) = name.strip_suffix(".cert") {
            let key_name = format!("{stem}.key");
            if !names.contains(&key_name) {
                return Err(missing(&key_name));
            }
            if let Some(first) = &found.client {
                return Err(error(format!(
                    "there can be one client certificate for a host, and {} is one",
                    first.path
                )));
            }
            let (certificate, key) = (content(&path, env)?, content(&dir.join(&key_name), env)?);
            found.client = Some(ClientCertificate { path: path.shown(env), certificate, key });
        } else if let Some(stem) = name.strip_suffix(".key") {
            let certificate = format!("{stem}.cert");
            if !names.contains(&certificate) {
                return Err(missing(&certificate));
            }
        } else {
            found.authorities.push((path.shown(env), content(&path, env)?));
        }
    }
    Ok(found)
}

fn content(path: &HostPath, env: &Env) -> Result<Vec<u8>> {
    let vanished = || Error::Configuration { what: path.shown(env), reason: "it is a dangling link".into() };
    path.read(env)?.map(|file| file.bytes).ok_or_else(vanished)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write their own files")]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// Makes files below `root/etc/containers/certs.d`, `root/etc/docker/certs.d` or the home directory.
    fn load_from(files: &[&str], host: &str) -> Result<Certificates, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut env = Env::fixed(&dir.path().join("root"), SystemTime::UNIX_EPOCH);
        env.vars.insert("HOME".into(), dir.path().join("home").display().to_string());
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, file.rsplit('/').next().unwrap()).unwrap();
        }
        let shown = dir.path().display().to_string();
        load(host, &env).map_err(|e| e.to_string().replace(&shown, ""))
    }

    fn authorities(found: &Certificates) -> Vec<&str> {
        found.authorities.iter().map(|(_, pem)| std::str::from_utf8(pem).unwrap()).collect()
    }

    #[test]
    fn the_first_directory_of_a_host_is_used_alone() {
        let containers = "root/etc/containers/certs.d/reg.example:5000/b.crt";
        let docker = "root/etc/docker/certs.d/reg.example:5000/c.crt";
        let home = "home/.config/containers/certs.d/reg.example:5000/a.crt";
        let load = |files: &[&str]| load_from(files, "reg.example:5000").unwrap();
        assert_eq!(authorities(&load(&[])), Vec::<&str>::new());
        assert_eq!(authorities(&load(&[docker])), ["c.crt"]);
        assert_eq!(authorities(&load(&[docker, containers])), ["b.crt"]);
        assert_eq!(authorities(&load(&[docker, containers, home])), ["a.crt"]);
        assert_eq!(load_from(&[containers], "reg.example").unwrap(), Certificates::default());
    }

    #[test]
    fn authorities_and_a_client_pair_are_told_apart_by_their_names() {
        let dir = "root/etc/containers/certs.d/h";
        let files =
            ["a.crt", "b.crt", "me.cert", "me.key", "README", ".hidden.crt"].map(|n| format!("{dir}/{n}"));
        let found = load_from(&files.each_ref().map(String::as_str), "h").unwrap();
        assert_eq!(authorities(&found), ["a.crt", "b.crt"]);
        let client = found.client.unwrap();
        assert_eq!((&client.certificate[..], &client.key[..]), (&b"me.cert"[..], &b"me.key"[..]));
        assert!(!format!("{client:?}").contains("109"), "the key is not in debug output");
    }

    #[test]
    fn half_a_pair_and_two_pairs_are_errors() {
        let dir = "root/etc/containers/certs.d/h";
        for (files, message) in [
            (&["me.cert"][..], "/root/etc/containers/certs.d/h/me.cert: `me.key` is missing"),
            (&["me.key"], "/root/etc/containers/certs.d/h/me.key: `me.cert` is missing"),
            (&["a.cert", "a.key", "b.cert", "b.key"], "there can be one client certificate"),
        ] {
            let files: Vec<_> = files.iter().map(|n| format!("{dir}/{n}")).collect();
            let files: Vec<_> = files.iter().map(String::as_str).collect();
            let error = load_from(&files, "h").unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
