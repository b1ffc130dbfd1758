//! Tests of the whole, one module per verb or subject; `support` has what they share.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests prepare their own files")]

mod agent;
mod agent_fleet_lock;
mod agent_graph;
mod agent_metrics;
mod boot_crash;
mod boot_directory;
mod boot_loaders;
mod boot_menu;
mod cli_text;
mod container;
mod day_two;
mod grub_counts;
mod hostile_images;
mod hostile_layers;
mod hostile_merges;
mod initramfs_compressions;
mod layers;
mod oci_local;
mod oci_mutations;
mod registry_auth;
mod registry_blobs;
mod registry_manifests;
mod registry_real;
mod registry_routes;
mod registry_tags;
mod status_text;
mod support;
mod tidy;
mod units;
mod zstd_chunked;
