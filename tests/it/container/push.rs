//! `docker://` as a destination, with Debian's registry and with one that fails.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use reroot::digest::Sha256;
use reroot::oci::ImageReference;
use reroot::oci::push::{Outgoing, OutgoingBlob, push};
use serde_json::Value;

use super::builder::Builder;
use crate::support::http_server::{HttpServer, Manner, Reply};
use crate::support::image::{Image, Layout, bootable_layer};
use crate::support::registry::{Access, Registry, obstacle};
use crate::support::skip::skip;
use crate::support::tools::{command, run};

/// Has an image with a layer of several megabytes.
fn builder() -> Builder {
    let builder = Builder::new();
    let mut noise = Vec::new();
    for n in 0..100_000_u32 {
        noise.extend_from_slice(&Sha256::of(&n.to_le_bytes()).0);
    }
    let layer = bootable_layer().file("usr/share/noise", noise).file("usr/share/text", "text");
    Layout::new(builder.path().join("image")).tag("os", &Image::new().label("team", "web").layer(layer));
    builder
}

#[test]
fn a_registry_gets_what_it_does_not_have() {
    if let Some(reason) = obstacle() {
        return skip("container::push::a_registry_gets_what_it_does_not_have", reason);
    }
    let builder = builder();
    let storage = tempfile::tempdir().unwrap();
    for access in [Access::Plain, Access::Protected] {
        let registry = Registry::start(&storage.path().join(format!("{access:?}")), access);
        registry.configure(&builder.reroot);
        let at = |name: &str| registry.reference(name);
        let export = |from: &str, to: &str| builder.json(&["export", from, "-o", to]);
        let first = export("oci:image:os", &at("team/os:1"));
        assert_eq!(first["pushed"]["sent"], 2, "{first:#}");
        assert_eq!(first["pushed"]["present"], 0);
        assert!(first["pushed"]["sentBytes"].as_u64().unwrap() > 3_000_000);
        // It is what was written to a layout, and reads as such.
        assert_eq!(export("oci:image:os", "oci:out:os")["digest"], first["digest"]);
        assert!(
            builder.text(&["diff", "oci:out:os", &at("team/os:1"), "--times"]).ends_with("no difference\n")
        );
        // Again: nothing is sent.
        let again = export("oci:image:os", &at("team/os:2"));
        assert_eq!((&again["pushed"]["sent"], &again["pushed"]["present"]), (&0.into(), &2.into()));
        // From there to another repository: mounted.
        let other = export(&at("team/os:1"), &at("other/os:1"));
        assert_eq!(other["pushed"]["mounted"], 2, "{other:#}");
        assert_eq!((&other["pushed"]["sentBytes"], &other["digest"]), (&0.into(), &first["digest"]));

        let text = builder.text(&["rechunk", &at("team/os:1"), "-o", &at("team/os:chunks")]);
        assert!(text.contains("\nSent ") && text.contains("mounted from other repositories"), "{text}");
        let mut inspect = command("skopeo");
        inspect.args(["inspect", &at("team/os:chunks")]);
        match access {
            Access::Plain => inspect.arg("--tls-verify=false"),
            Access::Protected => inspect.arg("--cert-dir").arg(registry.certificates()).arg(format!(
                "--creds={}:{}",
                crate::support::registry::USER,
                crate::support::registry::PASSWORD
            )),
        };
        let seen: Value = serde_json::from_slice(run(&mut inspect).as_ref()).unwrap();
        assert_eq!(seen["Labels"]["team"], "web");
        assert!(seen["Layers"].as_array().unwrap().len() > 1);
    }
    // Nothing stays of what was made on the way.
    let temporary = builder.path().join("temporary");
    assert_eq!(std::fs::read_dir(temporary).map_or(0, Iterator::count), 0);
}

#[test]
fn docker_archives_are_read_by_others_and_by_us() {
    let builder = builder();
    let to = "docker-archive:out.tar:1";
    let report = builder.json(&["rechunk", "oci:image:os", "-o", to]);
    assert!(builder.text(&["diff", "oci:image:os", to, "--times"]).ends_with("no difference\n"));
    assert_eq!(builder.json(&["rechunk", "oci:image:os", "-o", to])["digest"], report["digest"]);
    let archive = format!("docker-archive:{}", builder.path().join("out.tar").display());
    match crate::support::tools::missing(&["skopeo"]) {
        Some(reason) => skip("container::push::docker_archives_are_read_by_others_and_by_us", reason),
        None => {
            let seen: Value =
                serde_json::from_slice(run(command("skopeo").args(["inspect", &archive])).as_ref()).unwrap();
            assert_eq!(seen["Labels"]["team"], "web");
            let directory = format!("dir:{}", builder.path().join("dir").display());
            run(command("skopeo").args(["copy", "--quiet", &archive, &directory]));
        }
    }
}

