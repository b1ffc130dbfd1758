//! Bringing new objects into the store.
//!
//! Rule R: a name under `objects/` is given only to content that is already on disk. New objects are written
//! below `staging/`; a commit syncs the file system once, renames what was complete before the sync into
//! `objects/`, syncs those directories, and only then may a layer, a tree or an image name the objects.
//! An existing object is therefore trusted without reading it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::layout::{self, IMAGES, LAYERS, STAGING};
use super::{Error, ImageRecord, LayerTree, ObjectWriter, Repo, Result, Tree};
use crate::crashpoint;
use crate::digest::{ObjectId, Sha256};
use crate::fsx::lock::SharedGuard;
use crate::fsx::{self, Dir, FilesystemSync};

/// Staging directories: enough that the threads of a pull rarely meet in one directory.
const STAGING_FANS: usize = 16;

/// Space that a transaction leaves free, in percent of the file system's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    pub percent: u8,
}

impl Default for Reserve {
    /// ostree's default for `min-free-space-percent`.
    fn default() -> Self {
        Self { percent: 3 }
    }
}

/// What is known of an object during a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// A thread of this transaction is writing it.
    Pending,
    /// Written, in staging or in `objects/`.
    Complete,
}

#[derive(Debug, Default)]
struct Fan {
    /// `None` until the object directory was listed.
    objects: Mutex<Option<HashMap<ObjectId, Known>>>,
    changed: Condvar,
}

/// A complete object that is not yet in `objects/`.
#[derive(Debug, Clone, Copy)]
struct Staged {
    id: ObjectId,
    large: bool,
}

/// From this size on, an object is dropped from the page cache once it is on disk: a pull does not push the
/// running system's own files out of memory, and what it writes next reuses the pages.
const LARGE: u64 = 64 << 10;

/// A running change of the store. Several threads write objects at once; dropping it leaves nothing in staging.
#[derive(Debug)]
pub struct Transaction<'r> {
    pub(super) repo: &'r Repo,
    name: String,
    staging: Vec<Dir>,
    written: FilesystemSync,
    fans: Vec<Fan>,
    /// Complete objects that are not yet in `objects/`.
    staged: Mutex<Vec<Staged>>,
    /// Held while objects are published, so that one sync serves everybody who waited for it. A failure is
    /// final: some objects that count as complete have no name then, and no layer may name them any more.
    publishing: Mutex<Option<Failure>>,
    budget: Budget,
}

/// Why publishing failed: the same for every layer that wanted to publish.
#[derive(Debug)]
struct Failure {
    context: String,
    source: std::io::Error,
}

impl Failure {
    /// The error once more; [`std::io::Error`] cannot be cloned.
    fn error(&self) -> Error {
        let source = match self.source.raw_os_error() {
            Some(number) => std::io::Error::from_raw_os_error(number),
            None => std::io::Error::new(self.source.kind(), self.source.to_string()),
        };
        Error::Io { context: self.context.clone(), source }
    }
}

/// Bytes that may still be written, decided once at the start.
#[derive(Debug)]
struct Budget {
    allowed: u64,
    reserve: u64,
    used: AtomicU64,
}

