//! What keeps the code in order and what no compiler checks: imports run one way (the table is in
//! ARCHITECTURE.md), files stay small, documentation links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Past this a file asks for its second concept.
const LONGEST: usize = 500;
/// Files that may be longer, each with why.
const LONG: [(&str, &str); 2] = [
    ("tests/it/oci_local.rs", "one list of cases"),
    ("tests/it/support/image.rs", "one vocabulary: entries, layers, images, layouts"),
];
/// Names at the root of the crate that are not modules, and where they come from.
const MACROS: [(&str, &str); 1] = [("crashpoint", "fsx")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files below a directory whose names end in `.extension`, as paths from the root.
fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(directory)]);
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path.strip_prefix(root()).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

/// The names in backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(String::from).collect()
}

/// Which module may import which, from the table in ARCHITECTURE.md.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = read(&root().join("ARCHITECTURE.md"));
    let table = text.split("## Layers").nth(1).expect("the section").split("##").next().unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|cells| cells.len() == 4 && cells[0].parse::<u32>().is_ok())
        .collect();
    let lowest: BTreeSet<String> =
        rows.iter().filter(|cells| cells[0] == "0").flat_map(|cells| quoted(cells[1])).collect();
    let mut allowed = BTreeMap::new();
    for cells in rows {
        let mut imports = quoted(cells[3]);
        if cells[3].contains("level 0") {
            imports.extend(lowest.iter().cloned());
        }
        for module in quoted(cells[1]) {
            let own = imports.iter().cloned().chain([module.clone()]).collect();
            allowed.insert(module, own);
        }
    }
    allowed
}

/// The modules that a source text names as `crate::module` or in `crate::{…}`; comments do not count.
fn imports(source: &str) -> BTreeSet<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or_default().to_string() + "\n").collect();
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut at_start = true;
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_start = true,
                c if at_start && !c.is_whitespace() => {
                    found.insert(word(&group[index..]));
                    at_start = false;
                }
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

#[test]
fn imports_run_one_way() {
    let allowed = allowed();
    let mut wrong = Vec::new();
    for path in files("src", "rs") {
        let module = path.iter().nth(1).unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "main" | "lib" | "bin") {
            continue;
        }
        let Some(may) = allowed.get(module) else {
            wrong.push(format!("src/{module} is not in the table of layers in ARCHITECTURE.md"));
            continue;
        };
        for import in imports(&read(&root().join(&path))) {
            let import = MACROS.iter().find(|(name, _)| *name == import).map_or(import.as_str(), |(_, m)| m);
            if !may.contains(import) {
                wrong.push(format!("{}: {module} may not import {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_in_every_form() {
    let source = "use crate::a::b;\nuse crate::{c, d::{self, e}, f};\nlet x = crate::g::h();\n// crate::no\n";
    assert_eq!(imports(source), ["a", "c", "d", "f", "g"].map(String::from).into());
}

#[test]
fn files_have_one_concept() {
    let long: Vec<String> = [files("src", "rs"), files("tests", "rs")]
        .concat()
        .into_iter()
        .map(|path| (read(&root().join(&path)).lines().count(), path))
        .filter(|(lines, path)| *lines > LONGEST && !LONG.iter().any(|(listed, _)| path.ends_with(listed)))
        .map(|(lines, path)| format!("{} has {lines} lines, more than {LONGEST}", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let top = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(PathBuf::from);
    let mut broken = Vec::new();
    for path in files("docs", "md").into_iter().chain(top) {
        let text = read(&root().join(&path));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let outside = file.is_empty() || file.contains("://");
            let from = root().join(path.parent().unwrap_or(Path::new("")));
            if !outside && !from.join(file).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
