//! Somebody who builds images: a directory of their own, and no sysroot.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::reroot::{Ran, Reroot};

pub struct Builder {
    directory: tempfile::TempDir,
    pub reroot: Reroot,
}

impl Builder {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let reroot = Reroot::at(directory.path());
        fs::create_dir(&reroot.config).unwrap();
        Self { directory, reroot }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where images come to.
    pub fn store(&self) -> std::path::PathBuf {
        self.path().join("store")
    }

    /// `reroot container`, in the directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.reroot.command(["--quiet", "container"]);
        command.args(arguments).current_dir(self.path());
        command.env("REROOT_STORE", self.store()).env_remove("SOURCE_DATE_EPOCH");
        let temporary = self.path().join("temporary");
        fs::create_dir_all(&temporary).unwrap();
        command.env("TMPDIR", temporary);
        command
    }

    /// Gives another program what [`Self::command`] gives ours.
    pub fn prepare(&self, command: &mut Command) {
        let own = self.command(&[]);
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.path());
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&self.command(arguments).output().unwrap())
    }

    pub fn text(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok().stdout
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        self.run(&[arguments, &["--json"]].concat()).ok().json()
    }
}
