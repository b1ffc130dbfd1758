//! Telling people that no update leads on from here.

/// Where it is written, below the root; pam_motd(8) shows it at log-in.
pub const MOTD: &str = "run/motd.d/85-reroot-agent.motd";

/// What people see. `version` and `reason` are fit for a terminal, as [`super::Choice`] has them.
pub fn motd(version: &str, reason: &str) -> String {
    format!(
        "\nThis release ({version}) is a dead end: no update leads on from it.\n{reason}\n\
         Another image has to be chosen by hand: reroot switch IMAGE\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_why_and_what_to_do() {
        assert_eq!(
            motd("41.1", "https://example.com/1"),
            "\nThis release (41.1) is a dead end: no update leads on from it.\nhttps://example.com/1\n\
             Another image has to be chosen by hand: reroot switch IMAGE\n\n"
        );
    }
}
