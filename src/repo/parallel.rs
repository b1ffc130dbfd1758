//! Work on all cores.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::Result;

/// Threads beyond these gain nothing: the file system is the limit.
const MOST_THREADS: usize = 8;

/// Calls `work` with every batch of `items`, each once, in no particular order; each thread has a state of its own,
/// made by `start`. An error ends it early: of several, one is given.
pub(super) fn in_batches<T: Sync, S>(
    items: &[T],
    batch: usize,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &[T]) -> Result<()> + Sync,
) -> Result<()> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let run = || -> Result<()> {
        let mut state = start();
        while !failed.load(Ordering::Relaxed) {
            let from = next.fetch_add(batch, Ordering::Relaxed);
            let Some(rest) = items.get(from..).filter(|rest| !rest.is_empty()) else { break };
            work(&mut state, &rest[..batch.min(rest.len())])
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(MOST_THREADS).min(items.len().div_ceil(batch));
    std::thread::scope(|scope| {
        // A machine that has no more threads to give gets the work done by fewer.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, run).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let mut result = run();
        for other in others {
            result = result.and(other.join().expect("work in the repo does not panic"));
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::repo::Error;

    #[test]
    fn every_item_is_seen_once() {
        for length in [0, 1, 9, 10, 11, 1000] {
            let items: Vec<usize> = (0..length).collect();
            let seen = Mutex::new(Vec::new());
            in_batches(
                &items,
                10,
                || (),
                |(), batch| {
                    assert!(!batch.is_empty() && batch.len() <= 10);
                    seen.lock().unwrap().extend_from_slice(batch);
                    Ok(())
                },
            )
            .unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, items);
        }
    }

    #[test]
    fn an_error_is_given_and_ends_the_work() {
        let items: Vec<usize> = (0..10_000).collect();
        let seen = AtomicUsize::new(0);
        let result = in_batches(
            &items,
            1,
            || (),
            |(), _| {
                seen.fetch_add(1, Ordering::Relaxed);
                Err(Error::NotFound { object: "it".into() })
            },
        );
        assert_eq!(result.unwrap_err().to_string(), Error::NotFound { object: "it".into() }.to_string());
        assert!(seen.into_inner() <= MOST_THREADS);
    }
}
