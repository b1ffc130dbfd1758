//! What logind says.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Inhibitor, Session};
use crate::names::printable;

/// The answer to a call, as `busctl --json=short` prints it: the arguments of the reply in a list.
#[derive(Deserialize)]
struct Reply<T> {
    data: (Vec<T>,),
}

/// `ListInhibitors`: what, who, why, mode, user and process.
type ListedInhibitor = (String, String, String, String, u32, u32);
/// `ListSessions`: id, user and its name, seat, object.
type ListedSession = (String, u32, String, String, String);

/// The ids of all sessions, from the reply of org.freedesktop.login1(5) to `ListSessions`.
pub fn session_ids(reply: &str) -> Result<Vec<String>, String> {
    Ok(listed::<ListedSession>(reply)?.into_iter().map(|(id, ..)| id).collect())
}

/// Those that block a shutdown, from the reply to `ListInhibitors`.
pub fn inhibitors(reply: &str) -> Result<Vec<Inhibitor>, String> {
    let all = listed::<ListedInhibitor>(reply)?;
    // Not `block-weak`: that is not meant for what the system does by itself.
    let blocking = all
        .into_iter()
        .filter(|(what, _, _, mode, ..)| mode == "block" && what.split(':').any(|what| what == "shutdown"));
    let shown = |text: String| printable(text.trim().as_bytes());
    Ok(blocking.map(|(_, who, why, ..)| Inhibitor { who: shown(who), why: shown(why) }).collect())
}

/// The line that is the reply: a program may say something else before.
fn listed<T: DeserializeOwned>(said: &str) -> Result<Vec<T>, String> {
    let reply = said.lines().find(|line| line.starts_with('{')).ok_or("its answer is no JSON")?;
    let reply: Reply<T> =
        serde_json::from_str(reply).map_err(|error| format!("its answer is not understood: {error}"))?;
    Ok(reply.data.0)
}

/// Sessions in which somebody may be at work, from what `loginctl show-session` prints: `Key=value`, an empty line between two.
pub fn sessions(shown: &str) -> Vec<Session> {
    shown.split("\n\n").filter_map(session).collect()
}

fn session(properties: &str) -> Option<Session> {
    let property = |key: &str| {
        let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=').map(str::trim).map(String::from);
        properties.lines().find_map(value).filter(|value| !value.is_empty())
    };
    let (id, kind, class) = (property("Id")?, property("Type")?, property("Class")?);
    // There are `user-early` and `user-incomplete` since systemd 256; both are people.
    let is_somebody = kind != "unspecified" && (class == "user" || class.starts_with("user-"));
    if !is_somebody || property("State").as_deref() == Some("closing") {
        return None;
    }
    let shown = |text: String| printable(text.as_bytes());
    Some(Session { id, user: shown(property("Name")?), terminal: property("TTY").map(shown) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_blocks_a_shutdown_counts() {
        let reply = r#"{"type":"a(ssssuu)","data":[[
            ["sleep:shutdown","dpkg","upgrading\u001b[1m","block",0,812],
            ["shutdown","unattended-upgrades","stop in time","delay",0,700],
            ["sleep","NetworkManager","to turn off networks","block",0,600],
            ["shutdown","GNOME","unsaved work","block-weak",1000,900],
            ["handle-power-key:shutdown:idle","backup","","block",0,1]]]}"#;
        let reply = format!("some warning\n{}\n", reply.replace('\n', ""));
        let who = |who: &str, why: &str| Inhibitor { who: who.into(), why: why.into() };
        let expected = [who("dpkg", "upgrading\\u{1b}[1m"), who("backup", "")];
        assert_eq!(inhibitors(&reply).unwrap(), expected);
        assert_eq!(inhibitors(r#"{"type":"a(ssssuu)","data":[[]]}"#).unwrap(), []);
    }

    #[test]
    fn the_ids_of_sessions_are_their_first_column() {
        let reply = r#"{"type":"a(susso)","data":[[["c1",42,"gdm","seat0","/a"],["7",0,"root","","/b"]]]}"#;
        assert_eq!(session_ids(reply).unwrap(), ["c1", "7"]);
    }

    #[test]
    fn nonsense_is_an_error_and_nobody() {
        assert_eq!(session_ids("Failed to connect to bus").unwrap_err(), "its answer is no JSON");
        for reply in
            ["{}", "{\"data\":3}", "{\"data\":[]}", "{\"data\":[[[1]]]}", "{\"data\":[[[\"a\"]]]}", "{"]
        {
            assert!(session_ids(reply).unwrap_err().starts_with("its answer is not understood: "), "{reply}");
            assert!(inhibitors(reply).is_err());
        }
        for shown in
            ["", "\n\n\n", "Id=1", "<html>\n\n</html>", "Id=1\nType=tty\nClass=user\n", "Id\0=\nType"]
        {
            assert_eq!(sessions(shown), [], "{shown}");
        }
    }

    #[test]
    fn sessions_in_which_somebody_may_be_at_work() {
        let block = |id: u32, name: &str, terminal: &str, kind: &str, class: &str, state: &str| {
            format!("Id={id}\nName={name}\nTTY={terminal}\nType={kind}\nClass={class}\nState={state}\n")
        };
        let shown = [
            block(1, "alice", "tty2", "wayland", "user", "active"),
            block(2, "bob", "pts/0", "tty", "user", "online"),
            block(3, "ci", "", "tty", "user", "active"),
            block(4, "admin", "", "web", "user-early", "active"),
            block(5, "gdm", "tty1", "wayland", "greeter", "active"),
            block(6, "root", "", "unspecified", "background", "active"),
            block(7, "eve", "", "unspecified", "manager", "active"),
            block(8, "carol", "pts/1", "tty", "user", "closing"),
            block(9, "cron", "", "unspecified", "user", "active"),
        ];
        let found = sessions(&shown.join("\n"));
        let found: Vec<_> = found.iter().map(|s| (&*s.id, &*s.user, s.terminal.as_deref())).collect();
        let expected = [
            ("1", "alice", Some("tty2")),
            ("2", "bob", Some("pts/0")),
            ("3", "ci", None),
            ("4", "admin", None),
        ];
        assert_eq!(found, expected);
    }
}
