//! Day two as a workload: the system that runs is upgraded, shut down, found good, and rolled back.
//!
//! The machine that runs is a directory beside the disk: its `/run` says what is booted, and is gone after every power
//! cut. What boots then is what GRUB's menu says.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::check::Workload;
use crate::commands::{install_loader, reroot_with};
use crate::contents::Contents;
use crate::images::Images;
use crate::loader;

/// What happens in a step, and which version the image's name stands for while it does.
enum Step {
    Install,
    /// Somebody changes files in `/etc`, a new version is staged, and the machine goes down.
    Upgrade(usize),
    /// The boot is good; by the policy older deployments go.
    Good(usize),
    /// Back to a version.
    Rollback {
        to: usize,
        latest: usize,
    },
}

const STEPS: [(&str, Step); 6] = [
    ("install", Step::Install),
    ("upgrade and shutdown", Step::Upgrade(1)),
    ("boot-complete", Step::Good(1)),
    ("second upgrade and shutdown", Step::Upgrade(2)),
    // With retain = 1 the first deployment goes.
    ("second boot-complete", Step::Good(2)),
    ("rollback and shutdown", Step::Rollback { to: 1, latest: 2 }),
];

/// A deployment that can boot.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    id: u64,
    path: String,
    image: String,
}

/// What a step left.
#[derive(Debug)]
struct After {
    /// In boot order.
    listed: Vec<Listed>,
    /// The `/etc` of the first.
    etc: Contents,
}

pub struct DayTwo {
    directory: tempfile::TempDir,
    images: Images,
    /// The manifest of each version that was deployed.
    versions: Vec<String>,
    /// What is in a deployment of an image but for `/etc`, by the image's digest.
    whole: BTreeMap<String, Contents>,
    after: Vec<After>,
}

