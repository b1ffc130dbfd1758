//! Named moments at which a test may stop the program: just after a step that a power cut could follow.
//!
//! In builds with debug assertions, `REROOT_CRASHPOINT=NAME=abort` (or `=error`, or `NAME:3=…` for the third
//! time) acts at the moment of that name. Release builds contain none of it.

/// Marks a moment; evaluates to an [`std::io::Result`] that fails only when a test asked for it.
#[macro_export]
macro_rules! crashpoint {
    ($name:literal) => {{
        #[cfg(debug_assertions)]
        let reached = $crate::fsx::crashpoint::reach($name);
        #[cfg(not(debug_assertions))]
        let reached: std::io::Result<()> = Ok(());
        reached
    }};
}

/// Acts as the environment asks at the moment `name`.
#[cfg(debug_assertions)]
#[expect(clippy::disallowed_methods, reason = "a test's door, not an input of the program")]
pub fn reach(name: &str) -> std::io::Result<()> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Wanted {
        name: String,
        nth: u32,
        abort: bool,
    }
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    static SEEN: AtomicU32 = AtomicU32::new(0);

    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("REROOT_CRASHPOINT").ok()?;
        let (place, action) = text.split_once('=')?;
        let (name, nth) = place.split_once(':').unwrap_or((place, "1"));
        Some(Wanted { name: name.into(), nth: nth.parse().ok()?, abort: action == "abort" })
    });
    let Some(wanted) = wanted else { return Ok(()) };
    if wanted.name != name || SEEN.fetch_add(1, Ordering::Relaxed) + 1 != wanted.nth {
        return Ok(());
    }
    if wanted.abort {
        std::process::abort();
    }
    Err(std::io::Error::other(format!("stopped at crash point {name}")))
}