impl Repo {
    /// Starts a transaction. The guard proves that no gc is running. Staging directories that another boot
    /// left behind are deleted unread.
    pub fn begin(&self, _guard: &SharedGuard, reserve: Reserve) -> Result<Transaction<'_>> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let boot = boot_id();
        let space = fsx::free_space(&self.dir).map_err(Error::io("asking for free space"))?;
        let written = FilesystemSync::begin(&self.dir).map_err(Error::io("opening the repo"))?;
        let reserve = space.total_bytes / 100 * u64::from(reserve.percent);
        let allowed = space.available_bytes.saturating_sub(reserve);
        let open = || -> std::io::Result<(String, Vec<Dir>)> {
            let all = fsx::open_subdir(&self.dir, STAGING)?;
            for fsx::Listed { name: left, .. } in fsx::list_dir(&all)? {
                let left = String::from_utf8_lossy(&left).into_owned();
                if left.split('.').next() != Some(&boot) {
                    fsx::remove_tree(&all, &left)?;
                }
            }
            // A killed process may have had the same number, in a container even often.
            let name = loop {
                let count = COUNTER.fetch_add(1, Ordering::Relaxed);
                let name = format!("{boot}.{}.{count}", rustix::process::getpid().as_raw_nonzero());
                match all.create_dir(&name) {
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                    made => break made.map(|()| name)?,
                }
            };
            let own = fsx::open_subdir(&all, &name)?;
            let fans = (0..STAGING_FANS).map(|fan| fsx::ensure_dir(&own, &format!("{fan:x}"), 0o700));
            Ok((name, fans.collect::<std::io::Result<_>>()?))
        };
        let (name, staging) = open().map_err(Error::io("making a staging directory"))?;
        Ok(Transaction {
            repo: self,
            name,
            staging,
            written,
            fans: (0..256).map(|_| Fan::default()).collect(),
            staged: Mutex::default(),
            publishing: Mutex::default(),
            budget: Budget { allowed, reserve, used: AtomicU64::new(0) },
        })
    }
}

/// How a writer stands towards an object it wants to store.
pub(super) enum Claim<'t> {
    /// In the store, or complete in staging.
    Present,
    /// Another thread of the transaction is writing it.
    Pending,
    /// Ours to write; [`Ticket::complete`] when it is, dropped when it failed.
    Ours(Ticket<'t>),
}

/// The right and duty to write one object.
pub(super) struct Ticket<'t> {
    transaction: &'t Transaction<'t>,
    id: ObjectId,
    done: bool,
}

impl Ticket<'_> {
    /// The object, of `size` bytes, is whole in its staging directory.
    pub(super) fn complete(mut self, size: u64) {
        self.done = true;
        self.transaction.fan(&self.id).settle(&self.id, Some(Known::Complete));
        lock(&self.transaction.staged).push(Staged { id: self.id, large: size >= LARGE });
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.transaction.fan(&self.id).settle(&self.id, None);
        }
    }
}

impl Fan {
    fn settle(&self, id: &ObjectId, outcome: Option<Known>) {
        if let Some(objects) = &mut *lock(&self.objects) {
            match outcome {
                Some(known) => drop(objects.insert(*id, known)),
                None => drop(objects.remove(id)),
            }
        }
        self.changed.notify_all();
    }
}

