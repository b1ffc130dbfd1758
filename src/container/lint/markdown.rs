//! The page of the documentation about every lint.

use super::{LINTS, Needs};

const INTRODUCTION: &str = "\
It looks at an image, wherever that is, or at a directory with an unpacked root, needs no privileges and runs nothing of what it
looks at. The last line of a Containerfile can be `RUN reroot container lint --fatal-warnings`. It ends with 1 when there is an error, or with
`--fatal-warnings` a warning; with 2 when it was called wrongly. When there is nothing to look at it ends as `reroot image pull` does
([exit codes](exit-codes.md)), says why on stderr, and prints no report.

What an image is allowed stands in the image itself, in `/usr/lib/reroot/lint.toml`, or in a file that `--config` names:

```toml
skip = [\"var-log\"]              # not looked for at all
fatal-warnings = true

[level]
names = \"error\"                # or \"warning\"

[[allow]]                        # a finding that is none
lint = \"credentials\"
path = \"/etc/containers/auth.json\"   # `*` within a name, `**` for any number of them; without it all of the lint
reason = \"a token that may only pull\"
```

`--format json` prints one object: `version` (1), `name`, `errors`, `warnings`, `allowed`, and `lints` in the order below, each with `id`,
`level`, `outcome` (`passed`, `found`, `skipped`), `skipped` (why) and `findings` with `path` and `message`. `--format sarif` is SARIF
2.1.0 for code scanning, `--format github` makes annotations of a GitHub workflow.
";

/// The whole page, `docs/lints.md`.
pub fn markdown() -> String {
    let mut out = format!(
        "# Lints\n\nWhat `reroot container lint` looks for, in the order in which it reports. This page is made from the code:\n\
         `reroot container lint --list --format markdown`.\n\n{INTRODUCTION}\n| lint | level | what is wanted |\n|---|---|---|\n",
    );
    for lint in LINTS {
        out += &format!("| [`{0}`](#{0}) | {1} | {2} |\n", lint.id, lint.level.name(), lint.about);
    }
    for lint in LINTS {
        out += &format!(
            "\n## {}\n\n{}, {}.\n\n{}\n\nTo mend it: {}.\n",
            lint.id,
            capital(lint.level.name()),
            needs(lint.needs),
            lint.why,
            lint.fix
        );
    }
    out
}

fn needs(needs: Needs) -> &'static str {
    match needs {
        Needs::Root => "of a directory or an image",
        Needs::Image => "of an image with its layers",
        Needs::Base => "with `--base`",
        Needs::Epoch => "of an image, with `SOURCE_DATE_EPOCH` or the time that it says it was made",
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
