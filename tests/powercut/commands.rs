//! The commands of reroot as a workload: a machine's life from `init` to `prune`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::check::Workload;
use crate::contents::Contents;
use crate::images::Images;
use crate::loader;

/// One command, and which version the image's name stands for while it runs.
struct Step {
    name: &'static str,
    version: usize,
    arguments: &'static [&'static str],
    /// Running it a second time undoes the first.
    toggles: bool,
}

const fn step(name: &'static str, version: usize, arguments: &'static [&'static str]) -> Step {
    Step { name, version, arguments, toggles: false }
}

/// Stands for the image's reference in [`Step::arguments`].
const IMAGE: &str = "IMAGE";

const STEPS: [Step; 8] = [
    step("init", 0, &["init"]),
    step("image pull", 0, &["image", "pull", IMAGE]),
    step("deploy", 0, &["deploy", IMAGE]),
    step("upgrade", 1, &["upgrade"]),
    Step { toggles: true, ..step("rollback", 1, &["rollback"]) },
    step("second upgrade", 2, &["upgrade"]),
    step("image rm", 2, &["image", "rm", IMAGE]),
    // With retain = 1 the first deployment goes, and the objects that only it has.
    step("prune", 2, &["prune"]),
];

/// A deployment as `status` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    id: u64,
    path: String,
    image: String,
}

pub struct Commands {
    directory: tempfile::TempDir,
    images: Images,
    /// What is in a deployment of an image, by the image's digest.
    whole: BTreeMap<String, Contents>,
    /// The deployments after each step, in boot order.
    after: Vec<Vec<Listed>>,
}

impl Commands {
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let images = Images::new(&directory.path().join("images"));
        let config = directory.path().join("config/etc/reroot/config.d");
        fs::create_dir_all(&config)?;
        fs::write(config.join("50-test.toml"), "retain = 1\n")?;
        Ok(Self { directory, images, whole: BTreeMap::new(), after: Vec::new() })
    }

    fn reroot(&self, root: &Path, arguments: &[&str]) -> Result<String> {
        reroot_with(root, &self.directory.path().join("config"), arguments)
    }

    fn status(&self, root: &Path) -> Result<Vec<Listed>> {
        let text = self.reroot(root, &["status", "--json"])?;
        let status: Value = serde_json::from_str(&text).context("reading the output of status")?;
        let Some(deployments) = status["deployments"].as_array() else { bail!("no deployments in {text}") };
        let listed = |deployment: &Value| {
            Some(Listed {
                id: deployment["id"].as_u64()?,
                path: deployment["path"].as_str()?.trim_start_matches('/').to_owned(),
                image: deployment["image"]["digest"].as_str()?.to_owned(),
            })
        };
        deployments.iter().map(|found| listed(found).with_context(|| format!("reading {found}"))).collect()
    }

    /// fsck finds nothing, and every deployment holds what its image held.
    fn check_whole(&self, root: &Path) -> Result<Vec<Listed>> {
        self.reroot(root, &["fsck"])?;
        let listed = self.status(root)?;
        for deployment in &listed {
            let Listed { id, path, image } = deployment;
            let whole =
                self.whole.get(image).with_context(|| format!("deployment {id} of unknown {image}"))?;
            whole
                .require(&Contents::read(&root.join(path))?)
                .with_context(|| format!("deployment {id} is not complete"))?;
        }
        Ok(listed)
    }
}

