//! `reroot container`, as those who build images use it.

mod builder;
mod export;
mod lint;
mod look;
mod rechunk;
