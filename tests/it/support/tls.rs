//! Certificates for servers on 127.0.0.1, made by the `openssl` program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// An authority, a server's certificate for 127.0.0.1 and localhost, a client's; with their keys.
pub struct Certificates {
    dir: tempfile::TempDir,
}

/// Makes them, or says why they cannot be made.
pub fn certificates() -> Result<Certificates, String> {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates { dir };
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(certificates.dir.path()).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => panic!("openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => Err(format!("openssl is not installed: {error}")),
        }
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    run(&[
        &["req", "-x509", "-subj", "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.crt"],
        &key[..],
    ]
    .concat())?;
    for (name, extensions) in [
        ("server", "subjectAltName=IP:127.0.0.1,DNS:localhost\n"),
        ("client", "extendedKeyUsage=clientAuth\n"),
    ] {
        fs::write(certificates.path(&format!("{name}.ext")), extensions).unwrap();
        let (key_file, request, subject) =
            (format!("{name}.key"), format!("{name}.csr"), format!("/CN={name}"));
        let make_key = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        run(&[&make_key[..], &["-subj", &subject, "-keyout", &key_file, "-out", &request]].concat())?;
        run(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &format!("{name}.ext"),
            "-out",
            &format!("{name}.crt"),
        ])?;
    }
    Ok(certificates)
}

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    All,
    /// Those with a certificate of the authority.
    Certified,
}

impl Certificates {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn pem(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn server_config(&self, clients: Clients) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let der = |path: &Path| CertificateDer::from_pem_file(path).unwrap();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            Clients::All => builder.with_no_client_auth(),
            Clients::Certified => {
                let mut roots = RootCertStore::empty();
                roots.add(der(&self.path("ca.crt"))).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap();
        builder.with_single_cert(vec![der(&self.path("server.crt"))], key).unwrap()
    }
}
