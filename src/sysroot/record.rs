//! State that we write and read back: JSON, first key `version`.
//!
//! A newer version is refused and never rewritten. Within a version, fields may be added when a reader that
//! ignores them and a writer that drops them do no harm; everything else raises the version, and older files
//! are then upgraded in memory. One example of every version is kept under `fixtures/state/`.

use std::num::NonZeroU32;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::etc_merge::{EtcMergeReport, EtcStrategy};
use super::{DeploymentId, DeploymentKey, Error, Health, Result};
use crate::digest::{Sha256, TreeId};
use crate::names::StaterootName;

/// The newest version of every state file of the sysroot.
pub const VERSION: u32 = 1;

/// `<N>.json`: what a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentRecord {
    pub version: u32,
    pub id: DeploymentId,
    pub stateroot: StaterootName,
    /// The highest boots first. Only grows: rollback gives the older deployment the next number.
    pub order: u64,
    /// Seconds since the epoch. Shown to people; nothing is ordered by it.
    pub created: u64,
    #[serde(default)]
    pub pinned: bool,
    pub tree: TreeId,
    pub image: DeployedImage,
    /// Version of the kernel, the name of its directory in `usr/lib/modules`.
    pub kernel: String,
    /// Absent in records of before there was such a thing: all but the machine's arguments is in the tree as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootFacts>,
    /// False from staging to finalization: its `/etc` is not merged, and no boot loader knows it. One that is not
    /// staged either was forgotten by a power cut, and never boots.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub finalized: bool,
    /// How often the boot loader may try it until a boot of it has completed. Settled when the deployment is made;
    /// absent when boots of it are not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Health::is_unknown")]
    pub health: Health,
    /// How its `/etc` came to be; absent when nothing was merged into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etc_merge: Option<EtcMergeReport>,
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

/// What the boot loader is told of a deployment beside its origin and its number. Settled when the deployment is made:
/// an entry is never rewritten, so what it says must not change when a file of the machine does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootFacts {
    /// Names kernel and initramfs together, as their directory on `$BOOT` is named.
    pub digest: String,
    pub vmlinuz_bytes: u64,
    pub initrd_bytes: u64,
    /// `PRETTY_NAME` of the image.
    pub pretty_name: String,
    /// Of the image's `kargs.d`, in the order of its files.
    pub image_arguments: Vec<BroughtArgument>,
    /// Of the machine's `/etc/reroot/kargs.d`, as it was then.
    pub machine_arguments: Vec<BroughtArgument>,
}

/// A kernel argument and the file that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BroughtArgument {
    pub argument: String,
    /// With a leading slash.
    pub file: String,
}

/// The image a deployment was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeployedImage {
    /// As it was asked for, in canonical spelling.
    pub reference: String,
    /// How it was reached: `docker`, `oci`, `oci-archive`, `docker-archive`.
    pub transport: String,
    /// Of the manifest.
    pub digest: Sha256,
    /// `org.opencontainers.image.version` of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the image was built, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

/// `/run/reroot/booted.json`, as `reroot-prepare-root` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootedRecord {
    pub version: u32,
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    /// Changes of `/etc` are forgotten at the next boot, and none is carried into a new deployment.
    #[serde(default)]
    pub transient_etc: bool,
}

/// `/run/reroot/staged.json`: gone at every reboot, so what is not finalized until then never boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedRecord {
    pub version: u32,
    #[serde(flatten)]
    pub deployment: DeploymentKey,
    /// Not to be finalized until it is unlocked.
    #[serde(default)]
    pub locked: bool,
    /// What to do with conflicts when `/etc` is merged.
    #[serde(default)]
    pub etc_strategy: EtcStrategy,
}

/// Parses a state file, its version first: what else is in there is only known for versions that are known.
/// `file` names it in errors.
pub fn parse_state<T: DeserializeOwned>(bytes: &[u8], file: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let damaged = |e: serde_json::Error| Error::Corrupt { file: file.into(), reason: e.to_string() };
    let Versioned { version } = serde_json::from_slice(bytes).map_err(damaged)?;
    match version {
        VERSION => serde_json::from_slice(bytes).map_err(damaged),
        0 => Err(Error::Corrupt { file: file.into(), reason: "it has version 0".into() }),
        found => Err(Error::Newer { file: file.into(), found, known: VERSION }),
    }
}

