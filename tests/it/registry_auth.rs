//! Being let in.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::faulty_registry::{Access, Fault, FaultyRegistry, Tokens, basic};
use crate::support::image::bootable;
use crate::support::puller::Puller;
use reroot::oci::Error;

fn scene(access: Access) -> (FaultyRegistry, Puller) {
    let registry = FaultyRegistry::start();
    registry.push("v1", &bootable());
    registry.access(access);
    (registry, Puller::new())
}

fn tokens() -> Tokens {
    Tokens::default()
}

#[test]
fn a_password_is_given_when_it_is_asked_for() {
    let (registry, puller) = scene(Access::Password("user", "pass:word"));
    puller.password(registry.address, "user", "pass:word");
    puller.pull(&registry.reference("v1")).unwrap();
    let seen = registry.seen("/team/os/");
    assert_eq!(seen[0].header("authorization"), None);
    assert!(seen[1..].iter().all(|s| s.header("authorization") == Some(&basic("user", "pass:word"))));
    assert_eq!(seen.len(), 4, "one refusal, manifest, config, layer");
}

#[test]
fn a_wrong_password_is_tried_once_and_a_missing_one_is_said() {
    let (registry, puller) = scene(Access::Password("user", "right"));
    let error = puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(error.to_string().contains("no credentials for it are configured"), "{error}");
    puller.password(registry.address, "user", "wrong");
    let error = puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(error.to_string().contains("authentication required"), "{error}");
    assert!(!error.to_string().contains("wrong"));
    assert_eq!(registry.seen("manifests/").len(), 3);
    assert!(puller.waits().is_empty());
}

#[test]
fn credentials_of_the_namespace_are_used() {
    let (registry, puller) = scene(Access::Password("team", "p"));
    let host = registry.address;
    let auth = |user: &str| serde_json::json!({"auth": basic(user, "p")[6..]});
    let auths = serde_json::json!({"auths": {
        host.to_string(): auth("host"), format!("{host}/team"): auth("team"), format!("{host}/other"): auth("other"),
    }});
    puller.write("etc/reroot/auth.json", auths.to_string());
    puller.pull(&registry.reference("v1")).unwrap();
}

#[test]
fn a_token_is_fetched_once_for_all_requests() {
    let (registry, puller) = scene(Access::Token(tokens()));
    puller.pull(&registry.reference("v1")).unwrap();
    let fetched = registry.seen("/token");
    assert_eq!(fetched.len(), 1);
    assert_eq!(fetched[0].header("authorization"), None);
    let query = &fetched[0].path;
    assert!(
        query.contains("service=registry%2C+here") && query.contains("scope=repository%3Ateam%2Fos%3Apull"),
        "{query}"
    );
}

#[test]
fn a_token_is_fetched_with_the_password() {
    let (registry, puller) = scene(Access::Token(Tokens { password: Some(("u", "p")), ..tokens() }));
    let error = puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(error.to_string().contains("wrong user or password"), "{error}");
    puller.password(registry.address, "u", "p");
    puller.pull(&registry.reference("v1")).unwrap();
    let to_registry = registry.seen("/team/os/");
    assert!(to_registry.iter().all(|s| !s.header("authorization").unwrap_or_default().starts_with("Basic")));
}

#[test]
fn an_identity_token_is_exchanged() {
    let (registry, puller) =
        scene(Access::Token(Tokens { refresh: Some("refresh-me"), password: Some(("u", "p")), ..tokens() }));
    puller.identity_token(registry.address, "refresh-me");
    puller.pull(&registry.reference("v1")).unwrap();
    let fetched = registry.seen("/token");
    assert_eq!((fetched.len(), fetched[0].method.as_str()), (1, "POST"));
    for field in
        ["grant_type=refresh_token", "scope=repository%3Ateam%2Fos%3Apull", "service=registry%2C+here"]
    {
        assert!(fetched[0].body.contains(field), "{}", fetched[0].body);
    }
    // It is for the realm alone.
    assert!(registry.seen("/team/").iter().all(|s| !s.headers.values().any(|v| v.contains("refresh-me"))));
}

#[test]
fn another_scope_is_asked_for_as_the_registry_wants_it() {
    let (registry, puller) =
        scene(Access::Token(Tokens { scope: Some("repository:real/name:pull"), ..tokens() }));
    puller.pull(&registry.reference("v1")).unwrap();
    assert!(registry.seen("/token")[0].path.contains("scope=repository%3Areal%2Fname%3Apull"));
}

#[test]
fn a_token_server_in_trouble_is_asked_again_when_it_says() {
    let (registry, puller) = scene(Access::Token(tokens()));
    registry.fail(
        "/token",
        [
            // To oci-client, which hides why; then to us.
            Fault::status(503),
            Fault::retry_after(429, "17"),
            Fault::Reset,
            Fault::retry_after(503, "19"),
        ],
    );
    puller.pull(&registry.reference("v1")).unwrap();
    assert_eq!(puller.waits(), [17, 19]);
}

#[test]
fn what_is_no_token_is_refused() {
    let (registry, puller) = scene(Access::Token(tokens()));
    for answer in ["{}", "[]", "{\"token\":\"\"}", "{\"token\":\"a\\nb\"}"] {
        let fault = || Fault::Body(answer.into());
        registry.fail("/token", [fault(), fault()]);
        let error = puller.pull(&registry.reference("v1")).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. } | Error::Unauthorized { .. }), "{error:?}");
    }
}

#[test]
fn tokens_that_do_not_help_are_not_fetched_for_ever() {
    let (registry, puller) = scene(Access::Token(Tokens { uses: Some(0), ..tokens() }));
    let error = puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert_eq!(registry.seen("/token").len(), 1);
    assert_eq!(registry.seen("manifests/").len(), 2);
}

#[test]
fn a_token_that_was_taken_back_is_renewed() {
    let (registry, puller) = scene(Access::Token(tokens()));
    let (source, image) = puller.resolve(&registry.reference("v1")).unwrap();
    registry.expire_tokens();
    crate::support::puller::read_blob(&source, &image.layers[0]).unwrap();
    assert_eq!(registry.seen("/token").len(), 2);
}

#[test]
fn a_helper_is_asked_for_the_password() {
    let (registry, mut puller) = scene(Access::Password("helped", "secret"));
    let script = "#!/bin/sh\nread server\nprintf '{\"ServerURL\":\"%s\",\"Username\":\"helped\",\"Secret\":\"secret\"}' \"$server\"\n";
    let helper = puller.write("bin/docker-credential-test", script);
    fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", helper.parent().unwrap().display());
    puller.env.vars.insert("PATH".into(), path);
    let conf = serde_json::json!({"credHelpers": {registry.address.to_string(): "test"}});
    puller.write("etc/reroot/auth.json", conf.to_string());
    puller.pull(&registry.reference("v1")).unwrap();
}
