//! The `/etc` of a new deployment: its image's defaults, and what was changed on this machine.
//!
//! The rules are those of [`etc_merge`]. Whose changes they are: the booted deployment's, or where nothing runs those of
//! the first in boot order; always of the same stateroot.

use super::{Error, Result};
use crate::fsx::{self, Dir};
use crate::names::StaterootName;
use crate::sysroot::etc_merge::{self, EtcMergeReport, EtcStrategy, Live, Merge, Options, Rules, Trees};
use crate::sysroot::{Observed, Stateroot, Sysroot, layout};

/// A deployment whose changes of `/etc` go into a new one.
pub(super) struct EtcSource {
    defaults: Dir,
    etc: Dir,
}

impl EtcSource {
    /// `None` when there is nothing to carry over: no deployment before, or one whose `/etc` forgets its changes.
    pub fn of(sysroot: &Sysroot, observed: &Observed, stateroot: &StaterootName) -> Result<Option<Self>> {
        let Some(machine) = observed.machine(stateroot) else { return Ok(None) };
        if observed.transient_etc && observed.booted.as_ref().is_some_and(|key| machine.is(key)) {
            return Ok(None);
        }
        let key = machine.key();
        let Some(stateroot) = Stateroot::open(sysroot, stateroot)? else { return Ok(None) };
        let open = || {
            let root = fsx::open_subdir(&stateroot.deploy, &layout::directory_name(key.id))?;
            let etc = fsx::open_subdir(&root, layout::ETC)?;
            Ok(fsx::subdir_optional(&root, "usr")?
                .map(|usr| fsx::subdir_optional(&usr, layout::ETC))
                .transpose()?
                .flatten()
                .map(|defaults| Self { defaults, etc }))
        };
        open().map_err(Error::io(format!("opening /etc of {key}")))
    }

    /// Says what a merge into the deployment in `root` does. An error when something has to be decided first. Changes
    /// nothing.
    pub fn check(&self, root: &Dir, strategy: EtcStrategy) -> Result<EtcMergeReport> {
        self.plan(root, strategy, |merge| {
            merge.conflicts()?;
            Ok(merge.report().clone())
        })
    }

    /// Puts the `etc` of the deployment in `root` together in the empty directory `dest`. Not synced.
    pub fn make(&self, root: &Dir, strategy: EtcStrategy, dest: &Dir) -> Result<EtcMergeReport> {
        self.plan(root, strategy, |merge| Ok(merge.apply(dest)?))
    }

    /// Gives the checkout in `root`, whose `etc` is the defaults, the merged one. Not synced.
    pub fn merge_into(&self, root: &Dir, strategy: EtcStrategy) -> Result<EtcMergeReport> {
        self.plan(root, strategy, |merge| {
            merge.conflicts()?;
            if !merge.report().has_local_changes() {
                return Ok(merge.report().clone());
            }
            let merged = ".tmp-etc";
            let dest = fsx::ensure_dir(root, merged, 0o755).map_err(Error::io("making /etc"))?;
            let report = merge.apply(&dest)?;
            let replace = || {
                fsx::remove_tree(root, layout::ETC)?;
                fsx::rename(root, merged, root, layout::ETC)
            };
            replace().map_err(Error::io("replacing /etc"))?;
            Ok(report)
        })
    }

    /// Reads the three trees, once, and hands over what was decided.
    fn plan<T>(
        &self,
        root: &Dir,
        strategy: EtcStrategy,
        then: impl FnOnce(&Merge<'_>) -> Result<T>,
    ) -> Result<T> {
        let defaults = || fsx::open_subdir(&fsx::open_subdir(root, "usr")?, layout::ETC);
        let new = defaults().map_err(Error::io("opening the new defaults of /etc"))?;
        let options = Options { strategy, rules: Rules::load(root, Some(&self.etc))? };
        let live = Live { defaults: &self.defaults, etc: &self.etc };
        then(&etc_merge::plan(Trees::new(Some(live), &new), &options)?)
    }
}
