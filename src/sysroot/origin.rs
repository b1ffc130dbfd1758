//! `<N>.origin`: what a deployment follows. TOML; people may read and edit it.
//!
//! ```toml
//! [image]
//! reference = "docker://quay.io/acme/os:stable"   # what `upgrade` looks for
//! digest = "sha256:…"                             # the manifest that was deployed
//!
//! [kernel]
//! arguments = ["console=ttyS0"]                   # this machine's own, kept by upgrades
//! ```

use serde::Deserialize;

use super::{Error, Result};
use crate::digest::Sha256;

/// What a deployment follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The image reference as written; images are not known here, so it is parsed by whoever follows it.
    pub reference: String,
    /// The manifest that was deployed.
    pub digest: Sha256,
    /// Kernel arguments of this machine, added to those of the image.
    pub kernel_arguments: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    image: Image,
    #[serde(default)]
    kernel: Kernel,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    reference: String,
    digest: Sha256,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Kernel {
    #[serde(default)]
    arguments: Vec<String>,
}

impl Origin {
    /// Parses the text of an origin file; `file` names it in errors, which give the line.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let File { image, kernel } = toml::from_str(text).map_err(|error| Error::Invalid {
            file: file.into(),
            line: line_of(text, error.span()),
            reason: error.message().into(),
        })?;
        Ok(Self { reference: image.reference, digest: image.digest, kernel_arguments: kernel.arguments })
    }

    /// The text of the origin file.
    pub fn print(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let arguments: Vec<_> = self.kernel_arguments.iter().map(|a| quoted(a)).collect();
        format!(
            "# What this deployment follows. `reroot upgrade` reads it; you may edit it.\n\
             \n\
             [image]\n\
             reference = {}\n\
             # The manifest that was deployed.\n\
             digest = {}\n\
             \n\
             [kernel]\n\
             # Added to the image's own kernel arguments on this machine.\n\
             arguments = [{}]\n",
            quoted(&self.reference),
            quoted(&self.digest.to_string()),
            arguments.join(", "),
        )
    }
}

/// The line, counted from 1, on which a span starts.
pub fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let start = span.map_or(0, |s| s.start).min(text.len());
    text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN_V1: &str = include_str!("../../fixtures/state/v1/7.origin");

    #[test]
    fn the_first_format_reads_and_prints_for_ever() {
        let origin = Origin::parse(ORIGIN_V1, "7.origin").unwrap();
        assert_eq!(origin.kernel_arguments, ["console=ttyS0,115200", "quiet"]);
        assert_eq!(origin.print(), ORIGIN_V1);
    }

    #[test]
    fn odd_text_survives_quoting() {
        let origin = Origin {
            reference: "oci:/srv/\"a\"\\b\n".into(),
            digest: Sha256::of(b""),
            kernel_arguments: vec!["a=\"b c\"".into(), "ä'".into()],
        };
        assert_eq!(Origin::parse(&origin.print(), "1.origin").unwrap(), origin);
    }

    #[test]
    fn mistakes_are_named_by_file_and_line() {
        let digest = Sha256::of(b"");
        for (text, expected) in [
            (
                format!("[image]\nreference='a'\ndigest='{digest}'\n\nrefernce='b'\n"),
                "o:5: unknown field `refernce`",
            ),
            (format!("[image]\nreference=\ndigest='{digest}'\n"), "o:2: "),
            ("[image]\nreference='a'\ndigest='sha256:zz'\n".into(), "o:3: "),
            ("[image]\nreference='a'\n".into(), "o:1: missing field `digest`"),
            ("".into(), "o:1: missing field `image`"),
            (
                format!("[image]\nreference='a'\ndigest='{digest}'\n[kernel]\nargs=[]\n"),
                "o:5: unknown field `args`",
            ),
        ] {
            let error = Origin::parse(&text, "o").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
