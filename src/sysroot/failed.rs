//! `/reroot/failed.json`: images that did not turn out well here, so that no upgrade brings one back by itself. Version 1:
//!
//! ```json
//! { "version": 1, "images": [ { "digest": "sha256:…", "reference": "docker://quay.io/acme/os:stable",
//!   "imageVersion": "13.2", "stateroot": "default", "id": 7, "time": 1767322800, "reason": "…" } ] }
//! ```
//!
//! The newest is last. An image is there once for each stateroot: another one has another `/var`.

use serde::{Deserialize, Serialize};

use super::record::{VERSION, parse_state, print_state};
use super::{DeploymentId, DeploymentRecord, Error, LockedSysroot, Result, Sysroot, layout};
use crate::digest::Sha256;
use crate::fsx;
use crate::names::StaterootName;

pub const FILE: &str = "failed.json";
/// More are forgotten, the oldest first: a registry that still has them offers newer ones as well.
const MOST_IMAGES: usize = 100;
/// In bytes. A hundred of them stay far below what a state file may have.
const LONGEST_REASON: usize = 1000;

/// An image that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedImage {
    /// Of the manifest.
    pub digest: Sha256,
    pub reference: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_version: Option<String>,
    pub stateroot: StaterootName,
    /// The deployment that showed it.
    pub id: DeploymentId,
    /// Seconds since the epoch.
    pub time: u64,
    pub reason: String,
}

impl FailedImage {
    /// The image of a deployment. A reason that is too long is cut.
    pub fn new(record: &DeploymentRecord, time: u64, reason: &str) -> Self {
        let mut reason = reason.to_string();
        if reason.len() > LONGEST_REASON {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            reason.push('…');
        }
        Self {
            digest: record.image.digest,
            reference: record.image.reference.clone(),
            image_version: record.image.version.clone(),
            stateroot: record.stateroot.clone(),
            id: record.id,
            time,
            reason,
        }
    }

