//! Failed requests in words that have no secrets in them.

use std::error::Error as _;

use reqwest::Url;

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Its certificate is not trusted.
    Certificate,
    /// TLS could not be agreed upon.
    Tls,
    /// There was no connection.
    Connect,
    TimedOut,
    /// A redirect that is not followed.
    Redirect,
    /// It could not even be sent.
    Request,
    /// It broke off.
    Interrupted,
}

/// How a request failed, and why in words.
pub fn trouble(error: &reqwest::Error) -> (Trouble, String) {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(tls) = tls_error(inner) {
            return match tls {
                rustls::Error::InvalidCertificate(certificate) => {
                    (Trouble::Certificate, bad_certificate(certificate))
                }
                other => (Trouble::Tls, format!("TLS: {other}")),
            };
        }
        cause = inner.source();
    }
    let kind = if error.is_timeout() {
        Trouble::TimedOut
    } else if error.is_connect() {
        Trouble::Connect
    } else if error.is_redirect() {
        Trouble::Redirect
    } else if error.is_builder() {
        Trouble::Request
    } else {
        Trouble::Interrupted
    };
    (kind, reason(error))
}

/// TLS errors travel inside I/O errors, which may be nested and do not give what they carry as their source.
fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    let carried: &(dyn std::error::Error + 'static) = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    tls_error(carried)
}

fn bad_certificate(error: &rustls::CertificateError) -> String {
    use rustls::CertificateError as E;
    let hint = match error {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            "; is this machine's clock right?"
        }
        E::UnknownIssuer => "; an authority of your own belongs into /etc/containers/certs.d/HOST/ca.crt",
        _ => "",
    };
    format!("its certificate is not trusted: {error}{hint}")
}

/// The innermost causes without the address, whose query may be a secret.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut texts: Vec<String> = Vec::new();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Layers of the HTTP library like to repeat each other.
        if texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
        cause = inner.source();
    }
    match texts.is_empty() {
        false => texts.join(": "),
        true if error.is_timeout() => "timed out".into(),
        true => "the request failed".into(),
    }
}

/// An address without user, query and fragment, which may be secrets.
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
    let text = format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path());
    crate::names::printable(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let url = Url::parse("https://user:secret@host:8443/path?signature=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://host:8443/path");
    }
}
