//! How servers are spoken to. Registries and the servers that the agent asks are reached in the same way: `certs.d` has
//! certificates for both, the variables of the surroundings name the proxies.

mod peer;
mod retry_after;
mod trouble;

pub use peer::{Peer, Redirects, Trust, USER_AGENT};
pub use retry_after::retry_after;
pub use trouble::{Trouble, shown, trouble};
