//! The root file system's content: a sysroot, its first deployment, and where that came from.

use std::path::{Path, PathBuf};

use super::choices::Choices;
use super::configuration::Configuration;
use super::preview::Preview;
use super::provenance::Provenance;
use super::{InstallOptions, ROOT_HOME};
use crate::boot::file_name::BootOrder;
use crate::boot::grub;
use crate::env::Env;
use crate::fsx::{self, Dir};
use crate::ops::boot::{self, Bootloader};
use crate::ops::deploy::{Request, make_deployment};
use crate::ops::fetch::{Resolved, absolute, resolve};
use crate::ops::var::populate_separate;
use crate::ops::{Context, Error, InitOptions, Result, ResultExt, Run, files, init};
use crate::progress::Event;
use crate::repo::Tree;
use crate::sysroot::{Deployment, KernelArgument, SeparateVar, Sysroot};

/// An image that is going to be installed, and everything that was decided about it. Nothing is written yet.
pub struct Job<'a> {
    pub options: &'a InstallOptions,
    pub context: &'a Context<'a>,
    pub resolved: Resolved,
    pub preview: Preview,
    pub files: Configuration,
    pub choices: Choices,
    /// The first deployment boots before this.
    pub highest_order: Option<BootOrder>,
}

impl<'a> Job<'a> {
    /// Looks at the image.
    pub fn new(options: &'a InstallOptions, context: &'a Context<'a>) -> Result<Self> {
        let resolved = resolve(&options.image, None, context)?;
        let resolved = resolved.spooled(&spool_directory(context.env));
        let preview = Preview::of_bootable(&resolved, options.initramfs, context)?;
        let files = preview.configuration(&resolved)?;
        for warning in &files.warnings {
            context.reporter.report(Event::Warning(warning));
        }
        let choices = Choices::new(options, &files)?;
        if choices.bootloader == Bootloader::Grub {
            let line: Vec<&str> = choices.kernel_arguments.iter().map(KernelArgument::as_str).collect();
            grub::kernel_arguments(&line.join(" ")).map_err(|e| Error::invalid(e.to_string()))?;
        }
        let architecture = &resolved.image.config.architecture;
        boot::check_image(preview.tree(), choices.bootloader, architecture)
            .context(|| format!("installing {}", resolved.reference))?;
        Ok(Self { options, context, resolved, preview, files, choices, highest_order: None })
    }

    /// As the image names it.
    pub fn architecture(&self) -> &str {
        &self.resolved.image.config.architecture
    }

    /// Makes the sysroot and its first deployment in an empty file system at `path`, which is open as `root`.
    /// `arguments` say where the root file system is; `var` is the file system of `/var` when it has one. Not all of it is durable when it returns.
    pub fn fill(
        &self,
        root: &Dir,
        path: &Path,
        arguments: Vec<KernelArgument>,
        var: Option<(&Dir, SeparateVar)>,
    ) -> Result<(Sysroot, Deployment)> {
        let Self { options, context, resolved, choices, .. } = self;
        for directory in ["boot", "reroot"] {
            fsx::ensure_dir(root, directory, 0o700).map_err(Error::io(format!("making /{directory}")))?;
        }
        let stateroot = choices.stateroot.clone().unwrap_or_default();
        init(path, &InitOptions { stateroot: Some(stateroot.clone()), run: Run::Real }, context)?;
        let sysroot = Sysroot::open(path, context.env)?;
        if let Some(order) = self.highest_order {
            let locked = sysroot.lock(context.wait)?;
            let mut counters = locked.observe()?.counters;
            counters.saw_order(order.get());
            locked.write_counters(&counters)?;
        }
        if let Some((_, separate)) = &var {
            separate.write(&sysroot.lock(context.wait)?.ensure_stateroot(&stateroot)?)?;
        }
        let kernel_arguments =
            arguments.into_iter().chain(choices.kernel_arguments.iter().cloned()).collect();
        let follow = options.target_image.as_ref().map(absolute).transpose()?;
        let request = Request {
            stateroot: Some(stateroot),
            kernel_arguments,
            follow,
            initramfs: self.preview.later,
            ..Request::default()
        };
        let deployed = make_deployment(&sysroot, resolved, &request, context)?;
        let observed = sysroot.observe()?;
        let deployment = observed
            .deployments
            .into_iter()
            .find(|d| d.record.id == deployed.id)
            .ok_or_else(|| Error::bug("the new deployment is not there"))?;
        let tree = sysroot.repo().read_tree(&deployment.record.tree)?;
        self.check_preview(&sysroot, &tree)?;
        let var = match var {
            Some((var, _)) => {
                populate_separate(sysroot.repo(), var, &tree, context.config.reserve)?;
                Some(var.try_clone())
            }
            None => None,
        };
        if let Some(keys) = &options.root_ssh_authorized_keys {
            let own = || {
                let stateroot = fsx::open_subdir(sysroot.deploy(), deployment.record.stateroot.as_str())?;
                fsx::open_subdir(&stateroot, "var")
            };
            authorize(&var.unwrap_or_else(own).map_err(Error::io("opening /var"))?, keys)?;
        }
        self.provenance(&deployment).write(&sysroot)?;
        Ok((sysroot, deployment))
    }

    /// What was decided rests on the image as it was read before it was stored. Now it is stored, and checked.
    fn check_preview(&self, sysroot: &Sysroot, tree: &Tree) -> Result<()> {
        let read = |entry: &_| files::read(sysroot.repo(), entry, super::configuration::LARGEST_FILE);
        match Configuration::of_tree(tree, self.architecture(), read)? == self.files {
            true => Ok(()),
            false => Err(Error::incompatible(format!(
                "{} changed while it was installed; install it again",
                self.resolved.reference
            ))),
        }
    }

    fn provenance(&self, deployment: &Deployment) -> Provenance {
        let record = &deployment.record;
        Provenance {
            version: Provenance::VERSION,
            image: self.resolved.reference.to_string(),
            digest: record.image.digest,
            target_image: record.image.reference.clone(),
            image_version: record.image.version.clone(),
            timestamp: jiff::Timestamp::try_from(self.context.env.now())
                .map_or_else(|_| String::new(), |now| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            kernel: record.kernel.clone(),
            reroot: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Where blobs are kept while an image is read twice.
fn spool_directory(env: &Env) -> PathBuf {
    env.var("TMPDIR").unwrap_or("/var/tmp").into()
}

pub fn argument(text: &str) -> Result<KernelArgument> {
    text.parse().map_err(|e: crate::names::NameError| Error::invalid(e.to_string()))
}

/// Lets the holders of keys log in as root: root's home is `/var/roothome` in an image-based system.
fn authorize(var: &Dir, keys: &Path) -> Result<()> {
    let shown = keys.display();
    let read = || {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut fsx::open_file(keys)?, &mut text)?;
        Ok(text)
    };
    let text = read().map_err(Error::io(format!("reading {shown}")))?;
    let write = || {
        let home = fsx::ensure_dir(var, ROOT_HOME, 0o700)?;
        fsx::write_atomic(&fsx::ensure_dir(&home, ".ssh", 0o700)?, "authorized_keys", &text, 0o600)
    };
    write().map_err(Error::io("writing root's authorized_keys")).context(|| format!("installing {shown}"))
}

/// Where a directory is that is mounted nowhere: it has this name in this process only.
pub fn path_of(dir: &Dir) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(dir)))
}
