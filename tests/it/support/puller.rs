//! A machine that pulls: its configuration, its patience, and what it got.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine;
use reroot::env::Env;
use reroot::oci::manifest::LayerDescriptor;
use reroot::oci::platform::Platform;
use reroot::oci::registry::{Options, Pause, RegistrySource};
use reroot::oci::source::{ImageSource, ResolvedImage};
use reroot::oci::verify::VerifyingReader;
use reroot::oci::{Error, Result};

use super::image::{Blob, Compress};

pub struct Puller {
    dir: tempfile::TempDir,
    pub env: Env,
    pub options: Options,
    waits: Arc<Mutex<Vec<Duration>>>,
}

impl Default for Puller {
    fn default() -> Self {
        Self::new()
    }
}

impl Puller {
    /// Without configuration; waits are written down and not waited, a server may be silent for half a second.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let mut env = Env::fixed(dir.path(), now);
        env.privileged = true;
        let waits = Arc::new(Mutex::new(Vec::new()));
        let mut options = Options { pause: Pause::Record(waits.clone()), ..Options::default() };
        options.timeouts.response = Duration::from_secs(5);
        options.timeouts.stall_window = Duration::from_millis(500);
        options.timeouts.stall_bytes = 1;
        Self { dir, env, options, waits }
    }

    /// Writes a configuration file.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn password(&self, key: impl ToString, user: &str, password: &str) {
        let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let json = serde_json::json!({"auths": {key.to_string(): {"auth": auth}}});
        self.write("etc/reroot/auth.json", json.to_string());
    }

    pub fn identity_token(&self, key: impl ToString, token: &str) {
        let json = serde_json::json!({"auths": {key.to_string(): {"identitytoken": token}}});
        self.write("etc/reroot/auth.json", json.to_string());
    }

    pub fn registries_conf(&self, text: &str) {
        self.write("etc/containers/registries.conf", text);
    }

    /// What was waited between attempts, in whole seconds.
    pub fn waits(&self) -> Vec<u64> {
        self.waits.lock().unwrap().iter().map(Duration::as_secs).collect()
    }

    pub fn source(&self, reference: &str) -> Result<RegistrySource> {
        RegistrySource::with_options(&reference.parse()?, &self.env, &self.options)
    }

    pub fn resolve(&self, reference: &str) -> Result<(RegistrySource, ResolvedImage)> {
        let source = self.source(reference)?;
        let image = source.resolve(&Platform::host())?;
        Ok((source, image))
    }

    /// Resolves, and reads every layer to its end with everything checked.
    pub fn pull(&self, reference: &str) -> Result<Vec<Vec<u8>>> {
        let (source, image) = self.resolve(reference)?;
        image.layers.iter().map(|layer| read_blob(&source, layer)).collect()
    }

    /// As [`Self::pull`], for the message.
    pub fn pull_error(&self, reference: &str) -> String {
        self.pull(reference).unwrap_err().to_string()
    }
}

/// Reads a layer and checks it, as a pull does.
pub fn read_blob(source: &dyn ImageSource, layer: &LayerDescriptor) -> Result<Vec<u8>> {
    let mut reader = VerifyingReader::new(source.open_blob(layer)?, layer.digest, layer.size);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|e| Error::from_io(e, || "reading".into()))?;
    Ok(bytes)
}

/// A layer of any bytes: nobody looks for a tar in them here.
pub fn plain(bytes: impl AsRef<[u8]>) -> Blob {
    Blob::of_tar(bytes.as_ref(), Compress::None)
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}
