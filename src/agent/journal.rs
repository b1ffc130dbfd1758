//! What the agent writes to the journal: each milestone with an id of its own, for `journalctl MESSAGE_ID=…` and for
//! catalogs and alerts. The ids never change; docs/agent.md lists them.

/// Something that people may want to know later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// The agent runs.
    Started,
    /// An update was found.
    Found,
    /// It is staged.
    Staged,
    /// It waits, and for what.
    Waiting,
    /// The machine is told to reboot.
    Reboot,
    /// An update was installed and runs.
    Updated,
    /// What was staged does not run and is not staged any more.
    Lost,
    /// It is not tried any more.
    GivenUp,
    /// Something failed; it is tried again.
    Failed,
    /// The configuration has a mistake.
    Configuration,
    /// What runs has no future: it will never be offered an update.
    DeadEnd,
}

impl Milestone {
    /// `MESSAGE_ID` (systemd.journal-fields(7)).
    pub fn id(self) -> &'static str {
        match self {
            Self::Started => "7b87e4959ba14a56923fdbd6b3840415",
            Self::Found => "4d7fad869db1419aa0565d5f3c204ad3",
            Self::Staged => "477c65422bc44fa79f1549755e5a3c85",
            Self::Waiting => "2f25d98d38434e6db5f3f177c3202b2d",
            Self::Reboot => "05b01a7a565247e7aad19bbacbef8267",
            Self::Updated => "f77058416dca4319a1360e5ac2a4ffeb",
            Self::Lost => "ec77794f2ee84a62bedf37d4b70d4f78",
            Self::GivenUp => "370f17b2160a4312808e5cc319173cbe",
            Self::Failed => "3819b6009cfb402ead1b6bfcb30ca235",
            Self::Configuration => "69ac6da2c96246af9a9de43ae0bb7c5e",
            Self::DeadEnd => "210b9058cb844cdf8880472ada3bc0f2",
        }
    }

    /// Whether somebody should look.
    fn is_warning(self) -> bool {
        matches!(self, Self::Lost | Self::GivenUp | Self::Failed | Self::Configuration | Self::DeadEnd)
    }
}

/// Writes a line to the journal; to stderr where there is none.
pub fn note(milestone: Milestone, text: &str) {
    match milestone.is_warning() {
        true => tracing::warn!(target: "reroot::agent", message_id = milestone.id(), "{text}"),
        false => tracing::info!(target: "reroot::agent", message_id = milestone.id(), "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALL: [Milestone; 11] = [
        Milestone::Started,
        Milestone::Found,
        Milestone::Staged,
        Milestone::Waiting,
        Milestone::Reboot,
        Milestone::Updated,
        Milestone::Lost,
        Milestone::GivenUp,
        Milestone::Failed,
        Milestone::Configuration,
        Milestone::DeadEnd,
    ];

    #[test]
    fn every_milestone_has_an_id_of_its_own_that_the_documentation_names() {
        let ids: BTreeSet<_> = ALL.into_iter().map(Milestone::id).collect();
        assert_eq!(ids.len(), ALL.len());
        let documentation = include_str!("../../docs/agent.md");
        for id in ids {
            assert!(
                id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()),
                "{id}"
            );
            assert!(documentation.contains(id), "docs/agent.md does not name {id}");
        }
    }
}
