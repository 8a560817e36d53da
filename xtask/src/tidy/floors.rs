//! The floors of kvik-store: what a module may import from the rest of its crate.
//!
//! Between crates cargo sees to it that arrows point down only (`layers.rs` says which). Inside a
//! crate nothing does, and every module can grow to know every other. So the largest crate has a
//! table of its own: a module imports from the floors below it, and from its own folder.

use super::Finding;
use super::mask::{is_word, mask};

const CRATE: &str = "crates/kvik-store/src/";

/// From the bottom up. A new module gets its place when it is made.
const FLOORS: &[&[&str]] = &[
    &["raw"],
    &["text", "kind", "namespace", "slot", "blessing"],
    &[
        "packed",
        "shareable",
        "clock",
        "limits",
        "layout",
        "garbage",
    ],
    &["shape"],
    &["cells"],
    &["former", "source"],
    &["table_image", "trace"],
    &["effect", "event", "interests", "journal", "totals"],
    &["aftermath"],
    &["memory"],
    &["members", "ordered"],
    &["collection", "sequence"],
    &["list", "hash", "set", "zset", "stream", "array"],
    &["value"],
    &["object"],
    &["shadow"],
    &["heap"],
    &["keyspace"],
    &["stripe"],
    &["eviction"],
    &["state"],
    &["view"],
    &["image", "undo"],
    &["locked"],
    &["entry", "glance", "in_place"],
    &["restore"],
    &["edit"],
    &[CHANGES],
    &["guard"],
    &["lib", "trial"],
];

/// Arrows that point up, to be turned: module and what it imports. The image of a store walks
/// keyspaces and shows entries, and the heap and each keyspace hold its state meanwhile; eviction
/// chooses among entries, and keyspaces and stripes hold its queues and candidates. What undoes
/// changes holds whole entries, and the heap that they come from holds it.
const UPWARD: &[(&str, &str)] = &[
    ("heap", "image"),
    ("heap", "undo"),
    ("keyspace", "eviction"),
    ("keyspace", "image"),
    ("stripe", "eviction"),
    ("stripe", "image"),
];

/// What changes a collection stands above the edit, though it lies in the folder of its type.
const CHANGES: &str = "changes";

const TYPES: &[&str] = &["list", "hash", "set", "zset", "stream", "array"];
const CHANGING: &[&str] = &["change", "in_place", "restore", "delivery", "reference"];

pub(super) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let Some(file) = path.strip_prefix(CRATE) else {
        return;
    };
    if file.ends_with("tests.rs") || file.contains("tests/") {
        return;
    }
    let module = file.split(['/', '.']).next().unwrap_or(file);
    let Some(floor) = floor_of(place(file, module)) else {
        let rule = format!("{module} has no floor (xtask/src/tidy/floors.rs)");
        findings.push(Finding::new(path, 0, rule));
        return;
    };
    let code = mask(text);
    let code = code.split("#[cfg(test)]").next().unwrap_or(&code);
    for (line, name) in imports(code) {
        // What is no module is a name of the crate's root, which all may use.
        let Some(other) = floor_of(name) else {
            continue;
        };
        if name != module && other >= floor && !UPWARD.contains(&(module, name)) {
            let rule = format!("{name} is not below {module} (xtask/src/tidy/floors.rs)");
            findings.push(Finding::new(path, line, rule));
        }
    }
}

fn place<'a>(file: &'a str, module: &'a str) -> &'a str {
    let inner = file
        .split('/')
        .nth(1)
        .and_then(|name| name.strip_suffix(".rs"));
    match inner {
        Some(inner) if TYPES.contains(&module) && CHANGING.contains(&inner) => CHANGES,
        _ => module,
    }
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The words behind `crate::`, with their lines.
fn imports(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = code.lines().enumerate();
    lines.flat_map(|(index, line)| {
        let behind = line.split("crate::").skip(1);
        behind.map(move |rest| {
            let end = rest.bytes().position(|byte| !is_word(byte));
            (index + 1, &rest[..end.unwrap_or(rest.len())])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(file: &str, text: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        check(&format!("{CRATE}{file}"), text, &mut findings);
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn imports_point_down() {
        let code = "use crate::UnixMs;\nuse crate::heap::Heap;\n";
        assert!(lines("guard/reading.rs", code).is_empty());
        assert_eq!(lines("raw/table.rs", code), [2]);
        assert_eq!(
            lines("heap.rs", "fn f(at: crate::keyspace::Account) {}"),
            [1]
        );
        assert_eq!(lines("entry.rs", "use crate::glance::Glance;\n"), [1]);
    }

    #[test]
    fn a_folder_knows_itself() {
        assert!(lines("heap/copying.rs", "use crate::heap::Heap;\n").is_empty());
    }

    #[test]
    fn what_changes_a_type_stands_above_it() {
        let code = "use crate::edit::Edit;\n";
        assert!(lines("list/change.rs", code).is_empty());
        assert_eq!(lines("list/node.rs", code), [1]);
        assert_eq!(lines("edit.rs", "use crate::guard::Guard;\n"), [1]);
    }

    #[test]
    fn a_module_needs_a_floor_and_a_test_none() {
        assert_eq!(lines("attic.rs", ""), [0]);
        let code = "#[cfg(test)]\nmod tests {\n    use crate::guard::Guard;\n}\n";
        assert!(lines("heap.rs", code).is_empty());
    }
}
