//! What the tests share. Not every test uses every helper.
#![allow(dead_code)]

pub mod faulty_registry;
pub mod image;
pub mod puller;
pub mod real_registry;
pub mod skip;
pub mod tls;
