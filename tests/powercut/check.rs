//! Looks at the states of a recording: mount, check, run the interrupted step again, check.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reroot::fsx::LoopDevice;

use crate::cut::{Kept, PowerCut};
use crate::device::{attach, forget};
use crate::record::Recording;
use crate::replay::Disk;

/// What runs while the power goes, and what must hold afterwards.
pub trait Workload: Send + Sync {
    /// The names of the steps, in order. Each is one command that reports success when it is done.
    fn steps(&self) -> Vec<&'static str>;

    /// Makes the world around the disk what it is during a step: what an image name stands for, for instance.
    /// Called before the step is recorded and before its states are checked.
    fn prepare(&self, _step: usize) -> Result<()> {
        Ok(())
    }

    /// Makes it look as if the machine had been started anew: what it did before the power cut was another boot.
    fn reboot(&self, _root: &Path) -> Result<()> {
        Ok(())
    }

    /// Whether a boot loader, which replays no journal, finds what it needs on the disk, an image that is not mounted.
    /// `done` as in [`Self::check`].
    fn check_unmounted(&self, _disk: &Path, _done: usize) -> Result<()> {
        Ok(())
    }

    /// Runs a step; also again, after a power cut during its first run.
    fn run(&self, step: usize, root: &Path) -> Result<()>;

    /// Looks at what a step made when nothing went wrong.
    fn learn(&mut self, _step: usize, _root: &Path) -> Result<()> {
        Ok(())
    }

    /// Whether the disk is sound, given that the first `done` steps have reported success and the step after them
    /// may have begun.
    fn check(&self, root: &Path, done: usize) -> Result<()>;

    /// Whether the disk is what the first `done` steps make, the last of them having run again after a power cut.
    fn check_finished(&self, root: &Path, done: usize) -> Result<()> {
        self.check(root, done)
    }
}

/// A state in which something was wrong.
#[derive(Debug)]
pub struct Broken {
    cut: PowerCut,
    step: &'static str,
    reason: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { cut: PowerCut { flushed, end, kept }, step, reason } = self;
        let unflushed = end - flushed;
        let fate = match kept {
            Kept::Nothing => format!("{unflushed} writes lost"),
            Kept::All => format!("{unflushed} writes kept"),
            Kept::Writes { seed } => format!("of {unflushed} writes some kept, seed {seed:#x}"),
            Kept::Pages { seed } => format!("of {unflushed} writes some pages kept, seed {seed:#x}"),
        };
        write!(f, "power cut in `{step}`: {flushed} operations on disk, {fate}: {reason}")
    }
}

/// What came out.
pub struct Outcome {
    states: usize,
    boundaries: usize,
    in_recovery: usize,
    pub broken: Vec<Broken>,
    elapsed: Duration,
}

impl Outcome {
    /// Adds what came out of cutting the power during a recovery.
    pub fn add_recovery(&mut self, other: Self) {
        self.states += other.states;
        self.boundaries += other.boundaries;
        self.in_recovery += other.states;
        self.broken.extend(other.broken);
        self.elapsed += other.elapsed;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { states, boundaries, in_recovery, broken, elapsed } = self;
        let lossy = states - boundaries;
        write!(f, "{states} power cuts ({boundaries} at flush boundaries, {lossy} lossy; ")?;
        write!(f, "{in_recovery} while recovering from another), {} broken, ", broken.len())?;
        let seconds = elapsed.as_secs_f64();
        write!(f, "in {seconds:.1} s, {:.0} a second", *states as f64 / seconds)
    }
}

/// Checks the disk after each of `cuts`. Fails only when the machinery does, or far too slowly.
pub fn check_states(recording: &Recording, workload: &dyn Workload, cuts: &[PowerCut]) -> Result<Outcome> {
    let started = Instant::now();
    let deadline = started + Duration::from_secs(60) + Duration::from_secs(1) * u32::try_from(cuts.len())?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let mut benches = (0..threads).map(|index| Bench::new(recording, index)).collect::<Result<Vec<_>>>()?;
    let broken = Mutex::new(Vec::new());

    let names = workload.steps();
    let step_of = |cut: &PowerCut| recording.steps_done(cut.end).min(names.len() - 1);
    for step_cuts in cuts.chunk_by(|a, b| step_of(a) == step_of(b)) {
        let step = step_of(&step_cuts[0]);
        workload.prepare(step)?;
        std::thread::scope(|scope| {
            let running: Vec<_> = benches
                .iter_mut()
                .enumerate()
                .map(|(index, bench)| {
                    let broken = &broken;
                    let name = names[step];
                    scope.spawn(move || -> Result<()> {
                        for cut in step_cuts.iter().skip(index).step_by(threads) {
                            ensure!(Instant::now() < deadline, "checking power cuts takes far too long");
                            if let Err(reason) = bench.check(recording, workload, cut, step)? {
                                let mut broken = broken.lock().expect("no thread panics with the lock");
                                broken.push(Broken { cut: *cut, step: name, reason });
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            running.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
        })?;
    }

    let mut broken = broken.into_inner().expect("no thread panics with the lock");
    broken.sort_by_key(|broken| (broken.cut.flushed, broken.cut.end));
    let boundaries = cuts.iter().filter(|cut| cut.kept == Kept::Nothing).count();
    Ok(Outcome { states: cuts.len(), boundaries, in_recovery: 0, broken, elapsed: started.elapsed() })
}

/// A disk, a loop device and a mount point: what one thread checks states with.
struct Bench {
    // Dropped before the disk.
    device: LoopDevice,
    disk: Disk,
    image: PathBuf,
    point: PathBuf,
}

impl Bench {
    fn new(recording: &Recording, index: usize) -> Result<Self> {
        let image = recording.scratch.join(&format!("bench-{index}.img"));
        let disk = Disk::create(&image, &recording.base)?;
        let device = attach(&image, 0, disk.size())?;
        Ok(Self { device, disk, image, point: recording.scratch.directory(&format!("bench-{index}"))? })
    }

    /// Checks one state. The inner error is what is broken.
    fn check(
        &mut self,
        recording: &Recording,
        workload: &dyn Workload,
        cut: &PowerCut,
        step: usize,
    ) -> Result<Result<(), String>> {
        self.disk.cut(&recording.log, cut)?;
        let verdict = self.judge(recording, workload, cut, step);
        // Whatever the kernel would still write, it writes before the disk is put back.
        forget(&self.device)?;
        self.disk.restore()?;
        if let (Err(_), Some(directory)) = (&verdict, std::env::var_os("REROOT_POWERCUT_KEEP")) {
            let name = format!("step-{step}-flushed-{}-end-{}.img", cut.flushed, cut.end);
            self.disk.cut(&recording.log, cut)?;
            self.disk.copy(&Path::new(&directory).join(name))?;
            self.disk.restore()?;
        }
        Ok(verdict.map_err(|error| format!("{error:#}")))
    }

    fn judge(
        &self,
        recording: &Recording,
        workload: &dyn Workload,
        cut: &PowerCut,
        step: usize,
    ) -> Result<()> {
        forget(&self.device)?;
        workload
            .check_unmounted(&self.image, recording.steps_done(cut.end))
            .context("for the boot loader, after the power cut")?;
        let mounted = recording.filesystem.mount(self.device.path(), &self.point)?;
        workload.reboot(&self.point)?;
        workload.check(&self.point, recording.steps_done(cut.end)).context("after the power cut")?;
        workload.run(step, &self.point).context("running it again")?;
        workload.check_finished(&self.point, step + 1).context("after running it again")?;
        mounted.unmount()
    }
}
