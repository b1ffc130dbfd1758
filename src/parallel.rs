//! Work on several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The machine's cores, as many as are of use: beyond these the file system is the limit.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

/// Calls `work` with every batch of `items`, each once, in no particular order, on at most `threads` threads; each
/// has a state of its own, made by `start`. The first error ends it, when the batches that were begun are done.
pub fn in_batches<T: Sync, S, E: Send>(
    items: &[T],
    batch: usize,
    threads: usize,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &[T]) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let (stop, first) = (AtomicBool::new(false), Mutex::new(None));
    let run = || {
        let mut state = start();
        while !stop.load(Ordering::Relaxed) {
            let from = next.fetch_add(batch, Ordering::Relaxed);
            let Some(rest) = items.get(from..).filter(|rest| !rest.is_empty()) else { break };
            if let Err(error) = work(&mut state, &rest[..batch.min(rest.len())]) {
                stop.store(true, Ordering::Relaxed);
                first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len().div_ceil(batch)) {
            // A machine that has no more threads to give gets the work done by fewer, down to this one.
            let _ = std::thread::Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
    first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_seen_once() {
        for length in [0, 1, 9, 10, 11, 1000] {
            let items: Vec<usize> = (0..length).collect();
            let seen = Mutex::new(Vec::new());
            let work = |(): &mut (), batch: &[usize]| {
                assert!(!batch.is_empty() && batch.len() <= 10);
                seen.lock().unwrap().extend_from_slice(batch);
                Ok::<(), ()>(())
            };
            in_batches(&items, 10, 4, || (), work).unwrap();
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            assert_eq!(seen, items);
        }
    }

    #[test]
    fn the_first_error_is_given_and_ends_the_work() {
        let items: Vec<usize> = (0..10_000).collect();
        let seen = AtomicUsize::new(0);
        let barrier = std::sync::Barrier::new(4);
        let result = in_batches(
            &items,
            1,
            4,
            || (),
            |(), batch| {
                seen.fetch_add(1, Ordering::Relaxed);
                // All four are at work when the first fails.
                barrier.wait();
                Err(batch[0])
            },
        );
        assert!(result.unwrap_err() < 4);
        assert_eq!(seen.into_inner(), 4);
    }
}
