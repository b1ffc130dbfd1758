//! What there is to install.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::failure::Trouble;
use super::{Host, Setup};
use crate::agent::config::{Follow, Settings};
use crate::agent::facts::Facts;
use crate::agent::graph::{self, Booted, Graph, Request};
use crate::agent::look;
use crate::agent::machine::{Found, Source, Target};
use crate::agent::version::Pattern;
use crate::digest::Sha256;
use crate::oci::ImageReference;
use crate::ops::{Context, Downgrade, Error, Result, UpdateCheck, UpgradeOptions, check_upgrade, list_tags};
use crate::sysroot::Sysroot;

/// What a check has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub found: Found,
    /// What is offered, taken or not.
    pub offered: Option<Target>,
    pub graph: Option<SeenGraph>,
}

/// What a graph has said.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenGraph {
    pub nodes: usize,
    pub edges: usize,
    pub ignored: usize,
    pub oddities: Vec<(&'static str, usize)>,
    pub dead_end: Option<String>,
    /// Whether what runs is in it.
    pub known: bool,
}

/// Looks for an update. `ours` is what the agent has staged itself; `urgent`: somebody does not want to wait.
pub async fn find(
    host: &Host,
    setup: &std::sync::Arc<Setup>,
    ours: Option<Sha256>,
    urgent: bool,
) -> Result<Seen, Trouble> {
    let runs = |sysroot: &Sysroot, _: &Context<'_>| {
        let facts = Facts::of(sysroot, &sysroot.observe()?)?;
        let booted = with_indexes(sysroot, [facts.digest])?;
        let denied = with_indexes(sysroot, facts.failed.iter().copied())?;
        Ok((facts, booted, denied))
    };
    let (runs, booted_digests, denied) = host.verb(None, runs).await?;
    let mut seen_graph = None;
    let mut manifest = None;
    if let Some(client) = setup.graph(urgent) {
        let repository = runs.reference.parse::<ImageReference>().ok();
        let image = repository.map_or(runs.digest.to_string(), |reference| place(&reference, &runs.digest));
        let booted = Booted { version: runs.version.as_deref().unwrap_or_default(), image: &image };
        let graph = client?.fetch(booted).await?;
        let request = Request {
            booted: &Vec::from_iter(booted_digests),
            denied: &denied,
            downgrade: downgrade(&setup.settings),
            wariness: setup.wariness(urgent),
            now: host.env.unix_time(),
        };
        let choice = graph::choose(&graph, &request);
        seen_graph = Some(said(&graph, &choice));
        match choice.outcome {
            graph::Outcome::Update(target) => manifest = Some(target.digest),
            _ => return Ok(Seen { found: Found::Nothing, offered: None, graph: seen_graph }),
        }
    }
    let setup = std::sync::Arc::clone(setup);
    let now = host.now();
    let look = move |sysroot: &Sysroot, context: &Context<'_>| {
        let settings = &setup.settings;
        let source = source(settings, &runs.reference, manifest, context)?;
        let Some(source) = source else {
            return Ok((Found::Nothing, None));
        };
        let check = check_upgrade(sysroot, &options(&source, manifest, settings), context)?;
        let staged = look::staged(&sysroot.observe()?);
        let source = match manifest {
            Some(index) if source == Source::Digest && index != check.latest.digest => Source::Index(index),
            _ => source,
        };
        let target = Target { digest: check.latest.digest, version: check.latest.version.clone(), source };
        let found = judge(&check, &target, &runs.digest, staged, ours, (settings, now, urgent));
        Ok((found, Some(target)))
    };
    let (found, offered) = host.verb(None, look).await?;
    Ok(Seen { found, offered, graph: seen_graph })
}

/// Manifests, and the indexes that they came from: a graph may name either.
fn with_indexes(sysroot: &Sysroot, manifests: impl IntoIterator<Item = Sha256>) -> Result<BTreeSet<Sha256>> {
    let mut digests = BTreeSet::new();
    for digest in manifests {
        // What has failed may be gone from the store.
        digests.extend(sysroot.repo().image(&digest)?.and_then(|image| image.index_digest));
        digests.insert(digest);
    }
    Ok(digests)
}

