//! The tags of a repository (distribution-spec, "Content Discovery").
//!
//! A server gives them page by page, and says in `Link` where the next page is. Of that only the query is used: the next page
//! is where this one is, whatever scheme and host a server behind a proxy believes to have.

use std::collections::{BTreeSet, HashSet};

use reqwest::Url;
use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;

use super::server::{Request, Server};
use super::stall::Meter;
use crate::names::printable;
use crate::oci::limits::{DOCUMENT_BYTES, TAGS};
use crate::oci::reference::is_tag;
use crate::oci::{Error, Result};

/// Tags that are asked for in one page. Servers may give fewer.
const PAGE: usize = 1000;
/// Pages of one list, however small a server makes them.
const PAGES: usize = 2000;

#[derive(Deserialize)]
struct List {
    /// Some servers have `null` for none.
    tags: Option<Vec<String>>,
}

impl Server {
    /// All tags of the repository, sorted by their bytes. What cannot be a tag is left away.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let what = format!("the list of tags of {}", self.name());
        let malformed = |reason: String| Error::malformed(&what, reason);
        let mut tags = BTreeSet::new();
        let mut query = format!("n={PAGE}");
        let mut asked = HashSet::new();
        while asked.insert(query.clone()) {
            if asked.len() > PAGES {
                return Err(malformed(format!("it has more than {PAGES} pages")));
            }
            let (list, next) = self.page(&query, &what).await?;
            tags.extend(list.tags.unwrap_or_default().into_iter().filter(|tag| is_tag(tag)));
            if tags.len() > TAGS {
                return Err(malformed(format!("it has more than {TAGS} tags")));
            }
            match next {
                None => return Ok(tags.into_iter().collect()),
                Some(next) => query = next,
            }
        }
        Err(malformed(format!("its page `{}` leads back to itself", printable(query.as_bytes()))))
    }

    /// One page, and the query of the next.
    async fn page(&self, query: &str, what: &str) -> Result<(List, Option<String>)> {
        let mut attempts = self.attempts();
        loop {
            let attempt = async {
                let path = format!("tags/list?{query}");
                let response = self.send(&Request::get(path, what)).await?;
                let next = next(response.headers(), response.url());
                let body = Meter::new(self.options.timeouts).read_all(response, DOCUMENT_BYTES, what).await?;
                let list = serde_json::from_slice::<List>(&body)
                    .map_err(|e| Error::malformed(what, printable(e.to_string().as_bytes())))?;
                Ok((list, next))
            };
            match attempt.await {
                Ok(page) => return Ok(page),
                Err(failure) => attempts.after(failure).await?,
            }
        }
    }
}

/// The query of the address that `Link` calls the next (RFC 8288).
fn next(headers: &HeaderMap, url: &Url) -> Option<String> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
        let (address, parameters) = value.trim_start().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        };
        parameters
            .split([';', ','])
            .any(is_next)
            .then(|| url.join(address).ok()?.query().map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_next_page_is_found_in_every_form() {
        let url = Url::parse("http://registry/v2/a/b/tags/list?n=2").unwrap();
        for (link, expected) in [
            (r#"</v2/a/b/tags/list?last=x&n=2>; rel="next""#, Some("last=x&n=2")),
            (r#"<https://other/v2/a/b/tags/list?last=x>;rel=next"#, Some("last=x")),
            (r#"<?last=y>; title="a"; REL="Next""#, Some("last=y")),
            (r#"</v2/a/b/tags/list?last=x>; rel="prev""#, None),
            (r#"</v2/a/b/tags/list>; rel="next""#, None),
            ("/v2/a/b/tags/list?last=x", None),
            ("<", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(LINK, HeaderValue::from_static(link));
            assert_eq!(next(&headers, &url).as_deref(), expected, "{link}");
        }
    }
}