/// Tokens that are good for what they were asked for, and nothing else.
fn with_tokens() -> HttpServer {
    let blobs: Mutex<Vec<String>> = Mutex::default();
    let address = Arc::new(Mutex::new(String::new()));
    let of_server = address.clone();
    let server = HttpServer::start(move |asked| {
        let realm = format!("http://{}/token", of_server.lock().unwrap());
        if asked.path == "/token" {
            // One field for each scope, as the specification has it.
            let scopes = asked.scopes.join(" ");
            return Reply::json(200, &serde_json::json!({"token": scopes.replace(' ', "+")}));
        }
        let mounts = asked.query.get("from").cloned();
        let mut needed = vec![match asked.method.as_str() {
            "GET" | "HEAD" => "repository:team/try:pull".to_owned(),
            _ => "repository:team/try:pull,push".to_owned(),
        }];
        needed.extend(mounts.iter().map(|from| format!("repository:{from}:pull")));
        let token = asked.headers.get("authorization").cloned().unwrap_or_default();
        let has = |scope: &String| {
            let push = scope.replace(":pull", ":pull,push");
            token.split(['+', ' ']).any(|part| part == scope || part == push)
        };
        if asked.path != "/v2/" && !needed.iter().all(has) {
            let challenge =
                format!("Bearer realm=\"{realm}\",service=\"test\",scope=\"{}\"", needed.join(" "));
            return Reply::new(401, "{}").header("WWW-Authenticate", challenge);
        }
        match asked.method.as_str() {
            "HEAD" => Reply::new(404, ""),
            // The other repository may be read by all, and has everything.
            "POST" if mounts.as_deref() == Some("team/os") => {
                blobs.lock().unwrap().push(asked.query["mount"].clone());
                Reply::new(201, "")
            }
            "POST" => Reply::new(202, "").header("Location", "/v2/team/try/upload"),
            _ => Reply::new(201, ""),
        }
    });
    *address.lock().unwrap() = server.address.to_string();
    server
}

#[test]
fn tokens_are_for_everything_that_is_asked() {
    let server = with_tokens();
    let env =
        reroot::env::Env::fixed(std::path::Path::new("/nonexistent"), std::time::SystemTime::UNIX_EPOCH);
    let to = |name: &str| match format!("docker://{}/{name}", server.address).parse().unwrap() {
        ImageReference::Registry(reference) => reference,
        other => panic!("{other}"),
    };
    // Many at once, of which every second one is mounted.
    let content = |n: u64| n.to_le_bytes().to_vec();
    let blobs = (0..40).map(|n| OutgoingBlob {
        digest: Sha256::of(&content(n)),
        size: 8,
        known_in: (n % 2 == 0).then(|| to("team/os:1")),
    });
    let open = |digest: &Sha256| {
        let found = (0..40).map(content).find(|content| Sha256::of(content) == *digest).unwrap();
        Ok(Box::new(std::io::Cursor::new(found)) as Box<dyn std::io::Read + Send>)
    };
    let image = Outgoing {
        manifest: b"{}".to_vec(),
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        blobs: blobs.collect(),
        open: &open,
    };
    let pushed = push(&image, &to("team/try:1"), &env).unwrap();
    assert_eq!((pushed.sent, pushed.mounted, pushed.present), (20, 20, 0));
}

/// What a registry was sent, and what it still answers wrongly.
#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, Vec<u8>>,
    /// Answers in place of the right ones, by `METHOD part-of-path`.
    faults: BTreeMap<&'static str, Vec<Reply>>,
    asked: Vec<String>,
}

