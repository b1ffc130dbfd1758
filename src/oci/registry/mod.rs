//! Images in registries: pull and push of the OCI distribution specification.
//!
//! ```text
//! source     RegistrySource: the synchronous face; owns the runtime
//!   server     one place to fetch from (mirror or primary): requests with retries
//!     transport  HTTP and TLS of a server, HTTPS or plain HTTP
//!     authorize  the Authorization header, renewed when it is refused
//!       challenge  WWW-Authenticate, and whom credentials may be shown to
//!       token      the exchange of credentials for a token
//!     response   statuses and registries' error messages
//!   document   manifests and configs, bounded
//!   tags       the names of a repository, page by page, bounded
//!   blob       layers: streamed, resumed, never slower than a crawl
//!     stall, pipe, range
//!     throttle   no faster than the rate that somebody set
//! target     RegistryTarget: the synchronous face for pushing
//!   upload     whether a blob is there, mounted from another repository, or sent
//!   retry      when to try again, and how long to wait before
//! ```
//! Rules that hold everywhere: a tag is looked up once, everything after is by digest; credentials stay with
//! the server that they are for, whatever redirects say; HTTPS does not become HTTP; no answer is read without
//! a limit; no wait is without an end.

mod authorize;
mod blob;
mod challenge;
mod document;
mod options;
mod pipe;
mod range;
mod response;
mod retry;
mod server;
mod source;
mod stall;
mod tags;
mod target;
mod throttle;
mod token;
mod transport;
mod upload;

pub use options::{Options, Pause, Timeouts};
pub use retry::RetryPolicy;
pub use source::RegistrySource;
pub use target::RegistryTarget;
