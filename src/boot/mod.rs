//! What firmware, loaders and the kernel read: their formats, and nothing of deployments.

pub mod cmdline;
