//! Where what happens inside is written to.

use tracing_subscriber::EnvFilter;

/// Of a command: `REROOT_LOG=debug` shows it on stderr.
pub fn of_command() {
    start(filter("off"));
}

/// Of a service: its milestones with their ids go to the journal (systemd.journal-fields(7)), or to stderr where that is not
/// the journal.
#[cfg(feature = "agent")]
pub fn of_service() {
    use std::io::IsTerminal;

    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = filter("reroot::agent=info");
    match stderr_is_the_journal().then(tracing_journald::layer) {
        // Without a prefix a field is what its name says: `message_id` is MESSAGE_ID.
        Some(Ok(journal)) => {
            tracing_subscriber::registry().with(filter).with(journal.with_field_prefix(None)).init();
        }
        // A person looks on: the time is on the wall.
        _ => tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .without_time()
            .init(),
    }
}

/// Whether systemd has connected stderr to the journal: `JOURNAL_STREAM` names the socket (systemd.exec(5)).
#[cfg(feature = "agent")]
#[expect(clippy::disallowed_methods, reason = "before there is anything that could be told about a mistake")]
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(rustix::stdio::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn start(filter: EnvFilter) {
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

fn filter(otherwise: &str) -> EnvFilter {
    EnvFilter::try_from_env("REROOT_LOG").unwrap_or_else(|_| EnvFilter::new(otherwise))
}