    fn is(&self, stateroot: &StaterootName, digest: &Sha256) -> bool {
        self.stateroot == *stateroot && self.digest == *digest
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FailedImages {
    version: u32,
    images: Vec<FailedImage>,
}

fn shown() -> String {
    format!("/{}/{FILE}", layout::REROOT)
}

impl Sysroot {
    /// The images that failed, the newest last.
    pub fn failed_images(&self) -> Result<Vec<FailedImage>> {
        let bytes = fsx::read_limited(self.reroot(), FILE, layout::STATE_LIMIT)
            .map_err(Error::io(format!("reading {}", shown())))?;
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        Ok(parse_state::<FailedImages>(&bytes, &shown())?.images)
    }

    /// What is known against an image.
    pub fn failed_image(&self, stateroot: &StaterootName, digest: &Sha256) -> Result<Option<FailedImage>> {
        Ok(self.failed_images()?.into_iter().find(|image| image.is(stateroot, digest)))
    }
}

impl LockedSysroot<'_> {
    /// Takes note of an image that failed, in place of what was known of it before. A file that does not read back is begun
    /// anew. Durable.
    pub fn remember_failed(&self, image: FailedImage) -> Result<()> {
        let mut images = match self.sysroot().failed_images() {
            Err(Error::Corrupt { .. }) => Vec::new(),
            images => images?,
        };
        images.retain(|known| !known.is(&image.stateroot, &image.digest));
        images.push(image);
        let excess = images.len().saturating_sub(MOST_IMAGES);
        images.drain(..excess);
        self.write_failed(images)
    }

    /// Takes an image off the list; false when it was not there. Durable.
    pub fn forget_failed(&self, stateroot: &StaterootName, digest: &Sha256) -> Result<bool> {
        let mut images = self.sysroot().failed_images()?;
        let before = images.len();
        images.retain(|known| !known.is(stateroot, digest));
        let is_known = images.len() < before;
        if is_known {
            self.write_failed(images)?;
        }
        Ok(is_known)
    }

    fn write_failed(&self, images: Vec<FailedImage>) -> Result<()> {
        let bytes = print_state(&FailedImages { version: VERSION, images });
        fsx::write_atomic(self.sysroot().reroot(), FILE, &bytes, 0o644)
            .map_err(Error::io(format!("writing {}", shown())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::observed;
    use super::*;
    use crate::env::Env;
    use crate::fsx::lock::Wait;
    use crate::repo::Mode;

    const FAILED_V1: &str = include_str!("../../fixtures/state/v1/failed.json");

    fn image(content: &str, id: u64, reason: &str) -> FailedImage {
        let mut record = observed("os:1").deployments.remove(0).record;
        record.id = DeploymentId::new(id).unwrap();
        record.image.digest = Sha256::of(content.as_bytes());
        FailedImage::new(&record, 5, reason)
    }

    fn sysroot(temp: &std::path::Path) -> Sysroot {
        let env = Env::fixed(temp, std::time::SystemTime::UNIX_EPOCH);
        Sysroot::init(temp, Mode::BareUser, &env).unwrap()
    }

    #[test]
    fn version_1_reads_for_ever() {
        let failed: FailedImages = parse_state(FAILED_V1.as_bytes(), "failed.json").unwrap();
        assert_eq!(failed.images[0].reason, "10-web.sh: exit status 1");
        assert_eq!(failed.images[1].image_version, None);
        assert_eq!(String::from_utf8(print_state(&failed)).unwrap(), FAILED_V1);
    }

    #[test]
    fn an_image_is_known_once_in_each_stateroot_until_it_is_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let sysroot = sysroot(temp.path());
        assert_eq!(sysroot.failed_images().unwrap(), []);
        let locked = sysroot.lock(Wait::No).unwrap();
        let elsewhere = FailedImage { stateroot: "other".parse().unwrap(), ..image("a", 9, "there") };
        for failed in [image("a", 1, "first"), elsewhere.clone(), image("a", 2, "second")] {
            locked.remember_failed(failed).unwrap();
        }
        let again = image("a", 2, "second");
        assert_eq!(sysroot.failed_images().unwrap(), [elsewhere.clone(), again.clone()]);
        assert_eq!(sysroot.failed_image(&again.stateroot, &again.digest).unwrap(), Some(again.clone()));
        assert!(locked.forget_failed(&again.stateroot, &again.digest).unwrap());
        assert!(!locked.forget_failed(&again.stateroot, &again.digest).unwrap());
        assert_eq!(sysroot.failed_images().unwrap(), [elsewhere]);
    }

    #[test]
    fn the_list_stays_short_whatever_is_in_it() {
        let temp = tempfile::tempdir().unwrap();
        let sysroot = sysroot(temp.path());
        let locked = sysroot.lock(Wait::No).unwrap();
        for n in 1..=MOST_IMAGES as u64 + 1 {
            locked.remember_failed(image(&n.to_string(), n, &"\u{1}".repeat(5000))).unwrap();
        }
        let images = sysroot.failed_images().unwrap();
        assert_eq!((images.len(), images[0].id.get()), (MOST_IMAGES, 2));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test damages the file")]
    fn a_damaged_list_is_begun_anew_and_a_newer_one_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let sysroot = sysroot(temp.path());
        let locked = sysroot.lock(Wait::No).unwrap();
        let file = temp.path().join("reroot/failed.json");
        std::fs::write(&file, "{").unwrap();
        assert!(matches!(sysroot.failed_images(), Err(Error::Corrupt { .. })));
        locked.remember_failed(image("a", 1, "x")).unwrap();
        assert_eq!(sysroot.failed_images().unwrap().len(), 1);
        std::fs::write(&file, r#"{"version": 2}"#).unwrap();
        assert!(matches!(locked.remember_failed(image("a", 1, "x")), Err(Error::Newer { .. })));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), r#"{"version": 2}"#);
    }
}
