//! What the agent goes by.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use super::{Policy, SoftReboot, Users};
use crate::agent::version::Pattern;
use crate::agent::window::Calendar;
use crate::oci::Rate;
use crate::ops::{Error, Result};

/// Checked settings; what nobody set has its default.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub policy: Policy,
    /// Between two looks for an update.
    pub interval: Duration,
    /// Up to so much is added to each interval, so that many machines do not come at once.
    pub jitter: Duration,
    pub follow: Follow,
    /// Whether a version that is lower than the booted one may be installed.
    pub allow_downgrade: bool,
    /// An image is not installed before it is so old.
    pub min_age: Duration,
    /// Bytes per second of a download; `None` for as fast as it goes.
    pub limit_rate: Option<Rate>,
    pub identity: Identity,
    pub reboot: Reboot,
    /// How long one hook may take.
    pub hook_timeout: Duration,
    pub metrics: MetricsSettings,
}

/// What says which image is the next one.
#[derive(Debug, Clone, PartialEq)]
pub enum Follow {
    /// Whatever the tag of the booted deployment's origin points to.
    Tag,
    /// The highest version among the tags of that repository.
    Version(Pattern),
    Graph(GraphSettings),
}

/// Where the graph of updates is (Cincinnati).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphSettings {
    /// `http://` or `https://`, and not checked further: it may have templates in it.
    pub base_url: String,
    pub stream: String,
}

/// What a machine says of itself to the servers of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Letters, digits, `.` and `-`, as FleetLock wants it.
    pub group: String,
    /// Of this machine alone. `None` where `/etc/machine-id` has none yet, as in an image that is being built; see [`Self::id`].
    pub node_id: Option<Uuid>,
    /// From 0, among the first, to 1, among the last; `None` leaves it to the server.
    pub rollout_wariness: Option<f64>,
    pub platform: String,
}

impl Identity {
    /// The id that a server is told; zincati's servers get it without hyphens ([`Uuid::simple`]).
    pub fn id(&self) -> Result<Uuid> {
        let none = "this machine has no id that a server could know it by: /etc/machine-id has none";
        self.node_id.ok_or_else(|| Error::not_found(format!("{none}; set identity.node-id")))
    }
}

/// When and how the machine restarts.
#[derive(Debug, Clone, PartialEq)]
pub struct Reboot {
    /// Only while a window is open.
    pub calendar: Option<Calendar>,
    /// Only with the lock of the fleet.
    pub fleet_lock: Option<FleetLockSettings>,
    pub soft: SoftReboot,
    pub users: Users,
    /// For how long somebody who is logged in puts a restart off.
    pub postpone: Duration,
    /// How often at most.
    pub postpone_times: u32,
}

/// Where the lock of the fleet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetLockSettings {
    /// `http://` or `https://`.
    pub base_url: String,
}

/// Where metrics are found, beside the socket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsSettings {
    /// An address of this machine alone.
    pub listen: Option<SocketAddr>,
    /// An absolute path that ends in `.prom`.
    pub textfile: Option<PathBuf>,
}