impl Workload for Commands {
    fn steps(&self) -> Vec<&'static str> {
        STEPS.iter().map(|step| step.name).collect()
    }

    fn prepare(&self, step: usize) -> Result<()> {
        self.images.publish(STEPS[step].version);
        Ok(())
    }

    fn reboot(&self, root: &Path) -> Result<()> {
        age_staging(root)
    }

    fn run(&self, step: usize, root: &Path) -> Result<()> {
        let image = self.images.reference();
        let arguments: Vec<_> =
            STEPS[step].arguments.iter().map(|word| if *word == IMAGE { &image } else { *word }).collect();
        self.reroot(root, &arguments)?;
        if STEPS[step].name == "init" {
            install_loader(root)?;
        }
        Ok(())
    }

    /// From the first deployment on there is a menu, and its default is that of before the interrupted command or of
    /// after it.
    fn check_unmounted(&self, device: &Path, done: usize) -> Result<()> {
        if done == 0 || self.after[done - 1].is_empty() {
            return Ok(());
        }
        let menu = loader::menu(device)?;
        let first = menu.first().copied().unwrap_or_default();
        let boots = |done: usize| {
            let after = self.after.get(done).map(Vec::as_slice).unwrap_or_default();
            // A number that was given to a deployment that came to nothing is not given out again.
            let newest = after.iter().map(|deployment| deployment.id).max();
            after.first().is_some_and(|default| {
                first == default.id || Some(default.id) == newest && first > default.id
            })
        };
        ensure!(
            boots(done - 1) || boots(done) || undone(done).is_some_and(boots),
            "GRUB boots the first of {menu:?}, as neither before nor after the command"
        );
        Ok(())
    }

    fn learn(&mut self, step: usize, root: &Path) -> Result<()> {
        let listed = self.status(root)?;
        for deployment in &listed {
            if !self.whole.contains_key(&deployment.image) {
                let contents = Contents::read(&root.join(&deployment.path))?;
                self.whole.insert(deployment.image.clone(), contents);
            }
        }
        let before = self.after.last().map_or(0, Vec::len);
        let pruned = listed.len() < before;
        ensure!(pruned == (STEPS[step].name == "prune"), "{} deployments after {before}", listed.len());
        self.after.push(listed);
        self.check_whole(root).map(drop)
    }

    /// The deployments are those before the interrupted step, those after it, or on the way. Compared by image: a
    /// number that was given to a deployment that came to nothing is not given out again.
    fn check(&self, root: &Path, done: usize) -> Result<()> {
        if done == 0 {
            // Nothing is promised before `init` has reported success, only that it can run again.
            return Ok(());
        }
        let listed = images(&self.check_whole(root)?);
        let before = images(&self.after[done - 1]);
        let after = self.after.get(done).map_or_else(|| before.clone(), |after| images(after));
        for image in before.iter().filter(|image| after.contains(image)) {
            ensure!(listed.contains(image), "no deployment of {image} is listed any more");
        }
        for image in &listed {
            ensure!(before.contains(image) || after.contains(image), "{image} should not be deployed");
        }
        let undone = undone(done).and_then(|done| images(&self.after[done]).into_iter().next());
        let first = listed.first();
        ensure!(
            first == before.first() || first == after.first() || undone.is_some() && first == undone.as_ref(),
            "{first:?} boots first, which it did neither before nor after the command"
        );
        Ok(())
    }

    /// What the command was for is done.
    fn check_finished(&self, root: &Path, done: usize) -> Result<()> {
        let listed = images(&self.check_whole(root)?);
        let after = images(&self.after[done - 1]);
        if !STEPS[done - 1].toggles {
            ensure!(listed.first() == after.first(), "{:?} boots first", listed.first());
        }
        for image in &after {
            ensure!(listed.contains(image), "no deployment of {image} is listed");
        }
        Ok(())
    }
}

/// Runs the program on the disk mounted at `root`, with `host` for what runs and configures it.
pub fn reroot_with(root: &Path, host: &Path, arguments: &[&str]) -> Result<String> {
    // A command that hangs on a torn disk is a defect, not a reason to wait.
    let mut command = Command::new("timeout");
    command
        .args(["--signal=KILL", "60", env!("CARGO_BIN_EXE_reroot"), "--sysroot"])
        .arg(root)
        .args(arguments);
    crate::device::run(command.env("REROOT_CONFIG_ROOT", host))
}

/// Staging directories carry the id of the boot that made them, and this machine keeps its id.
pub fn age_staging(root: &Path) -> Result<()> {
    let Ok(staging) = fs::read_dir(root.join("reroot/repo/staging")) else { return Ok(()) };
    for entry in staging {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        fs::rename(entry.path(), entry.path().with_file_name(format!("earlier-{name}")))?;
    }
    Ok(())
}

/// The step whose result may be there as well when the last of `done` steps undoes itself when it runs again: the power
/// may have gone when it was done and had not said so.
fn undone(done: usize) -> Option<usize> {
    done.checked_sub(2).filter(|_| STEPS[done - 1].toggles)
}

/// Makes the sysroot one that GRUB boots, as the installer does. Durable.
pub fn install_loader(root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("boot"))?;
    fs::write(root.join("reroot/boot.json"), loader::RECORD)?;
    rustix::fs::syncfs(fs::File::open(root)?)?;
    Ok(())
}

fn images(listed: &[Listed]) -> Vec<String> {
    listed.iter().map(|deployment| deployment.image.clone()).collect()
}