impl<'r> Transaction<'r> {
    /// A writer for one thread and one layer.
    pub fn writer(&self) -> ObjectWriter<'_> {
        ObjectWriter::new(self)
    }

    /// Publishes a layer: every object that its writer stored is made durable and named, then the layer itself.
    /// A power cut after this does not cost the layer again.
    pub fn commit_layer(&self, writer: ObjectWriter<'_>, diff_id: &Sha256, tree: &LayerTree) -> Result<()> {
        for id in writer.into_waiting() {
            self.wait_for(&id)?;
        }
        self.publish_objects()?;
        self.repo.write_layer(diff_id, tree)?;
        crashpoint!("pull.layer-committed").map_err(Error::io(format!("committing layer {diff_id}")))
    }

    /// Publishes the merged root file system of an image, then the image. `record.tree` is set here. All layers
    /// must have been committed.
    pub fn commit_image(&self, tree: &Tree, mut record: ImageRecord) -> Result<ImageRecord> {
        // A layer that was found in the store may be the last word of a process that was stopped before its sync.
        fsx::sync_dir(&self.repo.subdir(LAYERS)?).map_err(Error::io("syncing repo/layers"))?;
        record.tree = self.repo.write_tree(tree)?;
        crashpoint!("pull.tree-written").map_err(Error::io("committing the image"))?;
        let digest = record.manifest_digest;
        let json = serde_json::to_vec(&record).expect("plain data");
        fsx::write_atomic(&self.repo.subdir(IMAGES)?, &format!("{}.json", digest.hex()), &json, 0o600)
            .map_err(Error::io(format!("writing image {digest}")))?;
        crashpoint!("pull.image-written").map_err(Error::io("committing the image"))?;
        Ok(record)
    }

    /// Makes durable and names every object that is complete now.
    fn publish_objects(&self) -> Result<()> {
        let mut failed = lock(&self.publishing);
        if let Some(failure) = &*failed {
            return Err(failure.error());
        }
        self.publish_staged().map_err(|(context, source)| failed.insert(Failure { context, source }).error())
    }

    fn publish_staged(&self) -> Result<(), (String, std::io::Error)> {
        let context = |step: &str| {
            let step = step.to_owned();
            move |source| (step, source)
        };
        let batch = std::mem::take(&mut *lock(&self.staged));
        crashpoint!("pull.objects-staged").map_err(context("publishing objects"))?;
        // An error here means that data was lost on the way to the disk: nothing of it gets a name, and what
        // is in staging is never synced again (the kernel reports such a loss only once).
        //
        // Also without new objects: those that were found in the store may have got their names from a process
        // that was stopped, or is at work, between its renames and its syncs.
        self.written.sync().map_err(context("syncing new objects to disk"))?;
        crashpoint!("pull.objects-synced").map_err(context("publishing objects"))?;
        let mut touched = [false; 256];
        for Staged { id, large } in &batch {
            let (from, staged_name) = self.staged_place(id);
            let (to, name) = (self.repo.objects.of(id), layout::object_name(id));
            let renamed = fsx::rename_noreplace(from, &staged_name, to, &name)
                .map_err(context(&format!("publishing object {id}")))?;
            if !renamed {
                // Another process published the same object a moment ago.
                fsx::remove_file(from, &staged_name).map_err(context(&format!("dropping object {id}")))?;
            }
            touched[usize::from(id.0[0])] = true;
            if *large && let Ok(object) = self.repo.open_object_file(id) {
                // Advice: whether it is taken changes nothing but speed.
                let _ = rustix::fs::fadvise(object, 0, None, rustix::fs::Advice::DontNeed);
            }
        }
        crashpoint!("pull.objects-renamed").map_err(context("publishing objects"))?;
        for (fan, dir) in self.repo.objects.iter().filter(|(fan, _)| touched[usize::from(*fan)]) {
            fsx::sync_dir(dir)
                .map_err(context(&format!("syncing repo/objects/{}", layout::fan_name(fan))))?;
        }
        Ok(())
    }

    /// Where an object waits for its publication.
    pub(super) fn staged_place(&self, id: &ObjectId) -> (&Dir, String) {
        (&self.staging[usize::from(id.0[0]) % STAGING_FANS], id.hex())
    }

    /// Asks whether an object has to be written, and takes on the job when it has.
    pub(super) fn claim(&self, id: &ObjectId) -> Result<Claim<'_>> {
        let mut guard = lock(&self.fan(id).objects);
        let objects = match &mut *guard {
            Some(objects) => objects,
            unknown => unknown.insert(self.list_fan(id)?),
        };
        Ok(match objects.entry(*id) {
            Entry::Occupied(known) => match known.get() {
                Known::Complete => Claim::Present,
                Known::Pending => Claim::Pending,
            },
            Entry::Vacant(vacant) => {
                vacant.insert(Known::Pending);
                Claim::Ours(Ticket { transaction: self, id: *id, done: false })
            }
        })
    }

    /// Takes `bytes` from what may still be written.
    pub(super) fn spend(&self, what: impl FnOnce() -> String, bytes: u64) -> Result<()> {
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) <= self.budget.allowed {
            return Ok(());
        }
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
        Err(Error::NoSpace {
            what: what(),
            required: bytes,
            available: self.budget.allowed.saturating_sub(used) + self.budget.reserve,
            reserve: self.budget.reserve,
        })
    }

    /// An error of writing; where something ran out, with how much there is of it. How many inodes and blocks the
    /// files of an image take is only known when they are written.
    pub(super) fn write_error(&self, context: String, source: std::io::Error) -> Error {
        let full = source.kind() == std::io::ErrorKind::StorageFull;
        let context = match fsx::free_space(&self.repo.dir) {
            Ok(space) if full => {
                let inodes = space.available_inodes.map_or_else(String::new, |n| format!(" and {n} inodes"));
                format!("{context}, {} bytes{inodes} are available", space.available_bytes)
            }
            _ => context,
        };
        Error::Io { context, source }
    }

    /// Gives back what was spent on a file that turned out to be there already.
    pub(super) fn refund(&self, bytes: u64) {
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Lets go of what was learned about the objects in the store. For when no more are written.
    pub fn forget_known(&self) {
        self.fans.iter().for_each(|fan| *lock(&fan.objects) = None);
    }

    /// Bytes that may still be written.
    pub fn remaining(&self) -> u64 {
        self.budget.allowed.saturating_sub(self.budget.used.load(Ordering::Relaxed))
    }

    /// Fails when `bytes` more would leave less than the reserve free; nothing is set aside.
    pub fn require(&self, what: &str, bytes: u64) -> Result<()> {
        self.spend(|| what.into(), bytes)?;
        self.refund(bytes);
        Ok(())
    }

    fn fan(&self, id: &ObjectId) -> &Fan {
        &self.fans[usize::from(id.0[0])]
    }

    fn list_fan(&self, id: &ObjectId) -> Result<HashMap<ObjectId, Known>> {
        let fan = id.0[0];
        let listed = fsx::list_dir(self.repo.objects.of(id))
            .map_err(Error::io(format!("listing repo/objects/{}", layout::fan_name(fan))))?;
        let mut objects = HashMap::with_capacity(listed.len() * 2);
        for fsx::Listed { name, .. } in listed {
            let mut bytes = [fan; 32];
            if hex::decode_to_slice(&name, &mut bytes[1..]).is_ok() {
                objects.insert(ObjectId(bytes), Known::Complete);
            }
        }
        Ok(objects)
    }

    fn wait_for(&self, id: &ObjectId) -> Result<()> {
        let fan = self.fan(id);
        let mut guard = lock(&fan.objects);
        loop {
            match guard.as_ref().and_then(|objects| objects.get(id)) {
                Some(Known::Complete) => return Ok(()),
                Some(Known::Pending) => {
                    guard = fan.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                None => {
                    return Err(Error::NotFound {
                        object: format!("object {id} (another layer failed to write it)"),
                    });
                }
            }
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.staging.clear();
        if let Ok(all) = fsx::open_subdir(&self.repo.dir, STAGING) {
            // What is left is swept by the next holder of the exclusive lock.
            let _ = fsx::remove_tree(&all, &self.name);
        }
    }
}

/// A panic elsewhere does not make these sets wrong: every entry is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// random(4): new at every boot. Without /proc every start counts as its own boot.
fn boot_id() -> String {
    let proc = fsx::open_dir("/proc/sys/kernel/random".as_ref());
    let id = proc.ok().and_then(|dir| fsx::read_limited(&dir, "boot_id", 64).ok().flatten());
    match id {
        Some(id) => String::from_utf8_lossy(&id).trim().replace('.', "-"),
        None => format!("pid{}", rustix::process::getpid().as_raw_nonzero()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsx::lock::{LockFile, Wait};
    use crate::repo::Mode;

    #[test]
    fn what_a_killed_process_with_the_same_number_left_is_not_in_the_way() {
        let temporary = tempfile::tempdir().unwrap();
        let reroot = fsx::open_dir(temporary.path()).unwrap();
        let repo = Repo::init(&reroot, Mode::BareUser).unwrap();
        let staging = fsx::open_subdir(&repo.dir, STAGING).unwrap();
        for count in 0..100 {
            let name = format!("{}.{}.{count}", boot_id(), rustix::process::getpid().as_raw_nonzero());
            fsx::ensure_dir(&staging, &name, 0o700).unwrap();
        }
        let guard = LockFile::open(&reroot, "lock").unwrap().shared(Wait::No).unwrap();
        let transaction = repo.begin(&guard, Reserve { percent: 0 }).unwrap();
        assert_eq!(fsx::list_dir(&staging).unwrap().len(), 101);
        drop(transaction);
        assert_eq!(fsx::list_dir(&staging).unwrap().len(), 100);
    }
}
