//! Lists of tags, from servers that have many, and from servers that mean no good.

use crate::support::faulty_registry::{Access, Fault, FaultyRegistry, Tokens};
use crate::support::image::{Layout, bootable};
use crate::support::puller::Puller;
use crate::support::registry::{self, Registry};
use crate::support::skip::skip;
use reroot::oci::source::ImageSource;
use reroot::oci::{self, Error};

fn tags(registry: &FaultyRegistry) -> Result<Vec<String>, Error> {
    Puller::new().source(&registry.reference("any"))?.tags()
}

/// An answer with a page and where the next one is.
fn page(tags: &[&str], next: Option<&str>) -> Fault {
    let link = next.map(|next| ("Link", format!("<{next}>; rel=\"next\"")));
    let body = serde_json::json!({"name": "team/os", "tags": tags}).to_string();
    Fault::Status(200, link.into_iter().collect(), body)
}

#[test]
fn all_pages_are_read_and_what_is_no_tag_is_left_away() {
    let registry = FaultyRegistry::start();
    registry.fail(
        "tags/list",
        [
            page(&["v2", "v10", "latest"], Some("/v2/team/os/tags/list?n=3&last=v10")),
            page(
                &["v1", "v2", "no tag", "\u{1b}[2J"],
                Some("https://elsewhere.invalid/v2/x/tags/list?last=v9"),
            ),
            Fault::Status(200, Vec::new(), r#"{"name":"team/os","tags":null}"#.into()),
        ],
    );
    assert_eq!(tags(&registry).unwrap(), ["latest", "v1", "v10", "v2"]);
    let paths: Vec<_> = registry.seen("tags/list").into_iter().map(|seen| seen.path).collect();
    let expected =
        ["n=1000", "n=3&last=v10", "last=v9"].map(|query| format!("/v2/team/os/tags/list?{query}"));
    assert_eq!(paths, expected);
}

#[test]
fn tokens_are_got_for_tags_too() {
    let registry = FaultyRegistry::start();
    registry.access(Access::Token(Tokens::default()));
    registry.fail("tags/list", [page(&["v1"], None)]);
    assert_eq!(tags(&registry).unwrap(), ["v1"]);
}

#[test]
fn a_passing_failure_is_tried_again() {
    let registry = FaultyRegistry::start();
    registry.fail("tags/list", [Fault::status(503), Fault::Reset, page(&["v1"], None)]);
    assert_eq!(tags(&registry).unwrap(), ["v1"]);
}

#[test]
fn a_list_that_means_no_good_is_an_error() {
    let registry = FaultyRegistry::start();
    let query = |n: usize| format!("?page={n}");
    let many: Vec<String> = (0..60_000).map(|n| format!("v{n}")).collect();
    let more: Vec<String> = (60_000..120_000).map(|n| format!("v{n}")).collect();
    let [many, more] = [&many, &more].map(|list| list.iter().map(String::as_str).collect::<Vec<_>>());
    for (faults, message) in [
        (vec![page(&["a"], Some("?x")), page(&["b"], Some("?x"))], "its page `x` leads back to itself"),
        (vec![page(&["a"], Some("?n=1000"))], "its page `n=1000` leads back to itself"),
        ((0..2001).map(|n| page(&[], Some(&query(n)))).collect(), "it has more than 2000 pages"),
        (vec![page(&many, Some("?x")), page(&more, None)], "it has more than 100000 tags"),
        (vec![Fault::Endless], "more than the limit of 4194304"),
        (vec![Fault::Body(b"<html>".to_vec())], "is malformed: expected value"),
        (vec![Fault::status(404)], "does not exist"),
        (vec![Fault::status(403)], "403"),
    ] {
        registry.fail("tags/list", faults);
        let error = tags(&registry).unwrap_err().to_string();
        assert!(error.contains(message), "{message}: {error}");
        assert!(error.contains(&registry.address.to_string()), "{error}");
    }
}

#[test]
fn a_real_registry_and_a_directory_give_the_same_list() {
    let test = "registry_tags::a_real_registry_and_a_directory_give_the_same_list";
    let (directory, puller) = (tempfile::tempdir().unwrap(), Puller::new());
    let mut layout = Layout::new(directory.path().join("layout"));
    for tag in ["1.10.0", "1.9.0", "2026.11.3", "latest"] {
        layout.tag(tag, &bootable());
    }
    let expected = ["1.10.0", "1.9.0", "2026.11.3", "latest"];
    let local = oci::open(&layout.reference("latest").parse().unwrap(), &puller.env).unwrap();
    assert_eq!(local.tags().unwrap(), expected);
    if let Some(reason) = registry::obstacle() {
        return skip(test, reason);
    }
    let registry = Registry::start(&directory.path().join("storage"), registry::Access::Plain);
    for tag in expected {
        registry.push(&layout.reference(tag), &format!("team/os:{tag}"));
    }
    let source = puller.source(&format!("{}/team/os", registry.host)).unwrap();
    assert_eq!(source.tags().unwrap(), expected);
    let error = puller.source(&format!("{}/team/none", registry.host)).unwrap().tags().unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}
