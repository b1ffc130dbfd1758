//! `reroot container`, as those who build images use it.

mod builder;
mod du;
mod export;
mod lint;
mod look;
mod push;
mod rechunk;
