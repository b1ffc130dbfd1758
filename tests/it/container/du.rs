//! `reroot container du`: where the bytes are, as text, as JSON and as something to look at.

use std::fs;

use serde_json::Value;

use super::builder::Builder;
use crate::support::image::{Entry, Image, Layout, bootable_layer};
use crate::support::skip::skip;
use crate::support::tools::{command, missing, run};

fn builder() -> Builder {
    let builder = Builder::new();
    let mut layer = bootable_layer()
        .file("usr/bin/large", "l".repeat(3_000_000))
        .add(Entry::hardlink("usr/bin/same", "usr/bin/large"))
        .file("usr/bin/small", "s".repeat(1000))
        .file("usr/share/<b>&\"odd\".txt", "o".repeat(400_000))
        .file("var/lib/dpkg/status", "Package: tools\nStatus: install ok installed\nVersion: 1\n\n")
        .file("var/lib/dpkg/info/tools.list", "/usr/bin/large\n/usr/bin/same\n");
    for n in 0..60 {
        layer = layer.file(format!("usr/lib/part-{n}/data"), vec![n; 10_000 * (1 + usize::from(n))]);
    }
    Layout::new(builder.path().join("image")).tag("os", &Image::new().layer(layer));
    builder
}

fn child<'v>(branch: &'v Value, name: &str) -> &'v Value {
    let children = branch["children"].as_array().unwrap();
    children.iter().find(|child| child["name"] == name).unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn bytes_are_added_up_by_directory_and_by_package() {
    let builder = builder();
    let usage = builder.json(&["du", "oci:image:os"]);
    let bin = child(child(&usage["root"], "usr"), "bin");
    // A content with two names counts once.
    assert_eq!((&bin["bytes"], &bin["files"]), (&3_001_000.into(), &3.into()));
    let children = usage["root"]["children"].as_array().unwrap();
    let sum: u64 = children.iter().map(|child| child["bytes"].as_u64().unwrap()).sum();
    assert_eq!(usage["root"]["bytes"].as_u64(), Some(sum));

    let packages = builder.json(&["du", "oci:image:os", "--by", "package"]);
    assert_eq!(child(&packages["root"], "tools")["bytes"], 3_000_000);
    assert_eq!(packages["root"]["bytes"], usage["root"]["bytes"]);

    let text = builder.text(&["du", "oci:image:os", "--depth", "2", "--min", "5"]);
    assert!(text.lines().next().unwrap().contains("SIZE"), "{text}");
    let line = text.lines().find(|line| line.ends_with("    bin")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("2.86 MiB"), "{line}");
    assert!(!text.contains("large") && !text.contains("share"), "{text}");
    // The same for an unpacked root, where names of one content are files of their own.
    builder.run(&["export", "oci:image:os", "-o", "bundle:bundle"]).ok();
    let unpacked = builder.json(&["du", "./bundle/rootfs"]);
    assert_eq!(unpacked["root"]["files"], usage["root"]["files"]);
    let copied = sum + 3_000_000;
    assert_eq!(unpacked["root"]["bytes"].as_u64(), Some(copied));
}

/// Looks at the chart as it is drawn: names inside their rectangles, siblings apart and inside what holds them, areas as the bytes.
const LOOK: &str = r#"<script>
const problems = [];
const own = (g, tag) => [...g.children].filter(e => e.tagName === tag);
const box = e => e.getBBox();
let rectangles = 0, labels = 0;
for (const g of document.querySelectorAll('svg g')) {
  const rect = own(g, 'rect')[0], r = box(rect);
  rectangles++;
  for (const text of own(g, 'text')) {
    labels++;
    const t = box(text);
    if (t.x < r.x || t.x + t.width > r.x + r.width || t.y + t.height > r.y + r.height + 1)
      problems.push('name outside: ' + text.textContent);
  }
  const inner = own(g, 'g').map(c => own(c, 'rect')[0]);
  const ratios = inner.map(c => box(c).width * box(c).height / c.dataset.bytes);
  if (ratios.length && Math.max(...ratios) > 1.1 * Math.min(...ratios) + 1e-3) problems.push('areas: ' + ratios);
  inner.forEach((c, i) => {
    const a = box(c);
    if (a.x < r.x || a.y < r.y || a.x + a.width > r.x + r.width + .1 || a.y + a.height > r.y + r.height + .1)
      problems.push('outside its parent');
    inner.slice(i + 1).map(box).forEach(b => {
      if (Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x) > .1 &&
          Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y) > .1) problems.push('overlap');
    });
  });
}
const list = document.querySelectorAll('details');
const before = document.body.scrollHeight;
list[1].querySelector('summary').click();
const grown = document.body.scrollHeight - before;
const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
const titles = [...document.querySelectorAll('svg title')].map(t => t.textContent);
document.body.textContent = JSON.stringify({problems, rectangles, labels, grown, wide, titles, errors: document.querySelectorAll('parsererror').length});
</script>"#;

#[test]
fn the_page_is_as_it_should_be_in_a_browser() {
    let builder = builder();
    let page = builder.text(&["du", "oci:image:os", "--format", "html"]);
    assert_eq!(builder.text(&["du", "oci:image:os", "--format", "html"]), page);
    assert!(!page.contains("<b>") && !page.contains("<script") && !page.contains("://www.w3.org/1999"));
    let svg = builder.text(&["du", "oci:image:os", "--format", "svg"]);
    assert!(page.contains(&svg) && svg.starts_with("<svg "));
    if let Some(reason) = missing(&["chromium"]) {
        return skip("container::du::the_page_is_as_it_should_be_in_a_browser", reason);
    }
    let path = builder.path().join("page.html");
    fs::write(&path, page.replace("</body>", &format!("{LOOK}</body>"))).unwrap();
    let mut chromium = command("timeout");
    chromium.args([
        "120",
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1280,900",
    ]);
    chromium.arg(format!("--user-data-dir={}", builder.path().join("profile").display()));
    chromium
        .args(["--no-first-run", "--disable-dev-shm-usage", "--dump-dom"])
        .arg(format!("file://{}", path.display()));
    let dom = run(chromium.env("HOME", builder.path()));
    let dom = String::from_utf8_lossy(dom.as_ref()).into_owned();
    let body = dom
        .split("<body>")
        .nth(1)
        .and_then(|rest| rest.split("</body>").next())
        .unwrap_or_else(|| panic!("{dom}"));
    let text = body.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let seen: Value = serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(seen["problems"], Value::Array(vec![]), "{seen:#}");
    assert!(seen["rectangles"].as_u64().unwrap() > 60 && seen["labels"].as_u64().unwrap() > 10, "{seen:#}");
    assert!(seen["grown"].as_i64().unwrap() > 0 && seen["wide"] == false, "{seen:#}");
    let titles = seen["titles"].as_array().unwrap();
    let odd = titles.iter().filter_map(Value::as_str).find(|title| title.contains("odd"));
    assert_eq!(odd.unwrap().split(": ").next().unwrap(), "/usr/share/<b>&\"odd\".txt");
}
