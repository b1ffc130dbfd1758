//! Virtual machines for tests: a machine, its two serial lines, its disks and images.
#![allow(dead_code)]

pub mod channel;
pub mod checks;
pub mod console;
pub mod derived;
pub mod image;
pub mod machine;
pub mod published;

pub use checks::Checks;
pub use image::Image;
pub use machine::Vm;
pub use published::Published;
