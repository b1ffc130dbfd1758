//! SARIF 2.1.0, which code scanning services read (docs.oasis-open.org/sarif/sarif/v2.1.0).

use serde_json::{Value, json};

use super::{FindingReport, LINTS, Level, Report};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The report as one run of a tool. Paths are relative to the root of the image.
pub fn sarif(report: &Report) -> Value {
    let rules: Vec<_> = LINTS
        .iter()
        .map(|lint| {
            json!({
                "id": lint.id,
                "shortDescription": {"text": lint.about},
                "fullDescription": {"text": lint.why},
                "help": {"text": lint.fix},
                "defaultConfiguration": {"level": level(lint.level)},
            })
        })
        .collect();
    let mut results = Vec::new();
    for (index, lint) in report.lints.iter().enumerate() {
        for finding in &lint.findings {
            results.push(json!({
                "ruleId": lint.id,
                "ruleIndex": index,
                "level": level(lint.level),
                "message": {"text": format!("{}. {}", finding.message, lint.fix)},
                "locations": locations(finding),
            }));
        }
    }
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "reroot container lint",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "originalUriBaseIds": {"ROOT": {"description": {"text": format!("the root of {}", report.name)}}},
            "results": results,
        }],
    })
}

fn level(level: Level) -> &'static str {
    level.name()
}

fn locations(finding: &FindingReport) -> Vec<Value> {
    let path = finding.path.as_deref().unwrap_or("/").trim_start_matches('/');
    let uri = if path.is_empty() { ".".into() } else { encode(path) };
    vec![json!({"physicalLocation": {"artifactLocation": {"uri": uri, "uriBaseId": "ROOT"}}})]
}

/// What is no unreserved character of a URI, nor a slash, as `%XX` (RFC 3986, 2.1).
fn encode(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            true => out.push(byte.into()),
            false => out += &format!("%{byte:02X}"),
        }
    }
    out
}
