//! `reroot container`, as those who build images use it.

mod builder;
mod chunked;
mod du;
mod export;
mod lint;
mod look;
mod push;
mod rechunk;
