//! Sizes of deployments.

use crate::digest::TreeId;
use crate::ops::{Error, Result};
use crate::repo::{Repo, TreeUsage, Usage};
use crate::sysroot::Observed;

/// The usage of each deployment's tree against the others, in the order of [`Observed::deployments`].
pub fn usage(observed: &Observed, repo: &Repo) -> Result<Vec<TreeUsage>> {
    Ok(of_all(observed, repo)?.trees)
}

/// As [`usage`], with the sum.
///
/// The repo is asked in an order that a rollback does not change, so that its cached answer stays good.
pub(super) fn of_all(observed: &Observed, repo: &Repo) -> Result<Usage> {
    let mut by_key: Vec<usize> = (0..observed.deployments.len()).collect();
    by_key.sort_by_key(|i| observed.deployments[*i].key());
    let trees: Vec<TreeId> = by_key.iter().map(|i| observed.deployments[*i].record.tree).collect();
    let Usage { trees: answers, shared_bytes } = repo.usage_of_all(&trees)?;
    let mut usage = vec![TreeUsage::default(); trees.len()];
    for (index, answer) in by_key.into_iter().zip(answers) {
        usage[index] = answer;
    }
    Ok(Usage { trees: usage, shared_bytes })
}

/// Computes the usage after a change, so that the next `status` is fast.
pub fn warm_usage(observed: &Observed, repo: &Repo) {
    // Only speed is at stake; what is damaged shows up in `status` and `fsck`.
    let _: Result<_, Error> = usage(observed, repo);
}