/// `HOST/REPOSITORY@DIGEST`.
fn place(reference: &ImageReference, digest: &Sha256) -> String {
    match reference {
        ImageReference::Registry(registry) => {
            format!("{}/{}@{digest}", registry.host, registry.repository)
        }
        _ => digest.to_string(),
    }
}

fn said(graph: &Graph, choice: &graph::Choice) -> SeenGraph {
    SeenGraph {
        nodes: graph.nodes(),
        edges: graph.edges(),
        ignored: choice.ignored.len(),
        oddities: graph.oddities.named().to_vec(),
        dead_end: choice.dead_end.clone(),
        known: choice.outcome != graph::Outcome::Unknown,
    }
}

fn downgrade(settings: &Settings) -> Downgrade {
    if settings.allow_downgrade { Downgrade::Allow } else { Downgrade::Refuse }
}

/// Where the next image is looked for; nothing when there is nothing newer.
fn source(
    settings: &Settings,
    reference: &str,
    manifest: Option<Sha256>,
    context: &Context<'_>,
) -> Result<Option<Source>> {
    match &settings.follow {
        Follow::Tag => Ok(Some(Source::Tag)),
        Follow::Graph(_) => Ok(manifest.map(|_| Source::Digest)),
        Follow::Version(pattern) => {
            let reference: ImageReference = reference.parse()?;
            let tags = list_tags(&reference, context)?;
            newest_tag(pattern, reference.tag(), &tags, settings.allow_downgrade)
        }
    }
}

/// The tag to follow: the newest version, and never an older one than that which is followed.
fn newest_tag(
    pattern: &Pattern,
    followed: Option<&str>,
    tags: &[String],
    allow_downgrade: bool,
) -> Result<Option<Source>> {
    let Some(newest) = pattern.newest(tags.iter().map(String::as_str)) else {
        return Err(Error::not_found(format!(
            "none of the {} tags of the repository is a version that the pattern `{pattern}` means",
            tags.len()
        )));
    };
    if followed == Some(newest) {
        return Ok(Some(Source::Tag));
    }
    let is_older = followed.and_then(|followed| pattern.compare(newest, followed)) == Some(Ordering::Less);
    Ok((!is_older || allow_downgrade).then(|| Source::NewTag(newest.to_owned())))
}

/// How the verbs are asked for it.
pub(super) fn options(source: &Source, manifest: Option<Sha256>, settings: &Settings) -> UpgradeOptions {
    UpgradeOptions {
        tag: match source {
            Source::NewTag(tag) => Some(tag.clone()),
            Source::Tag | Source::Digest | Source::Index(_) => None,
        },
        manifest: match source {
            Source::Digest => manifest,
            Source::Index(index) => Some(*index),
            Source::Tag | Source::NewTag(_) => None,
        },
        downgrade: downgrade(settings),
        ..UpgradeOptions::default()
    }
}

/// What becomes of what is offered.
fn judge(
    check: &UpdateCheck,
    target: &Target,
    booted: &Sha256,
    staged: Option<Sha256>,
    ours: Option<Sha256>,
    (settings, now, urgent): (&Settings, Timestamp, bool),
) -> Found {
    if target.digest == *booted {
        return Found::Nothing;
    }
    if staged.is_some() && staged != ours {
        return Found::Foreign("somebody else has staged a deployment".into());
    }
    if let Some(failed) = &check.failed {
        return Found::Refused(format!("it failed on this machine: {}", failed.reason));
    }
    if check.downgrade && !settings.allow_downgrade {
        return Found::Refused("it is older than what runs".into());
    }
    let created = check.latest.timestamp.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let min_age = SignedDuration::try_from(settings.min_age).unwrap_or(SignedDuration::MAX);
    let old_enough = created.and_then(|created| created.checked_add(min_age).ok());
    match old_enough.filter(|at| *at > now && !urgent && !settings.min_age.is_zero()) {
        Some(at) => Found::TooYoung(at),
        None => Found::Update(target.clone()),
    }
}