/// A registry that can be pushed to and fails on request.
fn failing(faults: impl IntoIterator<Item = (&'static str, Vec<Reply>)>) -> (HttpServer, Arc<Mutex<State>>) {
    let state = Arc::new(Mutex::new(State { faults: faults.into_iter().collect(), ..State::default() }));
    let of_server = state.clone();
    let server = HttpServer::start(move |asked| {
        let mut state = of_server.lock().unwrap();
        let from = asked.query.get("from").map(|from| format!("?from={from}")).unwrap_or_default();
        let line = format!("{} {}{from}", asked.method, asked.path);
        state.asked.push(line.clone());
        let wrong =
            state.faults.iter_mut().find(|(part, replies)| line.contains(**part) && !replies.is_empty());
        if let Some((_, replies)) = wrong {
            return replies.remove(0);
        }
        let name = asked.path.rsplit('/').next().unwrap_or_default().to_owned();
        match asked.method.as_str() {
            "GET" if asked.path == "/v2/" => Reply::new(200, "{}"),
            "HEAD" | "GET"
                if asked.path.starts_with("/v2/team/os/blobs") && state.blobs.contains_key(&name) =>
            {
                Reply::new(200, if asked.method == "GET" { state.blobs[&name].clone() } else { Vec::new() })
            }
            "GET" if state.manifests.contains_key(&name) => Reply::new(200, state.manifests[&name].clone())
                .header("Content-Type", "application/vnd.oci.image.manifest.v1+json"),
            "POST" => Reply::new(202, "").header("Location", "/upload/1?state=x"),
            "PUT" if asked.path == "/upload/1" => {
                let digest = asked.query["digest"].clone();
                assert_eq!(asked.query["state"], "x");
                if Sha256::of(&asked.body).to_string() != digest {
                    return Reply::new(
                        400,
                        r#"{"errors":[{"code":"DIGEST_INVALID","message":"wrong digest"}]}"#,
                    );
                }
                state.blobs.insert(digest, asked.body.clone());
                Reply::new(201, "")
            }
            "PUT" => {
                state.manifests.insert(name, asked.body.clone());
                Reply::new(201, "").header("Docker-Content-Digest", Sha256::of(&asked.body).to_string())
            }
            _ => Reply::new(404, ""),
        }
    });
    (server, state)
}

impl Builder {
    fn push_to(&self, server: &HttpServer) -> crate::support::reroot::Ran {
        self.run(&[
            "export",
            "oci:image:os",
            "-o",
            &format!("docker://{}/team/os:1", server.address),
            "--json",
        ])
    }
}

#[test]
fn what_passes_is_tried_again() {
    let builder = builder();
    let busy = || Reply::new(503, "").header("Retry-After", "0");
    let (server, state) = failing([
        ("HEAD", vec![busy(), busy()]),
        ("POST", vec![busy()]),
        (
            "PUT /upload",
            vec![busy(), Reply::new(404, ""), Reply::new(401, ""), Reply::new(201, "").manner(Manner::Reset)],
        ),
        ("PUT /v2/team/os/manifests", vec![busy(), Reply::new(201, "").manner(Manner::Reset)]),
    ]);
    let ran = builder.push_to(&server).ok();
    let state = state.lock().unwrap();
    assert_eq!(state.blobs.len(), 2);
    let manifest = &state.manifests["1"];
    assert_eq!(ran.json()["digest"], Sha256::of(manifest).to_string());
    assert_eq!(ran.json()["pushed"]["sent"], 2);
    // The manifest comes when everything that it names is there.
    let first = state.asked.iter().position(|line| line.contains("manifests")).unwrap();
    assert!(state.asked[first..].iter().all(|line| !line.contains("upload")));
}

#[test]
fn a_blob_that_may_not_be_mounted_is_sent() {
    let builder = builder();
    let (server, state) =
        failing([("uploads/?from=team/os", vec![Reply::new(403, ""), Reply::new(404, "")])]);
    let export = |from: &str, to: &str| {
        builder
            .run(&["export", from, "-o", &format!("docker://{}/{to}", server.address), "--json"])
            .ok()
            .json()
    };
    export("oci:image:os", "team/os:1");
    let report = export(&format!("docker://{}/team/os:1", server.address), "team/try:1");
    assert_eq!((&report["pushed"]["sent"], &report["pushed"]["mounted"]), (&2.into(), &0.into()));
    drop(state);
}

#[test]
fn what_does_not_pass_is_told() {
    let builder = builder();
    let refusal = r#"{"errors":[{"code":"DENIED","message":"no room for you"}]}"#;
    let elsewhere = Sha256::of(b"something else").to_string();
    for (part, reply, reason) in [
        ("POST", Reply::new(403, refusal), "no room for you"),
        ("PUT /upload", Reply::new(400, refusal), "no room for you"),
        ("POST", Reply::new(200, ""), "it answered 200 OK to the start of an upload"),
        ("POST", Reply::new(202, ""), "says not where to"),
        ("PUT /v2", Reply::new(413, ""), "413"),
        ("POST", Reply::new(404, ""), "the registry has no such repository; some want it made"),
        ("PUT /v2", Reply::new(201, "").header("Docker-Content-Digest", elsewhere), "expected sha256:"),
    ] {
        let (server, state) = failing([(part, vec![reply.clone(), reply.clone(), reply])]);
        let ran = builder.push_to(&server);
        assert!(matches!(ran.code, Some(1..=9)), "{ran:?}");
        assert!(ran.stderr.contains(reason) && ran.stderr.contains("team/os"), "{reason}: {ran:?}");
        assert!(state.lock().unwrap().manifests.is_empty());
    }
}

#[test]
fn a_destination_by_digest_or_without_its_scheme_is_none() {
    let builder = builder();
    for to in ["localhost:5000/team/os:1", &format!("docker://localhost:5000/os@sha256:{}", "a".repeat(64))] {
        let ran = builder.run(&["rechunk", "oci:image:os", "-o", to]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains("is no destination of an image"), "{ran:?}");
    }
}
