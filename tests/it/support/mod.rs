//! What the tests share. Not every test uses every helper.
#![allow(dead_code)]

pub mod boot;
pub mod boot_menu;
pub mod chunked;
pub mod faulty_registry;
pub mod fleet_lock;
pub mod graph_server;
pub mod grub_menu;
pub mod http_server;
pub mod image;
pub mod memory_store;
pub mod prometheus;
pub mod puller;
pub mod raw_disk;
pub mod raw_tar;
pub mod registry;
pub mod reroot;
pub mod skip;
pub mod tls;
pub mod tools;
pub mod tree;
