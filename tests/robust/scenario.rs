//! A command that is interrupted, and what must hold whatever happened to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::listing::Listing;
use crate::samples::SAMPLES;
use crate::world::{Ran, World};

/// How big the images are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Small,
    Medium,
}

impl Size {
    fn image(self, version: u32) -> String {
        match self {
            Size::Small => SAMPLES.small(version),
            Size::Medium => SAMPLES.medium(version),
        }
    }
}

/// A sysroot, a command, and what an undisturbed run of it leads to.
pub struct Scenario {
    pub name: &'static str,
    base: World,
    pub args: Vec<String>,
    /// Deployments that the command may not touch.
    kept: BTreeMap<u64, Listing>,
    goal: Goal,
}

/// Where the command leads, as far as that does not depend on how often it ran.
#[derive(Debug, PartialEq, Eq)]
struct Goal {
    stored: BTreeSet<PathBuf>,
    first: Listing,
}

impl Goal {
    fn of(world: &World) -> Self {
        Self { stored: world.stored(), first: world.listing(world.next()) }
    }
}

impl Scenario {
    /// An image is pulled beside two deployments.
    pub fn pull(size: Size) -> Self {
        Self::new("pull", deployed(size, 2), &["image", "pull", &size.image(3)], &[1, 2])
    }

    /// A third version is deployed.
    pub fn deploy(size: Size) -> Self {
        Self::new("deploy", deployed(size, 2), &["deploy", &size.image(3)], &[1, 2])
    }

    /// The first deployment of all is made: `var` is filled.
    pub fn first_deploy(size: Size) -> Self {
        Self::new("first deploy", World::new(), &["deploy", &size.image(1)], &[])
    }

    /// Three of four deployments and what only they need are removed.
    pub fn prune(size: Size) -> Self {
        Self::new("prune", deployed(size, 4), &["prune", "--retain", "1"], &[4])
    }

    pub fn undeploy(size: Size) -> Self {
        Self::new("undeploy", deployed(size, 2), &["undeploy", "1"], &[2])
    }

    pub fn rollback(size: Size) -> Self {
        Self::new("rollback", deployed(size, 2), &["rollback"], &[1, 2])
    }

    pub fn pin(size: Size) -> Self {
        Self::new("pin", deployed(size, 2), &["pin", "1"], &[1, 2])
    }

    pub fn boot_once(size: Size) -> Self {
        Self::new("boot-once", deployed(size, 2), &["boot-once", "1"], &[1, 2])
    }

    /// On the running system a third version is staged.
    pub fn stage(size: Size) -> Self {
        Self::new("stage", running(size), &["switch", &size.image(3)], &[1, 2])
    }

    /// Another version was staged, and a third one takes its place.
    pub fn stage_again(size: Size) -> Self {
        let base = running(size);
        base.succeed(&["switch", &size.image(4)]);
        Self::new("stage again", base, &["switch", &size.image(3)], &[1, 2])
    }

    /// The shutdown finalizes a third version: `/etc` is merged, and it comes into the menu.
    pub fn finalize(size: Size) -> Self {
        Self::new("finalize", staged(size), &["finalize-staged"], &[1, 2])
    }

    pub fn unstage(size: Size) -> Self {
        Self::new("unstage", staged(size), &["unstage"], &[1, 2])
    }

    /// A rollback of the running system drops what is staged.
    pub fn rollback_and_drop(size: Size) -> Self {
        Self::new("rollback and drop", staged(size), &["rollback", "1", "--drop-staged"], &[1, 2])
    }

    fn new(name: &'static str, base: World, args: &[&str], kept: &[u64]) -> Self {
        let undisturbed = base.copy();
        undisturbed.succeed(args);
        let goal = Goal::of(&undisturbed);
        let kept = kept.iter().map(|id| (*id, base.listing(*id))).collect();
        Self { name, base, args: args.iter().map(|arg| (*arg).to_owned()).collect(), kept, goal }
    }

    /// A sysroot in the state before the command.
    pub fn world(&self) -> World {
        self.base.copy()
    }

