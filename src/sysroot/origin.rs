//! `<N>.origin`: what a deployment follows. TOML; people may read and edit it.
//!
//! ```toml
//! [image]
//! reference = "docker://quay.io/acme/os:stable"   # what `upgrade` looks for
//! digest = "sha256:…"                             # the manifest that was deployed
//!
//! [kernel]
//! arguments = ["console=ttyS0"]                   # this machine's own, kept by upgrades
//! removed = ["quiet"]                             # what the image brings and this machine does not want; as well
//! ```
//!
//! `removed` came later than the rest; a file without it has removed nothing.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Error, Result};
use crate::digest::Sha256;
use crate::names::{NameError, printable};

/// What a deployment follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The image reference as written; images are not known here, so it is parsed by whoever follows it.
    pub reference: String,
    /// The manifest that was deployed.
    pub digest: Sha256,
    /// Kernel arguments of this machine, added to those of the image.
    pub kernel_arguments: Vec<KernelArgument>,
    /// Kernel arguments that the image or a file of the machine brings, and that are taken off.
    pub removed_arguments: Vec<KernelArgument>,
}

/// One kernel argument as it goes into a boot entry: no control characters, not empty, and not `reroot`, which
/// names the deployment and is ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct KernelArgument(String);

impl KernelArgument {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KernelArgument {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let error =
            |reason| Err(NameError { kind: "kernel argument", name: printable(text.as_bytes()), reason });
        if text.trim().is_empty() {
            return error("it is empty");
        }
        if text.chars().any(char::is_control) {
            return error("it has control characters");
        }
        // The kernel takes quotes off that surround an argument.
        if text.trim_start_matches('"').split('=').next() == Some("reroot") {
            return error("`reroot` is set by reroot itself");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for KernelArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
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
    arguments: Vec<Spanned<String>>,
    #[serde(default)]
    removed: Vec<Spanned<String>>,
}

impl Origin {
    /// Parses the text of an origin file; `file` names it in errors, which give the line.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let File { image, kernel } = toml::from_str(text).map_err(|error| Error::Invalid {
            file: file.into(),
            line: line_of(text, error.span()),
            reason: error.message().into(),
        })?;
        let argument = |argument: Spanned<String>| {
            argument.get_ref().parse().map_err(|error: NameError| Error::Invalid {
                file: file.into(),
                line: line_of(text, Some(argument.span())),
                reason: error.to_string(),
            })
        };
        let arguments = |list: Vec<_>| list.into_iter().map(argument).collect::<Result<_>>();
        Ok(Self {
            reference: image.reference,
            digest: image.digest,
            kernel_arguments: arguments(kernel.arguments)?,
            removed_arguments: arguments(kernel.removed)?,
        })
    }

    /// The text of the origin file.
    pub fn print(&self) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let list = |arguments: &[KernelArgument]| {
            arguments.iter().map(|a| quoted(a.as_str())).collect::<Vec<_>>().join(", ")
        };
        let mut text = format!(
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
            list(&self.kernel_arguments),
        );
        if !self.removed_arguments.is_empty() {
            text += "# Of what the image and /etc/reroot/kargs.d bring: not on this machine.\n";
            text += &format!("removed = [{}]\n", list(&self.removed_arguments));
        }
        text
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
    const ORIGIN_V1_WITH_REMOVED: &str = include_str!("../../fixtures/state/v1/8.origin");

    #[test]
    fn the_first_format_reads_and_prints_for_ever() {
        let origin = Origin::parse(ORIGIN_V1, "7.origin").unwrap();
        let arguments: Vec<_> = origin.kernel_arguments.iter().map(KernelArgument::as_str).collect();
        assert_eq!(arguments, ["console=ttyS0,115200", "quiet"]);
        assert!(origin.removed_arguments.is_empty());
        assert_eq!(origin.print(), ORIGIN_V1);
        let origin = Origin::parse(ORIGIN_V1_WITH_REMOVED, "8.origin").unwrap();
        assert_eq!(origin.removed_arguments, ["quiet".parse().unwrap()]);
        assert_eq!(origin.print(), ORIGIN_V1_WITH_REMOVED);
    }

    #[test]
    fn odd_text_survives_quoting() {
        let origin = Origin {
            reference: "oci:/srv/\"a\"\\b\n".into(),
            digest: Sha256::of(b""),
            kernel_arguments: vec!["a=\"b c\"".parse().unwrap(), "ä'".parse().unwrap()],
            removed_arguments: vec!["d=\"e f\"".parse().unwrap()],
        };
        assert_eq!(Origin::parse(&origin.print(), "1.origin").unwrap(), origin);
    }

    #[test]
    fn arguments_that_could_change_what_boots_are_refused() {
        for bad in ["", " ", "a\nlinux /x", "reroot=/x", "\"reroot=/x y\"", "reroot", "a\u{7f}"] {
            assert!(bad.parse::<KernelArgument>().is_err(), "{bad:?}");
        }
        let digest = Sha256::of(b"");
        let text =
            format!("[image]\nreference='a'\ndigest='{digest}'\n[kernel]\narguments=[\n'ok',\n'reroot=x']\n");
        let error = Origin::parse(&text, "o").unwrap_err().to_string();
        let expected = "o:7: `reroot=x` is not a valid kernel argument: `reroot` is set by reroot itself";
        assert_eq!(error, expected);
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
