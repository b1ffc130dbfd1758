//! `reroot container`, as those who build images use it.

mod builder;
mod chunked;
mod commit;
mod du;
mod export;
mod lint;
mod look;
mod mount;
mod push;
mod rechunk;
mod rpm;
