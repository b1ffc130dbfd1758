//! What the tests share. Not every test uses every helper.
#![allow(dead_code)]

pub mod image;
