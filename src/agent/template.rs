//! Addresses with variables: `https://updates.example.com/${stream}/${arch}`.

use super::identity::Identity;
use crate::names::printable;

type Value = fn(&Identity) -> &str;

/// What may stand in an address, and what it stands for.
const VARIABLES: [(&str, Value); 5] = [
    ("arch", |identity| &identity.arch),
    ("basearch", |identity| basearch(&identity.arch)),
    ("group", |identity| &identity.group),
    ("platform", |identity| &identity.platform),
    ("stream", |identity| &identity.stream),
];

/// Puts the host's values for `${…}` into an address. They are escaped: none of them makes another path or query. A variable
/// that does not exist, or has no end, is an error that says what there is.
pub fn expand(template: &str, identity: &Identity) -> Result<String, String> {
    let mut expanded = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("`${` has no `}`")?;
        let variable = VARIABLES.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            let known: Vec<_> = VARIABLES.iter().map(|(name, _)| format!("${{{name}}}")).collect();
            format!("`${{{}}}` is no variable; there are {}", printable(name.as_bytes()), known.join(", "))
        })?;
        expanded += before;
        expanded += &escaped(variable.1(identity));
        rest = after;
    }
    Ok(expanded + rest)
}

/// Whether an address can be expanded.
pub fn check(template: &str) -> Result<(), String> {
    let nobody = Identity {
        node_id: String::new(),
        group: String::new(),
        arch: String::new(),
        platform: String::new(),
        stream: String::new(),
        wariness: None,
    };
    expand(template, &nobody).map(drop)
}

/// Fedora's and Cincinnati's name of an architecture, from that of images; others are the same in both.
pub fn basearch(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}

/// Percent-encodes what is not unreserved (RFC 3986, section 2.3).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => escaped.push(b.into()),
            b => escaped += &format!("%{b:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            node_id: "e0f3745b108f471cbd4883c6fbed8cdd".into(),
            group: "workers".into(),
            arch: "amd64".into(),
            platform: "metal".into(),
            stream: "../a b?".into(),
            wariness: None,
        }
    }

    #[test]
    fn variables_become_values() {
        let expand = |template| expand(template, &identity());
        for (template, expected) in [
            ("https://x/", "https://x/"),
            ("https://x/${group}/${arch}/${basearch}", "https://x/workers/amd64/x86_64"),
            ("https://${platform}.x/$a}${group}", "https://metal.x/$a}workers"),
            ("https://x/${stream}", "https://x/..%2Fa%20b%3F"),
        ] {
            assert_eq!(expand(template).as_deref(), Ok(expected));
        }
        assert_eq!(
            expand("https://x/${groupe}").unwrap_err(),
            "`${groupe}` is no variable; there are ${arch}, ${basearch}, ${group}, ${platform}, ${stream}"
        );
        assert_eq!(expand("https://x/${group").unwrap_err(), "`${` has no `}`");
    }
}
