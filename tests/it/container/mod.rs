//! `reroot container`, as those who build images use it.

mod lint;
mod look;
