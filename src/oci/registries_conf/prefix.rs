//! Does the prefix of a rule apply to a name (containers-registries.conf(5), "Choosing a `[[registry]]` TOML
//! table")?

/// The length of the part of `name` (`host/repository[:tag][@digest]`) that `prefix` stands for. A prefix ends
/// where a component of the name ends, so `example.com/foo` does not stand for `example.com/foobar`;
/// `*.example.com` stands for every host below, not for `example.com`.
///
/// As in the tools that share the file, a host without a port stands for all its ports: what is blocked stays
/// blocked when somebody writes `:443`.
pub fn matched(name: &str, prefix: &str) -> Option<usize> {
    let end = match prefix.strip_prefix('*') {
        Some(domain) => {
            let host = name.split('/').next().unwrap_or_default();
            let at = host.find(domain).filter(|_| domain.starts_with('.'))?;
            at + domain.len()
        }
        None => name.starts_with(prefix).then_some(prefix.len())?,
    };
    matches!(name.as_bytes().get(end), None | Some(b':' | b'/' | b'@')).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_component_ends() {
        for (name, prefix, expected) in [
            ("example.com/foo:1", "example.com", Some(11)),
            ("example.com/foo:1", "example.com/foo", Some(15)),
            ("example.com/foo:1", "example.com/foo:1", Some(17)),
            ("example.com/foo@sha256:ab", "example.com/foo", Some(15)),
            ("example.com/foobar:1", "example.com/foo", None),
            ("example.com/foo:12", "example.com/foo:1", None),
            ("example.com:5000/foo:1", "example.com", Some(11)),
            ("example.com:5000/foo:1", "example.com:5000", Some(16)),
            ("example.com/foo:1", "example.com:5000", None),
            ("example.org/foo:1", "example.com", None),
            ("a.example.com/foo:1", "*.example.com", Some(13)),
            ("a.b.example.com:5000/foo:1", "*.example.com", Some(15)),
            ("example.com/foo:1", "*.example.com", None),
            ("other.org/a.example.com/x:1", "*.example.com", None),
            ("a.example.community/foo:1", "*.example.com", None),
        ] {
            assert_eq!(matched(name, prefix), expected, "{name} {prefix}");
        }
    }
}
