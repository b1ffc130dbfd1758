//! What the agent tells Prometheus.
//!
//! ```text
//! values   Metrics: one method for each thing that happens        docs/metrics.md lists them
//!   text     OpenMetrics, and the older text format
//!     serve    a socket, a port of this machine
//!     textfile for node_exporter
//! ```

mod labels;
mod serve;
mod text;
mod textfile;
mod values;

pub use serve::{Endpoint, serve};
pub use textfile::write_textfile;
pub use values::{Graph, Metrics};
