//! The id of a machine in a fleet.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::env::Env;
use crate::fsx;

/// The one of zincati, so that a machine that comes from it stays who it is: for its share of a rollout, and for a lock that it
/// holds.
const APPLICATION: Uuid = Uuid::from_u128(0xde35106b_6ec2_4688_b63a_fddaa156679b);
/// Block of SHA-256 in bytes, for HMAC (RFC 2104).
const BLOCK: usize = 64;

/// The id of this machine for the agent's servers, made from `/etc/machine-id`, which must not be told to anybody (machine-id(5)).
/// `None` when the machine has none yet.
pub fn of_machine(env: &Env) -> Option<Uuid> {
    let root = fsx::open_dir(&env.config_root).ok()?;
    let text = String::from_utf8(fsx::read_in_root(&root, b"etc/machine-id", 256).ok()??).ok()?;
    let machine = Uuid::try_parse(text.trim()).ok().filter(|id| !id.is_nil())?;
    Some(derived(machine, APPLICATION))
}

/// `sd_id128_get_app_specific(3)`: HMAC-SHA256 of the application with the machine's id as its key, as a UUID of version 4.
fn derived(machine: Uuid, application: Uuid) -> Uuid {
    let padded = |pad: u8| {
        let mut block = [pad; BLOCK];
        block.iter_mut().zip(machine.as_bytes()).for_each(|(byte, key)| *byte ^= key);
        Sha256::new().chain_update(block)
    };
    let inner = padded(0x36).chain_update(application.as_bytes()).finalize();
    let outer = padded(0x5c).chain_update(inner).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&outer[..16]);
    Builder::from_random_bytes(bytes).into_uuid()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_id_is_the_one_that_systemd_derives() {
        // systemd-id128 --app-specific=de35106b6ec24688b63afddaa156679b machine-id
        let machine = Uuid::try_parse("0123456789abcdef0123456789abcdef").unwrap();
        let expected = "583627a932274834a8ebd99f4ed41c0d";
        assert_eq!(derived(machine, APPLICATION).simple().to_string(), expected);
    }

    #[test]
    fn a_machine_without_an_id_has_none() {
        let root = tempfile::tempdir().unwrap();
        let env = Env::fixed(root.path(), SystemTime::UNIX_EPOCH);
        assert_eq!(of_machine(&env), None);
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let id = "0123456789abcdef0123456789abcdef\n";
        for (text, is_id) in
            [(id, true), ("", false), ("uninitialized\n", false), ("0123\n", false), (&"0".repeat(32), false)]
        {
            std::fs::write(root.path().join("etc/machine-id"), text).unwrap();
            assert_eq!(of_machine(&env).is_some(), is_id, "{text}");
        }
    }
}
