//! Short names.

use super::RegistriesConf;
use crate::oci::{Error, RegistryReference, Result, ShortName};

impl RegistriesConf {
    /// The full reference that an alias makes of a short name. Without an alias it is an error: guessing a
    /// registry would hand the choice of the system to whoever registers the name there first.
    pub fn resolve_alias(&self, short: &ShortName) -> Result<RegistryReference> {
        let unknown = || Error::InvalidReference {
            text: short.name.clone(),
            reason: "it names no registry and no alias in registries.conf does; write HOST/NAME".into(),
        };
        let target = self.aliases.get(&short.name).filter(|target| !target.is_empty()).ok_or_else(unknown)?;
        match format!("docker://{target}").parse()? {
            crate::oci::ImageReference::Registry(full) => {
                Ok(RegistryReference { tag: short.tag.clone(), digest: short.digest, ..full })
            }
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::ImageReference;

    #[test]
    fn only_aliases_resolve_short_names() {
        let conf = RegistriesConf::from_text(
            "unqualified-search-registries=['docker.io']\n[aliases]\ndebian='docker.io/library/debian'\ngone=''",
        );
        let conf = conf.unwrap();
        let resolve = |text: &str| {
            let Ok(ImageReference::ShortName(short)) = text.parse() else { panic!("{text}") };
            conf.resolve_alias(&short)
                .map(|full| ImageReference::Registry(full).to_string())
                .map_err(|e| e.to_string())
        };
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(resolve("debian").unwrap(), "docker://docker.io/library/debian:latest");
        assert_eq!(resolve("debian:13").unwrap(), "docker://docker.io/library/debian:13");
        assert_eq!(
            resolve(&format!("debian@{digest}")).unwrap(),
            format!("docker://docker.io/library/debian@{digest}")
        );
        for unknown in ["fedora", "gone"] {
            assert!(resolve(unknown).unwrap_err().contains("names no registry"), "{unknown}");
        }
    }
}
