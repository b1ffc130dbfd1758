//! A page with the chart and a list to open and close: one file, without scripts, that can be kept with a build.

use std::fmt::{Result, Write};

use super::{chart, percent};
use crate::cli::format;
use crate::container::{Branch, By, Usage};
use crate::names::escape_xml;

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font-family:sans-serif;margin:1.5rem auto;max-width:75rem;padding:0 1rem}
svg{width:100%;height:auto}
svg g:hover>rect{stroke-width:2}
details>details,details>p{margin-left:1.25rem}
details>p,summary{font-family:monospace;margin-block:0;padding:.1rem 0}
.size{display:inline-block;min-width:6.5rem;text-align:right}
.share{display:inline-block;min-width:4rem;text-align:right;padding-right:.75rem}
";

pub(super) fn html(usage: &Usage) -> String {
    let mut out = String::new();
    write(usage, &mut out).expect("a string takes everything");
    out
}

fn write(usage: &Usage, out: &mut String) -> Result {
    let name = escape_xml(&usage.name);
    let by = match usage.by {
        By::Directory => "directory",
        By::Package => "package",
    };
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n\
         <p>{} in {}, by {by}.</p>",
        format::bytes(usage.root.bytes),
        format::count(usage.root.files, "file"),
    )?;
    for reason in &usage.not_read {
        writeln!(out, "<p>{}</p>", escape_xml(reason))?;
    }
    out.push_str(&chart::svg(usage));
    branch(&usage.root, usage.root.bytes, true, out)?;
    out.write_str("</body>\n</html>\n")
}

fn branch(of: &Branch, all: u64, open: bool, out: &mut String) -> Result {
    let line = format!(
        "<span class=\"size\">{}</span><span class=\"share\">{} %</span>{}",
        format::bytes(of.bytes),
        percent(of.bytes, all),
        escape_xml(&of.name)
    );
    if of.children.is_empty() {
        return writeln!(out, "<p>{line}</p>");
    }
    writeln!(out, "<details{}><summary>{line}</summary>", if open { " open" } else { "" })?;
    for child in &of.children {
        branch(child, all, false, out)?;
    }
    out.write_str("</details>\n")
}
