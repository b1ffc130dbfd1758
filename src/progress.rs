//! What a long operation tells whoever watches. The library never prints: it reports, the CLI draws.

/// Receives events from several threads at once.
pub trait Reporter: Send + Sync {
    fn report(&self, event: Event<'_>);
}

/// What happened. Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A step of the operation begins: one short line, present participle (`resolving quay.io/os:1`).
    Phase(&'a str),
    /// The pull is planned: how much has to be fetched, how many layers are already in the store.
    PullPlanned { layers_to_fetch: usize, layers_present: usize, bytes_to_fetch: u64 },
    /// A layer is being fetched. `index` counts from 0 over all layers of the image.
    LayerStarted { index: usize, digest: &'a str, size: u64 },
    /// More compressed bytes of a layer have been read. A layer that starts over reports `position` 0 again.
    LayerProgress { index: usize, position: u64 },
    /// A layer is in the store: bytes of new objects, bytes that the store already had.
    LayerDone { index: usize, new_bytes: u64, shared_bytes: u64 },
    /// A line that a program printed which was run, and its name.
    Output { of: &'a str, line: &'a str },
    /// Something an administrator should read; the operation goes on.
    Warning(&'a str),
}

/// Reports to nobody.
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: Event<'_>) {}
}