impl DayTwo {
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let images = Images::new(&directory.path().join("images"));
        Ok(Self { directory, images, versions: Vec::new(), whole: BTreeMap::new(), after: Vec::new() })
    }

    /// The machine that runs from the disk mounted at `root`, and made when it is not there.
    fn host(&self, root: &Path) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        root.hash(&mut hasher);
        let host = self.directory.path().join(format!("host-{:x}", hasher.finish()));
        let config = host.join("etc/reroot/config.d");
        if !config.exists() {
            fs::create_dir_all(&config)?;
            fs::write(config.join("50-test.toml"), "retain = 1\n")?;
            symlink(root, host.join("sysroot"))?;
        }
        Ok(host)
    }

    fn reroot(&self, root: &Path, arguments: &[&str]) -> Result<String> {
        reroot_with(root, &self.host(root)?, arguments)
    }

    /// Starts the machine: what is first in the menu runs.
    fn start(&self, root: &Path) -> Result<()> {
        let host = self.host(root)?;
        let run = host.join("run");
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        fs::create_dir_all(run.join("reroot"))?;
        let Some((stateroot, id)) = first_of_menu(root)? else { return Ok(()) };
        let booted = format!(r#"{{"version":1,"stateroot":"{stateroot}","id":{id}}}"#);
        Ok(fs::write(run.join("reroot/booted.json"), booted)?)
    }

    /// Those that can boot: one that waits for the shutdown, or that a power cut has forgotten, is none.
    fn bootable(&self, root: &Path) -> Result<Vec<Listed>> {
        let text = self.reroot(root, &["status", "--json"])?;
        let status: Value = serde_json::from_str(&text).context("reading the output of status")?;
        let Some(deployments) = status["deployments"].as_array() else { bail!("no deployments in {text}") };
        let mut listed = Vec::new();
        for found in deployments {
            let deployment = || {
                Some(Listed {
                    id: found["id"].as_u64()?,
                    path: found["path"].as_str()?.trim_start_matches('/').to_owned(),
                    image: found["image"]["digest"].as_str()?.to_owned(),
                })
            };
            let deployment = deployment().with_context(|| format!("reading {found}"))?;
            let record: Value =
                serde_json::from_slice(&fs::read(root.join(format!("{}.json", deployment.path)))?)?;
            if record["finalized"] != Value::Bool(false) {
                listed.push(deployment);
            }
        }
        Ok(listed)
    }

    /// fsck finds nothing, every deployment that can boot holds what its image held, and GRUB's menu boots the first.
    fn check_whole(&self, root: &Path) -> Result<Vec<Listed>> {
        self.reroot(root, &["fsck"])?;
        let listed = self.bootable(root)?;
        for Listed { id, path, image } in &listed {
            let whole =
                self.whole.get(image).with_context(|| format!("deployment {id} of unknown {image}"))?;
            whole
                .require(&Contents::read_but(&root.join(path), "etc")?)
                .with_context(|| format!("deployment {id} is not complete"))?;
        }
        Ok(listed)
    }

    /// Somebody changes what he has changed before, and the machine's own defaults as well.
    fn change_etc(&self, root: &Path) -> Result<()> {
        let Some((stateroot, id)) = first_of_menu(root)? else { bail!("nothing runs") };
        let etc = root.join(format!("reroot/deploy/{stateroot}/deploy/{id}/etc"));
        fs::write(etc.join("hostname"), "mine\n")?;
        fs::write(etc.join("config-0"), "changed here and in every version\n")?;
        fs::create_dir_all(etc.join("mine.d"))?;
        fs::write(etc.join("mine.d/added"), "added\n")?;
        match fs::remove_file(etc.join("config-1")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }
}

impl Workload for DayTwo {
    fn steps(&self) -> Vec<&'static str> {
        STEPS.iter().map(|(name, _)| *name).collect()
    }

    fn prepare(&self, step: usize) -> Result<()> {
        let version = match STEPS[step].1 {
            Step::Install => 0,
            Step::Upgrade(version) | Step::Good(version) => version,
            Step::Rollback { latest, .. } => latest,
        };
        self.images.publish(version);
        Ok(())
    }

    fn reboot(&self, root: &Path) -> Result<()> {
        crate::commands::age_staging(root)?;
        self.start(root)
    }

    fn run(&self, step: usize, root: &Path) -> Result<()> {
        match STEPS[step].1 {
            Step::Install => {
                self.reroot(root, &["init"])?;
                install_loader(root)?;
                self.reroot(root, &["deploy", &self.images.reference()])?;
            }
            Step::Upgrade(_) => {
                self.change_etc(root)?;
                self.reroot(root, &["upgrade"])?;
                self.reroot(root, &["finalize-staged"])?;
            }
            Step::Good(_) => {
                self.reroot(root, &["boot-complete"])?;
            }
            Step::Rollback { to, .. } => {
                let listed = self.bootable(root)?;
                let older = listed.iter().find(|deployment| deployment.image == self.versions[to]);
                let id = older.context("there is nothing to roll back to")?.id.to_string();
                self.reroot(root, &["rollback", &id])?;
                self.reroot(root, &["finalize-staged"])?;
            }
        }
        self.start(root)
    }

    /// From the installation on GRUB finds a menu whose kernels are whole, and its default is that of before the
    /// interrupted step or of after it.
    fn check_unmounted(&self, device: &Path, done: usize) -> Result<()> {
        if done == 0 {
            return Ok(());
        }
        let menu = loader::menu(device)?;
        let first = menu.first().copied().unwrap_or_default();
        let boots = |done: usize| {
            let Some(After { listed, .. }) = self.after.get(done) else { return false };
            // A number that was given to a deployment that came to nothing is not given out again.
            let newest = listed.iter().map(|deployment| deployment.id).max();
            listed.first().is_some_and(|default| {
                first == default.id || Some(default.id) == newest && first > default.id
            })
        };
        ensure!(
            boots(done - 1) || boots(done),
            "GRUB boots the first of {menu:?}, as neither before nor after the step"
        );
        Ok(())
    }

    fn learn(&mut self, _step: usize, root: &Path) -> Result<()> {
        let listed = self.bootable(root)?;
        for Listed { path, image, .. } in &listed {
            if !self.whole.contains_key(image) {
                self.whole.insert(image.clone(), Contents::read_but(&root.join(path), "etc")?);
                self.versions.push(image.clone());
            }
        }
        let first = listed.first().context("nothing can boot")?;
        let etc = Contents::read_untimed(&root.join(&first.path).join("etc"))?;
        self.after.push(After { listed, etc });
        self.check_whole(root).map(drop)
    }

    /// What boots is what booted before the interrupted step, or what the step makes with all of its `/etc`; and the
    /// deployment that ran is still there.
    fn check(&self, root: &Path, done: usize) -> Result<()> {
        if done == 0 {
            return Ok(());
        }
        let listed = self.check_whole(root)?;
        let first = listed.first().context("nothing can boot")?;
        let before = &self.after[done - 1].listed[0];
        let after = self.after.get(done);
        let is_after = after.is_some_and(|after| first.image == after.listed[0].image);
        ensure!(
            first.image == before.image || is_after,
            "{first:?} boots first, which it did neither before nor after the step"
        );
        ensure!(
            listed.iter().any(|deployment| deployment.image == before.image),
            "what ran is not there any more"
        );
        match after {
            Some(after) if is_after && first.image != before.image => after
                .etc
                .require(&Contents::read_untimed(&root.join(&first.path).join("etc"))?)
                .context("/etc of what boots next"),
            _ => Ok(()),
        }
    }

    /// What the step was for is done, and nothing of what was tried before is left.
    fn check_finished(&self, root: &Path, done: usize) -> Result<()> {
        let listed = self.check_whole(root)?;
        let After { listed: after, etc } = &self.after[done - 1];
        // An installation that runs again makes a second deployment of the same.
        let images = |listed: &[Listed]| {
            let mut images: Vec<_> = listed.iter().map(|one| one.image.clone()).collect();
            images.dedup();
            images
        };
        ensure!(images(&listed) == images(after), "{listed:?} can boot, and not {after:?}");
        etc.require(&Contents::read_untimed(&root.join(&listed[0].path).join("etc"))?)
            .context("/etc of what boots next")
    }
}

/// Stateroot and number of what GRUB's menu boots, read as the running system reads it.
fn first_of_menu(root: &Path) -> Result<Option<(String, u64)>> {
    let Ok(menu) = fs::read_to_string(root.join("boot/loader/grub.cfg")) else { return Ok(None) };
    let argument = menu.split("reroot=/reroot/deploy/").nth(1).context("the menu names no deployment")?;
    let mut parts = argument.split(|c: char| c == '/' || c == '\'' || c.is_whitespace());
    let stateroot = parts.next().unwrap_or_default().to_owned();
    let id = parts.nth(1).unwrap_or_default().parse().context("the menu names no deployment")?;
    Ok(Some((stateroot, id)))
}