/// The bytes of a state file.
pub fn print_state<T: Serialize>(state: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(state).expect("plain data with text keys");
    bytes.push(b'\n');
    bytes
}

impl DeploymentRecord {
    /// The version that is written.
    pub const VERSION: u32 = VERSION;

    /// Parses a record and checks that it is the one of `key`.
    pub fn parse(bytes: &[u8], key: &DeploymentKey, file: &str) -> Result<Self> {
        let record: Self = parse_state(bytes, file)?;
        if record.id != key.id || record.stateroot != key.stateroot {
            let reason =
                format!("it is the record of deployment {} of stateroot {}", record.id, record.stateroot);
            return Err(Error::Corrupt { file: file.into(), reason });
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD_V1: &str = include_str!("../../fixtures/state/v1/deployment.json");
    const RECORD_V1_WITH_BOOT: &str = include_str!("../../fixtures/state/v1/deployment-boot.json");
    const RECORD_V1_STAGED: &str = include_str!("../../fixtures/state/v1/deployment-staged.json");
    const STAGED_V1: &str = include_str!("../../fixtures/state/v1/staged.json");
    const BOOTED_V1: &str = include_str!("../../fixtures/state/v1/booted.json");

    fn key(id: u64) -> DeploymentKey {
        DeploymentKey { stateroot: "default".parse().unwrap(), id: DeploymentId::new(id).unwrap() }
    }

    #[test]
    fn version_1_reads_for_ever() {
        let record = DeploymentRecord::parse(RECORD_V1.as_bytes(), &key(7), "7.json").unwrap();
        assert_eq!(record.order, 12);
        assert_eq!(record.image.version.as_deref(), Some("13.1"));
        assert_eq!(String::from_utf8(print_state(&record)).unwrap(), RECORD_V1);
        assert_eq!(record.boot, None);
        let record = DeploymentRecord::parse(RECORD_V1_WITH_BOOT.as_bytes(), &key(8), "8.json").unwrap();
        let boot = record.boot.as_ref().unwrap();
        assert_eq!(boot.machine_arguments[0].file, "/etc/reroot/kargs.d/50-serial.toml");
        assert_eq!(String::from_utf8(print_state(&record)).unwrap(), RECORD_V1_WITH_BOOT);
        let booted: BootedRecord = parse_state(BOOTED_V1.as_bytes(), "booted.json").unwrap();
        assert_eq!((booted.deployment, booted.transient_etc), (key(7), false));
        let staged: StagedRecord = parse_state(STAGED_V1.as_bytes(), "staged.json").unwrap();
        assert_eq!((&staged.deployment, staged.locked), (&key(8), true));
        assert_eq!(staged.etc_strategy, EtcStrategy::KeepLocal);
        assert_eq!(String::from_utf8(print_state(&staged)).unwrap(), STAGED_V1);
        let record = DeploymentRecord::parse(RECORD_V1_STAGED.as_bytes(), &key(9), "9.json").unwrap();
        assert_eq!((record.finalized, record.tries), (false, NonZeroU32::new(3)));
        assert_eq!(record.health.failures[0].reason, "10-web.sh: exit status 1");
        assert_eq!(String::from_utf8(print_state(&record)).unwrap(), RECORD_V1_STAGED);
    }

    #[test]
    fn a_record_in_the_wrong_place_is_refused() {
        let error = DeploymentRecord::parse(RECORD_V1.as_bytes(), &key(8), "8.json").unwrap_err();
        assert_eq!(
            error.to_string(),
            "8.json is damaged: it is the record of deployment 7 of stateroot default"
        );
    }

    #[test]
    fn a_newer_version_is_refused_by_number() {
        let newer = br#"{"version": 9, "somethingElse": []}"#;
        let error = parse_state::<DeploymentRecord>(newer, "7.json").unwrap_err();
        assert_eq!(error.to_string(), "7.json: format version 9 is newer than 1, the newest known here");
    }
}
