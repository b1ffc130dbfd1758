//! Observations made by hand, for tests of what is decided on them.

use super::record::VERSION;
use super::{
    DeployedImage, Deployment, DeploymentId, DeploymentKey, DeploymentRecord, Health, Observed, Origin,
};
use crate::digest::{Sha256, TreeId};

pub fn key(stateroot: &str, id: u64) -> DeploymentKey {
    DeploymentKey { stateroot: stateroot.parse().unwrap(), id: DeploymentId::new(id).unwrap() }
}

/// Deployments in boot order, each `stateroot:id`, with `!` when pinned, `~` when not finalized.
pub fn observed(text: &str) -> Observed {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut observed = Observed::default();
    for (index, word) in words.iter().enumerate() {
        let (name, finalized) = word.strip_suffix('~').map_or((*word, true), |name| (name, false));
        let (name, pinned) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
        let (stateroot, id) = name.split_once(':').unwrap();
        let key = key(stateroot, id.parse().unwrap());
        let order = (words.len() - index) as u64;
        observed.counters.saw_id(&key);
        observed.counters.saw_order(order);
        if !observed.stateroots.contains(&key.stateroot) {
            observed.stateroots.push(key.stateroot.clone());
        }
        let mut deployment = deployment(key, order, pinned);
        deployment.record.finalized = finalized;
        observed.deployments.push(deployment);
    }
    observed
}

fn deployment(key: DeploymentKey, order: u64, pinned: bool) -> Deployment {
    let digest = Sha256::of(key.to_string().as_bytes());
    let reference = "docker://registry.example/os:1".to_string();
    Deployment {
        record: DeploymentRecord {
            version: VERSION,
            id: key.id,
            stateroot: key.stateroot,
            order,
            created: 0,
            pinned,
            tree: TreeId(digest.0),
            image: DeployedImage {
                reference: reference.clone(),
                transport: "docker".into(),
                digest,
                version: None,
                timestamp: None,
            },
            kernel: "6.12".into(),
            boot: None,
            finalized: true,
            tries: None,
            health: Health::default(),
            etc_merge: None,
        },
        origin: Some(Origin {
            reference,
            digest,
            kernel_arguments: Vec::new(),
            removed_arguments: Vec::new(),
        }),
    }
}