    /// The command's arguments as they are passed on.
    pub fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }

    /// Right after the disturbance: nothing is damaged, nothing old has changed.
    pub fn assert_intact(&self, world: &World, what: &str) {
        let fsck = world.run(&["fsck"]);
        assert_eq!(fsck.code, Some(0), "{}, {what}: fsck: {fsck}", self.name);
        crate::boot::menu(world, &format!("{}, {what}", self.name));
        let ids = world.ids();
        for (id, before) in &self.kept {
            assert!(ids.contains(id), "{}, {what}: deployment {id} is not listed: {ids:?}", self.name);
            let differences = before.differences(&world.listing(*id));
            assert!(differences.is_empty(), "{}, {what}: deployment {id}: {differences:#?}", self.name);
        }
    }

    /// The command did what it is for.
    pub fn assert_done(&self, world: &World, what: &str) {
        let found = Goal::of(world);
        let differences = self.goal.first.differences(&found.first);
        assert!(differences.is_empty(), "{}, {what}: first deployment: {differences:#?}", self.name);
        let difference: Vec<_> = self.goal.stored.symmetric_difference(&found.stored).collect();
        assert!(difference.is_empty(), "{}, {what}: stored: {difference:#?}", self.name);
    }

    /// The same command again, undisturbed, finishes the job, and the next prune leaves nothing behind.
    pub fn assert_finishes(&self, world: &World, what: &str) {
        let again = world.run(&self.args());
        // What was done completely before the interruption may have nothing left to do.
        let nothing_left = self.name == "undeploy" && !world.ids().contains(&1);
        assert!(again.code == Some(0) || nothing_left, "{}, {what}: again: {again}", self.name);
        if self.name != "rollback" {
            self.assert_done(world, what);
        }
        self.assert_intact(world, &format!("{what}, again"));
        let menu = crate::boot::settled_menu(world, &format!("{}, {what}, again", self.name));
        assert_eq!(menu, world.finalized(), "{}, {what}: the menu", self.name);
        if world.runs() {
            // What was meant boots next, and what a power cut would have lost is taken by prune.
            let next = world.next();
            world.succeed(&["finalize-staged"]);
            let menu = crate::boot::settled_menu(world, &format!("{}, {what}, shut down", self.name));
            assert_eq!(menu[0], next, "{}, {what}: what boots", self.name);
        }
        world.succeed(&["prune", "--retain", "9"]);
        assert_eq!(world.ids(), world.finalized(), "{}, {what}: abandoned ones", self.name);
        assert_eq!(world.leftovers(), Vec::<PathBuf>::new(), "{}, {what}: left behind", self.name);
        self.assert_intact(world, &format!("{what}, swept"));
    }

    /// A command that ended by itself: done when it says so.
    pub fn assert_honest(&self, world: &World, ran: &Ran, what: &str) {
        if ran.code == Some(0) {
            self.assert_done(world, what);
        } else {
            // Counters are per thread: the write of the reason may be the N-th of its thread as well.
            let mute = what.contains("write");
            assert!(mute || ran.stderr.contains("error: "), "{}, {what}: no reason given: {ran}", self.name);
            assert!(!ran.stderr.contains("panicked"), "{}, {what}: {ran}", self.name);
        }
    }
}

/// The second of two versions runs, and its `/etc` was changed.
fn running(size: Size) -> World {
    let world = deployed(size, 2);
    world.boot(2);
    let etc = world.deployment(2).join("etc");
    std::fs::write(etc.join("hostname"), "changed\n").unwrap();
    std::fs::write(etc.join("added"), "added\n").unwrap();
    std::fs::remove_file(etc.join("part-0.conf")).unwrap();
    world
}

/// And a third one is staged.
fn staged(size: Size) -> World {
    let world = running(size);
    world.succeed(&["switch", &size.image(3)]);
    world
}

/// A sysroot with the first versions deployed, the highest first in boot order.
fn deployed(size: Size, versions: u32) -> World {
    let world = World::new();
    for version in 1..=versions {
        world.succeed(&["deploy", &size.image(version)]);
    }
    world
}
