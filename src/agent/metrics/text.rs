//! The two text formats.
//!
//! Prometheus' own (0.0.4) is what node_exporter's textfile collector reads, and most of what reads a socket. It names a counter
//! by its sample (`…_total`) where OpenMetrics names it without, and it has no mark at its end.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// Of an answer in OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Of an answer in the older format.
pub const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The registry in OpenMetrics.
pub fn openmetrics(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).expect("writing to a string does not fail");
    sorted(&text)
}

/// The same with the samples of each family sorted: the registry gives them in another order each time.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for family in lines.chunk_by_mut(|a, b| !a.starts_with('#') && !b.starts_with('#')) {
        family.sort_unstable();
    }
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

/// The same in the older format.
pub fn prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    // The help comes before the type, which decides about the name of both.
    let mut help = None;
    for line in openmetrics.lines() {
        match line.split_once(' ').map(|(mark, rest)| (mark, rest.split_once(' '))) {
            Some(("#", Some(("HELP", rest)))) => help = rest.split_once(' '),
            Some(("#", Some(("TYPE", rest)))) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                    text += &format!("# HELP {name}{suffix} {help}\n");
                }
                text += &format!("# TYPE {name}{suffix} {kind}\n");
            }
            _ if line.starts_with('#') => {}
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_by_their_sample() {
        let new = "# HELP a_checks Times it asked.\n# TYPE a_checks counter\na_checks_total 3\n\
                   # HELP b B \\\" c.\n# TYPE b gauge\n# UNIT b seconds\nb{x=\"# TYPE y\"} -1\n# EOF\n";
        let old = "# HELP a_checks_total Times it asked.\n# TYPE a_checks_total counter\na_checks_total 3\n\
                   # HELP b B \\\" c.\n# TYPE b gauge\nb{x=\"# TYPE y\"} -1\n";
        assert_eq!(prometheus(new), old);
    }
}
