//! Which servers are spoken to, how, and what they get to see: mirrors, redirects, TLS, proxies.

use crate::support::faulty_registry::{Access, Fault, FaultyRegistry, Tokens};
use crate::support::image::{Built, bootable};
use crate::support::puller::Puller;
use crate::support::skip::skip;
use crate::support::tls::{Certificates, Clients, certificates};
use reroot::digest::Sha256;
use reroot::oci::Error;

fn layer_of(built: &Built) -> Sha256 {
    Sha256::of(&built.layers[0].bytes)
}

/// A registry with a password, and one that is only its storage.
fn registry_and_storage() -> (FaultyRegistry, FaultyRegistry, Puller, Built) {
    let (registry, storage, puller) = (FaultyRegistry::start(), FaultyRegistry::start(), Puller::new());
    let built = registry.push("v1", &bootable());
    storage.store(&built);
    registry.access(Access::Password("user", "hush"));
    puller.password(registry.address, "user", "hush");
    (registry, storage, puller, built)
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_port() {
    let (registry, storage, puller, built) = registry_and_storage();
    let layer = layer_of(&built);
    registry
        .fail(layer, [Fault::redirect(format!("http://{}/storage/{layer}?signature=x", storage.address))]);
    puller.pull(&registry.reference("v1")).unwrap();
    let seen = storage.seen("/storage/");
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
    assert!(seen[0].headers.values().all(|v| !v.contains("hush")));
}

#[test]
fn credentials_stay_on_a_redirect_within_the_server() {
    let (registry, _, puller, built) = registry_and_storage();
    let layer = layer_of(&built);
    registry.fail(layer, [Fault::redirect(format!("/v2/team/os/blobs/{layer}?second"))]);
    puller.pull(&registry.reference("v1")).unwrap();
    assert!(registry.seen("?second")[0].header("authorization").is_some());
}

#[test]
fn credentials_do_not_come_back_after_leaving() {
    let (registry, storage, puller, built) = registry_and_storage();
    let layer = layer_of(&built);
    registry.fail(layer, [Fault::redirect(format!("http://{}/storage/{layer}", storage.address))]);
    storage.fail(
        "/storage/",
        [Fault::redirect(format!("http://{}/v2/team/os/blobs/{layer}?back", registry.address))],
    );
    // Without credentials the registry refuses; asked again, it gives the blob itself.
    puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(registry.seen("?back")[0].header("authorization").is_none());
}

#[test]
fn an_interrupted_redirected_blob_asks_the_registry_again() {
    let (registry, storage, puller, built) = registry_and_storage();
    let layer = layer_of(&built);
    let to_storage = |n: u32| Fault::redirect(format!("http://{}/storage/{layer}?{n}", storage.address));
    registry.fail(layer, [to_storage(1), to_storage(2), to_storage(3)]);
    storage.fail("/storage/", [Fault::CutAfter(100), Fault::status(403)]);
    puller.pull(&registry.reference("v1")).unwrap();
    let paths: Vec<_> = storage
        .seen("/storage/")
        .iter()
        .map(|s| (s.path.clone(), s.header("range").map(str::to_owned)))
        .collect();
    let expected = [(1, None), (2, Some("bytes=100-")), (3, Some("bytes=100-"))];
    assert_eq!(paths, expected.map(|(n, range)| (format!("/storage/{layer}?{n}"), range.map(str::to_owned))));
}

#[test]
fn redirects_end() {
    let (registry, _, puller, _) = registry_and_storage();
    registry.fail("manifests/", std::iter::repeat_n(Fault::redirect("v1"), 50));
    let error = puller.pull_error(&registry.reference("v1"));
    assert!(error.contains("more than 10 redirects"), "{error}");
    // One refusal for want of a password.
    assert_eq!(registry.seen("manifests/v1").len(), 12);
}

#[test]
fn redirects_to_no_address_are_errors() {
    for (location, message) in [
        ("http://[broken/", "names no address"),
        ("ftp://127.0.0.1/x", "would leave HTTPS"),
        ("file:///etc/passwd", "would leave HTTPS"),
    ] {
        let (registry, puller) = (FaultyRegistry::start(), Puller::new());
        registry.fail("manifests/", [Fault::redirect(location)]);
        let error = puller.pull_error(&registry.reference("v1"));
        assert!(error.contains(message), "{error}");
    }
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    registry.fail("manifests/", [Fault::status(307)]);
    assert!(puller.pull_error(&registry.reference("v1")).contains("says not where to"));
}

#[test]
fn a_password_is_not_sent_to_a_realm_without_https() {
    // Not on this machine: the check comes before any connection.
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    registry.push("v1", &bootable());
    let realm = Some("http://registry.invalid/token".into());
    registry.access(Access::Token(Tokens { realm, ..Tokens::default() }));
    puller.password(registry.address, "user", "hush");
    let error = puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    assert!(error.to_string().contains("http://registry.invalid/token without HTTPS"), "{error}");
}

#[test]
fn mirrors_are_asked_in_order_and_the_primary_last() {
    let [first, second, primary] = std::array::from_fn(|_| FaultyRegistry::start());
    let puller = Puller::new();
    let built = primary.push("v1", &bootable());
    puller.registries_conf(&format!(
        "[[registry]]\nprefix='reg.example'\nlocation='{}'\n[[registry.mirror]]\nlocation='{}'\n[[registry.mirror]]\nlocation='{}'\n",
        primary.address, first.address, second.address
    ));
    // Only the primary has it.
    puller.pull("reg.example/team/os:v1").unwrap();
    assert_eq!((first.seen("manifests/").len(), second.seen("manifests/").len()), (1, 1));
    // The second has it now, but not the layer.
    second.push("v1", &bootable());
    second.fail(layer_of(&built), [Fault::status(404)]);
    let before = primary.seen("").len();
    puller.pull("reg.example/team/os:v1").unwrap();
    let asked: Vec<_> = primary.seen("")[before..].iter().map(|s| s.path.clone()).collect();
    assert_eq!(asked, ["/v2/".to_owned(), format!("/v2/team/os/blobs/{}", layer_of(&built))]);
}

#[test]
fn a_mirror_that_breaks_off_is_continued_by_the_next() {
    let (mirror, primary, puller) = (FaultyRegistry::start(), FaultyRegistry::start(), Puller::new());
    let built = mirror.push("v1", &bootable());
    primary.push("v1", &bootable());
    puller.registries_conf(&format!(
        "[[registry]]\nprefix='reg.example'\nlocation='{}'\n[[registry.mirror]]\nlocation='{}'\n",
        primary.address, mirror.address
    ));
    mirror.fail(layer_of(&built), [Fault::CutAfter(100), Fault::status(404)]);
    puller.pull("reg.example/team/os:v1").unwrap();
    assert_eq!(primary.seen(layer_of(&built))[0].header("range"), Some("bytes=100-"));
}

#[test]
fn credentials_of_a_registry_are_not_for_its_mirrors() {
    let (mirror, primary, puller) = (FaultyRegistry::start(), FaultyRegistry::start(), Puller::new());
    primary.push("v1", &bootable());
    mirror.access(Access::Password("user", "hush"));
    primary.access(Access::Password("user", "hush"));
    puller.password(primary.address, "user", "hush");
    puller.registries_conf(&format!(
        "[[registry]]\nlocation='{}'\n[[registry.mirror]]\nlocation='{}'\n",
        primary.address, mirror.address
    ));
    puller.pull(&primary.reference("v1")).unwrap();
    assert!(mirror.seen("").iter().all(|s| s.header("authorization").is_none()));
}

#[test]
fn a_blocked_registry_is_not_spoken_to() {
    let (registry, puller) = (FaultyRegistry::start(), Puller::new());
    puller.registries_conf(&format!("[[registry]]\nlocation='{}'\nblocked=true\n", registry.address));
    let error = puller.pull_error(&registry.reference("v1"));
    assert!(error.contains("blocked in registries.conf"), "{error}");
    assert!(registry.seen("").is_empty());
}

/// A registry with TLS and an image.
fn with_tls(clients: Clients) -> Option<(Certificates, FaultyRegistry, Puller)> {
    let certificates = match certificates() {
        Ok(certificates) => certificates,
        Err(reason) => {
            skip("registry_routes (with TLS)", reason);
            return None;
        }
    };
    let registry = FaultyRegistry::start_tls(certificates.server_config(clients));
    registry.push("v1", &bootable());
    Some((certificates, registry, Puller::new()))
}

fn certs_d(puller: &Puller, registry: &FaultyRegistry, name: &str, pem: Vec<u8>) {
    puller.write(&format!("etc/containers/certs.d/{}/{name}", registry.address), pem);
}

#[test]
fn a_certificate_is_trusted_when_its_authority_is() {
    let Some((certificates, registry, puller)) = with_tls(Clients::All) else { return };
    let error = puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate is not trusted"), "{error}");
    assert!(registry.seen("").is_empty(), "and nothing was said in plain HTTP");
    certs_d(&puller, &registry, "ca.crt", certificates.pem("ca.crt"));
    puller.pull(&registry.reference("v1")).unwrap();
}

#[test]
fn insecure_means_any_certificate() {
    let Some((_certificates, registry, puller)) = with_tls(Clients::All) else { return };
    puller.registries_conf(&format!("[[registry]]\nlocation='{}'\ninsecure=true\n", registry.address));
    puller.pull(&registry.reference("v1")).unwrap();
}

#[test]
fn a_token_server_is_reached_with_the_same_authorities() {
    let Some((certificates, registry, puller)) = with_tls(Clients::All) else { return };
    certs_d(&puller, &registry, "ca.crt", certificates.pem("ca.crt"));
    let realm = Some(format!("https://{}/token", registry.address));
    registry.access(Access::Token(Tokens { realm, ..Tokens::default() }));
    puller.pull(&registry.reference("v1")).unwrap();
    assert_eq!(registry.seen("/token").len(), 1);
}

#[test]
fn a_client_certificate_is_shown_where_it_is_wanted() {
    let Some((certificates, registry, puller)) = with_tls(Clients::Certified) else { return };
    certs_d(&puller, &registry, "ca.crt", certificates.pem("ca.crt"));
    assert!(matches!(puller.pull(&registry.reference("v1")), Err(Error::Network { .. })));
    certs_d(&puller, &registry, "me.cert", certificates.pem("client.crt"));
    let error = puller.pull(&registry.reference("v1")).unwrap_err();
    assert!(matches!(&error, Error::Configuration { .. }), "{error:?}");
    certs_d(&puller, &registry, "me.key", certificates.pem("client.key"));
    puller.pull(&registry.reference("v1")).unwrap();
    // For tokens too, which oci-client could not get here.
    let realm = Some(format!("https://{}/token", registry.address));
    registry.access(Access::Token(Tokens { realm, ..Tokens::default() }));
    puller.pull(&registry.reference("v1")).unwrap();
}

#[test]
fn certificates_that_are_none_are_named() {
    let Some((certificates, registry, puller)) = with_tls(Clients::All) else { return };
    certs_d(&puller, &registry, "ca.crt", b"nonsense".to_vec());
    let error = puller.pull_error(&registry.reference("v1"));
    assert!(error.contains("ca.crt: it has no certificate in PEM"), "{error}");
    certs_d(&puller, &registry, "ca.crt", certificates.pem("ca.crt"));
    certs_d(&puller, &registry, "me.cert", certificates.pem("client.crt"));
    certs_d(&puller, &registry, "me.key", b"nonsense".to_vec());
    let error = puller.pull_error(&registry.reference("v1"));
    assert!(error.contains("me.cert: the client certificate or its key cannot be used"), "{error}");
}

#[test]
fn https_never_becomes_http() {
    let Some((certificates, registry, puller)) = with_tls(Clients::All) else { return };
    let plain = FaultyRegistry::start();
    plain.push("v1", &bootable());
    certs_d(&puller, &registry, "ca.crt", certificates.pem("ca.crt"));
    registry
        .fail("manifests/", [Fault::redirect(format!("http://{}/v2/team/os/manifests/v1", plain.address))]);
    let error = puller.pull_error(&registry.reference("v1"));
    assert!(error.contains("would leave HTTPS"), "{error}");
    assert!(plain.seen("").is_empty());
}

#[test]
fn a_proxy_is_used_but_not_for_this_machine() {
    // A registry is a fine proxy for requests in plain HTTP: they carry the whole address.
    let (proxy, registry, mut puller) = (FaultyRegistry::start(), FaultyRegistry::start(), Puller::new());
    registry.push("v1", &bootable());
    puller.env.vars.insert("HTTP_PROXY".into(), format!("http://{}", proxy.address));
    puller.env.vars.insert("HTTPS_PROXY".into(), format!("http://{}", proxy.address));
    puller.pull(&registry.reference("v1")).unwrap();
    assert!(proxy.seen("").is_empty());
    puller.registries_conf("[[registry]]\nlocation='registry.invalid'\ninsecure=true\n");
    puller.pull("registry.invalid/team/os:v1").unwrap_err();
    let (connects, gets) = (proxy.seen("registry.invalid:443"), proxy.seen("http://registry.invalid/v2/"));
    assert_eq!(connects[0].method, "CONNECT");
    assert_eq!(gets[0].method, "GET");
    let before = proxy.seen("").len();
    puller.env.vars.insert("NO_PROXY".into(), "other.example,.invalid".into());
    puller.pull("registry.invalid/team/os:v1").unwrap_err();
    assert_eq!(proxy.seen("").len(), before);
}
