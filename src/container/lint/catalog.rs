//! Every lint that there is.

use super::Lint;
use super::rules::{
    directories, etc, identity, initramfs, kernel, layers, leftovers, names, packages, quadlet, readable,
    secrets, setuid, times, units, users, var,
};

/// In the order in which they are reported: what keeps a machine from booting first.
pub const LINTS: [&Lint; 30] = [
    &readable::READABLE,
    &kernel::KERNEL,
    &initramfs::INITRAMFS,
    &kernel::ARGUMENTS,
    &directories::API,
    &directories::MOUNT_POINTS,
    &etc::ETC,
    &units::UNITS,
    &identity::MACHINE_ID,
    &identity::HOST_KEYS,
    &secrets::PRIVATE_KEYS,
    &secrets::PASSWORDS,
    &secrets::CREDENTIALS,
    &etc::MERGE,
    &directories::VAR_RUN,
    &directories::WRITABLE,
    &var::TMPFILES,
    &var::LOGS,
    &users::SYSUSERS,
    &leftovers::BOOT,
    &leftovers::RUN_TMP,
    &leftovers::BUILDER,
    &leftovers::CACHES,
    &packages::PACKAGES,
    &names::NAMES,
    &quadlet::QUADLET,
    &quadlet::QUADLET_KEYS,
    &setuid::SETUID,
    &times::TIMES,
    &layers::LAYERS,
];
