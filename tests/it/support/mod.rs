//! What the tests share. Not every test uses every helper.
#![allow(dead_code)]

pub mod image;
pub mod memory_store;
pub mod raw_tar;
pub mod reroot;
pub mod skip;
pub mod tools;
pub mod tree;
